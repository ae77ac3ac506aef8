"""Readiness: which tasks have all that they read, brought up to date as evidence arrives."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from relspec_core.garbage import left_alone
from relspec_core.graph_edge_validation import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import ibis

    from relspec_core.evidence import Evidence
    from relspec_core.graph_edge_validation import Reason
    from relspec_core.graph_inference import EvidenceNode, TaskGraph, TaskNode

NEVER = sys.maxsize


class Readiness:
    """How many edges each task still waits for; changes with each arrival, and only towards ready.

    That a table is just as it was planned is nearly always so, and told in no time: all of its edges are met then, and
    it lacks nothing. The edges of any other table are met one by one.

    O(V + E) to make.

    Args:
        graph: what tasks read.
        evidence: what exists now. Absent evidence has no columns.
        tasks: only these; all where left out.

    Attributes:
        graph: what tasks read.
        ready: the tasks that were ready at the start, by name; those that read nothing are among them.
    """

    __slots__ = ("_lacking", "_open", "_reads", "_schemas", "_unmet", "graph", "ready")

    @left_alone()
    def __init__(
        self, graph: TaskGraph, *, evidence: Mapping[str, Evidence], tasks: Iterable[str] | None = None
    ) -> None:
        self.graph = graph
        self._reads = graph.reads.copy()  # less the edges that were met one by one
        self._lacking = bytearray(b"\1") * len(graph.reads)
        self._schemas: dict[int, ibis.Schema] = {}  # of the tables that are there and lack something
        self._open: dict[int, Sequence[int]] = {}  # who waits for these
        for table, schema in self._tables(evidence.values()):
            if self._is_as_planned(table, schema):
                self._lacking[table] = False
            else:
                self._meet_some(table, schema)
        indices = graph.task_indices
        wanted = indices.values() if tasks is None else [indices[task] for task in sorted({*tasks} & indices.keys())]
        lacks = self._lacking.__getitem__
        self._unmet = {task: sum(map(lacks, self._reads[task])) for task in wanted}
        self.ready = self._names([task for task, unmet in self._unmet.items() if not unmet])

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that are not ready yet, by name."""
        return self._names([task for task, unmet in self._unmet.items() if unmet])

    def arrive(self, *evidence: Evidence) -> tuple[str, ...]:
        """The tasks whose last unmet edges these arrivals meet, by name; no task is told twice.

        An edge that was met once stays so, as more evidence never blocks. In time proportional to the readers that
        still wait for these.

        Args:
            evidence: what exists from now on, such as all outputs of a task together.
        """
        unmet, ready = self._unmet, []
        for table, schema in self._tables(evidence):
            for task in self._meet(table, schema):
                if task in unmet:
                    unmet[task] -= 1
                    if not unmet[task]:
                        ready.append(task)
        return self._names(ready)

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The tasks that are ready, then those that become so as these finish, and so on; each wave by name.

        All of them count as finished from then on, with all of their outputs as their plans tell.
        """
        since = [NEVER if lacks else 0 for lacks in self._lacking]  # the wave in which there is a table as planned
        since_when, unmet, blocked = since.__getitem__, self._unmet, set[int]()
        outputs_of, misfits = self.graph.graph.successor_indices, self.graph.misfits
        waves: list[list[int]] = []
        for task in self.graph.order:
            wave = max(map(since_when, self._reads[task]), default=0)
            if wave == NEVER or task in blocked or task not in unmet:
                continue
            if wave == len(waves):
                waves.append([])
            waves[wave].append(task)
            unmet[task] = 0
            for table in outputs_of(task):
                if since[table]:
                    since[table] = wave + 1
                if table in misfits:
                    blocked.update(self._in_vain(table))
        self._lacking = bytearray([when == NEVER or table in misfits for table, when in enumerate(since)])
        return tuple(map(self._names, waves))

    def reasons(self, task: str) -> tuple[Reason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        reader, tables = self.graph.task_indices[task], self.graph.evidence_indices
        if not self._unmet[reader]:
            return ()
        edges = [(edge, tables[edge.evidence]) for edge in self.graph.edges_of(task)]
        return tuple(
            reason
            for edge, table in edges
            if self._lacking[table] and reader in self._waiting(table)
            for reason in check_schema(edge, self._schemas.get(table))
        )

    def _tables(self, evidence: Iterable[Evidence]) -> Iterator[tuple[int, ibis.Schema]]:
        """Where evidence is in the graph, with its schemas; without what the graph knows nothing of."""
        indices = self.graph.evidence_indices
        for found in evidence:
            table = indices.get(found.name)
            if table is not None:
                yield table, found.schema

    def _names(self, tasks: Iterable[int]) -> tuple[str, ...]:
        nodes = self.graph.graph
        return tuple([nodes[task].name for task in sorted(tasks)])

    def _is_as_planned(self, table: int, schema: ibis.Schema) -> bool:
        """Whether a table with this schema has all that any of its readers was made for, as far as that is known."""
        planned = cast("EvidenceNode", self.graph.graph[table])
        return planned.fits and dict.__eq__(schema.fields, planned.schema.fields)

    def _waiting(self, table: int) -> Sequence[int]:
        """Who waits for a table that lacks something."""
        return self._open[table] if table in self._open else self.graph.graph.successor_indices(table)

    def _meet(self, table: int, schema: ibis.Schema) -> Sequence[int]:
        """Those who wait no longer for a table, which has this schema from now on."""
        if not self._lacking[table]:
            return ()
        if not self._is_as_planned(table, schema):
            return self._meet_some(table, schema)
        self._lacking[table] = False
        return self._waiting(table)

    def _meet_some(self, table: int, schema: ibis.Schema) -> list[int]:
        """The same of a table that may lack something; they read it no more, as that edge is met for good."""
        met = self._met(table, schema)
        for task in met:
            self._reads[task] = [read for read in self._reads[task] if read != table]
        return met

    def _met(self, table: int, schema: ibis.Schema) -> list[int]:
        """Those who need no more of a table than it has with this schema; the others go on waiting for it."""
        graph, name = self.graph.graph, self.graph.graph[table].name
        columns, met, left = schema.fields.items(), [], []
        for task in self._waiting(table):
            reader = cast("TaskNode", graph[task])
            fits = reader.deps.required_types[name].items() <= columns or not check_schema(
                reader.edge_from(name), schema
            )
            (met if fits else left).append(task)
        self._schemas[table], self._open[table] = schema, left
        return met

    def _in_vain(self, table: int) -> Sequence[int]:
        """Those who go on waiting for a table that is as planned from now on."""
        self._met(table, cast("EvidenceNode", self.graph.graph[table]).schema)
        return self._open[table]
