"""What a change of one evidence does to every task, told before anybody makes it."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import rustworkx as rx

from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WaitsForTask, WrongType, check_edge
from relspec_core.graph_inference import TaskNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.evidence_change import EvidenceChange
    from relspec_core.graph_edge_validation import Reason
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.inferred_deps import Use
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenReader:
    """A task that could not read what it needs any more.

    Attributes:
        task: the reader.
        evidence: what it reads.
        column: that it needs; None where the whole evidence is gone.
        uses: how it uses the column.
        problem: what is wrong with it.
        likely: the new name, where one is seen.
    """

    task: str
    evidence: str
    column: str | None
    uses: tuple[Use, ...]
    problem: str
    likely: str | None

    @property
    def reads(self) -> str:
        """The column, or the evidence."""
        return self.evidence if self.column is None else f"{self.evidence}.{self.column}"

    @property
    def hint(self) -> str:
        """What to do next."""
        if self.likely:
            return f"let task '{self.task}' read '{self.likely}', or keep '{self.reads}' until it does."
        return f"keep '{self.reads}' as it is, or mend task '{self.task}' first."

    def __str__(self) -> str:
        uses = f" ({', '.join(self.uses)})" if self.uses else ""
        return f"task '{self.task}' reads '{self.reads}'{uses}, {self.problem}\n    next: {self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReader:
    """A task that reads what a broken or waiting task could not write any more."""

    task: str
    evidence: str
    producer: str
    broken: str

    def __str__(self) -> str:
        cause = "breaks" if self.producer == self.broken else f"waits for task '{self.broken}'"
        return f"task '{self.task}' waits for '{self.evidence}' of task '{self.producer}', which {cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A task that would run again.

    Attributes:
        task: its name.
        evidence: what it reads that would not be the same, or what it writes itself.
        columns: those of the evidence that it reads and that would not be the same; none: the rows.
        writes: whether the evidence is its own table.
    """

    task: str
    evidence: str
    columns: tuple[str, ...]
    writes: bool = False

    def __str__(self) -> str:
        if self.writes:
            return f"task '{self.task}' writes '{self.evidence}'"
        what = ", ".join(f"'{self.evidence}.{column}'" for column in self.columns) or f"the rows of '{self.evidence}'"
        return f"task '{self.task}' reads {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Every task of a catalog, by what a change does to it; each part by task name.

    Attributes:
        change: what is asked about.
        broken: tasks that read what would be gone or of another type, with each such column.
        waiting: tasks that wait for those.
        rebuilt: tasks that would run again.
        untouched: all others.
    """

    change: EvidenceChange
    broken: tuple[BrokenReader, ...]
    waiting: tuple[WaitingReader, ...]
    rebuilt: tuple[Rebuild, ...]
    untouched: tuple[str, ...]

    @property
    def broken_tasks(self) -> tuple[str, ...]:
        """The tasks that break, each once."""
        return tuple(dict.fromkeys(found.task for found in self.broken))

    @property
    def ok(self) -> bool:
        """Whether nothing breaks."""
        return not self.broken

    def __str__(self) -> str:
        lines = ["change", *(f"  {step}" for step in self.change.steps)]
        for title, found in (("breaks", self.broken), ("waits", self.waiting), ("would rebuild", self.rebuilt)):
            if found:
                lines += [title, *(f"  {item}" for item in found)]
        if self.untouched:
            lines += ["untouched", f"  {', '.join(self.untouched)}"]
        counts = (
            f"{len(self.broken_tasks)} broken, {len(self.waiting)} waiting, {len(self.rebuilt)} rebuilt, "
            f"{len(self.untouched)} untouched"
        )
        return "\n".join([*lines, counts])

    def to_json(self) -> str:
        """The same as JSON, the same bytes for the same change."""
        data = {
            "evidence": self.change.evidence,
            "change": list(self.change.steps),
            "breaks": [
                {
                    "task": found.task,
                    "evidence": found.evidence,
                    "column": found.column,
                    "uses": [str(use) for use in found.uses],
                    "problem": found.problem,
                    "likely": found.likely,
                    "next": found.hint,
                }
                for found in self.broken
            ],
            "waits": [
                {"task": found.task, "evidence": found.evidence, "producer": found.producer, "broken": found.broken}
                for found in self.waiting
            ],
            "rebuilds": [
                {"task": found.task, "evidence": found.evidence, "columns": list(found.columns), "writes": found.writes}
                for found in self.rebuilt
            ],
            "untouched": list(self.untouched),
        }
        return json.dumps(data, indent=2)


def impact_of(change: EvidenceChange, *, plans: PlanCatalog, graph: TaskGraph) -> Impact:
    """Which tasks a change breaks, which wait for those, which would rebuild and which are untouched.

    Nothing is compiled anew: what counts is what the plans read. O(V + E), times the columns of an edge.
    """
    broken = _broken(change, graph)
    hit = {found.task for found in broken}
    waiting = _waiting(hit, graph)
    stuck = hit | {found.task for found in waiting}
    rebuilt = tuple(found for found in _rebuilt(change, plans, graph) if found.task not in stuck)
    moved = stuck | {found.task for found in rebuilt}
    return Impact(
        change=change,
        broken=broken,
        waiting=waiting,
        rebuilt=rebuilt,
        untouched=tuple(task for task in graph.tasks if task not in moved),
    )


def _broken(change: EvidenceChange, graph: TaskGraph) -> tuple[BrokenReader, ...]:
    now = {} if change.schema is None else {change.evidence: Evidence(name=change.evidence, schema=change.schema)}
    return tuple(
        _broken_reader(edge, reason, change)
        for edge in graph.edges_from(change.evidence)
        for reason in check_edge(edge, now)
    )


def _broken_reader(edge: EdgeRequirement, reason: Reason, change: EvidenceChange) -> BrokenReader:
    column, problem = None, "which is gone"
    match reason:
        case MissingColumn():
            column = reason.column
        case WrongType():
            column, problem = reason.column, f"which is {reason.actual} instead of {reason.required}"
        case MissingEvidence() | WaitsForTask():
            pass
        case _:
            assert_never(reason)
    likely = change.renamed.get(edge.evidence if column is None else column)
    if likely:
        problem = f"which is gone; its new name is likely '{likely}'" if change.guessed else f"which becomes '{likely}'"
    return BrokenReader(
        task=edge.task,
        evidence=edge.evidence,
        column=column,
        uses=() if column is None else edge.uses.get(column, ()),
        problem=problem,
        likely=likely,
    )


def _waiting(broken: Iterable[str], graph: TaskGraph) -> tuple[WaitingReader, ...]:
    """The transitive readers of what broken tasks write, each with the first task that keeps it."""
    cause = {task: task for task in broken}
    found: list[WaitingReader] = []
    for task in upstream_first(graph):
        if task in cause:
            continue
        for edge in graph.edges_of(task):
            producer = graph.producer(edge.evidence)
            if producer is not None and producer in cause:
                cause[task] = cause[producer]
                found.append(
                    WaitingReader(task=task, evidence=edge.evidence, producer=producer, broken=cause[producer])
                )
                break
    return tuple(sorted(found, key=lambda item: item.task))


def _rebuilt(change: EvidenceChange, plans: PlanCatalog, graph: TaskGraph) -> tuple[Rebuild, ...]:
    """The writer of the evidence, and whoever reads a value or row that is not the same, however far down."""
    values: defaultdict[str, frozenset[str]] = defaultdict(frozenset, {change.evidence: change.values})
    rows = {change.evidence} if change.rows else set()
    found: dict[str, Rebuild] = {}
    writer = graph.producer(change.evidence)
    if writer is not None:
        found[writer] = Rebuild(task=writer, evidence=change.evidence, columns=(), writes=True)
    for task in upstream_first(graph):
        for plan in plans.of_task(task):
            read = _changed_inputs(plan, values, rows)
            if not read:
                continue
            evidence, columns = next(iter(read.items()))
            found.setdefault(task, Rebuild(task=task, evidence=evidence, columns=columns))
            outputs = _changed_outputs(plan, read)
            if outputs is None:
                rows.add(plan.name)
            else:
                values[plan.name] = outputs
    return tuple(found[task] for task in sorted(found))


def _changed_inputs(
    plan: PlanArtifact, values: defaultdict[str, frozenset[str]], rows: set[str]
) -> dict[str, tuple[str, ...]]:
    """What a plan reads that is not the same, by evidence: columns, or none where the rows are not the same."""
    found: dict[str, tuple[str, ...]] = {}
    for evidence, columns in plan.deps.required_columns.items():
        changed = tuple(column for column in columns if column in values[evidence])
        if evidence in rows:
            found[evidence] = ()
        elif changed:
            found[evidence] = changed
    return found


def _changed_outputs(plan: PlanArtifact, read: dict[str, tuple[str, ...]]) -> frozenset[str] | None:
    """The output columns whose values are not the same; None where the rows may not be the same either."""
    changed = {(evidence, column) for evidence, columns in read.items() for column in columns}
    deciding = {(use.evidence, use.column) for use in plan.deps.row_uses}
    traced = {column: {(use.evidence, use.column) for use in uses} for column, uses in plan.deps.lineage.items()}
    if not all(read.values()) or changed & deciding or changed - set().union(*traced.values()):
        return None
    return frozenset(column for column, sources in traced.items() if sources & changed)


def upstream_first(graph: TaskGraph) -> tuple[str, ...]:
    """The tasks, each after those that write what it reads; by name where that leaves a choice."""
    order = rx.lexicographical_topological_sort(graph.graph, key=lambda node: node.name)
    return tuple(node.name for node in order if isinstance(node, TaskNode))
