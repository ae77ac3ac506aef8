"""The tables of a backend, as they are at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ibis.common.exceptions import TableNotFound
from sqlglot.dialects.dialect import Dialect

from relspec_core.engines.duckdb_backend import NAME, connection_of
from relspec_core.engines.duckdb_catalog import CatalogTable, catalog_of
from relspec_core.model.names import table_parts

if TYPE_CHECKING:
    from relspec_core.engines.duckdb_backend import Engine


def dialect_of(backend: Engine) -> str:
    """SQLGlot's name of a backend's dialect."""
    return NAME if backend.name == NAME else type(Dialect.get_or_raise(backend.dialect)).__name__.lower()


OWN = "relspec_"  # of relspec's own tables and passing ones, on engines other than DuckDB


class BackendTables:
    """The tables of a backend, as they are at one moment.

    Attributes:
        place: the catalog and schema, outermost first, that the backend means where a name has none.
    """

    __slots__ = ("_backend", "_live", "place")

    def __init__(self, backend: Engine) -> None:
        self._backend = backend
        self.place = _place(backend)
        self._live = catalog_of(backend)

    def plain(self, name: str) -> str:
        """A name without the catalog and schema that the backend uses anyway."""
        *outer, table = table_parts(name)
        return table if outer and tuple(outer) in (self.place, self.place[1:]) else name

    def find(self, name: str) -> CatalogTable | None:
        """The table of that name, in the backend's spelling, with its schema."""
        if self._live is not None:
            return self._live.find(name)
        try:
            match table_parts(name):
                case (catalog, schema, table):
                    found = self._backend.table(table, database=(catalog, schema))
                case (schema, table):
                    found = self._backend.table(table, database=schema)
                case _:
                    found = self._backend.table(name)
        except TableNotFound:
            return None
        return CatalogTable(name=name, schema=found.schema())

    @property
    def names(self) -> list[str]:
        """Every table, for suggestions."""
        if self._live is not None:
            return self._live.names
        return [name for name in self._backend.list_tables() if not name.startswith(OWN)]


def _place(backend: Engine) -> tuple[str, ...]:
    connection = connection_of(backend)
    if connection is not None:
        return connection.rows("SELECT current_database(), current_schema()")[0]
    names = (getattr(backend, "current_catalog", None), getattr(backend, "current_database", None))
    return tuple(name for name in names if name is not None)
