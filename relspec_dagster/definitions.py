"""A task catalog as Dagster definitions."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg

from relspec_core.graph_inference import task_graph_from_catalog
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.task_catalog import ExecutionContext, TaskCatalog
from relspec_dagster.access.catalog_resource import CatalogResource, catalog_key
from relspec_dagster.access.plan_loading import load_plans
from relspec_dagster.access.resources import LONGEST_WAIT, RelspecDuckDBResource, RelspecResource
from relspec_dagster.access.warehouse_access import database_place, storage_of
from relspec_dagster.arrivals.evidence_sensor import sensor_of
from relspec_dagster.arrivals.sensor_tick import EvidenceSensor
from relspec_dagster.freshness.automation import automate
from relspec_dagster.freshness.automation_sensors import automation_sensors
from relspec_dagster.freshness.carry_forward_sensor import carry_forward_sensor
from relspec_dagster.freshness.evaluation import Evaluation
from relspec_dagster.materialization.multi_asset import multi_asset_of
from relspec_dagster.schedules import RESOURCE_KEY, cron_schedules
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.projection import Projection, project
from relspec_dagster.translation.source_checks import checks_of_sources
from relspec_dagster.translation.translator import RelspecTranslator


def build_definitions(  # noqa: PLR0913 - all that there is to set, in one place
    task_catalog: TaskCatalog,
    *,
    database: str | Path | RelspecResource,
    ctx: ExecutionContext | None = None,
    translator: RelspecTranslator | None = None,
    resource_key: str = RESOURCE_KEY,
    schedule_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    schedule_timezone: str = "UTC",
    automation: dg.AutomationCondition | None = None,
    automation_seconds: int | None = None,
    wait: float = LONGEST_WAIT,
    evidence_sensor: EvidenceSensor | None = None,
) -> dg.Definitions:
    """Everything that Dagster needs to show, schedule and run a catalog; nothing of it is declared by hand.

    Each task is a multi-asset, whose outputs depend on exactly the evidence that their plans read; each source is an
    external asset. On every output there is one check for each inferred edge, ``requires_<evidence>``. A run evaluates
    it against the evidence at that moment: where a column is missing, the check fails with a message that names it,
    the output and what is downstream of it are skipped, and the rest is materialized. On every source there is one
    check, ``has_what_readers_need``.

    While the code location is loaded the database is looked at for a moment, read-only, and is not made; where another
    process writes to it, what was recorded of it last is looked at instead. Runs use the plans that were compiled then.
    The steps of a run share one process, as DuckDB lets one process at a time write. Two runs keep apart through a
    pool, where ``dagster.yaml`` has ``concurrency: {pools: {granularity: op, default_limit: 1}}``; where it has not,
    and beside other programs, a step waits for the process that holds the file.

    Args:
        task_catalog: what users declared.
        database: path of the DuckDB file that tables are written to; the first run makes it, and its folder. Or another
            engine; then steps run as Dagster's own executor has it, each in a process.
        ctx: more sources, and parameters for the builders.
        translator: what assets look like.
        resource_key: under which the database stands in the resources: of a file as a ``DuckDBResource``.
        schedule_status: of the cron schedules while nobody has switched them in Dagster. They are off, as Dagster's own
            are, so that a copy of a project on a laptop starts nothing by itself.
        schedule_timezone: that the tasks' crons are in.
        automation: when assets are materialized by themselves, such as ``edges_ready()``; an asset to which the
            translator gives a condition has that one. Where ``edges_ready`` is part of it, the sensors that evaluate it
            are among the definitions, and are on.
        automation_seconds: between two evaluations, at least; Dagster's own interval where left out.
        wait: the most seconds that a step waits for another process that holds the file.
        evidence_sensor: of the sensor that asks for what is stale and ready when evidence arrives, as
            ``build_evidence_sensor`` says; there is none where left out.

    Raises:
        RelspecError: RS1xx and RS2xx, where the catalog does not compile; RS402, where the database can't be looked at
            and it alone knows a source; RS501, where Dagster can't take a name, owner, tag or cron.
    """
    place = database_place(database)
    plan_catalog = load_plans(task_catalog, database=place, ctx=ctx)
    task_graph = task_graph_from_catalog(plan_catalog)
    storage = storage_of(place)
    resource = RelspecDuckDBResource(database=str(place), wait=wait) if isinstance(place, Path) else place
    projection = project(plan_catalog, task_graph, translator=translator or RelspecTranslator(), storage=storage)
    readers = Consumers.of(projection, plan_catalog)
    projection = automate(projection, automation=automation, evaluation=Evaluation(readers, task_graph, resource))
    pool = _pool(place) if isinstance(place, Path) else None
    checks_op = _name_of_source_checks(projection, resource_key)
    own_ops = frozenset([checks_op, *(task.op_name for task in projection.tasks)])
    multi_assets = [
        multi_asset_of(task, readers=readers, resource_key=resource_key, pool=pool, own_ops=own_ops)
        for task in projection.tasks
    ]
    sensors: list[dg.SensorDefinition] = [
        carry_forward_sensor(readers, name=f"{resource_key}_carry_forward", resource=resource),
        *automation_sensors(projection, prefix=resource_key, seconds=automation_seconds),
    ]
    if evidence_sensor is not None:
        sensors.append(
            sensor_of(evidence_sensor, plans=plan_catalog, graph=task_graph, projection=projection, database=place)
        )
    return dg.Definitions(
        assets=[*projection.sources, *multi_assets],
        asset_checks=_source_checks(projection, plan_catalog, name=checks_op, resource_key=resource_key),
        schedules=cron_schedules(
            projection.tasks, resource_key=resource_key, status=schedule_status, timezone=schedule_timezone
        ),
        sensors=sensors,
        resources={
            resource_key: resource,
            catalog_key(resource_key): CatalogResource(plan_catalog=plan_catalog, keys=projection.keys),
        },
        executor=dg.in_process_executor if isinstance(place, Path) else None,
    )


def _name_of_source_checks(projection: Projection, resource_key: str) -> str:
    """Of the op that checks sources, which no task's op has."""
    taken = {task.op_name for task in projection.tasks}
    name = f"{resource_key}_sources"
    while name in taken:
        name += "_"
    return name


def _source_checks(
    projection: Projection, plan_catalog: PlanCatalog, *, name: str, resource_key: str
) -> list[dg.AssetChecksDefinition]:
    """The op that checks sources; none where there is nothing for it to check."""
    checks = projection.source_checks
    return (
        [checks_of_sources(checks, name=name, plan_catalog=plan_catalog, resource_key=resource_key)] if checks else []
    )


def _pool(database: Path) -> str:
    """One for each database, so that ops on different ones do not wait for each other."""
    return f"duckdb_{re.sub('[^A-Za-z0-9_]', '_', database.stem)}"
