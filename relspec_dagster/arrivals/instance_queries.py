"""Queries of Dagster's instance: reported materializations of sources, runs in progress, earlier requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import dagster as dg

from relspec_dagster.access.run_status import IN_PROGRESS
from relspec_dagster.arrivals.cursor import SensorCursor

EVIDENCE_TAG = "relspec/evidence"
KEY_LENGTH = 12
RUNS_READ = 1_000
RUNS_AT_ONCE = 100
SENSOR_TAG = "dagster/sensor_name"


def reported(instance: dg.DagsterInstance, sources: Mapping[dg.AssetKey, str]) -> dict[str, int]:
    """The storage id of the last materialization of each source that has one.

    One query for all sources, however many materializations each has: the present state of a source is observed where
    it is, so that earlier ones add nothing.

    Args:
        instance: to ask.
        sources: the names of the sources, by asset key.
    """
    found: dict[str, int] = {}
    for record in instance.get_asset_records([*sources]) if sources else ():
        number = record.asset_entry.last_materialization_storage_id
        if number is not None:
            found[sources[record.asset_entry.asset_key]] = number
    return found


class RunsInProgress:
    """Finds the tasks that runs in progress build.

    Args:
        tasks: the task that writes it, by asset key.
    """

    __slots__ = ("_of_whole_jobs", "_tasks")

    def __init__(self, tasks: Mapping[dg.AssetKey, str]) -> None:
        self._tasks = tasks
        self._of_whole_jobs: dict[str, frozenset[str]] = {}  # of runs without an asset selection

    def building(self, instance: dg.DagsterInstance) -> dict[str, str]:
        """The tasks that runs in progress build or have built, each with the run's id.

        One query, and another one when a run of all assets of a job, such as a schedule starts, is seen for the first
        time: of each asset Dagster knows the run that was planned last.
        """
        runs = [record.dagster_run for record in instance.get_run_records(dg.RunsFilter(statuses=[*IN_PROGRESS]))]
        whole = {run.run_id for run in runs if run.asset_selection is None}
        if whole - self._of_whole_jobs.keys():
            planned = self._planned_last(instance)
            self._of_whole_jobs = {run: self._of_whole_jobs.get(run) or planned.get(run, frozenset()) for run in whole}
        found = {task: run for run in sorted(whole) for task in self._of_whole_jobs[run]}
        for run in runs:
            found.update((self._tasks[key], run.run_id) for key in run.asset_selection or () if key in self._tasks)
        return found

    def _planned_last(self, instance: dg.DagsterInstance) -> dict[str, frozenset[str]]:
        """The tasks that each run was planned to build, where no later run was."""
        found: dict[str, set[str]] = {}
        for record in instance.get_asset_records([*self._tasks]):
            entry = record.asset_entry
            if entry.last_run_id is not None:
                found.setdefault(entry.last_run_id, set()).add(self._tasks[entry.asset_key])
        return {run: frozenset(tasks) for run, tasks in found.items()}


def asked_before(instance: dg.DagsterInstance, sensor: str, tasks: Mapping[dg.AssetKey, str]) -> SensorCursor:
    """The cursor of a sensor that has lost it, from the runs that it has requested.

    Args:
        instance: to ask.
        sensor: its name.
        tasks: the task that writes it, by asset key.

    Returns:
        For each task the key of its last request, in the newest thousand runs of that sensor.
    """
    asked: dict[str, str] = {}
    cursor, read = None, 0
    while read < RUNS_READ:
        records = instance.get_run_records(dg.RunsFilter(tags={SENSOR_TAG: sensor}), limit=RUNS_AT_ONCE, cursor=cursor)
        for record in records:
            asked = {**_asked_by(record.dagster_run, tasks), **asked}
        if len(records) < RUNS_AT_ONCE:
            break
        read, cursor = read + len(records), records[-1].dagster_run.run_id
    return SensorCursor(asked=asked)


def lost_requests(
    instance: dg.DagsterInstance, sensor: str, tasks: Mapping[dg.AssetKey, str], asked: Mapping[str, str]
) -> dict[str, int]:
    """The number of lost requests by task: of tasks requested in vain whose last run failed before it began.

    Such a run has tried nothing: the code location was reloaded, say, in the moment in which it was launched.

    Args:
        instance: to ask, by one query.
        sensor: the name of the requesting sensor.
        tasks: the task that writes it, by asset key.
        asked: the key of each task's request.
    """
    if not asked:
        return {}
    tried: set[str] = set()
    lost: Counter[str] = Counter()
    for record in instance.get_run_records(dg.RunsFilter(tags={SENSOR_TAG: sensor}), limit=RUNS_AT_ONCE):
        run = record.dagster_run
        same = {task for task, key in _asked_by(run, tasks).items() if asked.get(task) == key} - tried
        if run.status == dg.DagsterRunStatus.FAILURE and record.start_time is None:
            lost.update(same)
        else:
            tried |= same - lost.keys()
    return dict(lost)


def _asked_by(run: dg.DagsterRun, tasks: Mapping[dg.AssetKey, str]) -> dict[str, str]:
    """The key of each task in a sensor's run."""
    names = sorted({tasks[key] for key in run.asset_selection or () if key in tasks})
    keys = split_keys(run.tags.get(EVIDENCE_TAG, ""))
    return dict(zip(names, keys, strict=True)) if len(names) == len(keys) else {}


def join_keys(asked: Mapping[str, str]) -> str:
    """The keys of tasks as one text, in task-name order.

    >>> join_keys({"b": "111111111111", "a": "000000000000"})
    '000000000000111111111111'
    """
    return "".join(asked[task] for task in sorted(asked))


def split_keys(text: str) -> list[str]:
    """The keys in such a text.

    >>> split_keys("000000000000111111111111")
    ['000000000000', '111111111111']
    """
    return [text[at : at + KEY_LENGTH] for at in range(0, len(text), KEY_LENGTH)]
