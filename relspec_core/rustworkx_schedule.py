"""Waves: which tasks can run on the evidence there is, in which order, and what keeps the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relspec_core.errors import did_you_mean
from relspec_core.garbage import left_alone
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
        graph: what they were scheduled by; schedules are equal where their tasks are.
    """

    waves: tuple[tuple[str, ...], ...]
    blocked: Mapping[str, tuple[Reason, ...]]
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
