"""The loaded catalog of a code location as a resource, which plans what is stale at a later moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_core.plan_catalog import PlanCatalog
from relspec_core.planning.run_plan import RunPlan, plan_outputs
from relspec_core.warehouses.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogResource:
    """Plans, and their assets.

    ``build_definitions`` puts it among the resources, where schedules find it.

    Attributes:
        plan_catalog: the plans.
        keys: the asset of each evidence.
    """

    plan_catalog: PlanCatalog
    keys: Mapping[str, dg.AssetKey]

    def outputs(self, keys: Iterable[dg.AssetKey]) -> tuple[str, ...]:
        """The tables of tasks that these assets are, by task; assets of others are left out."""
        wanted = frozenset(keys)
        return tuple(plan.name for plan in self.plan_catalog if self.keys[plan.name] in wanted)

    def plan(self, outputs: Iterable[str], warehouse: Warehouse) -> RunPlan:
        """What bringing these tables up to date would take now."""
        return plan_outputs(self.plan_catalog, warehouse=warehouse, outputs=outputs)

    def keys_of(self, planned: RunPlan) -> tuple[dg.AssetKey, ...]:
        """The assets that a plan would build, upstream first."""
        return tuple(self.keys[output] for task in planned.schedule.order for output in planned.graph.outputs_of(task))


def catalog_key(resource_key: str) -> str:
    """The resource key of the catalog whose database has this one."""
    return f"{resource_key}_catalog"
