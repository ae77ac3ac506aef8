"""What a change of one evidence does to every task, told before anybody makes it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WaitsForTask, WrongType, check_edge
from relspec_core.insight.impact_report import BrokenReader, Impact, Rebuild, WaitingReader
from relspec_core.insight.schema_change import proposed
from relspec_core.insight.what_if_plans import compiles_without, plans_after, table_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.errors import RelspecError
    from relspec_core.graph_edge_validation import ReadinessReason
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.insight.schema_change import EvidenceChange
    from relspec_core.insight.what_if_plans import PlanCompiler, TableChange
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


def impact_of(change: EvidenceChange, *, plans: PlanCatalog, graph: TaskGraph, compiler: PlanCompiler) -> Impact:
    """Which tasks a change breaks, which wait for those, which would rebuild and which are untouched.

    The catalog is compiled once more, as it would be then. A task that takes whatever columns there are has another
    plan then, and another table, which is held against its own readers in turn. O(V + E), times the columns of an edge.

    Args:
        change: of an evidence of the graph.
        plans: of the catalog as it is.
        graph: of these.
        compiler: of the same catalog.
    """
    after = plans_after(change, plans=plans, graph=graph, compiler=compiler)
    follow = _Follow(
        plans=plans,
        graph=graph,
        compiler=compiler,
        after={plan.name: plan for plan in after.plans},
        errors=after.errors,
        changes={change.evidence: change},
    )
    follow.all_tasks()
    waiting = _waiting(follow.broken, graph)
    stuck = {*follow.broken, *(found.task for found in waiting)}
    rebuilt = tuple(found for found in _rebuilt(change, follow) if found.task not in stuck)
    moved = stuck | {found.task for found in rebuilt}
    return Impact(
        change=change,
        broken=tuple(found for task in sorted(follow.broken) for found in follow.broken[task]),
        waiting=waiting,
        rebuilt=rebuilt,
        untouched=tuple(task for task in graph.tasks if task not in moved),
    )


@dataclass(slots=True, kw_only=True)
class _Follow:
    """What becomes of tasks, upstream first.

    Attributes:
        plans: of the catalog as it is.
        graph: of these.
        compiler: of the same catalog.
        after: the plans as they would be, by evidence; less those of tasks that would not compile.
        errors: of these, by task.
        changes: every evidence that would have another schema; at first the one that is asked about.
        broken: by task, what it could not read.
    """

    plans: PlanCatalog
    graph: TaskGraph
    compiler: PlanCompiler
    after: Mapping[str, PlanArtifact]
    errors: Mapping[str, tuple[RelspecError, ...]]
    changes: dict[str, EvidenceChange]
    broken: dict[str, tuple[BrokenReader, ...]] = field(default_factory=dict)

    def all_tasks(self) -> None:
        """Determine the tasks that break; the tables of tasks that adapt are changes of their own."""
        stuck: set[str] = set()
        for task in self.graph.order:
            found = self._broken(task)
            if found:
                self.broken[task] = found
            if found or not stuck.isdisjoint(self.graph.upstream_tasks(task)):
                stuck.add(task)
            else:
                self._adapt(task)

    def unmet(self, task: str) -> list[tuple[EdgeRequirement, ReadinessReason]]:
        """What a task reads now and would not find."""
        now = {
            name: Evidence(name=name, schema=change.schema)
            for name, change in self.changes.items()
            if change.schema is not None
        }
        edges = [edge for edge in self.graph.edges_of(task) if edge.evidence in self.changes]
        return [(edge, reason) for edge in edges for reason in check_edge(edge, now)]

    def followed(self, task: str) -> str | None:
        """The first evidence of which a task, which does not break, would read other columns, or types, than now."""
        unmet = [edge.evidence for edge, _ in self.unmet(task)]
        other = [
            name
            for plan in self.plans.of_task(task)
            for name, columns in plan.deps.required_columns.items()
            if name in self.changes and self.then(plan).deps.required_columns.get(name) != columns
        ]
        return min([*unmet, *other], default=None)

    def tables(self, task: str) -> tuple[TableChange, ...]:
        """What a task would write otherwise."""
        return tuple(
            table_change(plan.name, plan.schema, self.then(plan).schema)
            for plan in self.plans.of_task(task)
            if self.then(plan).fingerprint != plan.fingerprint
        )

    def then(self, plan: PlanArtifact) -> PlanArtifact:
        """A plan as it would be."""
        return self.after.get(plan.name, plan)

    def _broken(self, task: str) -> tuple[BrokenReader, ...]:
        unmet = self.unmet(task)
        if unmet and self._names(task, unmet):
            return tuple(_broken_reader(edge, reason, self.changes[edge.evidence]) for edge, reason in unmet)
        return tuple(_uncompilable(task, error, self) for error in self.errors.get(task, ()))

    def _names(self, task: str, unmet: list[tuple[EdgeRequirement, ReadinessReason]]) -> bool:
        """Whether a task refers by name to a column that would be missing; else it adapts to the existing ones."""
        if task in self.errors or any(isinstance(reason, MissingEvidence) for _, reason in unmet):
            return True
        retyped: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        for edge, reason in unmet:
            if isinstance(reason, WrongType):
                retyped[edge.evidence] |= {reason.column}
        if not retyped and all(output in self.after for output in self.graph.outputs_of(task)):
            return False
        return not compiles_without(
            task, retyped, self.changes, plans=self.plans, graph=self.graph, compiler=self.compiler
        )

    def _adapt(self, task: str) -> None:
        for plan in self.plans.of_task(task):
            then = self.then(plan)
            if then.whole != plan.whole:
                self.changes[plan.name] = proposed(plan.name, then.whole, self.graph)


def _uncompilable(task: str, error: RelspecError, follow: _Follow) -> BrokenReader:
    read = [edge.evidence for edge in follow.graph.edges_of(task) if edge.evidence in follow.changes]
    return BrokenReader(
        task=task,
        evidence=next(iter(read or follow.changes)),
        column=None,
        uses=(),
        problem=f"with which it would not compile: {error.what}",
        likely=None,
    )


def _broken_reader(edge: EdgeRequirement, reason: ReadinessReason, change: EvidenceChange) -> BrokenReader:
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
    for task in graph.order:
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


def _rebuilt(change: EvidenceChange, follow: _Follow) -> tuple[Rebuild, ...]:
    """The writer of the evidence, and all direct and indirect readers of a changed value or row."""
    values: defaultdict[str, frozenset[str]] = defaultdict(
        frozenset, {name: found.values for name, found in follow.changes.items()}
    )
    rows = {change.evidence} if change.rows else set()
    found: dict[str, Rebuild] = {}
    writer, written = follow.graph.producer(change.evidence), follow.graph.schema_of(change.evidence)
    if writer is not None and not (change.values and change.values.isdisjoint(written)):
        found[writer] = Rebuild(task=writer, evidence=change.evidence, columns=(), writes=True)
    for task in follow.graph.order:
        for plan in follow.plans.of_task(task):
            then, read = follow.then(plan), _changed_inputs(plan, values, rows)
            if not read and then.fingerprint == plan.fingerprint:
                continue
            found.setdefault(task, _rebuild(task, read, follow))
            outputs, calculated = _changed_outputs(plan, read), _recalculated(plan, then)
            if outputs is None or calculated is None or _counts_as_one(plan, read, follow):
                rows.add(plan.name)
            else:
                values[plan.name] |= outputs | calculated
    return tuple(found[task] for task in sorted(found))


def _rebuild(task: str, read: dict[str, tuple[str, ...]], follow: _Follow) -> Rebuild:
    evidence, tables = follow.followed(task), follow.tables(task)
    if read and (evidence is None or not tables):
        return Rebuild(task=task, evidence=next(iter(read)), columns=next(iter(read.values())))
    inputs = [edge.evidence for edge in follow.graph.edges_of(task) if edge.evidence in follow.changes]
    return Rebuild(task=task, evidence=evidence or next(iter(inputs or follow.changes)), columns=(), tables=tables)


def _counts_as_one(plan: PlanArtifact, read: dict[str, tuple[str, ...]], follow: _Follow) -> bool:
    """Whether a run takes all columns for other ones.

    What is read of a source has one version. Who reads a table made of it is left alone where the contents are the
    same, which are not compared for a task without early cutoff.
    """
    return not plan.task.early_cutoff and any(
        follow.graph.producer(name) is None for name in plan.deps.inputs if name in read or name in follow.changes
    )


def _recalculated(plan: PlanArtifact, then: PlanArtifact) -> frozenset[str] | None:
    """The columns that a plan would calculate otherwise; None where it would have other rows."""
    if plan.calculations.rows != then.calculations.rows:
        return None
    before = plan.calculations.columns
    return frozenset(name for name, found in then.calculations.columns.items() if before.get(name, found) != found)


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
