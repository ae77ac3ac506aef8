"""What Dagster's instance knows of arrivals: materializations of sources that were reported, and runs in progress."""

from __future__ import annotations

from collections.abc import Mapping

import dagster as dg

from relspec_dagster.evidence_cursor import EvidenceCursor

IN_PROGRESS = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
EVIDENCE_TAG = "relspec/evidence"
KEY_LENGTH = 12
RUNS_READ = 1_000
RUNS_AT_ONCE = 100


def reported(instance: dg.DagsterInstance, sources: Mapping[dg.AssetKey, str]) -> dict[str, int]:
    """Of each source that was ever materialized, the storage id of the last time.

    One query for all sources, however many materializations there are of each: what a source has now is looked up where
    it is, so that those before the last one tell nothing more.

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


def building(instance: dg.DagsterInstance, tasks: Mapping[dg.AssetKey, str]) -> dict[str, str]:
    """The tasks that a run in progress is to build, or has built, each with the run's id.

    Args:
        instance: to ask.
        tasks: the task that writes it, by asset key.
    """
    found: dict[str, str] = {}
    whole: set[str] = set()  # runs of all assets of a job
    for record in instance.get_run_records(dg.RunsFilter(statuses=[*IN_PROGRESS])):
        run = record.dagster_run
        if run.asset_selection is None:
            whole.add(run.run_id)
        found.update((tasks[key], run.run_id) for key in run.asset_selection or () if key in tasks)
    for record in instance.get_asset_records([*tasks]) if whole else ():
        run_id = record.asset_entry.last_planned_materialization_run_id
        if run_id in whole:
            found[tasks[record.asset_entry.asset_key]] = str(run_id)
    return found


def asked_before(instance: dg.DagsterInstance, sensor: str, tasks: Mapping[dg.AssetKey, str]) -> EvidenceCursor:
    """The cursor of a sensor that has lost it, from the runs that it has asked for.

    Args:
        instance: to ask.
        sensor: its name.
        tasks: the task that writes it, by asset key.

    Returns:
        For each task what it was asked for with last, in the newest thousand runs of that sensor.
    """
    asked: dict[str, str] = {}
    cursor, read = None, 0
    while read < RUNS_READ:
        records = instance.get_run_records(
            dg.RunsFilter(tags={"dagster/sensor_name": sensor}), limit=RUNS_AT_ONCE, cursor=cursor
        )
        for record in records:
            run = record.dagster_run
            names = sorted({tasks[key] for key in run.asset_selection or () if key in tasks})
            keys = split_keys(run.tags.get(EVIDENCE_TAG, ""))
            if len(names) == len(keys):
                asked = {**dict(zip(names, keys, strict=True)), **asked}
        if len(records) < RUNS_AT_ONCE:
            break
        read, cursor = read + len(records), records[-1].dagster_run.run_id
    return EvidenceCursor(asked=asked)


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
