"""A task catalog as Dagster definitions."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
from dagster_duckdb import DuckDBResource

from relspec_core.graph_inference import task_graph_from_catalog
from relspec_core.task_catalog import ExecutionContext, TaskCatalog
from relspec_dagster.assets import multi_asset_of
from relspec_dagster.database import database_file
from relspec_dagster.evidence_sensor import sensor_of
from relspec_dagster.evidence_ticks import EvidenceSensor
from relspec_dagster.plans import load_plans
from relspec_dagster.projection import project
from relspec_dagster.schedules import cron_schedules
from relspec_dagster.translator import RelspecTranslator

RESOURCE_KEY = "duckdb"


def build_definitions(
    task_catalog: TaskCatalog,
    *,
    database: str | Path,
    ctx: ExecutionContext | None = None,
    translator: RelspecTranslator | None = None,
    resource_key: str = RESOURCE_KEY,
    schedule_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    schedule_timezone: str = "UTC",
    evidence_sensor: EvidenceSensor | None = None,
) -> dg.Definitions:
    """Everything that Dagster needs to show, schedule and run a catalog; nothing of it is declared by hand.

    Each task is a multi-asset, whose outputs depend on exactly the evidence that their plans read; each source is an
    external asset. On every output there is one check for each inferred edge, ``requires_<evidence>``. A run evaluates
    it against what there is at that moment: where a column is missing, the check fails with a message that names it,
    the output and what is downstream of it are skipped, and the rest is materialized.

    While the code location is loaded the database is looked at for a moment, read-only, and is not made; where another
    process writes to it, what was recorded of it last is looked at instead. Runs use the plans that were compiled then.
    The steps of a run share one process, as DuckDB lets one process at a time write. Two runs keep apart through a
    pool, where ``dagster.yaml`` has ``concurrency: {pools: {granularity: op, default_limit: 1}}``.

    Args:
        task_catalog: what users declared.
        database: path of the DuckDB file that tables are written to; the first run makes it, and its folder.
        ctx: more sources, and parameters for the builders.
        translator: what assets look like.
        resource_key: under which the ``DuckDBResource`` stands in the definitions.
        schedule_status: of the cron schedules while nobody has switched them in Dagster. They are off, as Dagster's own
            are, so that a copy of a project on a laptop starts nothing by itself.
        schedule_timezone: that the tasks' crons are in.
        evidence_sensor: of the sensor that asks for what is stale and ready when evidence arrives, as
            ``build_evidence_sensor`` says; there is none where left out.

    Raises:
        RelspecError: RS1xx and RS2xx, where the catalog does not compile; RS402, where the database can't be looked at
            and it alone knows a source; RS501, where Dagster can't take a name, owner, tag or cron.
    """
    path = database_file(database)
    plan_catalog = load_plans(task_catalog, database=path, ctx=ctx)
    task_graph = task_graph_from_catalog(plan_catalog)
    projection = project(plan_catalog, task_graph, translator=translator or RelspecTranslator(), database=path)
    multi_assets = [
        multi_asset_of(task, plan_catalog=plan_catalog, resource_key=resource_key, pool=_pool(path))
        for task in projection.tasks
    ]
    sensors = [
        sensor_of(settings, plans=plan_catalog, graph=task_graph, projection=projection, database=path)
        for settings in (evidence_sensor,)
        if settings is not None
    ]
    return dg.Definitions(
        assets=[*projection.sources, *multi_assets],
        schedules=cron_schedules(projection.tasks, status=schedule_status, timezone=schedule_timezone),
        sensors=sensors,
        resources={resource_key: DuckDBResource(database=str(path))},
        executor=dg.in_process_executor,
    )


def _pool(database: Path) -> str:
    """One for each database, so that ops on different ones do not wait for each other."""
    return f"duckdb_{re.sub('[^A-Za-z0-9_]', '_', database.stem)}"
