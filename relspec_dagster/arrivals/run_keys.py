"""Keys of the evidence that tasks would be built from, made again only for those that something new concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from relspec_core.evidence import TableState, Versions
from relspec_core.graph_inference import TaskGraph
from relspec_core.model.hashing import digest
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.freshness import Freshness, FreshnessEngine
from relspec_core.staleness.observation import Observation
from relspec_dagster.arrivals.instance_queries import KEY_LENGTH


class _Kept(NamedTuple):
    """A key, and all that it was made of beside the plan."""

    fresh: Freshness
    arrived: str
    damage: tuple[str, ...]
    key: str


class RunKeys:
    """Of each task a digest of all that it would be built from.

    That is its plan, the versions of what it reads, and the marks of all sources that it comes from, whether it reads
    what has changed in them or not: a task that failed is tried again when something arrives. Where somebody has
    dropped or changed its table, the record of its last build is a part as well.

    Args:
        plans: the compiled catalog.
        graph: of the plans.
    """

    __slots__ = ("_arrived", "_kept", "_outputs", "_plans", "_reads")

    def __init__(self, plans: PlanCatalog, graph: TaskGraph) -> None:
        by_task = plans.by_task
        self._plans = {task: tuple((plan.name, plan.fingerprint) for plan in by_task[task]) for task in graph.order}
        self._outputs = {task: graph.outputs_of(task) for task in graph.order}
        self._reads = {task: tuple(edge.evidence for edge in graph.edges_of(task)) for task in graph.order}
        self._arrived: dict[str, str] = {}  # by evidence: a source's mark, or a digest of all marks that a table is of
        self._kept: dict[str, _Kept] = {}  # by task

    def of(self, fresh: FreshnessEngine, marks: Mapping[str, str], observed: Observation) -> dict[str, str]:
        """The key of each stale task now.

        Args:
            fresh: the freshness of the tasks on this observation.
            marks: of each source something that changes whenever it arrives.
            observed: what exists.
        """
        self._arrive(marks)
        return {task: self._key(task, fresh.freshness[task], observed) for task in fresh.stale}

    def _arrive(self, marks: Mapping[str, str]) -> None:
        """Take the marks into account, for the tasks that come from sources with other ones than before."""
        new = {name for name, mark in marks.items() if self._arrived.get(name) != mark}
        is_first = not self._arrived
        self._arrived.update(marks)
        for task, outputs in self._outputs.items() if new or is_first else ():
            reads = self._reads[task]
            if is_first or not new.isdisjoint(reads):
                arrived = digest(tuple(self._arrived.get(name, "") for name in reads))
                self._arrived.update(dict.fromkeys(outputs, arrived))
                new.update(outputs)

    def _key(self, task: str, fresh: Freshness, observed: Observation) -> str:
        outputs = self._outputs[task]
        made_of = (fresh, self._arrived[outputs[0]], _damage(outputs, observed))
        kept = self._kept.get(task)
        if kept is None or kept.fresh is not made_of[0] or kept[1:3] != made_of[1:]:
            kept = self._kept[task] = _Kept(*made_of, key=self._digest(task, *made_of))
        return kept.key

    def _digest(self, task: str, fresh: Freshness, arrived: str, damage: tuple[str, ...]) -> str:
        read = tuple((name, *_token(versions)) for name, versions in sorted(fresh.inputs.items()))
        return digest((task, self._plans[task], arrived, read, damage))[:KEY_LENGTH]


def _damage(outputs: Iterable[str], observed: Observation) -> tuple[str, ...]:
    """When those tables of a task were built that were dropped or changed outside relspec since."""
    return tuple(
        str(observed.records[name].built_at)
        for name in outputs
        if name in observed.records and observed.state_of(name) is not TableState.CURRENT
    )


def _token(versions: Versions) -> tuple[str, tuple[tuple[str, str], ...]]:
    return versions.rows, tuple(sorted(versions.columns.items()))
