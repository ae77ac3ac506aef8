"""Standing: which tasks are stale, brought up to date as evidence changes."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from relspec_core.staleness import task_freshness, upstream_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.evidence import Evidence, Versions
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.staleness import Freshness


class Standing:
    """The freshness of every task; a change costs what the tasks cost that it concerns.

    What may come out differently each time does not make a task stale by itself: only what arrives does.

    Args:
        graph: of the plans.
        plans: what the tasks compute.

    Attributes:
        freshness: of each task, once there was an update; the first one has to name all evidence.
        order: the tasks, each after those that write what it reads.
    """

    __slots__ = ("_graph", "_places", "_plans", "_versions", "freshness", "order")

    def __init__(self, graph: TaskGraph, plans: PlanCatalog) -> None:
        self._graph = graph
        self._plans = plans
        self._versions: dict[str, Versions] = {}
        self.order = tuple(upstream_first(graph))
        self._places = {task: place for place, task in enumerate(self.order)}
        self.freshness: dict[str, Freshness] = {}

    @property
    def stale(self) -> list[str]:
        """The stale tasks, each after those that write what it reads."""
        freshness = self.freshness
        return [task for task in self.order if freshness[task].stale is not None]

    def update(
        self,
        changed: Iterable[str],
        *,
        evidence: Mapping[str, Evidence],
        input_versions: Callable[[EdgeRequirement], Versions | None],
    ) -> None:
        """Look again at the tasks that read or write what has changed, and at those after them as far as it matters.

        Args:
            changed: the evidence that came, went, or is not as it was.
            evidence: what there is now.
            input_versions: as of ``freshness``.
        """
        places = {self._places[task] for name in changed for task in self._concerned(name)}
        waiting = [*places]
        heapify(waiting)
        while waiting:
            task = self.order[heappop(waiting)]
            self.freshness[task], now = task_freshness(
                self._graph,
                self._plans,
                task,
                versions=self._versions,
                evidence=evidence,
                input_versions=input_versions,
                by_chance=False,
            )
            for name, versions in now.items():
                if self._versions.get(name) != versions:
                    self._versions[name] = versions
                    for reader in self._graph.readers(name):
                        if self._places[reader] not in places:
                            places.add(self._places[reader])
                            heappush(waiting, self._places[reader])

    def _concerned(self, name: str) -> tuple[str, ...]:
        """Who writes an evidence, or, of a source, who reads it."""
        if name not in self._graph.evidence_indices:
            return ()
        producer = self._graph.producer(name)
        return self._graph.readers(name) if producer is None else (producer,)
