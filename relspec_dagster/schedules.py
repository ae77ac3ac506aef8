"""Cron schedules: each tick requests one run of the stale assets of a selection."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import dagster as dg
from dagster import DagsterError

from relspec_core.engines.duckdb_file import DatabaseHeldError
from relspec_core.errors import ProjectionError, SourceError
from relspec_core.model.formatting import listed
from relspec_core.planning.run_plan import RunPlan
from relspec_core.staleness.reasons import Unchanged
from relspec_dagster.access.catalog_resource import CatalogResource, catalog_key
from relspec_dagster.access.run_status import BUILDING
from relspec_dagster.access.warehouse_access import read_warehouse
from relspec_dagster.freshness.carry_forward import KEEP_UNCHANGED
from relspec_dagster.translation.metadata import coded
from relspec_dagster.translation.projection import TaskAssets

CRON_WORDS = {"*": "any", "/": "_every_", "-": "_to_", ",": "_and_", "@": "", " ": "_", "#": "_nth_", "L": "last"}
RESOURCE_KEY = "duckdb"

Selection: TypeAlias = dg.AssetSelection | str | Sequence[str]


def build_schedule_from_selection(
    selection: Selection,
    *,
    name: str,
    cron_schedule: str,
    resource_key: str = RESOURCE_KEY,
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    execution_timezone: str = "UTC",
    description: str | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that at each tick materializes what is stale of a selection, and nothing where all of it is fresh.

    Put it into the same ``Definitions`` as the catalog:

        weekly = build_schedule_from_selection("group:marts", name="weekly_marts", cron_schedule="0 6 * * 1")
        defs = dg.Definitions.merge(build_definitions(catalog, database=...), dg.Definitions(schedules=[weekly]))

    A tick only reads the database. Beside a run it judges by what that has recorded. What runs of this schedule that
    still go on are to build is not asked for again. A table outside of the selection counts as it is, stale or not.

    Args:
        selection: an ``AssetSelection``, its text, or the keys of assets. Assets of others in it are left alone.
        name: of the job; the schedule has ``_schedule`` behind it.
        cron_schedule: five fields, or a word such as ``@daily``.
        resource_key: that ``build_definitions`` was given.
        default_status: whether it runs before anybody has switched it on in Dagster.
        execution_timezone: that the fields are in.
        description: shown with it; left out, it says what is selected.

    Raises:
        ProjectionError: RS501, for a cron, time zone or selection that Dagster does not take.
    """
    chosen = _asset_selection(selection)
    return _schedule(
        name,
        cron_schedule,
        selection=chosen,
        resource_key=resource_key,
        status=default_status,
        timezone=execution_timezone,
        description=description or f"Materializes the stale assets of {chosen}.",
        at=f"build_schedule_from_selection(name='{name}')",
    )


def _asset_selection(selection: Selection) -> dg.AssetSelection:
    match selection:
        case dg.AssetSelection():
            return selection
        case str():
            try:
                with warnings.catch_warnings():  # Dagster's parser uses what it calls beta itself
                    warnings.simplefilter("ignore", dg.BetaWarning)
                    return dg.AssetSelection.from_string(selection)
            except DagsterError as error:
                raise ProjectionError(
                    f"Dagster does not take the selection '{selection}'",
                    at="build_schedule_from_selection(...)",
                    hint="write it as in Dagster's search field: 'group:marts', 'key:orders+', 'tag:tier=gold'.",
                ) from error
        case _:
            return dg.AssetSelection.assets(*selection)


def cron_schedules(
    tasks: Iterable[TaskAssets], *, resource_key: str, status: dg.DefaultScheduleStatus, timezone: str
) -> tuple[dg.ScheduleDefinition, ...]:
    """One schedule, with its job, for each cron that tasks name; crons that differ in spaces only are one.

    A run materializes what is stale of the assets of its tasks, not what they depend on. In the run an asset is built
    after those of its dependencies that are part of it, whatever the cron.

    Args:
        tasks: with or without a cron.
        resource_key: of the database.
        status: whether a schedule runs before anybody has switched it on in Dagster.
        timezone: that the fields are in, such as ``Europe/Berlin``.

    Returns:
        In cron order. The job is named after the cron, such as ``cron_0_6_any_any_any``, with the database's resource
        key before it unless that is the usual one; its schedule has ``_schedule`` behind that.

    Raises:
        ProjectionError: RS501, for a cron or time zone that does not exist.
    """
    by_cron: dict[str, list[TaskAssets]] = {}
    for task in tasks:
        if task.task.cron is not None:
            by_cron.setdefault(" ".join(task.task.cron.split()), []).append(task)
    return tuple(
        _schedule(
            cron_name(cron) if resource_key == RESOURCE_KEY else f"{resource_key}_{cron_name(cron)}",
            cron,
            selection=dg.AssetSelection.assets(*(output.spec.key for task in due for output in task.outputs)),
            resource_key=resource_key,
            status=status,
            timezone=timezone,
            description=f"Materializes the stale tables of tasks with the cron '{cron}': "
            f"{', '.join(task.task.name for task in due)}.",
            at="; ".join(task.task.where for task in due),
        )
        for cron, due in sorted(by_cron.items())
    )


def _schedule(
    name: str,
    cron: str,
    *,
    selection: dg.AssetSelection,
    resource_key: str,
    status: dg.DefaultScheduleStatus,
    timezone: str,
    description: str,
    at: str,
) -> dg.ScheduleDefinition:
    try:
        return dg.ScheduleDefinition(
            name=f"{name}_schedule",
            cron_schedule=cron,
            job=dg.define_asset_job(name, selection=selection),
            execution_fn=_at_tick(name, selection, resource_key),
            required_resource_keys={resource_key, catalog_key(resource_key)},
            description=description,
            default_status=status,
            execution_timezone=timezone,
        )
    except DagsterError as error:
        raise ProjectionError(
            f"Dagster does not take the cron '{cron}' in time zone '{timezone}': {error}",
            at=at,
            hint="write minute, hour, day, month and weekday: '0 6 * * *'; time zones are named like 'Europe/Berlin'.",
        ) from error


Tick: TypeAlias = Callable[[dg.ScheduleEvaluationContext], dg.RunRequest | dg.SkipReason]


def _at_tick(job: str, selection: dg.AssetSelection, resource_key: str) -> Tick:
    """The tick of a schedule: a run of the stale assets, or the reason for none."""

    def request(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        catalog: CatalogResource = getattr(context.resources, catalog_key(resource_key))
        keys = selection.resolve(context.repository_def.asset_graph) if context.repository_def else frozenset()
        outputs = catalog.outputs(keys)
        if not outputs:
            return dg.SkipReason(f"{selection} selects no table of relspec")
        try:
            with read_warehouse(getattr(context.resources, resource_key), say=context.log.info) as warehouse:
                planned = catalog.plan(outputs, warehouse)
        except (DatabaseHeldError, SourceError) as error:  # each op finds out in its turn
            context.log.warning("requesting the whole selection, because its state is unknown: %s", error.what)
            wanted, reason = tuple(catalog.keys[name] for name in outputs), ""
        else:
            wanted, reason = catalog.keys_of(planned), _why_nothing(planned)
            for task in planned.schedule.order:
                context.log.info("%s: %s", task, coded(planned.freshness[task].reason))
        being_built = _being_built(context.instance, job, keys)
        asked = [key for key in wanted if key not in being_built]
        if asked:
            return dg.RunRequest(asset_selection=asked, tags=dict(KEEP_UNCHANGED))
        if wanted:
            runs = ", ".join(dict.fromkeys(being_built[key] for key in wanted))
            return dg.SkipReason(f"stale tables are built by runs in progress, {runs}: {_names(wanted)}")
        return dg.SkipReason(reason)

    return request


def _being_built(instance: dg.DagsterInstance, job: str, selected: Iterable[dg.AssetKey]) -> Mapping[dg.AssetKey, str]:
    """The assets that runs in progress of a job build, each with the run."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=[*BUILDING]))
    return {key: run.run_id for run in runs for key in run.asset_selection or selected}


def _why_nothing(planned: RunPlan) -> str:
    """The reasons for no run, where every task is unchanged or blocked."""
    fresh = [task for task in planned.freshness if planned.action(task) == "skip"]
    same = f"unchanged: {listed(fresh)} [{Unchanged.code}]"
    parts = [same] if fresh else []
    blocked = (coded(reason) for reasons in planned.schedule.blocked.values() for reason in reasons)
    return "; ".join([*parts, *blocked])


def _names(keys: Iterable[dg.AssetKey]) -> str:
    return listed(key.to_user_string() for key in keys)


def cron_name(cron: str) -> str:
    """A cron in the letters that Dagster takes in names; different ones come out different.

    >>> cron_name("0 6 * * *"), cron_name("*/15 9-17 * * 1,5"), cron_name("@daily")
    ('cron_0_6_any_any_any', 'cron_any_every_15_9_to_17_any_any_1_and_5', 'cron_daily')
    """
    spelled = "".join(CRON_WORDS.get(letter, letter) for letter in " ".join(cron.split()))
    return f"cron_{re.sub('[^A-Za-z0-9_]', '_', spelled)}"
