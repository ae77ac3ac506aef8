"""Digests of what tasks read of other tasks' tables and views: equal ones mean that the contents are unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.engines.engine_error import EngineError
from relspec_core.staleness.external_changes import columns_key
from relspec_core.staleness.input_versions import MOST_BYTES_COMPARED

if TYPE_CHECKING:
    from relspec_core.graph_inference import EdgeRequirement
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.staleness.observation import Observation
    from relspec_core.warehouses.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDigests:
    """Takes digests where they are not recorded.

    Attributes:
        observation: what exists.
        plans: of the tasks, and of what they read.
        warehouse: where the tables are.
        cutoff_rows: the most rows of a table whose contents are compared; a view's are where those that it reads are.
    """

    observation: Observation
    plans: PlanCatalog
    warehouse: Warehouse
    cutoff_rows: int

    def of(self, edge: EdgeRequirement) -> str | None:
        """The digest of what a task reads of what another task wrote; None where contents are not compared.

        Args:
            edge: from the table or view to the task.
        """
        found = self.observation.evidence[edge.evidence]
        if found.record is None:
            return None
        taken = None if found.current is None else found.current.digests.get(columns_key(edge.columns))
        try:
            if not self._is_compared(edge.evidence):
                return None
            return taken or self.warehouse.contents(edge.evidence, [edge.columns])[0]
        except EngineError:
            return None  # a view that fails, which its reader reports, or a snapshot without the rows

    def _is_compared(self, name: str) -> bool:
        found = self.observation.evidence.get(name)
        if found is None or not self.warehouse.compares_contents:
            return False
        if name in self.plans and not self.plans[name].task.early_cutoff:
            return False
        if found.rows is not None:
            return found.rows <= self.cutoff_rows
        if name in self.plans:
            return all(self._is_compared(read) for read in self.plans[name].deps.inputs)
        if name in self.observation.files:
            return self.observation.files[name].size <= MOST_BYTES_COMPARED
        return self.warehouse.counts([name])[name] <= self.cutoff_rows
