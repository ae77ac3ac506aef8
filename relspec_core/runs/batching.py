"""Which tasks take so little time that several of them share a transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relspec_core.fingerprints.user_functions import has_python_functions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.evidence import Evidence
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


# Even all pairs of so many rows take a second at most.
MOST_ROWS = 10_000
MAKES_ROWS = re.compile(
    r"\b(recursive|range|generate_series|repeat|unnest|glob|query|query_table|(read|scan)_\w+|\w+_scan)\b",
    re.IGNORECASE,
)


def is_small(task: str, plans: PlanCatalog, evidence: Mapping[str, Evidence], sources: Mapping[str, int]) -> bool:
    """Whether a task surely takes little time: it reads few rows, and makes none by itself.

    Args:
        task: its name.
        plans: where its plans are.
        evidence: what there is now; views count as large.
        sources: about how many rows the tables of the warehouse have, as far as that is known.
    """
    found = plans.of_task(task)
    rows = 0
    for name in {name for plan in found for name in plan.deps.inputs}:
        recorded = evidence.get(name)
        known = recorded.rows if recorded is not None and recorded.rows is not None else sources.get(name.casefold())
        if known is None:
            return False
        rows += known
    return rows <= MOST_ROWS and not any(map(_may_take_long, found))


def _may_take_long(plan: PlanArtifact) -> bool:
    return bool(MAKES_ROWS.search(plan.sql)) or bool(plan.memory) or has_python_functions(plan.expr)
