"""The queue of a run's tasks, which its workers share."""

from __future__ import annotations

import heapq
from threading import Condition
from typing import TYPE_CHECKING

from relspec_core.planning.critical_path import seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class ReadyQueue:
    """Gives each task to one worker once those upstream of it have ended, the one with the longest path ahead first.

    All of its state is behind one lock, so that any number of threads may use it.

    Args:
        upstream: for every task the tasks that it waits for; without a cycle.
        seconds: recorded durations; tasks without one are ordered by name only.

    Attributes:
        publications: how many publications were reported so far.
        is_stopped: whether the run ends before its tasks do.
    """

    __slots__ = (
        "_ahead",
        "_changed",
        "_published",
        "_readers",
        "_ready",
        "_running",
        "_waiting",
        "is_stopped",
        "publications",
    )

    def __init__(self, upstream: Mapping[str, Iterable[str]], *, seconds: Mapping[str, float]) -> None:
        self._waiting = {task: {name for name in names if name in upstream} for task, names in upstream.items()}
        self._readers: dict[str, list[str]] = {task: [] for task in upstream}
        for task, names in self._waiting.items():
            for name in names:
                self._readers[name].append(task)
        self._ahead = seconds_left({**dict.fromkeys(upstream, 0.0), **seconds}, self._waiting)
        self._ready = [(-self._ahead[task], task) for task, names in self._waiting.items() if not names]
        heapq.heapify(self._ready)
        self._running: set[str] = set()
        self._published: dict[str, int] = {}  # by task the publication that it was in, counted from 1
        self._changed = Condition()
        self.publications = 0
        self.is_stopped = False

    @property
    def has_ready(self) -> bool:
        """Whether a task is ready now."""
        return bool(self._ready)

    @property
    def has_ended(self) -> bool:
        """Whether every task was taken and has ended."""
        return not self._waiting

    def take(self, *, wait: bool = False) -> str | None:
        """Return the most urgent ready task.

        Args:
            wait: until a task is ready, all have ended, or the queue is stopped.

        Returns:
            None where no task is ready, or the queue is stopped.
        """
        with self._changed:
            while wait and not (self._ready or self.has_ended or self.is_stopped):
                self._changed.wait()
            return None if self.is_stopped or not self._ready else self._pop()

    def end(self, *tasks: str) -> None:
        """Report that tasks have ended, built or not: readers that waited for nothing else become ready."""
        with self._changed:
            for task in tasks:
                self._end(task)
            self._changed.notify_all()

    def publish(self, *tasks: str) -> None:
        """Report that tasks were published together, which ends them."""
        with self._changed:
            self.publications += 1
            self._published.update(dict.fromkeys(tasks, self.publications))
            self.end(*tasks)

    def any_published_since(self, tasks: Iterable[str], publications: int) -> bool:
        """Whether a transaction that began after so many publications lacks any of these tasks' tables."""
        return any(self._published.get(name, 0) > publications for name in tasks)

    def drain(self) -> tuple[str, ...]:
        """Remove the tasks that were not taken, in the order in which they would have become ready."""
        left: list[str] = []
        with self._changed:
            while self._ready:
                left.append(self._pop())
                self._end(left[-1])
            self._changed.notify_all()
        return tuple(left)

    def stop(self) -> None:
        """Give out no more tasks, and wake every thread that waits."""
        with self._changed:
            self.is_stopped = True
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until the queue is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_stopped, seconds)

    def _pop(self) -> str:
        task = heapq.heappop(self._ready)[1]
        self._running.add(task)
        return task

    def _end(self, task: str) -> None:
        if task not in self._running:
            return
        self._running.discard(task)
        del self._waiting[task]
        for reader in self._readers[task]:
            self._waiting[reader].discard(task)
            if not self._waiting[reader]:
                heapq.heappush(self._ready, (-self._ahead[reader], reader))
