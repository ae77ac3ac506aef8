"""What a catalog computes and reads, as plain values to compare later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relspec_core.errors import CatalogError

if TYPE_CHECKING:
    from pathlib import Path

    from relspec_core.plan_catalog import PlanCatalog


ROWS = "rows"


def plan_snapshot(plans: PlanCatalog) -> dict[str, Any]:
    """What a catalog computes and reads, as plain values: by output its task, types, hashes and required columns."""
    return {
        plan.name: {
            "task": plan.task.name,
            "kind": plan.task.kind,
            "types": {column: str(kind) for column, kind in plan.schema.items()},
            ROWS: plan.calculations.rows.hash,
            "columns": {column: found.hash for column, found in plan.calculations.columns.items()},
            "reads": {name: list(columns) for name, columns in plan.deps.required_columns.items()},
        }
        for plan in plans
    }


def read_plan_snapshot(path: Path) -> dict[str, Any]:
    """The snapshot in a file that ``relspec plan --json`` wrote.

    Raises:
        CatalogError: RS100, where the file is no such.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))["plans"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(
            f"'{path}' is no saved plan: {error}", at=str(path), hint="write one: relspec plan --json > plan.json"
        ) from error
