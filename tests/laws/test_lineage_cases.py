"""95 queries with the right answers, each checked against DuckDB itself (tests/lineage_cases)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ibis
import pytest
import sqlglot
from ibis.backends.sql.datatypes import DuckDBType

from relspec_core import SourceSpec
from relspec_core.errors import SqlError
from relspec_core.inferred_deps import InferredDeps, infer_deps
from relspec_core.lineage.canonical_query import plan_tree
from tests.support.catalogs import plan_of

CASES: Mapping[str, Mapping[str, Any]] = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "cases" / "lineage" / "edge_cases.json").read_text())
}
REFUSED = [name for name, case in CASES.items() if "error" in case["expected"]]


def deps_of(case: Mapping[str, Any]) -> InferredDeps:
    query = sqlglot.parse_one(case["sql"], read=case["dialect"])
    tree = plan_tree(query, schemas=case["schema"], dialect=case["dialect"])  # ty: ignore[invalid-argument-type]
    outputs = tree.root.names if tree.root.spread is None else case["expected"]["output"]
    schemas = {
        name: ibis.schema({column: DuckDBType.from_string(kind) for column, kind in columns.items()})
        for name, columns in case["schema"].items()
    }
    return infer_deps(tree, outputs=outputs, schemas=schemas)


def lineage_of(deps: InferredDeps, *, direct: bool) -> dict[str, list[tuple[str, str]]]:
    return {
        output: sorted({(use.evidence, use.column) for use in uses if use.use.is_direct is direct})
        for output, uses in deps.lineage.items()
    }


def pairs(lineage: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    return {output: sorted((evidence, column) for evidence, column in columns) for output, columns in lineage.items()}


def assert_exact(name: str) -> None:
    expected = CASES[name]["expected"]
    deps = deps_of(CASES[name])
    assert list(deps.inputs) == sorted(expected["tables"])
    assert deps.required_columns == {table: tuple(sorted(columns)) for table, columns in expected["required"].items()}
    assert lineage_of(deps, direct=True) == pairs(expected["lineage"])
    indirect = lineage_of(deps, direct=False)
    wanted = pairs(expected.get("indirect_per_output", {}))
    assert {output: indirect[output] for output in wanted} == wanted


@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED])
def test_required_columns_and_lineage_are_exact(name: str) -> None:
    assert_exact(name)


@pytest.mark.parametrize(
    "name", [name for name in CASES if any(CASES[name]["expected"].get("required_fields", {}).values())]
)
def test_struct_fields_that_are_read_are_told_by_their_path(name: str) -> None:
    wanted = {table: paths for table, paths in CASES[name]["expected"]["required_fields"].items() if paths != [""]}
    assert {table: list(paths) for table, paths in deps_of(CASES[name]).required_fields.items()} == wanted


@pytest.mark.parametrize("name", REFUSED)
def test_a_query_that_the_engine_refuses_is_refused_when_it_is_compiled(name: str) -> None:
    case = CASES[name]
    sources = [
        SourceSpec(table, schema={column: DuckDBType.from_string(kind) for column, kind in columns.items()})
        for table, columns in case["schema"].items()
    ]
    with pytest.raises(SqlError, match="does not bind"):
        plan_of(case["sql"], sources)


def test_every_case_is_tested() -> None:
    assert len(CASES) == 95
