"""The queue of tasks of which all that they read is there."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from relspec_core.planning.critical_path import seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ReadyQueue:
    """Gives each task once, as soon as those upstream of it have ended; first the one with the longest way after it.

    Args:
        upstream: for every task those that it waits for; without a cycle.
        seconds: how long tasks took when they ran last; where that is not known, only names decide.
    """

    __slots__ = ("_after", "_readers", "_ready", "_running", "_waiting")

    def __init__(self, upstream: Mapping[str, Iterable[str]], *, seconds: Mapping[str, float]) -> None:
        self._waiting = {task: {name for name in names if name in upstream} for task, names in upstream.items()}
        self._readers: dict[str, list[str]] = {task: [] for task in upstream}
        for task, names in self._waiting.items():
            for name in names:
                self._readers[name].append(task)
        self._after = seconds_left({**dict.fromkeys(upstream, 0.0), **seconds}, self._waiting)
        self._ready = [(-self._after[task], task) for task, names in self._waiting.items() if not names]
        heapq.heapify(self._ready)
        self._running: set[str] = set()

    def __bool__(self) -> bool:
        """Whether a task is ready now."""
        return bool(self._ready)

    @property
    def has_ended(self) -> bool:
        """Whether every task was taken and has ended."""
        return not self._waiting

    def take(self) -> str:
        """The most urgent task that is ready."""
        task = heapq.heappop(self._ready)[1]
        self._running.add(task)
        return task

    def end(self, task: str) -> None:
        """A task has ended, well or not: what waited for it alone is ready."""
        if task not in self._running:
            return
        self._running.discard(task)
        del self._waiting[task]
        for reader in self._readers[task]:
            self._waiting[reader].discard(task)
            if not self._waiting[reader]:
                heapq.heappush(self._ready, (-self._after[reader], reader))

    def drain(self) -> tuple[str, ...]:
        """Take away all that has not been taken, in the order in which it would have been ready."""
        left: list[str] = []
        while self._ready:
            task = self.take()
            left.append(task)
            self.end(task)
        return tuple(left)
