"""A DuckDB connection that reports failures as ``EngineError``."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import duckdb

from relspec_core.engines.engine_error import EngineError, RelationError, StatementInterruptedError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import pyarrow as pa
    from fsspec import AbstractFileSystem


TRANSIENT = (duckdb.IOException, duckdb.ConnectionException, duckdb.HTTPException, duckdb.TransactionException)
LASTING = re.compile(
    r"No files found|No such file|not exist|Permission denied|not supported|No space left|File too large", re.IGNORECASE
)
INVALIDATED = "database has been invalidated"
INTERRUPTED = re.compile(r"^Query interrupted|executing the UDF: KeyboardInterrupt")
MAX_ROLLBACKS = 100


def _engine_error(error: duckdb.Error) -> EngineError:
    message = str(error)
    match error:
        case duckdb.CatalogException():
            return RelationError(message)
        case duckdb.InterruptException():
            return StatementInterruptedError(message)
    return EngineError(
        message,
        is_transient=isinstance(error, TRANSIENT) and not LASTING.search(message),
        is_fatal=isinstance(error, duckdb.FatalException) or INVALIDATED in message,
    )


class DuckDBConnection:
    """A DuckDB connection whose failures are ``EngineError``.

    Args:
        raw: DuckDB's own connection; one thread's.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: duckdb.DuckDBPyConnection) -> None:
        self.raw = raw

    @classmethod
    def scratch(cls, *, config: Mapping[str, str | bool | int | float | list[str]] | None = None) -> Self:
        """Connect to a new database in memory, with these settings of DuckDB."""
        return cls(duckdb.connect(config=dict(config or {})))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the database closes with its last one."""
        self.raw.close()

    def execute(self, sql: str) -> None:
        """Run one statement. Values are part of its text: to bind even a string, DuckDB imports pandas (0.6 s)."""
        with self.errors():
            self.raw.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self.errors():
            return self.raw.execute(sql).fetchall()

    @contextmanager
    def errors(self) -> Generator[None]:
        """Raise a failure as ``EngineError``, and Ctrl-C as ``KeyboardInterrupt``.

        DuckDB turns Ctrl-C into other errors while its threads continue the statement, for which a rollback would wait.
        """
        try:
            yield
        except (RuntimeError, duckdb.Error) as error:
            if INTERRUPTED.search(str(error)):
                self.raw.interrupt()
                raise KeyboardInterrupt from error
            if isinstance(error, duckdb.Error):
                raise _engine_error(error) from error
            raise

    def column_types(self, query: str) -> dict[str, str]:
        """The columns of a query with DuckDB's names of their types; binds the query and runs nothing."""
        return {column: kind for column, kind, *_ in self.rows(f"DESCRIBE {query}")}

    def roll_back(self) -> None:
        """End the transaction, if one is open, without its changes."""
        for _ in range(MAX_ROLLBACKS):
            try:
                self.raw.rollback()
            except duckdb.InterruptException:  # meant for the statement before
                continue
            except duckdb.Error:  # the error has already ended the transaction, or the database
                return
            return

    def interrupt(self) -> None:
        """Stop the statement that another thread runs on this connection."""
        self.raw.interrupt()

    def cursor(self) -> Self:
        """Another connection to the same database, for another thread."""
        return type(self)(self.raw.cursor())

    def register(self, filesystem: AbstractFileSystem) -> None:
        """Make a filesystem known to all connections of the database; once is enough."""
        with suppress(duckdb.InvalidInputException):  # it is already
            self.raw.register_filesystem(filesystem)

    def type_named(self, text: str) -> str:
        """DuckDB's own spelling of a type's name."""
        with self.errors():
            return str(self.raw.dtype(text))

    def types_in_arrow(self, table: pa.Table) -> dict[str, str]:
        """The columns of an Arrow table with DuckDB's names of their types."""
        with self.errors():
            found = self.raw.from_arrow(table)
            return dict(zip(found.columns, map(str, found.types), strict=True))
