"""Tables that stay as they are: what they read is what they read when they were built, whatever was written since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from relspec_core.graph_edge_validation import check_edge
from relspec_core.graph_inference import requirements
from relspec_core.staleness.freshness import output_versions, own_reason, table_version, volatile_reason
from relspec_core.staleness.input_digests import InputDigests
from relspec_core.staleness.input_versions import known_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.compilation.plan_artifact import PlanArtifact
    from relspec_core.evidence import BuildRecord, Evidence, Versions
    from relspec_core.graph_inference import EdgeRequirement
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.warehouses.warehouse import Warehouse


def reads_the_same(
    edge: EdgeRequirement,
    recorded: BuildRecord,
    *,
    versions: Iterable[Versions | None],
    contents: Callable[[EdgeRequirement], str | None],
) -> bool:
    """Whether a table reads of one evidence what it read when it was built.

    Args:
        edge: from the evidence to the table's task.
        recorded: of the table.
        versions: those of what it reads that stand for its contents now; None for one that is not known.
        contents: gives the digest of what it reads; asked only where no version is the recorded one.
    """
    before = recorded.inputs.get(edge.evidence)
    if before is None:  # another output's input
        return edge.evidence not in recorded.reads
    before = before.only(edge.columns)  # an internal table that was wider has read more
    if any(found is not None and before == found.only(edge.columns) for found in versions):
        return True
    read_before = recorded.input_digests.get(edge.evidence)
    return read_before is not None and read_before == contents(edge)


def as_left(plan: PlanArtifact, recorded: BuildRecord, inputs: Mapping[str, Versions]) -> BuildRecord:
    """The record of a table that is left as it is where what it reads has other versions now.

    Args:
        plan: of the table.
        recorded: what is recorded of it.
        inputs: the versions of what its task reads.
    """
    read = {name: inputs[name] for name in plan.deps.inputs}
    versions = output_versions(plan, read, build=uuid4().hex)
    return replace(recorded, versions=versions, version=table_version(plan, versions), inputs=read)


class UnchangedInputs:
    """Tells which tables are what their plans would write from what there is now, each by what it reads itself.

    Args:
        plans: of the tables, and of what they read.
        evidence: what there is now, with the records of the tables and of what they read.
        warehouse: where it is; only read.
        cutoff_rows: the most rows of a table whose contents are compared.
    """

    __slots__ = ("_contents", "_evidence", "_known", "_plans")

    def __init__(
        self, plans: PlanCatalog, evidence: Mapping[str, Evidence], warehouse: Warehouse, *, cutoff_rows: int
    ) -> None:
        self._plans, self._evidence = plans, evidence
        records = {name: found.record for name, found in evidence.items() if found.record is not None}
        self._known = known_versions(evidence, warehouse, plans, records)
        self._contents = InputDigests(plans=plans, warehouse=warehouse, cutoff_rows=cutoff_rows)

    def versions(self, edge: EdgeRequirement) -> Versions | None:
        """Those of what an edge that is met reads; None where they can't be known now."""
        written = self._evidence[edge.evidence].versions
        return self._known(edge) if written is None else written.only(edge.columns)

    def changed(self, output: str) -> str | None:
        """Why a table is not what its plan would write now; None where it is, or where that can't be known now.

        What may come out differently each time counts as unchanged.

        Args:
            output: the table; its edges are met.
        """
        own = own_reason(self._plans[output], self._evidence.get(output))
        if own is not None:
            return own
        for edge in self._edges(output).values():
            if self.versions(edge) is not None and not self.is_unchanged(output, edge.evidence):
                return f"reads {edge.needs} of '{edge.evidence}', which changed"
        return None

    def is_as_planned(self, output: str) -> bool:
        """Whether a table was built by the plan that it has now, which gives the same each time, and is as it was."""
        plan = self._plans[output]
        return own_reason(plan, self._evidence.get(output)) is None and volatile_reason(plan) is None

    def is_unchanged(self, output: str, evidence: str) -> bool:
        """Whether a table that was built reads of one evidence what it read then."""
        edge = self._edges(output).get(evidence)
        if edge is None:  # it reads nothing of it any more
            return True
        recorded = self._evidence[output].record
        if recorded is None or check_edge(edge, self._evidence):
            return False
        return reads_the_same(
            edge,
            recorded,
            versions=[self.versions(edge)],
            contents=lambda found: self._contents.of(found, self._evidence),
        )

    def record(self, output: str) -> BuildRecord | None:
        """The record of a table that is what its plan would write now; None where it has to be built."""
        edges, found = self._edges(output), self._evidence.get(output)
        recorded = None if found is None else found.current
        if (
            recorded is None
            or not self.is_as_planned(output)
            or not all(self.is_unchanged(output, name) for name in edges)
        ):
            return None
        inputs = {name: found for name, edge in edges.items() if (found := self.versions(edge)) is not None}
        return as_left(self._plans[output], recorded, inputs) if len(inputs) == len(edges) else None

    def _edges(self, output: str) -> Mapping[str, EdgeRequirement]:
        plan = self._plans[output]
        return {edge.evidence: edge for edge in requirements(plan.task.name, plan.deps)}
