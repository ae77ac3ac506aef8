"""One asset check for each inferred edge: whether the evidence has the columns that this table's plan reads.

The check is on the reader's own asset and gates its materialization. On the upstream asset it would have to hold for
all readers at once, and would start each of them when the upstream is materialized.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import ReadinessReason, check_edge
from relspec_core.graph_inference import EdgeRequirement
from relspec_dagster.translation.metadata import columns_required_by, reasons_metadata
from relspec_dagster.translation.names import check_names


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCheck:
    """The check of an edge, on the asset whose plan has it.

    Attributes:
        edge: the requirement.
        key: of the check: the reader's asset, and ``requires_`` with the name of the evidence.
    """

    edge: EdgeRequirement
    key: dg.AssetCheckKey

    @property
    def spec(self) -> dg.AssetCheckSpec:
        """Its declaration. It is not ``blocking``: that would block all readers of this asset, and fail its run."""
        return dg.AssetCheckSpec(
            self.key.name,
            asset=self.key.asset_key,
            description=f"Gate: this table is not built until '{self.edge.evidence}' has what its plan reads, "
            f"{self.edge.needs}.",
            metadata={"relspec/required_columns": columns_required_by([self.edge])},
        )

    def evaluate(self, evidence: Mapping[str, Evidence]) -> EdgeVerdict:
        """Whether the evidence satisfies the edge, with the reasons if not."""
        return EdgeVerdict(key=self.key, reasons=check_edge(self.edge, evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeVerdict:
    """The outcome of a check.

    Attributes:
        key: of the check.
        reasons: what is missing; none where the edge is satisfied.
    """

    key: dg.AssetCheckKey
    reasons: tuple[ReadinessReason, ...]

    @property
    def result(self) -> dg.AssetCheckResult:
        """The result for Dagster to record; a failed one has the reasons as description and metadata."""
        return dg.AssetCheckResult(
            asset_key=self.key.asset_key,
            check_name=self.key.name,
            passed=not self.reasons,
            severity=dg.AssetCheckSeverity.ERROR,
            description="\n".join(str(reason) for reason in self.reasons) or None,
            metadata=reasons_metadata(self.reasons),
        )

    @property
    def evaluation(self) -> dg.AssetCheckEvaluation:
        """The result for Dagster to record outside a run: it counts for the last materialization."""
        found = self.result
        return dg.AssetCheckEvaluation(
            asset_key=self.key.asset_key,
            check_name=self.key.name,
            passed=found.passed,
            severity=found.severity,
            description=found.description,
            metadata=found.metadata,
        )


def edge_checks(edges: Iterable[EdgeRequirement], *, asset_key: dg.AssetKey) -> tuple[EdgeCheck, ...]:
    """The checks of one asset, in the order of its edges."""
    edges = tuple(edges)
    names = check_names(edge.evidence for edge in edges)
    return tuple(EdgeCheck(edge=edge, key=dg.AssetCheckKey(asset_key, names[edge.evidence])) for edge in edges)
