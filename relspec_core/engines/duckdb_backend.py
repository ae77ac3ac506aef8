"""DuckDB connections that become an Ibis backend on demand."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb
import ibis

from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.errors import UnsupportedPlanError
from relspec_core.model.names import quoted_column, quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ibis.backends import BaseBackend
    from ibis.backends.duckdb import Backend
    from ibis.backends.sql.compilers.base import SQLGlotCompiler

    from relspec_core.engines.catalog_snapshot import CatalogSnapshot


NAME = "duckdb"
SESSION_SETTINGS = "SELECT name, value FROM duckdb_settings() WHERE scope = 'LOCAL'"
PLACE = ("schema", "search_path")


class ExclusiveDuckDB:
    """A DuckDB connection that loads its Ibis backend, in half a second, only when an attribute of that is used.

    Args:
        con: configured like the connections that Ibis opens.

    Attributes:
        name: of the Ibis backend.
        con: DuckDB's own connection.
    """

    name = NAME

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        con.execute("SET TimeZone = 'UTC'")
        con.execute("SET python_enable_replacements = false")

    @classmethod
    def open(
        cls,
        path: str | Path = ":memory:",
        *,
        read_only: bool = False,
        config: Mapping[str, Any] | None = None,
    ) -> ExclusiveDuckDB:
        """Connect to a file, or to a new database in memory, with these DuckDB settings.

        Raises:
            duckdb.Error: if it can't be opened.
        """
        return cls(duckdb.connect(str(path), read_only=read_only, config=dict(config or {})))

    @cached_property
    def backend(self) -> Backend:
        """The Ibis backend of the same connection."""
        return ibis.duckdb.from_connection(self.con)

    def disconnect(self) -> None:
        """Close the connection."""
        self.con.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all that a backend has
        return getattr(self.backend, name)


class SnapshotDuckDB(ExclusiveDuckDB):
    """The metadata snapshot of a DuckDB file: a database in memory with relspec's own tables and no others.

    Args:
        snapshot: the columns of the other tables, and what was last observed of their contents.
    """

    def __init__(self, *, snapshot: CatalogSnapshot) -> None:
        super().__init__(duckdb.connect())
        self.snapshot = snapshot


Engine: TypeAlias = "BaseBackend | ExclusiveDuckDB"


def connection_of(backend: Engine) -> DuckDBConnection | None:
    """The connection of a DuckDB backend; None for another engine."""
    found: Any = backend  # Ibis's base class declares no connection
    return DuckDBConnection(found.con) if backend.name == NAME else None


def require_sql(backend: Engine) -> None:
    """See that plans can be written in a backend's SQL.

    Raises:
        UnsupportedPlanError: RS202, where it has none.
    """
    if isinstance(backend, ExclusiveDuckDB):
        return
    from ibis.backends.sql import SQLBackend  # noqa: PLC0415 - it loads all of Ibis's dialects

    if not isinstance(backend, SQLBackend):
        raise UnsupportedPlanError(f"the {backend.name} backend has no SQL", hint="use one that has, such as DuckDB.")


def compiler_of(backend: Engine) -> SQLGlotCompiler:
    """Ibis's compiler for a backend that has SQL."""
    found: Any = backend
    return found.compiler


def cursor_of(connection: DuckDBConnection) -> ExclusiveDuckDB:
    """Another connection to the same database, with this one's settings, for another thread."""
    own = connection.cursor()
    found = ExclusiveDuckDB(own.raw)
    before = dict(own.rows(SESSION_SETTINGS))
    for name, value in connection.rows(SESSION_SETTINGS):
        if before.get(name) != value and name not in PLACE:
            own.execute(f"SET {name} = {quoted_text(value)}")
    (place,) = connection.rows("SELECT current_database(), current_schema()")
    own.execute(f"USE {'.'.join(quoted_column(part) for part in place)}")
    return found
