"""Records of runs and their tasks, which format themselves."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from relspec_core.model.formatting import duration_text
from relspec_core.planning.critical_path import CriticalPath, critical_path
from relspec_core.warehouses.storage_sizes import size_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


TaskEnd: TypeAlias = Literal["ran", "skipped", "failed", "blocked"]
RunEnd: TypeAlias = Literal["finished", "failed", "interrupted", "died", "running"]
TASK_ENDS: tuple[TaskEnd, ...] = get_args(TaskEnd)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """The outcome of a task in a run; None means unknown.

    Attributes:
        task: the task's name.
        outcome: ``ran``, ``skipped``, ``failed`` or ``blocked``.
        reason: why, in one line.
        code: the kind of reason; None for a failure, and in logs of earlier releases.
        error: the engine's full message, for a failed task.
        rows: the number of rows of all its tables; None if it wrote views only.
        bytes: the estimated size of its tables on disk.
        started_at: the time at which a worker started it, in UTC.
        seconds: its duration.
        peak_memory: the engine's peak memory in bytes meanwhile, for all tasks.
        worker: the number of the worker that ran it, from 1.
        upstream: the tasks that write what it reads, sorted.
    """

    task: str
    outcome: TaskEnd
    reason: str
    code: str | None = None
    error: str | None = None
    rows: int | None = None
    bytes: int | None = None
    started_at: datetime | None = None
    seconds: float | None = None
    peak_memory: int | None = None
    worker: int | None = None
    upstream: tuple[str, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        """The known measurements as phrases."""
        found = (
            None if self.rows is None else f"{self.rows:,} rows",
            None if self.bytes is None else f"about {size_text(self.bytes)}",
            None if self.seconds is None else duration_text(self.seconds),
            None if self.peak_memory is None else f"{size_text(self.peak_memory)} of memory",
            None if self.worker is None else f"worker {self.worker}",
        )
        return tuple(text for text in found if text is not None)

    def __str__(self) -> str:
        measured = f" ({', '.join(self.measures)})" if self.measures else ""
        first, *more = (self.error or self.reason).splitlines() or [""]  # an error includes its reason
        return "\n".join([f"{self.outcome:<8}{self.task}{measured}: {first}", *(f"        {text}" for text in more)])

    def plain(self) -> dict[str, object]:
        """The values as JSON types."""
        return {
            "task": self.task,
            "outcome": self.outcome,
            "reason": self.reason,
            "code": self.code,
            "error": self.error,
            "rows": self.rows,
            "bytes": self.bytes,
            "started_at": _iso(self.started_at),
            "seconds": self.seconds,
            "peak_memory": self.peak_memory,
            "worker": self.worker,
            "upstream": list(self.upstream),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """A run without its tasks.

    Attributes:
        number: increasing within a warehouse.
        started_at: in UTC.
        ended_at: in UTC; None while it is running, and of a run that died.
        outcome: ``finished``: every task ran or was skipped; ``failed``: a task failed or is blocked;
            ``interrupted``: it was stopped; ``died``: its process ended without recording an outcome; ``running``.
        pid: of its process.
        host: the machine of its process.
        targets: the requested targets; empty for everything.
        workers: the maximum number of tasks that were built at once.
        peak_memory: the engine's peak memory in bytes; None if unknown.
        counts: the number of recorded tasks by outcome.
    """

    number: int
    started_at: datetime
    ended_at: datetime | None = None
    outcome: RunEnd
    pid: int
    host: str
    targets: tuple[str, ...] = ()
    workers: int
    peak_memory: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """The duration; None without an end."""
        return None if self.ended_at is None else (self.ended_at - self.started_at).total_seconds()

    @property
    def total(self) -> str:
        """The number of tasks by outcome, as text."""
        return ", ".join(f"{self.counts.get(outcome, 0)} {outcome}" for outcome in TASK_ENDS)

    @property
    def asked_for(self) -> str:
        """The targets as text."""
        return ", ".join(self.targets) or "everything"

    def __str__(self) -> str:
        took = "-" if self.seconds is None else duration_text(self.seconds)
        counts = "  ".join(f"{self.counts.get(outcome, 0):>7}" for outcome in TASK_ENDS)
        return f"{self.number:>5}  {_time(self.started_at)}  {took:>11}  {self.outcome:<11}  {counts}  {self.asked_for}"

    def plain(self) -> dict[str, object]:
        """The values as JSON types."""
        return {
            "number": self.number,
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
            "seconds": self.seconds,
            "outcome": self.outcome,
            "pid": self.pid,
            "host": self.host,
            "targets": list(self.targets),
            "workers": self.workers,
            "peak_memory": self.peak_memory,
            "counts": {outcome: self.counts.get(outcome, 0) for outcome in TASK_ENDS},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(RunSummary):
    """A run with the outcomes of its tasks, in order of their start; tasks that were not started follow by name."""

    tasks: tuple[TaskOutcome, ...] = ()

    @property
    def critical_path(self) -> CriticalPath:
        """The longest chain of dependent tasks, which bounds the run's duration with any number of workers."""
        seconds = {task.task: task.seconds for task in self.tasks if task.seconds is not None}
        return critical_path(seconds, {task.task: task.upstream for task in self.tasks})

    def __str__(self) -> str:
        head = [f"run {self.number} {_said(self.outcome)}", f"started {_time(self.started_at)} UTC"]
        head += [] if self.seconds is None else [f"took {duration_text(self.seconds)}"]
        head += [f"{self.workers} worker{'' if self.workers == 1 else 's'}"]
        head += [] if self.peak_memory is None else [f"{size_text(self.peak_memory)} of memory"]
        lines = [", ".join(head), f"  asked for {self.asked_for}; process {self.pid} on {self.host}"]
        lines += [str(task) for task in self.tasks]
        path = self.critical_path
        lines += [f"critical path, {duration_text(path.seconds)}: {path}"] if path.tasks else []
        return "\n".join([*lines, self.total])

    def to_json(self) -> str:
        """The record as JSON; times in UTC, sizes in bytes."""
        path = self.critical_path
        found = {
            **self.plain(),
            "critical_path": {"tasks": list(path.tasks), "seconds": path.seconds},
            "tasks": [task.plain() for task in self.tasks],
        }
        return json.dumps(found, indent=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """Runs, newest first."""

    runs: tuple[RunSummary, ...] = ()

    def __str__(self) -> str:
        if not self.runs:
            return "no run is recorded in this warehouse"
        counts = "  ".join(f"{outcome:>7}" for outcome in TASK_ENDS)
        head = f"{'run':>5}  {'started (UTC)':<19}  {'took':>11}  {'outcome':<11}  {counts}  asked for"
        return "\n".join([head, *map(str, self.runs)])

    def to_json(self) -> str:
        """The runs as JSON."""
        return json.dumps({"runs": [run.plain() for run in self.runs]}, indent=2)


def _said(outcome: RunEnd) -> str:
    return {"interrupted": "was interrupted", "running": "is running"}.get(outcome, outcome)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
