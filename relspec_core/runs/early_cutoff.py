"""Early cutoff: tasks that are stale only because a task before them was rebuilt, with unchanged results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.staleness.freshness import FreshnessEngine, carried_record

if TYPE_CHECKING:
    from relspec_core.evidence import BuildRecord, Versions
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.publication import Publication


class EarlyCutoff:
    """Finds them while a run goes on.

    Args:
        planned: of the run.
    """

    __slots__ = ("_carried", "_planned")

    def __init__(self, planned: RunPlan) -> None:
        self._planned = planned
        self._carried: dict[str, Versions] = {}  # the earlier versions of tables that were left unchanged

    def records(self, task: str, publication: Publication) -> dict[str, BuildRecord] | None:
        """The records that a task's tables get where they are left unchanged; None where they have to be built."""
        plans = self._planned.plans.of_task(task)
        for plan in plans:  # of a transaction that was rolled back
            self._carried.pop(plan.name, None)
        if not self._planned.freshness[task].by_inputs:
            return None
        now, edges = publication.now, self._planned.graph.edges_of(task)
        versions, contents = publication.input_versions().of, publication.input_digests.of
        engine = FreshnessEngine(self._planned.plans, evidence=now, versions=versions, contents=contents)
        records = {plan.name: record for plan in plans if (record := now[plan.name].current) is not None}
        inputs = {edge.evidence: found for edge in edges if edge.evidence in now and (found := versions(edge))}
        is_same = all(
            engine.is_unchanged(name, edge, carried=self._carried.get(edge.evidence))
            for name in records
            for edge in edges
        )
        if not is_same or len(records) < len(plans) or len(inputs) < len(edges):
            return None
        self._carried.update((name, record.versions) for name, record in records.items())
        return {plan.name: carried_record(plan, records[plan.name], inputs) for plan in plans}
