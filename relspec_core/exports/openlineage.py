"""Column lineage in the terms of OpenLineage: the ``columnLineage`` facet of each table that a task writes.

The facet: https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet, version 1-2-0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlglot import exp

from relspec_core import __version__
from relspec_core.lineage.column_graph import Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.inferred_deps import ColumnUse
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


PRODUCER = f"pkg:pypi/relspec@{__version__}"
SCHEMA_URL = "https://openlineage.io/spec/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"

MASKS = (exp.MD5, exp.MD5Digest, exp.SHA, exp.SHA2, exp.Count)

Facet: TypeAlias = "dict[str, Any]"


def column_lineage_facet(plan: PlanArtifact, *, namespace: str, dialect: str, producer: str = PRODUCER) -> Facet:
    """The ``columnLineage`` facet of one table.

    ``fields`` has every output column, in order, with what its value comes from and what decides it alone; a constant
    has no input fields. ``dataset`` has what decides which rows there are, once for all columns. In-memory tables are
    no datasets, and rows that are merely counted have no field: neither is in it.

    Args:
        plan: of the table.
        namespace: of the datasets read; their names are the evidence's.
        dialect: that descriptions are written in.
        producer: URI of what made the facet.
    """
    computed = _computed(plan)
    return {
        "_producer": producer,
        "_schemaURL": SCHEMA_URL,
        "fields": {
            column: {"inputFields": _input_fields(uses, namespace, _Step.of(computed.get(column), dialect))}
            for column, uses in plan.deps.lineage.items()
        },
        "dataset": _input_fields(plan.deps.row_uses, namespace, _Step()),
    }


def column_lineage_facets(
    plans: PlanCatalog, *, namespace: str, producer: str = PRODUCER
) -> dict[str, dict[str, Facet]]:
    """The facet of every table, by task and output: tasks by name, outputs in the order of the task."""
    found: dict[str, dict[str, Facet]] = {}
    for plan in plans:
        facet = column_lineage_facet(plan, namespace=namespace, dialect=plans.dialect, producer=producer)
        found.setdefault(plan.task.name, {})[plan.name] = facet
    return found


def to_openlineage_json(plans: PlanCatalog, *, namespace: str, producer: str = PRODUCER) -> str:
    """The same as JSON text."""
    return json.dumps(column_lineage_facets(plans, namespace=namespace, producer=producer), indent=2)


@dataclass(frozen=True, slots=True)
class _Step:
    """What the outermost SELECT does to a column: its SQL, and whether nobody can tell the inputs from the outcome."""

    description: str = ""
    masks: bool = False

    @classmethod
    def of(cls, expression: exp.Expr | None, dialect: str) -> _Step:
        if expression is None:
            return cls()
        columns = list(expression.find_all(exp.Column))
        return cls(expression.sql(dialect), bool(columns) and all(_is_masked(column, expression) for column in columns))


def _is_masked(column: exp.Expr, expression: exp.Expr) -> bool:
    node: exp.Expr | None = column
    while node is not None and node is not expression:
        node = node.parent
        if isinstance(node, MASKS) or (isinstance(node, exp.Anonymous) and node.name.lower() == "hash"):
            return True
    return False


def _computed(plan: PlanArtifact) -> dict[str, exp.Expr]:
    """The output columns that the outermost SELECT computes, rather than passes on from further in."""
    if not isinstance(plan.ast, exp.Select):
        return {}
    return {
        projection.alias_or_name: projection.unalias()
        for projection in plan.ast.expressions
        if not isinstance(projection.unalias(), exp.Column)
    }


def _input_fields(uses: Iterable[ColumnUse], namespace: str, step: _Step) -> list[dict[str, Any]]:
    """Each input column once, with all of its uses."""
    found: dict[tuple[str, str], list[Use]] = {}
    for use in sorted(uses):
        found.setdefault((use.evidence, use.column), []).append(use.use)
    return [
        {
            "namespace": namespace,
            "name": evidence,
            "field": column,
            "transformations": [_transformation(use, step) for use in kinds],
        }
        for (evidence, column), kinds in found.items()
    ]


def _transformation(use: Use, step: _Step) -> dict[str, Any]:
    """``masking`` is there where it is certain: a hash and a count mask, and what is passed on as it is does not."""
    found: dict[str, Any] = {"type": "DIRECT" if use.is_direct else "INDIRECT", "subtype": str(use)}
    if step.description:
        found["description"] = step.description
    if use is Use.IDENTITY:
        found["masking"] = False
    elif use.is_direct and step.masks:
        found["masking"] = True
    return found
