"""Casts of a query's columns to the types of its plan."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import duckdb

from relspec_core.model.duckdb_types import from_duckdb, to_duckdb
from relspec_core.model.names import quoted_column

if TYPE_CHECKING:
    import ibis

    from relspec_core.engines.duckdb_connection import DuckDBConnection


def cast_query(connection: DuckDBConnection, sql: str, schema: ibis.Schema) -> tuple[str, dict[str, str]]:
    """The query with casts where the engine's types differ from the plan's, as for a SUM of integers.

    Returns:
        The query, and DuckDB's names of its columns' types.
    """
    with connection.errors():  # a relation is only bound, in half the time of a DESCRIBE
        relation = connection.raw.sql(sql)
    spelled = [str(kind) for kind in relation.types]
    actual = [(name, from_duckdb(kind)) for name, kind in zip(relation.columns, spelled, strict=True)]
    wanted = [(column, from_duckdb(to_duckdb(kind))) for column, kind in schema.items()]
    if actual == wanted:
        return sql, dict(zip(schema, spelled, strict=True))
    columns = [
        quoted_column(column)
        if found == kind
        else f"CAST({quoted_column(column)} AS {to_duckdb(kind)}) AS {quoted_column(column)}"
        for (column, kind), (_, found) in zip(wanted, actual, strict=True)
    ]
    listing = ", ".join(quoted_column(column) for column, _ in wanted)
    types = {
        column: kind if found == want else _spelled(to_duckdb(want))
        for (column, want), (_, found), kind in zip(wanted, actual, spelled, strict=True)
    }
    return f"SELECT {', '.join(columns)} FROM ({sql}) AS plan ({listing})", types  # noqa: S608 - names are quoted


@lru_cache
def _spelled(kind: str) -> str:
    """DuckDB's own spelling of a type."""
    return str(duckdb.sqltype(kind))
