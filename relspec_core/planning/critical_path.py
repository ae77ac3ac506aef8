"""The critical path: the chain of tasks that no number of workers makes shorter."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


MOST_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """Tasks, each upstream of the next, and the sum of their seconds; no task where nothing takes any time.

    >>> print(CriticalPath(tasks=("a", "b")))
    a -> b
    """

    tasks: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        """The tasks; of a long path its beginning and its end."""
        tasks, kept = self.tasks, MOST_NAMED // 2
        if len(tasks) > MOST_NAMED:
            tasks = (*tasks[:kept], f"... {len(tasks) - MOST_NAMED} more ...", *tasks[-kept:])
        return " -> ".join(tasks)


def seconds_left(seconds: Mapping[str, float], upstream: Mapping[str, Iterable[str]]) -> dict[str, float]:
    """For each task the seconds of the longest chain that begins with it: what is left to do when it starts.

    Args:
        seconds: of each task; one that is not in it takes none.
        upstream: for each task those that it waits for; may name tasks that are nowhere else.
    """
    readers = _readers(seconds, upstream)
    left: dict[str, float] = {}
    # Of a graph turned around, so that a task comes after all that wait for it.
    for task in TopologicalSorter(readers).static_order():
        left[task] = seconds.get(task, 0.0) + max((left[reader] for reader in readers[task]), default=0.0)
    return left


def critical_path(seconds: Mapping[str, float], upstream: Mapping[str, Iterable[str]]) -> CriticalPath:
    """The chain of tasks with the greatest sum of seconds; of equal ones the first by name.

    Args:
        seconds: of each task; one that is not in it takes none, and is left out of the path.
        upstream: for each task those that it waits for; may name tasks that are nowhere else.

    Returns:
        The path front to back. O(V + E) plus sorting.
    """
    readers, left = _readers(seconds, upstream), seconds_left(seconds, upstream)
    chain: list[str] = []
    following = sorted(left)
    while following:
        chain.append(max(following, key=left.__getitem__))
        following = sorted(readers[chain[-1]])
    length = left[chain[0]] if chain else 0.0
    return CriticalPath(tasks=tuple(task for task in chain if seconds.get(task)), seconds=length)


def _readers(seconds: Mapping[str, float], upstream: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """For each task that is named anywhere those that wait for it."""
    found: dict[str, list[str]] = {task: [] for task in (*seconds, *upstream)}
    for task, before in upstream.items():
        for name in before:
            found.setdefault(name, []).append(task)
    return found
