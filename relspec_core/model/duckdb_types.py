"""Conversion between DuckDB's type names and Ibis types, cached because a name has to be parsed."""

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
    """The Ibis type for a DuckDB type name."""
    return DuckDBType.from_string(name)


def to_duckdb(kind: dt.DataType) -> str:
    """The DuckDB name of an Ibis type."""
    return _name_of(cast("Hashable", kind))


@lru_cache(MOST)
def _name_of(kind: dt.DataType) -> str:
    return DuckDBType.to_string(kind)


def schema_from_duckdb(types: Mapping[str, str]) -> ibis.Schema:
    """The Ibis schema for columns with DuckDB type names."""
    return ibis.schema({column: from_duckdb(name) for column, name in types.items()})


def as_written(schema: ibis.Schema) -> ibis.Schema:
    """The schema that a table has after DuckDB has written it, as some Ibis types have no DuckDB equivalent."""
    types = schema_to_duckdb(schema)
    same = all(from_duckdb(types[column]) == kind for column, kind in schema.items())
    return schema if same else schema_from_duckdb(types)


def schema_to_duckdb(schema: ibis.Schema | Mapping[str, dt.DataType]) -> dict[str, str]:
    """The DuckDB type name of each column."""
    return {column: to_duckdb(kind) for column, kind in schema.items()}
