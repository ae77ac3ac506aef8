"""The sensor that carries assets forward where no run does it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import dagster as dg

from relspec_core.engines.duckdb_file import DatabaseHeldError
from relspec_core.errors import SourceError
from relspec_core.model.hashing import digest
from relspec_dagster.access.warehouse_access import Resource, read_warehouse
from relspec_dagster.freshness.carry_forward import carry_forward
from relspec_dagster.freshness.stale_assets import StaleAsset, stale_assets
from relspec_dagster.translation.consumers import Consumers

LOG = logging.getLogger(__name__)
SECONDS = 10


def carry_forward_sensor(readers: Consumers, *, name: str, resource: Resource) -> dg.SensorDefinition:
    """Build the sensor that keeps assets fresh that read nothing of what arrived or was built elsewhere.

    It reads the warehouse only where stale assets or their inputs changed since the last time. As it starts no run, it
    is on from the start.

    Args:
        readers: of the whole catalog.
        name: of the sensor.
        resource: of the database.
    """

    @dg.sensor(
        name=name,
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Carries assets forward that read nothing of what changed in their inputs.",
    )
    def carry(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        stale = stale_assets(context.instance, readers, readers.by_evidence)
        if not stale or _state(stale) == context.cursor:
            return dg.SkipReason("nothing to carry forward: whatever Dagster calls stale is stale")
        try:
            with read_warehouse(resource, say=LOG.info) as warehouse:
                if not warehouse.has_rows:
                    return dg.SkipReason("a run writes to the database")
                carried = carry_forward(context.instance, readers, warehouse)
        except DatabaseHeldError as error:
            return dg.SkipReason(f"the database can't be read now: {error}")
        except SourceError as error:  # such as a storage that does not answer
            return dg.SkipReason(f"a source can't be read now: {error}")
        keys = ", ".join(key.to_user_string() for key in carried) or "nothing"
        reason = dg.SkipReason(f"carried forward: {keys}")
        left = _state(found for found in stale if found.output.spec.key not in carried)
        return dg.SensorResult(skip_reason=reason, cursor=left)

    return carry


def _state(stale: Iterable[StaleAsset]) -> str:
    """A digest of what Dagster calls stale."""
    return digest(tuple((found.output.artifact.name, *map(str, found.state)) for found in stale))
