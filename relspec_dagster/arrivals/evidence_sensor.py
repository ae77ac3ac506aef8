"""A sensor that requests the stale tasks that are ready when evidence arrives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.task_catalog import ExecutionContext, TaskCatalog
from relspec_dagster.access.plan_loading import load_plans
from relspec_dagster.access.resources import RelspecResource
from relspec_dagster.access.warehouse_access import database_place, storage_of
from relspec_dagster.arrivals.sensor_tick import NAME, SECONDS, EvidenceSensor, SensorTick
from relspec_dagster.translation.projection import Projection, project
from relspec_dagster.translation.translator import RelspecTranslator


def build_evidence_sensor(
    task_catalog: TaskCatalog,
    *,
    database: str | Path | RelspecResource,
    ctx: ExecutionContext | None = None,
    translator: RelspecTranslator | None = None,
    name: str = NAME,
    minimum_interval_seconds: int = SECONDS,
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED,
    tags: Mapping[str, str] | None = None,
) -> dg.SensorDefinition:
    """Build a sensor that observes all evidence and requests the stale tasks that are ready, in one run.

    An arrival may be a materialization of a source that was reported over REST, by another job or by another code
    location; a file that appears or changes; a table that appears or changes in the warehouse. A task is requested when
    all of its edges are satisfied and something that it reads is not what it was built from. Downstream tasks that
    become ready by it are in the same run. Skipped ticks name what the other tasks wait for.

    The run key is a digest of the plans, the versions of what each task reads, and the arrivals that these come from.
    So the same evidence is requested once, also where the cursor was reset or the code location reloaded. A task that
    failed is requested again when one of its sources arrives. A task that a run in progress builds is decided when
    that run has ended.

    The database is only read, for a moment, when its file has changed; an engine that does not report changes is read
    at each tick. While another process writes to the file, its metadata snapshot is used instead, and where that
    process is no run of Dagster, nothing is requested. The contents of tables that relspec has built are not
    compared: changes outside relspec are detected by their columns and row counts.

    ``build_definitions(..., evidence_sensor=EvidenceSensor(...))`` adds the same sensor and compiles the plans once.

    Args:
        task_catalog: what users declared.
        database: as of ``build_definitions``.
        ctx: more sources, and parameters for the builders.
        translator: as of ``build_definitions``, for the asset keys.
        name: as of ``EvidenceSensor``.
        minimum_interval_seconds: as of ``EvidenceSensor``.
        default_status: as of ``EvidenceSensor``.
        tags: as of ``EvidenceSensor``.

    Raises:
        RelspecError: as ``build_definitions`` does.
    """
    place = database_place(database)
    plans = load_plans(task_catalog, database=place, ctx=ctx)
    graph = task_graph_from_catalog(plans)
    projection = project(plans, graph, translator=translator or RelspecTranslator(), storage=storage_of(place))
    settings = EvidenceSensor(
        name=name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=default_status,
        tags=dict(tags or {}),
    )
    return sensor_of(settings, plans=plans, graph=graph, projection=projection, database=place)


def sensor_of(
    settings: EvidenceSensor,
    *,
    plans: PlanCatalog,
    graph: TaskGraph,
    projection: Projection,
    database: Path | RelspecResource,
) -> dg.SensorDefinition:
    """The sensor of a catalog that is compiled and projected already."""
    ticks = SensorTick(settings, plans=plans, graph=graph, projection=projection, database=database)

    @dg.sensor(
        name=settings.name,
        description="Requests the stale tasks that are ready when evidence arrives.",
        minimum_interval_seconds=settings.minimum_interval_seconds,
        default_status=settings.default_status,
        asset_selection=dg.AssetSelection.assets(*ticks.tasks),
    )
    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        return ticks.tick(context)

    return tick
