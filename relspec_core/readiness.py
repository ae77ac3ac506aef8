"""Readiness: which tasks have all that they read, brought up to date as evidence arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.graph_edge_validation import check_edge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.evidence import Evidence
    from relspec_core.graph_edge_validation import Reason
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph


class Readiness:
    """How many edges each task still waits for; changes with each arrival, and only towards ready.

    O(V + E) to make.

    Args:
        graph: what tasks read.
        evidence: what exists now. Absent evidence has no columns.
        tasks: only these; all where left out.

    Attributes:
        graph: what tasks read.
        ready: the tasks that were ready at the start, by name; those that read nothing are among them.
    """

    __slots__ = ("_now", "_open", "_unmet", "graph", "ready")

    def __init__(
        self, graph: TaskGraph, *, evidence: Mapping[str, Evidence], tasks: Iterable[str] | None = None
    ) -> None:
        self.graph = graph
        wanted = frozenset(graph.tasks if tasks is None else tasks)
        self._now = dict(evidence)
        self._unmet = {task: 0 for task in graph.tasks if task in wanted}
        self._open: dict[str, list[EdgeRequirement]] = {}
        for name in graph.evidence:
            read = [edge for edge in graph.edges_from(name) if edge.task in wanted]
            unmet = [edge for edge in read if check_edge(edge, self._now)] if name in self._now else read
            for edge in unmet:
                self._unmet[edge.task] += 1
            self._open[name] = unmet
        self.ready = tuple(task for task, unmet in self._unmet.items() if not unmet)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that are not ready yet, by name."""
        return tuple(task for task, unmet in self._unmet.items() if unmet)

    def arrive(self, *evidence: Evidence) -> tuple[str, ...]:
        """The tasks whose last unmet edge these arrivals meet, by name; no task is told twice.

        An edge that was met once stays so, as more evidence never blocks. In time proportional to the readers that
        still wait for these.

        Args:
            evidence: what exists from now on, such as all outputs of a task together.
        """
        self._now.update((found.name, found) for found in evidence)
        ready: list[str] = []
        for found in evidence:
            unmet: list[EdgeRequirement] = []
            for edge in self._open.get(found.name, ()):
                if check_edge(edge, self._now):
                    unmet.append(edge)
                    continue
                self._unmet[edge.task] -= 1
                if not self._unmet[edge.task]:
                    ready.append(edge.task)
            self._open[found.name] = unmet
        return tuple(sorted(ready))

    def reasons(self, task: str) -> tuple[Reason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        if not self._unmet[task]:
            return ()
        return tuple(reason for edge in self.graph.edges_of(task) for reason in check_edge(edge, self._now))
