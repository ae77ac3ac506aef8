"""Cron schedules: tasks that name the same cron are materialized by one run."""

from __future__ import annotations

import re
from collections.abc import Iterable

import dagster as dg
from dagster import DagsterError

from relspec_core.errors import ProjectionError
from relspec_dagster.projection import TaskAssets

CRON_WORDS = {"*": "any", "/": "_every_", "-": "_to_", ",": "_and_", "@": "", " ": "_", "#": "_nth_", "L": "last"}


def cron_schedules(
    tasks: Iterable[TaskAssets], *, status: dg.DefaultScheduleStatus, timezone: str
) -> tuple[dg.ScheduleDefinition, ...]:
    """One schedule, with its job, for each cron that tasks name; crons that differ in spaces only are one.

    A job materializes the assets of its tasks, not what they depend on. In the run an asset is built after those of its
    dependencies that are part of it, whatever the cron.

    Args:
        tasks: with or without a cron.
        status: whether a schedule runs before anybody has switched it on in Dagster.
        timezone: that the fields are in, such as ``Europe/Berlin``.

    Returns:
        In cron order. The job is named after the cron, such as ``cron_0_6_any_any_any``, its schedule has ``_schedule``
        behind that.

    Raises:
        ProjectionError: RS501, for a cron or time zone that does not exist.
    """
    by_cron: dict[str, list[TaskAssets]] = {}
    for task in tasks:
        if task.task.cron is not None:
            by_cron.setdefault(" ".join(task.task.cron.split()), []).append(task)
    return tuple(_schedule(cron, due, status, timezone) for cron, due in sorted(by_cron.items()))


def _schedule(
    cron: str, due: list[TaskAssets], status: dg.DefaultScheduleStatus, timezone: str
) -> dg.ScheduleDefinition:
    keys = [output.spec.key for task in due for output in task.outputs]
    names = ", ".join(task.task.name for task in due)
    try:
        return dg.ScheduleDefinition(
            name=f"{cron_name(cron)}_schedule",
            cron_schedule=cron,
            job=dg.define_asset_job(cron_name(cron), selection=dg.AssetSelection.assets(*keys)),
            description=f"Materializes what names the cron '{cron}': {names}.",
            default_status=status,
            execution_timezone=timezone,
        )
    except DagsterError as error:
        raise ProjectionError(
            f"Dagster does not take the cron '{cron}' in time zone '{timezone}': {error}",
            at="; ".join(task.task.where for task in due),
            hint="write minute, hour, day, month and weekday: '0 6 * * *'; time zones are named like 'Europe/Berlin'.",
        ) from error


def cron_name(cron: str) -> str:
    """A cron in the letters that Dagster takes in names; different ones come out different.

    >>> cron_name("0 6 * * *"), cron_name("*/15 9-17 * * 1,5"), cron_name("@daily")
    ('cron_0_6_any_any_any', 'cron_any_every_15_9_to_17_any_any_1_and_5', 'cron_daily')
    """
    spelled = "".join(CRON_WORDS.get(letter, letter) for letter in " ".join(cron.split()))
    return f"cron_{re.sub('[^A-Za-z0-9_]', '_', spelled)}"
