"""Readiness: which tasks have all that they read, brought up to date as evidence arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.garbage import left_alone
from relspec_core.graph_edge_validation import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis

    from relspec_core.evidence import Evidence
    from relspec_core.graph_edge_validation import Reason
    from relspec_core.graph_inference import ReaderEdge, TaskGraph


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

    __slots__ = ("_open", "_schemas", "_unmet", "graph", "ready")

    @left_alone()
    def __init__(
        self, graph: TaskGraph, *, evidence: Mapping[str, Evidence], tasks: Iterable[str] | None = None
    ) -> None:
        self.graph = graph
        wanted = frozenset(graph.task_indices if tasks is None else tasks)
        edges_of = graph.graph.in_degree
        self._unmet = {index: edges_of(index) for task, index in graph.task_indices.items() if task in wanted}
        self._open: dict[str, Iterable[ReaderEdge]] = {}
        self._schemas: dict[str, ibis.Schema] = {}
        self._meet([(found.name, found.schema) for found in evidence.values()])
        self.ready = self._names([index for index, unmet in self._unmet.items() if not unmet])

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that are not ready yet, by name."""
        return self._names(index for index, unmet in self._unmet.items() if unmet)

    def arrive(self, *evidence: Evidence) -> tuple[str, ...]:
        """The tasks whose last unmet edges these arrivals meet, by name; no task is told twice.

        An edge that was met once stays so, as more evidence never blocks. In time proportional to the readers that
        still wait for these.

        Args:
            evidence: what exists from now on, such as all outputs of a task together.
        """
        return self._names(self._meet([(found.name, found.schema) for found in evidence]))

    def finish(self, *tasks: str) -> tuple[str, ...]:
        """The same, where these tasks write all of their outputs, with the schemas that their plans yield."""
        graph = self.graph
        outputs = [output for task in tasks for output in graph.outputs_of(task)]
        return self._names(self._meet([(output, graph.planned_schema(output)) for output in outputs]))

    def reasons(self, task: str) -> tuple[Reason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        if not self._unmet[self.graph.task_indices[task]]:
            return ()
        edges, schemas = self.graph.edges_of(task), self._schemas
        return tuple(reason for edge in edges for reason in check_schema(edge, schemas.get(edge.evidence)))

    def _names(self, indices: Iterable[int]) -> tuple[str, ...]:
        nodes = self.graph.graph
        return tuple(sorted([nodes[index].name for index in indices]))

    def _meet(self, tables: Iterable[tuple[str, ibis.Schema]]) -> list[int]:
        """The tasks whose last unmet edges these tables meet, which have these schemas from now on."""
        unmet, opened, schemas = self._unmet, self._open, self._schemas
        indices, edges_from = self.graph.evidence_indices, self.graph.reader_edges
        ready: list[int] = []
        for name, schema in tables:
            schemas[name] = schema
            if name not in indices:
                continue
            columns = schema.fields.items()
            still_open: list[ReaderEdge] = []
            for found in opened[name] if name in opened else edges_from(name):
                _, task, edge = found
                if task not in unmet:
                    continue
                # That the table is just as it was planned is nearly always so, and told in a fifth of the time.
                if edge.types.items() <= columns or not check_schema(edge, schema):
                    unmet[task] -= 1
                    if not unmet[task]:
                        ready.append(task)
                else:
                    still_open.append(found)
            opened[name] = still_open
        return ready
