"""DataHub: its SQL parser's column lineage; its caches are switched off by the environment."""

from __future__ import annotations

from typing import Any

from datahub.sql_parsing.schema_resolver import SchemaResolver  # ty: ignore[import-not-found]
from datahub.sql_parsing.sqlglot_lineage import sqlglot_lineage  # ty: ignore[import-not-found]

from benchmarks.rival_tools.answering import Query, serve

Given = tuple[str, SchemaResolver]


def prepare(query: Query) -> Given:
    """The query, and a resolver that knows the tables that it reads."""
    resolver = SchemaResolver(platform="duckdb", env="PROD")
    for table, columns in query["tables"].items():
        resolver.add_raw_schema_info(f"urn:li:dataset:(urn:li:dataPlatform:duckdb,{table},PROD)", dict(columns))
    return query["text"], resolver


def infer(given: Given) -> list[Any]:
    """Its column lineage."""
    text, resolver = given
    found = sqlglot_lineage(text, schema_resolver=resolver)
    problem = found.debug_info.table_error or found.debug_info.column_error
    if problem is not None:
        raise problem
    return found.column_lineage or []


def answer(columns: list[Any]) -> dict[str, set[tuple[str, str]]]:
    """Each output's upstream columns, tables by their name inside the URN."""
    return {
        column.downstream.column: {(upstream.table.split(",")[1], upstream.column) for upstream in column.upstreams}
        for column in columns
    }


if __name__ == "__main__":
    serve(prepare=prepare, infer=infer, answer=answer)
