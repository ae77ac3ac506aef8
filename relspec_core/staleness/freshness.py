"""Which tables are not what their plans would write now, and why: the one answer to "is it stale?"."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING
from uuid import uuid4

from relspec_core.evidence import FILES, Versions
from relspec_core.graph_edge_validation import check_edge
from relspec_core.graph_inference import requirements, task_graph_from_catalog
from relspec_core.lineage.column_graph import InputColumn
from relspec_core.model.hashing import digest
from relspec_core.staleness.reasons import (
    CalculationChanged,
    ChangedOutside,
    ColumnsChanged,
    ContentsChanged,
    InputChanged,
    KindChanged,
    Nondeterministic,
    NotBuilt,
    OrderChanged,
    RowsChanged,
    Unchanged,
    UnknownInput,
    UnknownOrigin,
    UnverifiedFiles,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.evidence import BuildRecord, Evidence
    from relspec_core.fingerprints.column_fingerprints import ColumnFingerprint
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.model.reasons import Reason
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
    from relspec_core.staleness.reasons import How


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Whether a task's tables are what its plan would write now.

    Attributes:
        task: the task.
        stale: why it has to run; None where it has not.
        inputs: the versions of what it reads of each evidence; less those that are not known now.
        by_inputs: whether it is stale only because something that it reads has another version.
    """

    task: str
    stale: Reason | None
    inputs: Mapping[str, Versions]
    by_inputs: bool = False

    @property
    def reason(self) -> Reason:
        """The reason to run it, or to leave it."""
        return self.stale or Unchanged()


class FreshnessEngine:
    """Compares tables with what their plans would write now.

    It answers two questions. ``update`` works out the freshness of all tasks, upstream first, each as if those before
    it were brought up to date: what a run has to do. Called again with what has changed, it costs what the tasks cost
    that the change concerns. ``reason``, ``is_unchanged`` and ``kept`` look at one table and at what exists now.

    Args:
        plans: what the tasks compute.
        evidence: what exists.
        versions: of what an edge reads, see ``InputVersions.of``; asked only for satisfied edges.
        contents: the digest of what an edge reads of another task's table, see ``InputDigests.of``; asked only where
            versions differ.
        graph: of the plans, where there is one already.
        rebuild_volatile: whether a table is stale only because its plan may give other values each time. Where it is
            not, such a table counts with the versions that it was built with.

    Attributes:
        freshness: of each task, after an update.
        order: the tasks, each after those that write what it reads; none before the first update without a graph.
    """

    __slots__ = (
        "_contents",
        "_evidence",
        "_graph",
        "_places",
        "_plans",
        "_rebuild_volatile",
        "_versions",
        "_versions_now",
        "freshness",
        "order",
    )

    def __init__(
        self,
        plans: PlanCatalog,
        *,
        evidence: Mapping[str, Evidence],
        versions: Callable[[EdgeRequirement], Versions | None],
        contents: Callable[[EdgeRequirement], str | None] = lambda edge: None,  # noqa: ARG005 - none are compared
        graph: TaskGraph | None = None,
        rebuild_volatile: bool = True,
    ) -> None:
        self._plans, self._evidence, self._versions, self._contents = plans, evidence, versions, contents
        self._graph = graph
        self.order: tuple[str, ...] = () if graph is None else graph.order
        self._rebuild_volatile = rebuild_volatile
        self._versions_now: dict[str, Versions] = {}  # of outputs, as their plans would write them
        self._places: dict[str, int] = {}
        self.freshness: dict[str, Freshness] = {}

    # -- all tasks, as if those before them were brought up to date ----------------------------------------------------

    @property
    def stale(self) -> list[str]:
        """The stale tasks, each after those that write what it reads."""
        return [task for task in self.order if self.freshness[task].stale is not None]

    def update(
        self,
        changed: Iterable[str] | None = None,
        *,
        evidence: Mapping[str, Evidence] | None = None,
        versions: Callable[[EdgeRequirement], Versions | None] | None = None,
    ) -> None:
        """Work out the freshness of the tasks that a change concerns, and of those after them as far as it matters.

        Args:
            changed: the evidence that appeared, disappeared or changed; everything where left out, and the first time.
            evidence: what exists now, where that is another mapping.
            versions: of what edges read, where those are others.
        """
        self._evidence = self._evidence if evidence is None else evidence
        self._versions = self._versions if versions is None else versions
        graph = self._graph = self._graph or task_graph_from_catalog(self._plans)
        if not self._places:
            self.order = graph.order
            self._places = {task: place for place, task in enumerate(self.order)}
        if changed is None or not self.freshness:
            places = set(self._places.values())
        else:
            places = {self._places[task] for name in changed for task in _concerned(graph, name)}
        waiting = [*places]
        heapify(waiting)
        while waiting:
            task = self.order[heappop(waiting)]
            self.freshness[task], now = self._freshness(graph, task)
            for name, found in now.items():
                if self._versions_now.get(name) != found:
                    self._versions_now[name] = found
                    for place in map(self._places.__getitem__, graph.readers(name)):
                        if place not in places:
                            places.add(place)
                            heappush(waiting, place)

    def _freshness(self, graph: TaskGraph, task: str) -> tuple[Freshness, Mapping[str, Versions]]:
        """Whether one task is stale, and the versions that its outputs have for their readers."""
        inputs: dict[str, Versions] = {}
        for edge in graph.edges_of(task):
            if graph.producer(edge.evidence) is not None:
                inputs[edge.evidence] = self._versions_now[edge.evidence].only(edge.columns)
            elif not check_edge(edge, self._evidence) and (read := self._versions(edge)) is not None:
                inputs[edge.evidence] = read
        now = {}
        for plan in self._plans.of_task(task):
            complete = all(name in inputs for name in plan.deps.inputs)
            unknown = f"unknown until {task} is built"
            now[plan.name] = output_versions(plan, inputs, build=unknown) if complete else Versions(rows=unknown)
        stale, by_inputs = self._why(graph, task, inputs, now)
        if stale is None and not self._rebuild_volatile:
            now.update(
                (plan.name, recorded.versions)
                for plan in self._plans.of_task(task)
                if _nondeterminism(plan) and (recorded := self._current(plan.name)) is not None
            )
        return Freshness(task=task, stale=stale, inputs=inputs, by_inputs=by_inputs), now

    def _why(
        self, graph: TaskGraph, task: str, inputs: Mapping[str, Versions], now: Mapping[str, Versions]
    ) -> tuple[Reason | None, bool]:
        """The plainest reason to run a task, and whether that is only another version of something that it reads."""
        changed: list[Reason] = []
        for plan in self._plans.of_task(task):
            recorded, volatile = self._current(plan.name), volatile_reason(plan)
            own = own_reason(plan, self._evidence.get(plan.name))
            if own is None and self._rebuild_volatile:
                own = volatile
            if own is not None or recorded is None:
                return own, False
            edges = [edge for edge in graph.edges_of(task) if edge.evidence in plan.deps.inputs]
            changed += [reason for edge in edges if (reason := self._unverified(edge, recorded)) is not None]
            counted = _counted(plan)
            if volatile or recorded.versions.only(counted) != now[plan.name].only(counted):
                found = [self._changed(graph, edge, recorded, inputs.get(edge.evidence)) for edge in edges]
                reasons = [reason for reason in found if reason is not None]
                if not reasons and not volatile:
                    reasons = [UnknownOrigin(table=plan.name)]
                changed += reasons
        return next(iter(changed), None), bool(changed)

    def _changed(
        self, graph: TaskGraph, edge: EdgeRequirement, recorded: BuildRecord, now: Versions | None
    ) -> Reason | None:
        """What has another version than it had, of one evidence that a task reads."""
        name, before = edge.evidence, recorded.inputs.get(edge.evidence)
        if before is None or now is None:
            source = self._evidence.get(name)
            is_untold = source is not None and source.kind == FILES and source.version is None
            return UnknownInput(evidence=name, needs=edge.needs, is_untold=is_untold)
        columns = tuple(column for column in edge.columns if before.of(column) != now.of(column))
        if not columns and before.rows == now.rows:
            return None
        how, cause = self._how(graph, name, columns)
        return InputChanged(evidence=name, columns=columns, how=how, producer=graph.producer(name), cause=cause or "")

    def _how(self, graph: TaskGraph, name: str, columns: tuple[str, ...]) -> tuple[How, str | None]:
        """How columns of an evidence came to have other versions, and the cause of nondeterminism."""
        found = self._evidence.get(name)
        written = None if found is None else found.record
        if graph.producer(name) is None:
            return "contents", None
        if written is None:
            return "rebuild", None
        plan = self._plans[name]
        before, now = written.calculations, own_calculations(plan)
        if before.rows != now.rows:
            return "rows", None
        if any(before.of(column) != now.of(column) for column in columns):
            return "calculation", None
        cause = _nondeterminism(plan)
        return ("rebuild" if cause is None else "nondeterminism"), cause

    # -- single tables, and what exists now ----------------------------------------------------------------------------

    def versions(self, edge: EdgeRequirement) -> Versions | None:
        """The versions of what a satisfied edge reads now; None where they are not known."""
        return self._versions(edge)

    def reason(self, output: str) -> Reason | None:
        """Why a table is not what its plan would write now; None where it is, or where that is not known now.

        What may give other values each time counts as unchanged.

        Args:
            output: the table; its edges are satisfied.
        """
        own = own_reason(self._plans[output], self._evidence.get(output))
        if own is not None:
            return own
        for edge in self._edges(output):
            if self._versions(edge) is not None and not self.is_unchanged(output, edge):
                return ContentsChanged(evidence=edge.evidence, needs=edge.needs)
        return None

    def reads_the_same(self, output: str, evidence: str) -> bool:
        """Whether a table that its present plan wrote reads of one evidence what it read when it was built."""
        return all(self.is_unchanged(output, edge) for edge in self._edges(output) if edge.evidence == evidence)

    def is_unchanged(self, output: str, edge: EdgeRequirement, *, carried: Versions | None = None) -> bool:
        """Whether a table reads by one edge what it read when it was built: by versions, or else by contents.

        Args:
            output: the table.
            edge: of its task.
            carried: earlier versions of its inputs that denote the same contents.
        """
        found = self._evidence.get(output)
        recorded = None if found is None else found.record
        if recorded is None or check_edge(edge, self._evidence) or self._unverified(edge, recorded) is not None:
            return False
        before = recorded.inputs.get(edge.evidence)
        if before is None:  # another output's input
            return edge.evidence not in recorded.reads
        before = before.only(edge.columns)  # an internal table that was wider has read more
        if any(now is not None and before == now.only(edge.columns) for now in (self._versions(edge), carried)):
            return True
        read_before = recorded.input_digests.get(edge.evidence)
        return read_before is not None and read_before == self._contents(edge)

    def is_as_planned(self, output: str) -> bool:
        """Whether its present plan wrote a table, gives the same each time, and the table is as recorded."""
        plan = self._plans[output]
        return own_reason(plan, self._evidence.get(output)) is None and volatile_reason(plan) is None

    def kept(self, output: str) -> BuildRecord | None:
        """The record of a table that is what its plan would write now; None where it has to be built."""
        edges, recorded = self._edges(output), self._current(output)
        if recorded is None or not self.is_as_planned(output):
            return None
        if not all(self.is_unchanged(output, edge) for edge in edges):
            return None
        inputs = {edge.evidence: found for edge in edges if (found := self._versions(edge)) is not None}
        return carried_record(self._plans[output], recorded, inputs) if len(inputs) == len(edges) else None

    def _edges(self, output: str) -> tuple[EdgeRequirement, ...]:
        plan = self._plans[output]
        return requirements(plan.task.name, plan.deps)

    def _current(self, output: str) -> BuildRecord | None:
        found = self._evidence.get(output)
        return None if found is None else found.current

    def _unverified(self, edge: EdgeRequirement, recorded: BuildRecord) -> Reason | None:
        """Whether files were read and never compared since with what was planned, and are others now."""
        found, planned = self._evidence.get(edge.evidence), recorded.input_digests.get(edge.evidence)
        if found is None or found.kind != FILES or planned in (None, found.version):
            return None
        return UnverifiedFiles(evidence=edge.evidence)


def output_versions(plan: PlanArtifact, inputs: Mapping[str, Versions], *, build: str) -> Versions:
    """The versions of a table: what computes its rows and columns, and the versions of what these come from.

    Args:
        plan: of the table.
        inputs: the versions of what it reads of each evidence.
        build: something that no other build has: a part of all that may come out differently each time.
    """

    def version(role: str, calculation: ColumnFingerprint, *more: str) -> str:
        read = []
        for source in calculation.inputs:
            if source.evidence in inputs:
                found = inputs[source.evidence]
                column = source.column if isinstance(source, InputColumn) else None
                read.append((source.evidence, column or "", found.rows if column is None else found.of(column)))
        chance = build if calculation.volatile and not plan.task.deterministic else ""
        return digest((role, calculation.hash, *more, tuple(read), chance))

    rows = version("rows", plan.calculations.rows)
    columns = {name: version("column", found, rows) for name, found in plan.calculations.columns.items()}
    return Versions(rows=rows, columns=columns)


def table_version(plan: PlanArtifact, versions: Versions) -> str:
    """One version for all of a table."""
    return digest(("version", plan.fingerprint, plan.task.kind, versions.rows, tuple(sorted(versions.columns.items()))))


def own_calculations(plan: PlanArtifact) -> Versions:
    """The plan's own part in the versions of its table."""
    found = plan.calculations
    return Versions(rows=found.rows.hash, columns={name: column.hash for name, column in found.columns.items()})


def carried_record(plan: PlanArtifact, recorded: BuildRecord, inputs: Mapping[str, Versions]) -> BuildRecord:
    """The record of a table that is left unchanged where what it reads has other versions now.

    Args:
        plan: of the table.
        recorded: its record.
        inputs: the versions of what its task reads.
    """
    read = {name: inputs[name] for name in plan.deps.inputs}
    versions = output_versions(plan, read, build=uuid4().hex)
    return replace(recorded, versions=versions, version=table_version(plan, versions), inputs=read)


def own_reason(plan: PlanArtifact, found: Evidence | None) -> Reason | None:  # noqa: PLR0911 - one case for each reason
    """Why a table has to be built whatever it reads, and however often its plan gives something else."""
    if found is None or found.record is None:
        return NotBuilt(table=plan.name)
    recorded = found.current
    if recorded is None:
        return ChangedOutside(table=plan.name)
    if recorded.kind != plan.task.kind:
        return KindChanged(table=plan.name, before=recorded.kind, now=plan.task.kind)
    before, now = _known(plan, recorded), own_calculations(plan).only(_counted(plan))
    if before.rows != now.rows:
        return RowsChanged()
    gone, new = sorted(set(before.columns) - set(now.columns)), sorted(set(now.columns) - set(before.columns))
    if gone or new:
        return ColumnsChanged(gone=tuple(gone), new=tuple(new))
    other = tuple(name for name, calculation in now.columns.items() if before.columns[name] != calculation)
    if other:
        return CalculationChanged(columns=other)
    return OrderChanged() if _is_reordered(plan, recorded) else None


def volatile_reason(plan: PlanArtifact) -> Nondeterministic | None:
    """Why a table has to be built each time, though its plan and all that it reads are unchanged."""
    cause = _nondeterminism(plan)
    return None if cause is None else Nondeterministic(cause=cause)


def _counted(plan: PlanArtifact) -> tuple[str, ...]:
    """The columns of a table by which it is fresh or stale: of an internal one, those that its readers need."""
    return tuple(plan.schema) if plan.needed is None else plan.needed


def _known(plan: PlanArtifact, recorded: BuildRecord) -> Versions:
    """The recorded calculations that count.

    Of an internal table more may have been written than is needed now: that serves as well, as long as readers may ask
    for it. Where the table was left as it is, the versions of what was not needed then are not kept.
    """
    found, versions = recorded.calculations, recorded.versions
    if plan.needed is None:
        return found
    return found.only(
        column
        for column in found.columns
        if column not in plan.whole or (column in plan.needed and column in versions.columns)
    )


def _is_reordered(plan: PlanArtifact, recorded: BuildRecord) -> bool:
    if plan.needed is None:
        return recorded.fingerprint != plan.fingerprint
    return tuple(column for column in recorded.columns if column in plan.needed) != plan.needed


def _nondeterminism(plan: PlanArtifact) -> str | None:
    """Why what counts of a table may come out differently each time."""
    found = (plan.calculations.rows, *(plan.calculations.columns[column] for column in _counted(plan)))
    volatile = next((part.volatile for part in found if part.volatile), None)
    return volatile if volatile and not plan.task.deterministic else None


def _concerned(graph: TaskGraph, name: str) -> tuple[str, ...]:
    """The task that writes an evidence, or, of a source, those that read it."""
    if name not in graph.evidence_indices:
        return ()
    producer = graph.producer(name)
    return graph.readers(name) if producer is None else (producer,)
