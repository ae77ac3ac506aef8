"""What relspec infers against what DuckDB's optimizer leaves in the scans (tests/plan_oracle)."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from relspec_core import InferredDeps
from tests.laws import tpc
from tests.laws.plan_oracle import LiveColumns, PlanOracle, row_columns
from tests.laws.tpc import TpcQuery
from tests.support.catalogs import deps_of_text

CASES: Mapping[str, Mapping[str, Any]] = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[1] / "cases" / "lineage" / "edge_cases.json").read_text())
}
# DuckDB refuses the others; no case's note says that it folds the case away, and none disagrees.
BOUND = [name for name, case in CASES.items() if "error" not in case["expected"]]
MY_UDF = "CREATE OR REPLACE MACRO my_udf(x, y) AS x + y"

# Where DuckDB reads more than decides the rows, and why (each measured on smaller queries below).
SCALAR = "a join with a scalar subquery stays where nothing reads its value"
WINDOW = "a window stays where nothing reads its values"
UNION = "a UNION ALL of which only the rows are read keeps one column"
RECURSION = "a recursive CTE keeps all of its columns"
MORE_THAN_ROWS: Mapping[str, str] = {
    "tpcds-09": SCALAR,
    "edge-corr-scalar": SCALAR,
    "edge-corr-unqualified": SCALAR,
    "edge-window": WINDOW,
    "edge-window-named": WINDOW,
    "edge-window-frame": WINDOW,
    "edge-union-position": UNION,
    "edge-union-by-name": UNION,
    "edge-union-by-name-missing": UNION,
    "edge-union-all-prune": UNION,
    "edge-recursive-carry": RECURSION,
}


@pytest.fixture(scope="module")
def empty() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database for one oracle after another; to open one takes longer than to ask it."""
    with duckdb.connect(config={"threads": 1}) as connection:
        yield connection


@cache
def tpc_oracle(suite: str) -> PlanOracle:
    return PlanOracle(tpc.tables(suite))


def assert_agree(name: str, deps: InferredDeps, live: LiveColumns) -> None:
    assert live.disagreements(deps) == []
    assert (live.rows > row_columns(deps)) is (name in MORE_THAN_ROWS)


@pytest.mark.parametrize("query", tpc.QUERIES, ids=str)
def test_a_tpc_query_requires_what_duckdb_reads_for_it(query: TpcQuery) -> None:
    live = tpc_oracle(query.suite).ask(query.text)
    assert_agree(str(query), deps_of_text(query.text, tpc.tables(query.suite), live.names), live)


@pytest.mark.parametrize("name", BOUND)
def test_an_edge_case_requires_what_duckdb_reads_for_it_down_to_struct_fields(
    name: str, empty: duckdb.DuckDBPyConnection
) -> None:
    case = CASES[name]
    live = PlanOracle(case["schema"], setup=[MY_UDF], con=empty).ask(case["sql"])
    deps = deps_of_text(case["sql"], case["schema"], live.names)
    assert_agree(name, deps, live)
    assert dict(deps.required_fields) == live.fields


T = {"t": {"a": "INT", "b": "INT", "c": "INT", "d": "INT"}, "u": {"e": "INT", "f": "INT"}}


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        pytest.param("SELECT (SELECT max(e) FROM u) AS m FROM t", {}, id="scalar-pruned"),
        pytest.param("SELECT (SELECT max(e) FROM u WHERE f > 1) AS m FROM t", {"u.f"}, id=SCALAR),
        pytest.param("SELECT a, sum(b) OVER (PARTITION BY c) AS s FROM t", {"t.c"}, id=WINDOW),
        pytest.param("SELECT a, b FROM t UNION ALL SELECT e, f FROM u", {"t.a", "u.e"}, id=UNION),
        pytest.param(
            "WITH RECURSIVE r(x, y) AS (SELECT a, b FROM t UNION ALL SELECT x, y FROM r WHERE x < 3) SELECT x FROM r",
            {"t.a", "t.b"},
            id=RECURSION,
        ),
        pytest.param(
            "WITH x AS (SELECT a, max(b) AS b FROM t GROUP BY a) SELECT l.b FROM x AS l, x", {"t.a"}, id="cte"
        ),
    ],
)
def test_the_oracle_reads_more_for_the_rows_only_where_duckdb_keeps_what_nothing_reads(
    query: str, columns: set[str]
) -> None:
    rows = PlanOracle(T).ask(query).rows
    assert {f"{table}.{column}" for table, column in rows} == set(columns)


def test_the_oracle_notices_a_column_too_few_and_a_column_too_many() -> None:
    oracle = PlanOracle(T)
    live = oracle.ask("SELECT a FROM t WHERE b > 1")
    too_few = deps_of_text("SELECT a FROM t", T, ["a"])
    too_many = deps_of_text("SELECT a + c AS a FROM t WHERE b > d", T, ["a"])
    assert live.disagreements(too_few) == ["{'t': ('a',)} is required, but {'t': ('a', 'b')} is read"]
    assert live.disagreements(too_many) == [
        "{'t': ('a', 'b', 'c', 'd')} is required, but {'t': ('a', 'b')} is read",
        "[('t', 'd')] decide nothing about the rows",
        "output 'a' does not come from [('t', 'c')]",
    ]
    other = oracle.ask("SELECT a + c AS a FROM t WHERE b > 1")
    assert "output 'a' comes from [('t', 'c')] too" in other.disagreements(too_few)


def test_the_oracle_reads_names_that_need_quotes() -> None:
    oracle = PlanOracle({'We.ird "T"': {"s.t": "STRUCT(x INT, y INT)", "s": "INT", "other": "INT"}})
    live = oracle.ask('SELECT "s.t".x AS x FROM "We.ird ""T"""')
    assert live.required == {'We.ird "T"': ("s.t",)}
    assert live.fields == {'We.ird "T"': ("s.t.x",)}
