"""The catalog of a DuckDB database: its tables and views, read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import ibis

from relspec_core.engines.duckdb_backend import SnapshotDuckDB, connection_of
from relspec_core.model.duckdb_types import schema_from_duckdb
from relspec_core.model.names import table_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_connection import DuckDBConnection


COLUMNS = (
    "SELECT database_name, schema_name, table_name, column_name, data_type FROM duckdb_columns() "
    "WHERE NOT internal ORDER BY database_name, schema_name, table_name, column_index"
)


ColumnRow: TypeAlias = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogTable:
    """A table or view: its evidence name in the catalog's spelling, and its columns."""

    name: str
    schema: ibis.Schema


class DuckDBCatalog:
    """Finds tables by name, whatever the case; reads the whole catalog once, in one query.

    Args:
        connection: names need not contain its current catalog and schema.
        columns: database, schema, table, column and type of every column, in order.
    """

    __slots__ = ("_current", "_found", "_tables")

    def __init__(self, connection: DuckDBConnection, columns: Iterable[ColumnRow]) -> None:
        self._current: tuple[str, str] = connection.rows("SELECT current_database(), current_schema()")[0]
        tables: dict[tuple[str, str, str], dict[str, str]] = {}
        for database, schema, table, column, kind in columns:
            tables.setdefault((database, schema, table), {})[column] = kind
        self._found: dict[str, CatalogTable] = {}  # what was asked for: to read a type takes longer than all else here
        self._tables = {self._key(place): (self.plain(place), found) for place, found in tables.items()}

    def plain(self, place: Iterable[str]) -> str:
        """The evidence name of a catalog, schema and table, without what is current anyway."""
        catalog, schema, table = place
        if (catalog, schema) == self._current:
            return table
        return f"{schema}.{table}" if catalog == self._current[0] else f"{catalog}.{schema}.{table}"

    @staticmethod
    def _key(place: Iterable[str]) -> tuple[str, ...]:
        return tuple(part.casefold() for part in place)

    def types(self, name: str) -> Mapping[str, str] | None:
        """The columns of the table of that name with DuckDB's names of their types; None where there is none."""
        found = self._at(name)
        return None if found is None else found[1]

    def _at(self, name: str) -> tuple[str, dict[str, str]] | None:
        parts = table_parts(name)
        return self._tables.get(self._key((*self._current[: 3 - len(parts)], *parts)))

    def find(self, name: str) -> CatalogTable | None:
        """The table of that name, or None."""
        found = self._at(name)
        if found is None:
            return None
        own, columns = found
        if own not in self._found:
            self._found[own] = CatalogTable(name=own, schema=schema_from_duckdb(columns))
        return self._found[own]

    @property
    def names(self) -> list[str]:
        """Every table and view, sorted; relspec's own records left out."""
        return sorted(name for name, _ in self._tables.values() if not name.startswith("relspec."))


def catalog_of(backend: Engine) -> DuckDBCatalog | None:
    """The current catalog of a DuckDB backend, or that of its snapshot; None for another engine."""
    connection = connection_of(backend)
    if connection is None:
        return None
    columns = backend.snapshot.columns if isinstance(backend, SnapshotDuckDB) else connection.rows(COLUMNS)
    return DuckDBCatalog(connection, columns)
