"""relspec in Dagster: the inferred graph as assets, checks and schedules, none of them declared by hand."""

from dagster_shared.libraries import DagsterLibraryRegistry

from relspec_core import __version__
from relspec_dagster.access.resources import RelspecDuckDBResource, RelspecResource
from relspec_dagster.arrivals.evidence_sensor import build_evidence_sensor
from relspec_dagster.arrivals.sensor_tick import EvidenceSensor
from relspec_dagster.definitions import build_definitions
from relspec_dagster.freshness.automation import edges_ready
from relspec_dagster.schedules import build_schedule_from_selection
from relspec_dagster.translation.settings import RelspecSettings
from relspec_dagster.translation.translator import RelspecTranslator, Source, TaskOutput

DagsterLibraryRegistry.register("relspec", __version__, is_dagster_package=False)

__all__ = [
    "EvidenceSensor",
    "RelspecDuckDBResource",
    "RelspecResource",
    "RelspecSettings",
    "RelspecTranslator",
    "Source",
    "TaskOutput",
    "__version__",
    "build_definitions",
    "build_evidence_sensor",
    "build_schedule_from_selection",
    "edges_ready",
]
