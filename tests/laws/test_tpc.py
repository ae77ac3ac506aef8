"""TPC-H and TPC-DS: SQL texts on generated data, and the Ibis expressions beside their SQL twins."""

import re
from decimal import Decimal, InvalidOperation

import ibis
import pytest

from relspec_core.errors import BuilderError
from relspec_core.inferred_deps import ColumnUse, Use
from tests.laws import tpc
from tests.laws.cutting import cut_tables, rows_of
from tests.laws.tpc import TpcQuery
from tests.support.catalogs import deps_of_text


@pytest.mark.parametrize("query", tpc.QUERIES, ids=str)
def test_a_query_gives_its_rows_on_the_columns_that_it_requires_and_does_not_bind_with_one_less(
    query: TpcQuery,
) -> None:
    con = tpc.warehouse(query.suite).con
    plan = tpc.plan_on(query.suite, query.text)
    # Compared in order: with one thread, even rows that the text leaves in any order come out alike.
    rows = rows_of(con, query.text)
    assert rows_of(con, plan.sql) == rows
    assert plan.deps.unresolved == {}
    with con.cursor() as cursor, cut_tables(cursor, plan.deps) as cut:
        assert cut.rows(plan.sql) == rows
        assert list(cut.needless(plan.sql)) == []


@pytest.mark.parametrize("query", [query for query in tpc.QUERIES if query.suite == "tpch"], ids=str)
def test_a_tpch_plan_gives_the_published_answer(query: TpcQuery) -> None:
    plan = tpc.plan_on(query.suite, query.text)
    found = tpc.warehouse(query.suite).con.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({plan.sql})").fetchall()
    answer = tpc.answer(query).removesuffix("\n").split("\n")[1:]
    assert [[cell(value) for value in row] for row in found] == [list(map(cell, row.split("|"))) for row in answer]


def cell(text: str | None) -> str:
    """A value without what two ways of writing it differ in: zeros at the end, spaces around, how NULL is written."""
    try:
        return str(Decimal(text or "").normalize())
    except InvalidOperation:
        return (text or "").strip()


@pytest.mark.parametrize("query", tpc.IBIS_QUERIES, ids=str)
def test_an_ibis_expression_requires_what_its_sql_twin_does_and_has_the_edges_of_the_sql_that_ibis_prints(
    query: TpcQuery,
) -> None:
    tables = tpc.tables(query.suite)
    plan = tpc.plan_on(query.suite, query)
    assert plan.deps.required_columns == deps_of_text(query.ibis_text, tables, plan.schema).required_columns
    assert plan.deps == deps_of_text(str(ibis.to_sql(plan.expr, dialect="duckdb")), tables, plan.schema)


def test_ds_39_differs_from_its_twin_in_how_columns_are_used_and_not_in_which() -> None:
    # It groups by a name that nothing reads afterwards, which Ibis prints as GROUP BY 1, 2, 3, 4: dropping unread
    # outputs before those numbers are spelled out loses a key. DuckDB reads the name for both, and so do we.
    query = TpcQuery("tpcds", 39)
    plan = tpc.plan_on(query.suite, query)
    twin = deps_of_text(query.ibis_text, tpc.tables(query.suite), plan.schema)
    printed = str(ibis.to_sql(plan.expr, dialect="duckdb"))
    assert re.search(r"GROUP BY\s+1,\s+2,\s+3,\s+4", printed)
    group_key = ColumnUse("warehouse", "w_warehouse_name", Use.GROUP_BY)
    for deps in (plan.deps, twin):
        assert group_key in deps.row_uses
        assert deps.uses_of("warehouse")["w_warehouse_name"] == (Use.GROUP_BY,)
    # The twin joins in its WHERE clause and divides in a CASE; Ibis has joins and NULLIF.
    assert plan.deps.uses_of("item")["i_item_sk"] != twin.uses_of("item")["i_item_sk"]
    assert plan.deps.lineage["cov1"] != twin.lineage["cov1"]


@pytest.mark.parametrize("number", sorted(tpc.NEED_ROLLUP))
def test_the_other_ibis_expressions_do_not_build(number: int) -> None:
    with pytest.raises(BuilderError):
        tpc.plan_on("tpcds", TpcQuery("tpcds", number))
