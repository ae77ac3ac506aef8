"""Functions by kind: those that give more rows than a query reads."""

import pytest

from relspec_core.sql.function_catalog import generates_rows
from relspec_core.sql.parsing import parse_query


@pytest.mark.parametrize(
    "query",
    [
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 5) SELECT x FROM n",
        "SELECT range FROM range(5)",
        "SELECT list_sum(range(5)) AS x",
        "SELECT x FROM t WHERE x IN (SELECT generate_series FROM generate_series(1, 5))",
        "SELECT unnest(xs) AS x FROM t",
        "SELECT u.x FROM t CROSS JOIN unnest(t.xs) AS u(x)",
        "SELECT generate_subscripts(xs, 1) AS x FROM t",
        "SELECT repeat('x', 5) AS x",
        "SELECT a FROM read_csv('a.csv')",
        "SELECT a FROM parquet_scan('a.parquet')",
        "SELECT file FROM glob('*')",
        "SELECT x FROM query('SELECT 1 AS x')",
        "SELECT x FROM query_table('t')",
    ],
)
def test_recursion_table_functions_and_lists_generate_rows(query: str) -> None:
    assert generates_rows(parse_query(query, dialect="duckdb"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT t.range, \"repeat\", 'unnest(x)' AS note FROM t JOIN read_me USING (x) -- range(5)",
        "SELECT v.x FROM (VALUES (1), (2)) AS v(x)",
        "SELECT t.x, u.y FROM t, LATERAL (SELECT t.x + 1 AS y) AS u",
        "WITH n AS (SELECT x FROM t) SELECT sum(x) OVER (ORDER BY x) AS x FROM n",
    ],
)
def test_names_texts_and_derived_tables_generate_none(query: str) -> None:
    assert not generates_rows(parse_query(query, dialect="duckdb"))
