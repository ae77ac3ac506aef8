"""The critical path: the chain of tasks that no number of workers makes shorter."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """Tasks, each upstream of the next, and the sum of their seconds; no task where nothing takes any time."""

    tasks: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        return " -> ".join(self.tasks)


def critical_path(seconds: Mapping[str, float], upstream: Mapping[str, Iterable[str]]) -> CriticalPath:
    """The chain of tasks with the greatest sum of seconds; of equal ones the first by name.

    Args:
        seconds: of each task; a task that is not in it takes none, and is left out of the path.
        upstream: for each task those that it waits for; may name tasks that are nowhere else.

    Returns:
        The path front to back. O(V + E) plus sorting.
    """
    total: dict[str, float] = {}
    before: dict[str, str | None] = {}
    for task in TopologicalSorter({task: sorted(found) for task, found in upstream.items()}).static_order():
        longest = max(sorted(upstream.get(task, ())), key=total.__getitem__, default=None)
        before[task] = longest
        total[task] = seconds.get(task, 0.0) + (0.0 if longest is None else total[longest])
    total |= {task: found for task, found in seconds.items() if task not in total}
    last = max(sorted(total), key=total.__getitem__, default=None)
    length = 0.0 if last is None else total[last]
    path: list[str] = []
    while last is not None:
        if seconds.get(last):
            path.append(last)
        last = before.get(last)
    return CriticalPath(tasks=tuple(reversed(path)), seconds=length)
