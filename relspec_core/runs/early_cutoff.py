"""Tasks that are stale only because something that they read was built anew, which came out as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.staleness.unchanged_inputs import as_left, reads_the_same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.evidence import BuildRecord, Versions
    from relspec_core.graph_inference import EdgeRequirement
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.publication import Publication


class EarlyCutoff:
    """Finds them, as far as a run has come.

    Args:
        planned: of the run.
    """

    __slots__ = ("_carried", "_planned")

    def __init__(self, planned: RunPlan) -> None:
        self._planned = planned
        self._carried: dict[str, Versions] = {}  # the earlier versions of tables that were left as they are

    def records(self, task: str, publication: Publication) -> dict[str, BuildRecord] | None:
        """The records that a task's tables get where they are left as they are; None where they have to be built."""
        plans = self._planned.plans.of_task(task)
        for plan in plans:  # of a transaction that did not come to its end
            self._carried.pop(plan.name, None)
        if not self._planned.freshness[task].by_inputs:
            return None
        now, versions = publication.now, publication.versions(records=publication.now)
        edges = self._planned.graph.edges_of(task)
        inputs = {edge.evidence: versions(edge) for edge in edges if edge.evidence in now}
        records = {plan.name: record for plan in plans if (record := now[plan.name].current) is not None}
        if not all(self._is_same(edge, records[plan.name], inputs, publication) for plan in plans for edge in edges):
            return None
        self._carried.update((name, record.versions) for name, record in records.items())
        return {plan.name: as_left(plan, records[plan.name], inputs) for plan in plans}

    def _is_same(
        self, edge: EdgeRequirement, recorded: BuildRecord, inputs: Mapping[str, Versions], publication: Publication
    ) -> bool:
        """Whether a table reads of one evidence what it read when it was built."""
        return reads_the_same(
            edge,
            recorded,
            versions=(inputs.get(edge.evidence), self._carried.get(edge.evidence)),
            contents=lambda found: publication.contents.of(found, publication.now),
        )
