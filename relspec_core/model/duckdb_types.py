"""DuckDB's names of types and Ibis's types; each pair is worked out once, as reading a name takes a parser."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, cast

import ibis
from ibis.backends.sql.datatypes import DuckDBType

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import ibis.expr.datatypes as dt


MOST = 10_000


@lru_cache(MOST)
def from_duckdb(name: str) -> dt.DataType:
    """The Ibis type that DuckDB calls so."""
    return DuckDBType.from_string(name)


def to_duckdb(kind: dt.DataType) -> str:
    """DuckDB's name of a type."""
    return _name_of(cast("Hashable", kind))


@lru_cache(MOST)
def _name_of(kind: dt.DataType) -> str:
    return DuckDBType.to_string(kind)


def schema_from_duckdb(types: Mapping[str, str]) -> ibis.Schema:
    """The schema of columns whose types DuckDB calls so."""
    return ibis.schema({column: from_duckdb(name) for column, name in types.items()})


def as_written(schema: ibis.Schema) -> ibis.Schema:
    """The schema of a table that DuckDB writes with this one: not all of Ibis's types have one of their own there."""
    types = schema_to_duckdb(schema)
    same = all(from_duckdb(types[column]) == kind for column, kind in schema.items())
    return schema if same else schema_from_duckdb(types)


def schema_to_duckdb(schema: ibis.Schema | Mapping[str, dt.DataType]) -> dict[str, str]:
    """DuckDB's name of each column's type."""
    return {column: to_duckdb(kind) for column, kind in schema.items()}
