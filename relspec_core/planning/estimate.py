"""How long a run will take, judged by how long its tasks took before."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from relspec_core.model.formatting import about
from relspec_core.planning.critical_path import CriticalPath, critical_path, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.evidence import Evidence
    from relspec_core.graph_inference import TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """About how long a run will take.

    Attributes:
        seconds: from the first task's start to the last one's end; what has no recorded duration counts as nothing.
        path: the chain of tasks that no number of workers makes shorter.
        workers: how many tasks are built at once.
        known: how many tasks have a recorded duration.
        unknown: the tasks that have none, sorted: they never ran, or their tables are gone.
    """

    seconds: float
    path: CriticalPath
    workers: int
    known: int
    unknown: tuple[str, ...]

    def __str__(self) -> str:
        missing = f"{len(self.unknown)} task{'' if len(self.unknown) == 1 else 's'}"
        if not self.known:
            return f"no estimate: no duration is recorded of {missing}"
        workers = "" if self.workers == 1 else f" with {self.workers} workers"
        path = f", critical path {self.path}" if self.path.tasks else ""
        rest = f"; no duration is recorded of {missing} more" if self.unknown else ""
        return f"{about(self.seconds)}{workers}{path}{rest}"

    def plain(self) -> dict[str, object]:
        """The same in what JSON has; no seconds where no duration is known."""
        return {
            "text": str(self),
            "seconds": self.seconds if self.known else None,
            "workers": self.workers,
            "critical_path": {"tasks": list(self.path.tasks), "seconds": self.path.seconds},
            "unknown": list(self.unknown),
        }


def estimate_run(
    tasks: Iterable[str], *, graph: TaskGraph, evidence: Mapping[str, Evidence], workers: int = 1
) -> RunEstimate:
    """About how long these tasks will take, if each takes what it took the last time.

    Args:
        tasks: what would run.
        graph: where their edges are.
        evidence: what was recorded of their outputs.
        workers: how many tasks are built at once. That they share the engine's threads is not reckoned with.

    Returns:
        The estimate of a run that always takes the ready task with the most left to do. O((V + E) log V).
    """
    chosen = sorted(tasks)
    took = recorded_seconds(chosen, graph=graph, evidence=evidence)
    there = frozenset(chosen)
    upstream = {task: tuple(name for name in graph.upstream_tasks(task) if name in there) for task in chosen}
    return RunEstimate(
        seconds=_elapsed(took, upstream, workers),
        path=critical_path(took, upstream),
        workers=workers,
        known=len(took),
        unknown=tuple(task for task in chosen if task not in took),
    )


def recorded_seconds(tasks: Iterable[str], *, graph: TaskGraph, evidence: Mapping[str, Evidence]) -> dict[str, float]:
    """What each of these tasks took when it was built last, less those of which that is not recorded."""
    return {task: found for task in tasks if (found := _recorded(task, graph, evidence)) is not None}


def _recorded(task: str, graph: TaskGraph, evidence: Mapping[str, Evidence]) -> float | None:
    """What a task took, all its outputs together; None where that is not known of each."""
    outputs = graph.outputs_of(task)
    records = [record for name in outputs if name in evidence and (record := evidence[name].record) is not None]
    return sum(record.seconds for record in records) if len(records) == len(outputs) else None


def _elapsed(took: Mapping[str, float], upstream: Mapping[str, tuple[str, ...]], workers: int) -> float:
    """When the last task ends."""
    left = seconds_left(took, upstream)
    waits = {task: len(before) for task, before in upstream.items()}
    readers: dict[str, list[str]] = {}
    for task, before in upstream.items():
        for name in before:
            readers.setdefault(name, []).append(task)
    ready = [(-left[task], task) for task, count in waits.items() if not count]
    heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, task = heappop(ready)
            heappush(running, (now + took.get(task, 0.0), task))
        now, ended = heappop(running)
        for reader in readers.get(ended, ()):
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, (-left[reader], reader))
    return now
