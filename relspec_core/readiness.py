"""Readiness: which tasks have all that they read, brought up to date as evidence arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from relspec_core.garbage import left_alone
from relspec_core.graph_edge_validation import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import ibis

    from relspec_core.evidence import Evidence
    from relspec_core.graph_edge_validation import Reason
    from relspec_core.graph_inference import EvidenceNode, TaskGraph, TaskNode


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
        edges_of = graph.graph.in_degree
        wanted = graph.task_indices.keys() if tasks is None else frozenset(tasks)
        self._unmet = {index: edges_of(index) for task, index in graph.task_indices.items() if task in wanted}
        self._schemas: dict[int, ibis.Schema] = {}
        self._open: dict[int, Sequence[int]] = {}
        self._meet(self._tables(evidence.values()))
        self.ready = self._names([index for index, unmet in self._unmet.items() if not unmet])

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that are not ready yet, by name."""
        return self._names([index for index, unmet in self._unmet.items() if unmet])

    def arrive(self, *evidence: Evidence) -> tuple[str, ...]:
        """The tasks whose last unmet edges these arrivals meet, by name; no task is told twice.

        An edge that was met once stays so, as more evidence never blocks. In time proportional to the readers that
        still wait for these.

        Args:
            evidence: what exists from now on, such as all outputs of a task together.
        """
        return self._names(self._meet(self._tables(evidence)))

    def finish(self, *tasks: str) -> tuple[str, ...]:
        """The same, where these tasks write all of their outputs, with the schemas that their plans yield."""
        graph, indices = self.graph.graph, self.graph.task_indices
        tables = [table for task in tasks for table in graph.successor_indices(indices[task])]
        nodes = cast("Mapping[int, EvidenceNode]", graph)
        return self._names(self._meet([(table, nodes[table].schema) for table in tables]))

    def reasons(self, task: str) -> tuple[Reason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        if not self._unmet[self.graph.task_indices[task]]:
            return ()
        there = self._schemas
        found = [(edge, there.get(self.graph.evidence_indices[edge.evidence])) for edge in self.graph.edges_of(task)]
        return tuple(reason for edge, schema in found for reason in check_schema(edge, schema))

    def _tables(self, evidence: Iterable[Evidence]) -> list[tuple[int, ibis.Schema]]:
        """Where evidence is in the graph, with its schemas; without what the graph knows nothing of."""
        indices = self.graph.evidence_indices
        return [(indices[found.name], found.schema) for found in evidence if found.name in indices]

    def _names(self, tasks: Iterable[int]) -> tuple[str, ...]:
        nodes = self.graph.graph
        return tuple([nodes[task].name for task in sorted(tasks)])

    def _meet(self, tables: Iterable[tuple[int, ibis.Schema]]) -> list[int]:
        """The tasks whose last unmet edges these tables meet, which have these schemas from now on."""
        graph, misfits, unmet, schemas = self.graph.graph, self.graph.misfits, self._unmet, self._schemas
        nodes = cast("Mapping[int, EvidenceNode]", graph)
        ready: list[int] = []
        for table, schema in tables:
            waiting = self._open.pop(table, ()) if table in schemas else graph.successor_indices(table)
            schemas[table] = schema
            planned = nodes[table].schema
            # That a table is just as it was planned is nearly always so, and told in no time.
            same = schema is planned or dict.__eq__(schema.fields, planned.fields)
            for task in waiting if same and table not in misfits else self._met(table, schema, waiting):
                if task in unmet:
                    unmet[task] -= 1
                    if not unmet[task]:
                        ready.append(task)
        return ready

    def _met(self, table: int, schema: ibis.Schema, waiting: Iterable[int]) -> list[int]:
        """Those who need no more of a table than it has with this schema; the others go on waiting for it."""
        graph, name = self.graph.graph, self.graph.graph[table].name
        columns, met, left = schema.fields.items(), [], []
        for task in waiting:
            reader = cast("TaskNode", graph[task])
            fits = reader.deps.required_types[name].items() <= columns or not check_schema(
                reader.edge_from(name), schema
            )
            (met if fits else left).append(task)
        self._open[table] = left
        return met
