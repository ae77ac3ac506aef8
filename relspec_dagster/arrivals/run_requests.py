"""The decision of a tick: which stale tasks one run can build now, and the run key that their evidence gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from relspec_core.evidence import EvidenceCatalog
from relspec_core.graph_edge_validation import ReadinessReason, check_edge
from relspec_core.model.hashing import digest
from relspec_core.model.reasons import Reason
from relspec_core.rustworkx_schedule import schedule_rules
from relspec_dagster.arrivals.evidence_poller import EvidencePoller
from relspec_dagster.arrivals.held_reasons import AlreadyRequested, RunInProgress, UnknownContents, WaitsForHeldTask

MOST_LAUNCHES = 4  # of the same request, where its runs fail before they begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The tasks to request now, and the reasons for the others.

    Attributes:
        asked: the tasks to request, by name, each with the key of its evidence; empty where none is.
        run_key: of the request.
        arrived: the sources that these tasks were not yet built with.
        still_asked: tasks that were requested earlier and are still stale, with their keys.
        held: the ready stale tasks that have to wait, each with the reason.
        blocked: the stale tasks that are not ready, each with the reasons.
    """

    asked: Mapping[str, str]
    run_key: str
    arrived: tuple[str, ...]
    still_asked: Mapping[str, str]
    held: Mapping[str, Reason]
    blocked: Mapping[str, tuple[ReadinessReason, ...]]


def decide(
    known: EvidencePoller,
    *,
    keys: Mapping[str, str],
    asked: Mapping[str, str],
    building: Mapping[str, str],
    lost: Callable[[Mapping[str, str]], Mapping[str, int]],
) -> Decision:
    """The stale tasks that are ready, with those that become so in the same run, less those that have to wait.

    A task that a run in progress builds is decided when that has ended. One that was requested with the same
    evidence and is still stale has failed with it, unless its run never began: then it is requested again, by
    another run key. Tasks downstream of either wait for it.

    Args:
        known: what exists, and the freshness of the tasks.
        keys: of the evidence of each stale task.
        asked: the keys of earlier requests, by task.
        building: the run that builds a task.
        lost: counts, for tasks requested with these keys in vain, the runs that failed before they began.
    """
    graph, evidence, stale = known.graph, known.observation.evidence, known.freshness.stale
    reads = {task: [edge.evidence for edge in graph.edges_of(task)] for task in stale}
    held: dict[str, Reason] = {}
    in_vain = {task: keys[task] for task in stale if task not in building and asked.get(task) == keys[task]}
    launched = {task: number for task, number in lost(in_vain).items() if number < MOST_LAUNCHES}
    for task in stale:
        before = (graph.producer(name) for name in reads[task])
        waits = next((writer for writer in before if writer in held), None)
        unknown = next(_unknown(task, known), None)
        if task in building:
            held[task] = RunInProgress(run=building[task])
        elif task in in_vain and task not in launched:
            held[task] = AlreadyRequested()
        elif waits is not None:
            held[task] = WaitsForHeldTask(task=waits)
        elif unknown is not None:
            held[task] = UnknownContents(evidence=unknown)
    candidates = [task for task in stale if task not in held]
    rewritten = {output for task in stale for output in graph.outputs_of(task)}
    read = {name for task in candidates for name in reads[task]} - rewritten
    there = EvidenceCatalog(evidence[name] for name in read if name in evidence)
    schedule = schedule_rules(graph, evidence=there, tasks=candidates)
    wanted = {task: keys[task] for task in sorted(schedule.order)}
    again = {task: str(number) for task, number in launched.items()}
    return Decision(
        asked=wanted,
        run_key=digest(tuple((task, key, again.get(task, ""), *_built(task, known)) for task, key in wanted.items())),
        arrived=tuple(sorted({source for task in wanted for source in _arrived(task, known)})),
        still_asked={task: asked[task] for task in stale if task in asked},
        held=held,
        blocked=schedule.blocked,
    )


def _unknown(task: str, known: EvidencePoller) -> Iterator[str]:
    """The sources that satisfy the edges of a task and whose contents are unknown."""
    for edge in known.graph.edges_of(task):
        is_source = known.graph.producer(edge.evidence) is None
        if is_source and known.versions.of(edge) is None and not check_edge(edge, known.observation.evidence):
            yield edge.evidence


def _built(task: str, known: EvidencePoller) -> tuple[str, ...]:
    """When the tables of a task were built last: to build them again from the same evidence is another request."""
    records = known.observation.records
    return tuple(str(records[name].built_at) for name in known.graph.outputs_of(task) if name in records)


def _arrived(task: str, known: EvidencePoller) -> set[str]:
    """The sources whose present contents a task was not built with."""
    evidence = known.observation.evidence
    tables = [evidence[name] for name in known.graph.outputs_of(task) if name in evidence]
    built_from = [table.record.inputs for table in tables if table.record is not None]
    return {
        name
        for name, versions in known.freshness.freshness[task].inputs.items()
        if known.graph.producer(name) is None and not any(inputs.get(name) == versions for inputs in built_from)
    }
