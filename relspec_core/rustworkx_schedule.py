"""Waves: which tasks can run on the evidence there is, in which order, and what keeps the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.errors import did_you_mean
from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import MissingEvidence, Reason, WaitsForTask
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.evidence import EvidenceCatalog
    from relspec_core.graph_inference import RuleGraph


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Tasks in waves, and those that are blocked.

    Attributes:
        waves: front to back; each sorted by name.
        blocked: task to its reasons, by name; at least one each.
        edges: what each task must find.
    """

    waves: tuple[tuple[str, ...], ...]
    blocked: Mapping[str, tuple[Reason, ...]]
    edges: Mapping[str, tuple[EdgeRequirement, ...]]

    @property
    def order(self) -> tuple[str, ...]:
        """The tasks that can run, wave after wave."""
        return tuple(task for wave in self.waves for task in wave)

    def explain(self, task: str) -> str:
        """When a task runs and what it reads, or why it is blocked.

        Raises:
            KeyError: where the schedule knows no such task.
        """
        if task not in self.edges:
            raise KeyError(f"no task '{task}'; {did_you_mean(task, self.edges)}there are {', '.join(self.edges)}")
        reads = [f"  {edge.evidence}: {edge.needs}" for edge in self.edges[task]]
        if task in self.blocked:
            return "\n".join([f"{task} is blocked", *(f"  {reason}" for reason in self.blocked[task]), "reads", *reads])
        wave = next(number for number, tasks in enumerate(self.waves, start=1) if task in tasks)
        return "\n".join([f"{task} runs in wave {wave} of {len(self.waves)}", "reads", *(reads or ["  nothing"])])

    def __str__(self) -> str:
        lines = [f"wave {number}: {', '.join(tasks)}" for number, tasks in enumerate(self.waves, start=1)]
        lines += [f"blocked: {reason}" for reasons in self.blocked.values() for reason in reasons]
        return "\n".join(lines) or "nothing to run"


def schedule_rules(graph: RuleGraph, *, evidence: EvidenceCatalog, tasks: Iterable[str] | None = None) -> Schedule:
    """Waves of tasks that can run on this evidence, ordered by name only.

    A task is ready when all that it reads exists with the columns that it reads: in ``evidence``, or written by a task
    of an earlier wave, whose plan then says what the table has.

    Args:
        graph: of a ``TaskGraph``.
        evidence: what exists now. Absent evidence has no columns.
        tasks: only these; all where left out.

    Returns:
        Waves front to back. A task that is not ready is in ``blocked`` with at least one reason. O(V + E) plus sorting.
    """
    view = TaskGraph(graph)
    readiness = Readiness(view, evidence=evidence, tasks=tasks)
    waiting, waves, ready = readiness.waiting, [], readiness.ready
    while ready:
        waves.append(ready)
        ready = readiness.arrive(*(_planned(view, output) for task in ready for output in view.outputs_of(task)))
    return Schedule(
        waves=tuple(waves),
        blocked=_blocked(readiness),
        edges={task: view.edges_of(task) for task in sorted((*readiness.ready, *waiting))},
    )


def _planned(view: TaskGraph, output: str) -> Evidence:
    """An output as its plan will write it."""
    schema = view.schema_of(output)
    if schema is None:
        raise ValueError(f"the graph has no schema for '{output}', which task '{view.producer(output)}' writes")
    return Evidence(name=output, schema=schema, task=view.producer(output))


def _blocked(readiness: Readiness) -> dict[str, tuple[Reason, ...]]:
    """Why each waiting task is blocked; where another blocked task would write what it reads, what keeps that task."""
    view = readiness.graph
    broken = {task: readiness.reasons(task) for task in readiness.waiting}
    causes: dict[str, str] = {}

    def waits(reason: Reason) -> str | None:
        producer = view.producer(reason.evidence)
        return producer if isinstance(reason, MissingEvidence) and producer in broken else None

    def cause(task: str) -> str:
        """What is wrong at the start of the chain; walked without recursion, as chains may be long."""
        chain = [task]
        while chain[-1] not in causes:
            own = [reason for reason in broken[chain[-1]] if waits(reason) is None]
            if own:
                causes[chain[-1]] = str(own[0])
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
