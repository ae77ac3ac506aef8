"""Which tasks have to run, and why: current versions compared with those recorded."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from relspec_core.evidence import FILES, Versions
from relspec_core.graph_edge_validation import check_edge
from relspec_core.lineage.column_graph import InputColumn
from relspec_core.model.formatting import listed
from relspec_core.model.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.evidence import BuildRecord, Evidence, EvidenceCatalog
    from relspec_core.fingerprints.column_fingerprints import ColumnFingerprint
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


UNCHANGED = "unchanged: its plan and all that it reads are as they were when it was built"
UNTOLD = "whose store tells neither times nor checksums, so that it may have changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Whether a task's tables are what its plan would write now.

    Attributes:
        task: the task.
        stale: why it has to run; None where it has not.
        inputs: the versions of what it reads of each evidence; less those that can't be read now.
        by_inputs: whether it is stale only because something that it reads has another version.
    """

    task: str
    stale: str | None
    inputs: Mapping[str, Versions]
    by_inputs: bool = False

    @property
    def reason(self) -> str:
        """The reason to run it, or to leave it."""
        return self.stale or UNCHANGED


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


def freshness(
    graph: TaskGraph,
    plans: PlanCatalog,
    *,
    evidence: EvidenceCatalog,
    input_versions: Callable[[EdgeRequirement], Versions | None],
) -> dict[str, Freshness]:
    """For every task, upstream first, whether it is stale.

    Args:
        graph: of the plans.
        plans: what the tasks compute now.
        evidence: what there is now.
        input_versions: the versions of a source as one of its readers sees it, None where they are not known; asked
            only for edges that are met.
    """
    versions: dict[str, Versions] = {}
    found: dict[str, Freshness] = {}
    for task in graph.order:
        found[task], now = task_freshness(
            graph, plans, task, versions=versions, evidence=evidence, input_versions=input_versions
        )
        versions.update(now)
    return found


def task_freshness(
    graph: TaskGraph,
    plans: PlanCatalog,
    task: str,
    *,
    versions: Mapping[str, Versions],
    evidence: Mapping[str, Evidence],
    input_versions: Callable[[EdgeRequirement], Versions | None],
    by_chance: bool = True,
) -> tuple[Freshness, Mapping[str, Versions]]:
    """Whether one task is stale, and the versions that its outputs have for those who read them.

    Args:
        graph: of the plans.
        plans: what the tasks compute now.
        task: its name.
        versions: of the outputs of all tasks before it.
        evidence: what there is now.
        input_versions: as of ``freshness``.
        by_chance: whether a table is stale only because it may come out differently each time. Where it is not, the
            table counts with the versions that it was built with.
    """
    inputs: dict[str, Versions] = {}
    for edge in graph.edges_of(task):
        if graph.producer(edge.evidence) is not None:
            inputs[edge.evidence] = versions[edge.evidence].only(edge.columns)
        elif not check_edge(edge, evidence) and (read := input_versions(edge)) is not None:
            inputs[edge.evidence] = read
    now = {}
    for plan in plans.of_task(task):
        complete = all(name in inputs for name in plan.deps.inputs)
        unknown = f"unknown until {task} is built"
        now[plan.name] = output_versions(plan, inputs, build=unknown) if complete else Versions(rows=unknown)
    stale, by_inputs = _why(graph, plans, task, inputs=inputs, now=now, evidence=evidence, by_chance=by_chance)
    if stale is None and not by_chance:
        now.update(
            (plan.name, recorded.versions)
            for plan in plans.of_task(task)
            if _doubt(plan) and (recorded := evidence.get(plan.name)) is not None and recorded.versions is not None
        )
    return Freshness(task=task, stale=stale, inputs=inputs, by_inputs=by_inputs), now


def _why(
    graph: TaskGraph,
    plans: PlanCatalog,
    task: str,
    *,
    inputs: Mapping[str, Versions],
    now: Mapping[str, Versions],
    evidence: Mapping[str, Evidence],
    by_chance: bool,
) -> tuple[str | None, bool]:
    """The plainest reason to run a task, and whether it is only that it reads something that has another version."""
    changed: list[str] = []
    for plan in plans.of_task(task):
        found = evidence.get(plan.name)
        recorded = None if found is None else found.current
        own, doubt = own_reason(plan, found), volatile_reason(plan)
        if own is None and by_chance:
            own = doubt
        if own is not None or recorded is None:
            return own, False
        counted = _counted(plan)
        if doubt or recorded.versions.only(counted) != now[plan.name].only(counted):
            reasons = [
                reason
                for edge in graph.edges_of(task)
                if edge.evidence in plan.deps.inputs
                and (reason := _changed(graph, plans, edge, recorded, inputs.get(edge.evidence), evidence)) is not None
            ]
            if not reasons and not doubt:
                reasons = [f"the versions of what '{plan.name}' was built from are not known"]
            changed += reasons
    return next(iter(changed), None), bool(changed)


def own_reason(plan: PlanArtifact, found: Evidence | None) -> str | None:  # noqa: PLR0911 - one case for each reason
    """Why a table has to be built whatever it reads, and however often its plan gives something else."""
    if found is None or found.record is None:
        return f"'{plan.name}' does not exist yet"
    recorded = found.current
    if recorded is None:
        return f"'{plan.name}' was changed by somebody else since it was built"
    if recorded.kind != plan.task.kind:
        return f"'{plan.name}' is a {recorded.kind} and is to be a {plan.task.kind}"
    before, now = _known(plan, recorded), own_calculations(plan).only(_counted(plan))
    if before.rows != now.rows:
        return "its plan changed: other rows, by a filter, join, group, order or limit"
    if set(before.columns) != set(now.columns):
        gone, new = sorted(set(before.columns) - set(now.columns)), sorted(set(now.columns) - set(before.columns))
        parts = [f"{word} {listed(names)}" for word, names in (("without", gone), ("with new", new)) if names]
        return f"its plan changed: {' and '.join(parts)}"
    other = [name for name, found in now.columns.items() if before.columns[name] != found]
    if other:
        return f"its plan changed: another calculation of {listed(other)}"
    return "its plan changed: another order of columns" if _is_reordered(plan, recorded) else None


def volatile_reason(plan: PlanArtifact) -> str | None:
    """Why a table has to be built each time, though its plan and all that it reads are as they were."""
    doubt = _doubt(plan)
    return f"{doubt}; declare the task deterministic if that does not matter" if doubt else None


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


def _doubt(plan: PlanArtifact) -> str | None:
    """Why what counts of a table may come out differently each time."""
    found = (plan.calculations.rows, *(plan.calculations.columns[column] for column in _counted(plan)))
    volatile = next((part.volatile for part in found if part.volatile), None)
    return f"it {volatile}" if volatile and not plan.task.deterministic else None


def _changed(
    graph: TaskGraph,
    plans: PlanCatalog,
    edge: EdgeRequirement,
    recorded: BuildRecord,
    now: Versions | None,
    evidence: Mapping[str, Evidence],
) -> str | None:
    """What has another version than it had, of one evidence that a task reads."""
    before = recorded.inputs.get(edge.evidence)
    if before is None or now is None:
        source = evidence.get(edge.evidence)
        is_untold = source is not None and source.kind == FILES and source.version is None
        return f"reads {edge.needs} of '{edge.evidence}', {UNTOLD if is_untold else 'of which no version is known'}"
    columns = [column for column in edge.columns if before.of(column) != now.of(column)]
    if not columns and before.rows == now.rows:
        return None
    what = ", ".join(f"{edge.evidence}.{column}" for column in columns) or f"the rows of {edge.evidence}"
    return f"reads {what}, {_how(graph, plans, edge.evidence, columns, evidence)}"


def _how(graph: TaskGraph, plans: PlanCatalog, name: str, columns: list[str], evidence: Mapping[str, Evidence]) -> str:
    """How columns of an evidence came to have other versions."""
    producer = graph.producer(name)
    if producer is None:
        return "which changed"
    found = evidence.get(name)
    written = None if found is None else found.record
    if written is None:
        return f"which task '{producer}' builds anew"
    plan = plans[name]
    before, now = written.calculations, own_calculations(plan)
    if before.rows != now.rows:
        return "whose rows are chosen anew"
    if any(before.of(column) != now.of(column) for column in columns):
        return "whose calculation changed"
    doubt = _doubt(plan)
    if doubt:
        return f"which may come out differently each time: {doubt}"
    return f"which task '{producer}' builds anew"


class IncrementalFreshness:
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
        self.order = graph.order
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
