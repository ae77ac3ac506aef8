"""Tasks that take so little time that several of them share a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.fingerprints.user_functions import has_python_functions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.evidence import Evidence
    from relspec_core.plan_catalog import PlanCatalog


# Even all pairs of so many rows take a second at most.
MOST_ROWS = 10_000


def is_small(task: str, plans: PlanCatalog, evidence: Mapping[str, Evidence], table_sizes: Mapping[str, int]) -> bool:
    """Whether a task certainly takes little time: it reads few rows, and its plans generate none.

    Args:
        task: its name.
        plans: the compiled catalog.
        evidence: what exists; a view counts as large.
        table_sizes: approximate row counts of the warehouse's tables, by lower-case name.
    """
    found = plans.of_task(task)
    rows = 0
    for name in {name for plan in found for name in plan.deps.inputs}:
        observed = evidence.get(name)
        known = (
            observed.rows if observed is not None and observed.rows is not None else table_sizes.get(name.casefold())
        )
        if known is None:
            return False
        rows += known
    return rows <= MOST_ROWS and not any(
        plan.generates_rows or plan.memory or has_python_functions(plan.expr) for plan in found
    )
