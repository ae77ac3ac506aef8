"""One asset check for each inferred edge: has the evidence the columns that this table's plan reads?

The reader carries the check, on its own asset, and the check gates its materialization. On the upstream's asset it
would have to hold for all readers at once, and would start each of them when the upstream is materialized.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import ReadinessReason, check_edge
from relspec_core.graph_inference import EdgeRequirement
from relspec_dagster.translation.metadata import columns_required_by, reasons_markdown
from relspec_dagster.translation.names import check_names


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCheck:
    """An edge as a check on the asset whose plan has it.

    Attributes:
        edge: what is required.
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
            description=f"'{self.edge.evidence}' has what this table is made from: {self.edge.needs}.",
            metadata={"relspec/required_columns": columns_required_by([self.edge])},
        )

    def evaluate(self, evidence: Mapping[str, Evidence]) -> EdgeVerdict:
        """Whether the evidence there is meets the edge, and if not why."""
        return EdgeVerdict(key=self.key, reasons=check_edge(self.edge, evidence))


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeVerdict:
    """What evaluating a check found.

    Attributes:
        key: of the check.
        reasons: what is missing; nothing where the edge is met.
    """

    key: dg.AssetCheckKey
    reasons: tuple[ReadinessReason, ...]

    @property
    def result(self) -> dg.AssetCheckResult:
        """The result for Dagster to record; a failed one has the reasons as description and as ``relspec/reasons``."""
        return dg.AssetCheckResult(
            asset_key=self.key.asset_key,
            check_name=self.key.name,
            passed=not self.reasons,
            severity=dg.AssetCheckSeverity.ERROR,
            description="\n".join(str(reason) for reason in self.reasons) or None,
            metadata={"relspec/reasons": reasons_markdown(self.reasons)} if self.reasons else {},
        )

    @property
    def evaluation(self) -> dg.AssetCheckEvaluation:
        """The same for Dagster to record outside of a run: it is of the materialization that is the last one then."""
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
