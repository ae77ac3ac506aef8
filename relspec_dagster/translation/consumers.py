"""Which assets are made from which evidence: the inferred graph from the evidence to its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_core.graph_inference import EdgeRequirement
from relspec_core.plan_catalog import PlanCatalog
from relspec_dagster.translation.projection import OutputAsset, Projection


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumers:
    """Which assets are made from which evidence.

    Attributes:
        plan_catalog: where the plans are.
        outputs: by name.
        keys: the asset of each evidence.
        by_evidence: the names of the outputs that read each evidence.
    """

    plan_catalog: PlanCatalog
    outputs: Mapping[str, OutputAsset]
    keys: Mapping[str, dg.AssetKey]
    by_evidence: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, projection: Projection, plan_catalog: PlanCatalog) -> Consumers:
        """Those of a projection."""
        outputs = {output.artifact.name: output for output in projection.outputs}
        by_evidence: dict[str, tuple[str, ...]] = {}
        for name, output in outputs.items():
            for read in output.artifact.deps.inputs:
                by_evidence[read] = (*by_evidence.get(read, ()), name)
        return cls(plan_catalog=plan_catalog, outputs=outputs, keys=projection.keys, by_evidence=by_evidence)

    def inputs_of(self, output: OutputAsset) -> Mapping[str, dg.AssetKey]:
        """The assets that an output is made from, by evidence."""
        return {name: self.keys[name] for name in output.artifact.deps.inputs}

    def edges_from(self, evidence: str) -> tuple[EdgeRequirement, ...]:
        """What each output requires of an evidence that it reads."""
        return tuple(
            check.edge
            for name in self.by_evidence.get(evidence, ())
            for check in self.outputs[name].checks
            if check.edge.evidence == evidence
        )
