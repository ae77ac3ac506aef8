"""Waves: which tasks can run on existing evidence, in which order, and what blocks the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from relspec_core.graph_edge_validation import MissingEvidence, WaitsForTask, check_schema
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.model.formatting import alternatives
from relspec_core.system.garbage_collection import gc_paused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import ibis

    from relspec_core.evidence import Evidence, EvidenceCatalog
    from relspec_core.graph_edge_validation import ReadinessReason
    from relspec_core.graph_inference import EvidenceNode, RuleGraph


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
            raise KeyError(f"there is no task '{task}'; {alternatives(task, edges)}")
        reads = [f"  {edge.evidence}: {edge.needs}" for edge in edges[task]]
        if task in self.blocked:
            return "\n".join([f"{task} is blocked", *(f"  {reason}" for reason in self.blocked[task]), "reads", *reads])
        wave = next(number for number, tasks in enumerate(self.waves, start=1) if task in tasks)
        return "\n".join([f"{task} runs in wave {wave} of {len(self.waves)}", "reads", *(reads or ["  nothing"])])

    def __str__(self) -> str:
        lines = [f"wave {number}: {', '.join(tasks)}" for number, tasks in enumerate(self.waves, start=1)]
        lines += [f"blocked: {reason}" for reasons in self.blocked.values() for reason in reasons]
        return "\n".join(lines) or "nothing to run"


@gc_paused()
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
    """How many unsatisfied edges each task has; changes with each arrival, and only towards ready.

    A table with exactly the planned schema satisfies all of its readers without a look at their edges, unless the graph
    knows that the plan lacks something. For any other table each edge is checked.

    O(V + E) to make.

    Args:
        graph: what tasks require.
        evidence: what exists now. Absent evidence has no columns.
        tasks: only these; all where left out.

    Attributes:
        graph: what tasks require.
        ready: the tasks that were ready at the start, by name; those that read nothing are among them.
    """

    __slots__ = ("_lacking", "_open", "_schemas", "_unsatisfied", "graph", "ready")

    @gc_paused()
    def __init__(
        self, graph: TaskGraph, *, evidence: Mapping[str, Evidence], tasks: Iterable[str] | None = None
    ) -> None:
        self.graph = graph
        self._schemas: dict[int, ibis.Schema] = {}  # of the tables that exist and lack something
        self._open: dict[int, Sequence[int]] = {}  # the readers that still wait for these
        complete: list[int] = []
        others: list[tuple[int, ibis.Schema]] = []
        for table, schema in self._tables(evidence.values()):
            if self._is_as_planned(table, schema):
                complete.append(table)
            else:
                others.append((table, schema))
        self._lacking = set(graph.evidence_indices.values()).difference(complete)
        indices = graph.task_indices
        wanted = indices.values() if tasks is None else [indices[task] for task in sorted({*tasks} & indices.keys())]
        self._unsatisfied = self._counted(wanted, complete)
        for table, schema in others:
            self._count_down(self._satisfied(table, schema))
        self.ready = self._names(self._now)

    @property
    def waiting(self) -> tuple[str, ...]:
        """The tasks that are not ready yet, by name."""
        return self._names([task for task, edges in self._unsatisfied.items() if edges])

    def arrive(self, *evidence: Evidence) -> tuple[str, ...]:
        """The tasks whose last unsatisfied edges these arrivals satisfy, by name; each task is reported once.

        An edge that was satisfied once stays so, as more evidence never blocks. In time proportional to the readers
        that still wait for these.

        Args:
            evidence: what exists from now on, such as all outputs of a task together.
        """
        return self._names(self._satisfy(self._tables(evidence)))

    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The tasks that are ready, then those that become so as these finish, and so on; each wave by name.

        All of them count as finished from then on, with all of their outputs as planned.
        """
        graph = self.graph
        if self._is_first_run:
            self._unsatisfied = dict.fromkeys(self._unsatisfied, 0)
            self._lacking.clear()
            return graph.waves
        nodes = cast("Mapping[int, EvidenceNode]", graph.graph)
        waves, ready = [], self._now
        while ready:
            waves.append(self._names(ready))
            written = [table for task in ready for table in graph.graph.successor_indices(task)]
            ready = self._satisfy([(table, nodes[table].schema) for table in written])
        return tuple(waves)

    def reasons(self, task: str) -> tuple[ReadinessReason, ...]:
        """What keeps a task from running, by evidence; nothing where it is ready."""
        reader, tables = self.graph.task_indices[task], self.graph.evidence_indices
        if not self._unsatisfied[reader]:
            return ()
        edges = [(edge, tables[edge.evidence]) for edge in self.graph.edges_of(task)]
        return tuple(
            reason
            for edge, table in edges
            if table in self._lacking and reader in self._waiting(table)
            for reason in check_schema(edge, self._schemas.get(table))
        )

    def _tables(self, evidence: Iterable[Evidence]) -> Iterator[tuple[int, ibis.Schema]]:
        """The node indices and schemas of the evidence that is in the graph."""
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
        return [task for task, edges in self._unsatisfied.items() if not edges]

    @property
    def _is_first_run(self) -> bool:
        """Whether the waves are those of the graph: all tasks are wanted, and exactly the sources exist, as planned."""
        graph = self.graph
        return (
            not graph.incomplete_indices
            and not self._schemas
            and len(self._lacking) == len(graph.evidence_indices) - len(graph.source_indices)
            and self._lacking.isdisjoint(graph.source_indices)
            and len(self._unsatisfied) == len(graph.task_indices)
        )

    def _counted(self, tasks: Iterable[int], complete: Collection[int]) -> dict[int, int]:
        """How many edges each of these tasks waits for, where these tables lack nothing and all others are absent."""
        graph, step, tables = self.graph.graph, -1, complete
        if len(self._lacking) < len(complete):
            unsatisfied, step, tables = dict.fromkeys(tasks, 0), 1, self._lacking
        else:
            unsatisfied = {task: graph.in_degree(task) for task in tasks}
        for table in tables:
            for task in graph.successor_indices(table):
                if task in unsatisfied:
                    unsatisfied[task] += step
        return unsatisfied

    def _is_as_planned(self, table: int, schema: ibis.Schema) -> bool:
        """Whether a table with this schema has, by the plans alone, all that any of its readers requires."""
        planned = cast("EvidenceNode", self.graph.graph[table]).schema
        is_planned = schema is planned or dict.__eq__(schema.fields, planned.fields)
        return is_planned and table not in self.graph.incomplete_indices

    def _waiting(self, table: int) -> Sequence[int]:
        """The tasks that wait for a table that lacks something."""
        return self._open[table] if table in self._open else self.graph.graph.successor_indices(table)

    def _satisfy(self, tables: Iterable[tuple[int, ibis.Schema]]) -> list[int]:
        """The tasks whose last unsatisfied edges these tables satisfy, which have these schemas from now on."""
        ready: list[int] = []
        for table, schema in tables:
            if table not in self._lacking:
                continue
            if self._is_as_planned(table, schema):
                self._lacking.discard(table)
                ready += self._count_down(self._waiting(table))
            else:
                ready += self._count_down(self._satisfied(table, schema))
        return ready

    def _count_down(self, tasks: Iterable[int]) -> list[int]:
        """Count one more satisfied edge for each of these tasks; those that have no other unsatisfied one."""
        unsatisfied, ready = self._unsatisfied, []
        for task in tasks:
            if task in unsatisfied:
                unsatisfied[task] -= 1
                if not unsatisfied[task]:
                    ready.append(task)
        return ready

    def _satisfied(self, table: int, schema: ibis.Schema) -> list[int]:
        """The readers that require no more of a table than it has with this schema; the others go on waiting for it."""
        graph = self.graph.graph
        columns, satisfied, left = schema.fields.items(), [], []
        for task in self._waiting(table):
            edge = cast("EdgeRequirement", graph.get_edge_data(table, task))
            fits = edge.types.items() <= columns or not check_schema(edge, schema)
            (satisfied if fits else left).append(task)
        self._schemas[table], self._open[table] = schema, left
        return satisfied
