"""Which tasks have to run, and why: versions that the plans and the evidence have now against those recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.fingerprint import digest
from relspec_core.graph_edge_validation import check_edge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relspec_core.evidence import EvidenceCatalog
    from relspec_core.graph_inference import EdgeRequirement, TaskGraph
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog

UNCHANGED = "unchanged: its plan and all that it reads are as they were when it was built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Whether a task's tables are what its plan would write now.

    Attributes:
        task: the task.
        stale: why it has to run; None where it has not.
        inputs: the version of each evidence that it reads; less those that can't be read now.
    """

    task: str
    stale: str | None
    inputs: Mapping[str, str]

    @property
    def reason(self) -> str:
        """The reason to run it, or to leave it."""
        return self.stale or UNCHANGED


def output_version(plan: PlanArtifact, inputs: Mapping[str, str]) -> str:
    """The version of a table: what computes it, and the versions of what it was computed from."""
    read = tuple((name, inputs[name]) for name in plan.deps.inputs)
    return digest(("version", plan.fingerprint, plan.task.kind, read))


def freshness(
    graph: TaskGraph,
    plans: PlanCatalog,
    *,
    evidence: EvidenceCatalog,
    edge_version: Callable[[EdgeRequirement], str],
) -> dict[str, Freshness]:
    """For every task, upstream first, whether it is stale.

    Args:
        graph: of the plans.
        plans: what the tasks compute now.
        evidence: what there is now.
        edge_version: the version of a source as one of its readers sees it; asked only for edges that are met.
    """
    versions: dict[str, str] = {}
    found: dict[str, Freshness] = {}
    for task in _upstream_first(graph):
        inputs = {}
        for edge in graph.edges_of(task):
            if graph.producer(edge.evidence) is not None:
                inputs[edge.evidence] = versions[edge.evidence]
            elif not check_edge(edge, evidence):
                inputs[edge.evidence] = edge_version(edge)
        found[task] = Freshness(task=task, stale=_why(graph, plans, task, inputs, evidence), inputs=inputs)
        for plan in plans.of_task(task):
            complete = all(name in inputs for name in plan.deps.inputs)
            versions[plan.name] = output_version(plan, inputs) if complete else f"unknown until {task} is built"
    return found


def _upstream_first(graph: TaskGraph) -> list[str]:
    waiting = {task: set(graph.upstream_tasks(task)) for task in graph.tasks}
    readers: dict[str, list[str]] = {}
    for task, upstream in waiting.items():
        for name in upstream:
            readers.setdefault(name, []).append(task)
    order: list[str] = []
    ready = [task for task, upstream in waiting.items() if not upstream]
    while ready:
        order.extend(ready)
        following: list[str] = []
        for done in ready:
            for task in readers.get(done, ()):
                waiting[task].discard(done)
                if not waiting[task]:
                    following.append(task)
        ready = sorted(following)
    return order


def _why(
    graph: TaskGraph, plans: PlanCatalog, task: str, inputs: Mapping[str, str], evidence: EvidenceCatalog
) -> str | None:
    """The first reason to run a task; the plainest first."""
    for plan in plans.of_task(task):
        recorded = evidence.get(plan.name)
        if recorded is None or recorded.fingerprint is None:
            return f"'{plan.name}' does not exist yet"
        if recorded.version is None:
            return f"'{plan.name}' was changed by somebody else since it was built"
        if recorded.fingerprint != plan.fingerprint:
            return "its plan changed"
        if recorded.kind != plan.task.kind:
            return f"'{plan.name}' is a {recorded.kind} and is to be a {plan.task.kind}"
        for name in plan.deps.inputs:
            if recorded.inputs.get(name) != inputs.get(name):
                return _changed(graph, task, name)
    return None


def _changed(graph: TaskGraph, task: str, evidence: str) -> str:
    (edge,) = (edge for edge in graph.edges_of(task) if edge.evidence == evidence)
    producer = graph.producer(evidence)
    what = f", which task '{producer}' computes anew" if producer is not None else ", which changed"
    return f"reads {edge.needs} of '{evidence}'{what}"
