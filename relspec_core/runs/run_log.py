"""The run log: the outcome of every task in every run, stored in the warehouse."""

from __future__ import annotations

import json
import os
import socket
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from relspec_core.evidence_store import moment_in_utc
from relspec_core.model.names import quoted_text
from relspec_core.runs.history import RunHistory, RunRecord, RunSummary, TaskOutcome
from relspec_core.warehouses.stored_table import StoredTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.runs.history import RunEnd
    from relspec_core.warehouses.warehouse import Warehouse


RUNS, TASKS = "runs", "run_tasks"
RUN_COLUMNS = (
    "number BIGINT NOT NULL",
    "started_at TIMESTAMP NOT NULL",
    "ended_at TIMESTAMP",
    "outcome VARCHAR NOT NULL",
    "pid BIGINT NOT NULL",
    "host VARCHAR NOT NULL",
    "targets VARCHAR NOT NULL",
    "workers INTEGER NOT NULL",
    "peak_memory BIGINT",
    "bytes VARCHAR",
)
# One row per transaction, with all its tasks as a JSON list: a row of twelve columns takes as long to insert as a small
# table to create.
TASK_COLUMNS = ("run BIGINT NOT NULL", "tasks VARCHAR NOT NULL")
RUN_TABLE = StoredTable(name=RUNS, version=1, columns=RUN_COLUMNS)
TASK_TABLE = StoredTable(name=TASKS, version=1, columns=TASK_COLUMNS)
KEEP_DAYS, KEEP_RUNS = 90, 1000
LOADED_AT = datetime.now(UTC)


class RunLog:
    """Writes and reads the records of runs.

    Args:
        warehouse: of one thread. Nothing is created before the first run begins.
    """

    __slots__ = ("_runs", "_tasks", "_warehouse")

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._runs, self._tasks = warehouse.own_table(RUNS), warehouse.own_table(TASKS)

    def begin(
        self, *, targets: Iterable[str], workers: int, keep_days: int = KEEP_DAYS, keep_runs: int = KEEP_RUNS
    ) -> int:
        """Record that a run begins, in a transaction of its own.

        Earlier runs without an end are marked as died, unless this process began them: DuckDB lets only one process
        write to a file, and that is this one. On another engine only those are marked whose process has ended. Old runs
        are deleted.

        Args:
            targets: the requested targets; empty for everything.
            workers: the maximum number of tasks that are built at once.
            keep_days: the age in days up to which runs are kept.
            keep_runs: the maximum number of runs that are kept.

        Returns:
            The run's number.
        """
        now = datetime.now(UTC)
        asked = quoted_text(json.dumps(list(targets)))
        with self._warehouse.transaction():
            self._warehouse.lock(RUNS)
            for table in (RUN_TABLE, TASK_TABLE):
                if not table.is_prepared(self._warehouse):
                    table.prepare(self._warehouse)
            ((last,),) = self._warehouse.rows(f"SELECT max(number) FROM {self._runs}")  # noqa: S608 - quoted
            number = 1 if last is None else last + 1
            self._warehouse.execute(
                f"INSERT INTO {self._runs} VALUES ({number}, {_moment(now)}, NULL, 'running', {os.getpid()}, "  # noqa: S608 - quoted
                f"{quoted_text(socket.gethostname())}, {asked}, {workers}, NULL, NULL)"
            )
            self._sweep(before=now - timedelta(days=keep_days), most=keep_runs)
        return number

    def _sweep(self, *, before: datetime, most: int) -> None:
        """Mark the runs that died, and delete those that began before a moment or exceed the maximum number."""
        runs = self._warehouse.rows(
            f"SELECT number, started_at, outcome, pid, host FROM {self._runs} ORDER BY number DESC"  # noqa: S608 - quoted
        )
        died = [
            number
            for number, started_at, outcome, pid, host in runs
            if outcome == "running" and self._has_died(moment_in_utc(started_at), pid, host)
        ]
        if died:
            self._warehouse.execute(f"UPDATE {self._runs} SET outcome = 'died' WHERE number IN {_tuple(died)}")  # noqa: S608 - numbers
        old = [number for index, (number, at, *_) in enumerate(runs) if index >= most or moment_in_utc(at) < before]
        if old:
            self._warehouse.execute(f"DELETE FROM {self._tasks} WHERE run IN {_tuple(old)}")  # noqa: S608 - numbers
            self._warehouse.execute(f"DELETE FROM {self._runs} WHERE number IN {_tuple(old)}")  # noqa: S608 - numbers

    def _has_died(self, started_at: datetime, pid: int, host: str) -> bool:
        if (pid, host) == (os.getpid(), socket.gethostname()):
            return started_at < LOADED_AT
        return self._warehouse.has_exclusive_access or _is_gone(pid, host)

    def record(self, number: int, outcomes: Iterable[TaskOutcome]) -> None:
        """Add the outcomes of a run's tasks, in one statement in the running transaction."""
        rows = [_short(found) for found in outcomes]
        if rows:
            found = quoted_text(json.dumps(rows))
            self._warehouse.execute(f"INSERT INTO {self._tasks} VALUES ({number}, {found})")  # noqa: S608 - quoted

    def end(
        self,
        number: int,
        *,
        outcome: RunEnd,
        peak_memory: int | None = None,
        rest: Iterable[TaskOutcome] = (),
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        """Record how a run ended, in a transaction of its own.

        Args:
            number: the run.
            outcome: how it ended.
            peak_memory: the engine's peak memory in bytes.
            rest: the outcomes of tasks that were not recorded yet.
            sizes: the bytes of each task's tables, where they are known.
        """
        memory = "NULL" if peak_memory is None else peak_memory
        with self._warehouse.transaction():
            self.record(number, rest)
            self._warehouse.execute(
                f"UPDATE {self._runs} SET ended_at = {_moment(datetime.now(UTC))}, outcome = {quoted_text(outcome)}, "  # noqa: S608 - quoted
                f"peak_memory = {memory}, bytes = {quoted_text(json.dumps(dict(sizes or {})))} WHERE number = {number}"
            )

    def runs(self, limit: int = 20) -> RunHistory:
        """The last runs; empty if none was recorded.

        Raises:
            WarehouseError: RS402, for a log of a newer relspec.
        """
        return RunHistory(runs=tuple(run for run, _ in self._found(f"ORDER BY number DESC LIMIT {limit}")))

    def find(self, number: int) -> RunRecord | None:
        """A run with its tasks, or None."""
        return self._record(f"WHERE number = {number}")

    def last(self) -> RunRecord | None:
        """The last run that began, or None."""
        return self._record("ORDER BY number DESC LIMIT 1")

    def _record(self, which: str) -> RunRecord | None:
        for run, sizes in self._found(which):
            rows = self._warehouse.rows(f"SELECT tasks FROM {self._tasks} WHERE run = {run.number}")  # noqa: S608 - quoted
            tasks = [_task(found, sizes) for (texts,) in rows for found in json.loads(texts)]
            fields = {name: getattr(run, name) for name in RunSummary.__dataclass_fields__}
            return RunRecord(**fields, tasks=tuple(sorted(tasks, key=_order)))
        return None

    def _found(self, which: str) -> list[tuple[RunSummary, Mapping[str, int]]]:
        """The chosen runs, each with the bytes of its tasks."""
        columns = RUN_TABLE.selection(self._warehouse)
        if columns is None or TASK_TABLE.selection(self._warehouse) is None:
            return []
        rows = self._warehouse.rows(f"SELECT {columns} FROM {self._runs} {which}")  # noqa: S608 - quoted
        if not rows:
            return []
        numbers = _tuple(row[0] for row in rows)
        counts: dict[int, Counter[str]] = defaultdict(Counter)
        for run, tasks in self._warehouse.rows(f"SELECT run, tasks FROM {self._tasks} WHERE run IN {numbers}"):  # noqa: S608 - numbers
            counts[run].update(task["outcome"] for task in json.loads(tasks))
        return [_run(row, counts.get(row[0], {})) for row in rows]


def _tuple(numbers: Iterable[int]) -> str:
    return f"({', '.join(map(str, numbers))})"


def _moment(moment: datetime) -> str:
    return quoted_text(moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" "))


def _short(found: TaskOutcome) -> dict[str, object]:
    """A task's outcome without unknown values."""
    return {name: value for name, value in found.plain().items() if value is not None and value != []}


def _task(found: dict, sizes: Mapping[str, int]) -> TaskOutcome:
    started = found.get("started_at")
    return TaskOutcome(
        task=found["task"],
        outcome=found["outcome"],
        reason=found["reason"],
        code=found.get("code"),
        error=found.get("error"),
        rows=found.get("rows"),
        bytes=found.get("bytes", sizes.get(found["task"])),
        started_at=None if started is None else datetime.fromisoformat(started),
        seconds=found.get("seconds"),
        peak_memory=found.get("peak_memory"),
        worker=found.get("worker"),
        upstream=tuple(found.get("upstream", ())),
    )


def _order(task: TaskOutcome) -> tuple[bool, float, str]:
    started = task.started_at
    return started is None, 0.0 if started is None else started.timestamp(), task.task


def _run(row: tuple, counts: Mapping[str, int]) -> tuple[RunSummary, Mapping[str, int]]:
    number, started_at, ended_at, outcome, pid, host, targets, workers, peak_memory, sizes = row
    run = RunSummary(
        number=number,
        started_at=moment_in_utc(started_at),
        ended_at=None if ended_at is None else moment_in_utc(ended_at),
        outcome=outcome,
        pid=pid,
        host=host,
        targets=tuple(json.loads(targets)),
        workers=workers,
        peak_memory=peak_memory,
        counts=counts,
    )
    gone = outcome == "running" and _is_gone(pid, host)
    return replace(run, outcome="died") if gone else run, {} if sizes is None else json.loads(sizes)


def _is_gone(pid: int, host: str) -> bool:
    """Whether a process of this machine has ended; False on Windows, where the check would end it."""
    if os.name != "posix" or host != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
