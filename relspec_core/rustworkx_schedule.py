"""Waves: which tasks can run on existing evidence, in which order, and what blocks the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from relspec_core.graph_edge_validation import MissingEvidence, WaitsForTask, check_schema
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.model.formatting import did_you_mean
from relspec_core.system.garbage_collection import left_alone

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import ibis

    from relspec_core.evidence import Evidence, EvidenceCatalog
    from relspec_core.graph_edge_validation import ReadinessReason
    from relspec_core.graph_inference import EvidenceNode, RuleGraph, TaskNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Tasks in waves, and those that are blocked.

    Attributes:
        waves: front to back; each sorted by name.
        blocked: task to its reasons, by name; at least one each.
        graph: what they were scheduled by; schedules are equal where their tasks are.
    """

    waves: tuple[tuple[str, ...], ...]
    blocked: Mapping[str, tuple[ReadinessReason, ...]]
    graph: TaskGraph = field(compare=False, repr=False)

    @property
    def edges(self) -> Mapping[str, tuple[EdgeRequirement, ...]]:
        """What each task must find, by task."""
        return {task: self.graph.edges_of(task) for task in sorted((*self.order, *self.blocked))}

    @property
    def order(self) -> tuple[str, ...]:
        """The tasks that can run, wave after wave."""
        return tuple(task for wave in self.waves for task in wave)

    def explain(self, task: str) -> str:
        """When a task runs and what it reads, or why it is blocked.

        Raises:
            KeyError: where the schedule knows no such task.
        """
        edges = self.edges
        if task not in edges:
            raise KeyError(f"no task '{task}'; {did_you_mean(task, edges)}there are {', '.join(edges)}")
        reads = [f"  {edge.evidence}: {edge.needs}" for edge in edges[task]]
        if task in self.blocked:
            return "\n".join([f"{task} is blocked", *(f"  {reason}" for reason in self.blocked[task]), "reads", *reads])
        wave = next(number for number, tasks in enumerate(self.waves, start=1) if task in tasks)
        return "\n".join([f"{task} runs in wave {wave} of {len(self.waves)}", "reads", *(reads or ["  nothing"])])

    def __str__(self) -> str:
        lines = [f"wave {number}: {', '.join(tasks)}" for number, tasks in enumerate(self.waves, start=1)]
        lines += [f"blocked: {reason}" for reasons in self.blocked.values() for reason in reasons]
        return "\n".join(lines) or "nothing to run"


@left_alone()
def schedule_rules(
    graph: RuleGraph | TaskGraph, *, evidence: EvidenceCatalog, tasks: Iterable[str] | None = None
) -> Schedule:
    """Waves of tasks that can run on this evidence, ordered by name only.

    A task is ready when all that it reads exists with the columns that it reads: in ``evidence``, or written by a task
    of an earlier wave, whose plan then says what the table has.

    Args:
        graph: a ``TaskGraph``, or what is in one.
        evidence: what exists now. Absent evidence has no columns.
        tasks: only these; all where left out.

    Returns:
        Waves front to back. A task that is not ready is in ``blocked`` with at least one reason. O(V + E) plus sorting.
    """
    view = graph if isinstance(graph, TaskGraph) else TaskGraph(graph)
    readiness = Readiness(view, evidence=evidence, tasks=tasks)
    return Schedule(waves=readiness.waves(), blocked=_blocked(readiness), graph=view)


def _blocked(readiness: Readiness) -> dict[str, tuple[ReadinessReason, ...]]:
    """Why each waiting task is blocked; where another blocked task would write what it reads, what keeps that task."""
    view = readiness.graph
    broken = {task: readiness.reasons(task) for task in readiness.waiting}
    causes: dict[str, ReadinessReason] = {}

    def waits(reason: ReadinessReason) -> str | None:
        producer = view.producer(reason.evidence)
        return producer if isinstance(reason, MissingEvidence) and producer in broken else None

    def cause(task: str) -> ReadinessReason:
        """What is wrong at the start of the chain; walked without recursion, as chains may be long."""
        chain = [task]
        while chain[-1] not in causes:
            own = [reason for reason in broken[chain[-1]] if waits(reason) is None]
            if own:
                causes[chain[-1]] = own[0]
            else:
                chain.append(str(waits(broken[chain[-1]][0])))
        causes.update(dict.fromkeys(chain, causes[chain[-1]]))
        return causes[task]

    return {
        task: tuple(
            reason
            if (producer := waits(reason)) is None
            else WaitsForTask(task=task, evidence=reason.evidence, producer=producer, cause=cause(producer))
            for reason in reasons
        )
        for task, reasons in broken.items()
    }


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

    __slots__ = ("_lacking", "_open", "_schemas", "_unmet", "graph", "ready")

    @left_alone()
    def __init__(
        self, graph: TaskGraph, *, evidence: Mapping[str, Evidence], tasks: Iterable[str] | None = None
    ) -> None:
        self.graph = graph
        self._schemas: dict[int, ibis.Schema] = {}  # of the tables that are there and lack something
        self._open: dict[int, Sequence[int]] = {}  # who waits for these
        there: list[int] = []
        others: list[tuple[int, ibis.Schema]] = []
        for table, schema in self._tables(evidence.values()):
            if self._is_as_planned(table, schema):
                there.append(table)
            else:
                others.append((table, schema))
        self._lacking = set(graph.evidence_indices.values()).difference(there)
        indices = graph.task_indices
        wanted = indices.values() if tasks is None else [indices[task] for task in sorted({*tasks} & indices.keys())]
        self._unmet = self._counted(wanted, there)
        for table, schema in others:
            self._count_down(self._met(table, schema))
        self.ready = self._names(self._now)

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
        return self._names(self._meet(self._tables(evidence)))

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The tasks that are ready, then those that become so as these finish, and so on; each wave by name.

        All of them count as finished from then on, with all of their outputs as their plans tell.
        """
        graph = self.graph
        if graph.waves and self._is_all_to_come:
            self._unmet = dict.fromkeys(self._unmet, 0)
            self._lacking.clear()
            return tuple(map(self._names, graph.waves))
        nodes = cast("Mapping[int, EvidenceNode]", graph.graph)
        waves, ready = [], self._now
        while ready:
            waves.append(self._names(ready))
            written = [table for task in ready for table in graph.graph.successor_indices(task)]
            ready = self._meet([(table, nodes[table].schema) for table in written])
        return tuple(waves)

    def reasons(self, task: str) -> tuple[ReadinessReason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        reader, tables = self.graph.task_indices[task], self.graph.evidence_indices
        if not self._unmet[reader]:
            return ()
        edges = [(edge, tables[edge.evidence]) for edge in self.graph.edges_of(task)]
        return tuple(
            reason
            for edge, table in edges
            if table in self._lacking and reader in self._waiting(table)
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

    @property
    def _now(self) -> list[int]:
        """The tasks that are ready."""
        return [task for task, unmet in self._unmet.items() if not unmet]

    @property
    def _is_all_to_come(self) -> bool:
        """Whether all tasks are asked for, and exactly the sources are there, as planned."""
        there = len(self.graph.evidence_indices) - len(self._lacking)
        return (
            there == len(self.graph.source_indices)
            and self._lacking.isdisjoint(self.graph.source_indices)
            and not self._schemas
            and len(self._unmet) == len(self.graph.task_indices)
        )

    def _counted(self, tasks: Iterable[int], there: Collection[int]) -> dict[int, int]:
        """How many edges each of these tasks waits for, where these tables lack nothing and all others are absent."""
        graph, step, tables = self.graph.graph, -1, there
        if len(self._lacking) < len(there):
            unmet, step, tables = dict.fromkeys(tasks, 0), 1, self._lacking
        else:
            unmet = {task: graph.in_degree(task) for task in tasks}
        for table in tables:
            for task in graph.successor_indices(table):
                if task in unmet:
                    unmet[task] += step
        return unmet

    def _is_as_planned(self, table: int, schema: ibis.Schema) -> bool:
        """Whether a table with this schema is known to have all that any of its readers was made for."""
        planned = cast("EvidenceNode", self.graph.graph[table])
        return planned.fits and (schema is planned.schema or dict.__eq__(schema.fields, planned.schema.fields))

    def _waiting(self, table: int) -> Sequence[int]:
        """Who waits for a table that lacks something."""
        return self._open[table] if table in self._open else self.graph.graph.successor_indices(table)

    def _meet(self, tables: Iterable[tuple[int, ibis.Schema]]) -> list[int]:
        """The tasks whose last unmet edges these tables meet, which have these schemas from now on."""
        ready: list[int] = []
        for table, schema in tables:
            if table not in self._lacking:
                continue
            if self._is_as_planned(table, schema):
                self._lacking.discard(table)
                ready += self._count_down(self._waiting(table))
            else:
                ready += self._count_down(self._met(table, schema))
        return ready

    def _count_down(self, tasks: Iterable[int]) -> list[int]:
        """Those of these tasks, one of whose edges is met now each, that wait for no other."""
        unmet, ready = self._unmet, []
        for task in tasks:
            if task in unmet:
                unmet[task] -= 1
                if not unmet[task]:
                    ready.append(task)
        return ready

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
