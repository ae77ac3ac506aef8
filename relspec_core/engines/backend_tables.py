"""The tables of a backend at one moment, with its current catalog and schema."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ibis.common.exceptions import TableNotFound
from sqlglot.dialects.dialect import Dialect

from relspec_core.engines.duckdb_backend import NAME, connection_of
from relspec_core.engines.duckdb_catalog import CatalogTable, catalog_of
from relspec_core.engines.engine_error import EngineError
from relspec_core.model.names import table_parts

if TYPE_CHECKING:
    from collections.abc import Generator

    import ibis

    from relspec_core.engines.duckdb_backend import Engine


def dialect_of(backend: Engine) -> str:
    """SQLGlot's name of a backend's dialect."""
    return NAME if backend.name == NAME else type(Dialect.get_or_raise(backend.dialect)).__name__.lower()


OWN = "relspec_"  # prefix of relspec's own and temporary tables on engines other than DuckDB


class BackendTables:
    """The tables of a backend at one moment.

    Attributes:
        place: the current catalog and schema, outermost first.

    Raises:
        EngineError: from every method, for whatever error of the driver.
    """

    __slots__ = ("_backend", "_live", "place")

    def __init__(self, backend: Engine) -> None:
        self._backend = backend
        with _driver_errors():
            self.place = _place(backend)
        self._live = catalog_of(backend)

    def plain(self, name: str) -> str:
        """The name without the current catalog and schema."""
        *outer, table = table_parts(name)
        return table if outer and tuple(outer) in (self.place, self.place[1:]) else name

    def find(self, name: str) -> CatalogTable | None:
        """The table of that name, in the backend's spelling, with its schema; None if it does not exist."""
        if self._live is not None:
            return self._live.find(name)
        with _driver_errors():
            schema = schema_by_ibis(self._backend, name)
        return None if schema is None else CatalogTable(name=name, schema=schema)

    @property
    def names(self) -> list[str]:
        """Every table, for suggestions."""
        if self._live is not None:
            return self._live.names
        with _driver_errors():
            return [name for name in self._backend.list_tables() if not name.startswith(OWN)]


def schema_by_ibis(backend: Engine, name: str) -> ibis.Schema | None:
    """The schema of a table or view by Ibis, with the driver's own errors; None if it does not exist."""
    try:
        match table_parts(name):
            case (catalog, schema, table):
                return backend.table(table, database=(catalog, schema)).schema()
            case (schema, table):
                return backend.table(table, database=schema).schema()
            case _:
                return backend.table(name).schema()
    except TableNotFound:
        return None


@contextmanager
def _driver_errors() -> Generator[None]:
    try:
        yield
    except EngineError:
        raise
    except Exception as error:  # each driver has errors of its own
        raise EngineError(str(error)) from error


def _place(backend: Engine) -> tuple[str, ...]:
    connection = connection_of(backend)
    if connection is not None:
        return connection.rows("SELECT current_database(), current_schema()")[0]
    names = (getattr(backend, "current_catalog", None), getattr(backend, "current_database", None))
    return tuple(name for name in names if name is not None)
