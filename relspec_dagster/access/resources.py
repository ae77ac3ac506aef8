"""Where a run finds the tables: a DuckDB file, or another engine by way of Ibis."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource
from ibis.backends import BaseBackend
from pydantic import Field, PrivateAttr

from relspec_core.engines.backend_tables import BackendTables
from relspec_core.engines.connection_url import connect_to, engine_of
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_file import DatabaseHeldError, connect
from relspec_dagster.access.connection_reuse import ReusedConnection
from relspec_dagster.access.storage import Storage

LONGEST_WAIT = 100.0  # about as long as DuckDBResource itself tries
USER_AGENT = "dagster"  # of DuckDBResource: a process can open a file twice only with the same settings


class RelspecDuckDBResource(DuckDBResource):
    """dagster-duckdb's resource, used safely.

    Its connection is closed when the body raises, too. Where another process holds the file, it is waited for, for as
    long as is said here, and the error names that process. Where all steps of a run are relspec's, they share the open
    file for moments, as opening and closing it takes longer than a small table.
    """

    wait: float = Field(
        default=LONGEST_WAIT, description="The most seconds to wait for another process that holds the file."
    )
    keep_open: float = Field(
        default=1.0,
        description="The most seconds for which a run's steps keep the file open between them; 0 closes it after each.",
    )
    _held: ReusedConnection | None = PrivateAttr(default=None)

    @property
    def held(self) -> ReusedConnection | None:
        """The file as relspec's ops in this process share it; None outside of a run."""
        return self._held

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator[RelspecDuckDBResource]:  # noqa: ARG002
        """The resource for all steps that one process runs; what they have left open is closed at the end."""
        self._held = ReusedConnection(seconds=self.keep_open)
        try:
            yield self
        finally:
            self._held.close()

    @contextmanager
    def get_connection(self) -> Generator[duckdb.DuckDBPyConnection]:
        """The file, open for reading and writing.

        Raises:
            DatabaseHeldError: RS402, where another process holds the file for longer than ``wait``.
        """
        engine = open_file(self)
        try:
            yield engine.con
        finally:
            engine.disconnect()


def open_file(resource: DuckDBResource) -> ExclusiveDuckDB:
    """The file of a resource, open for reading and writing; made if need be, with its folder.

    Raises:
        DatabaseHeldError: RS402, where another process holds it for longer than the resource waits.
    """
    wait = resource.wait if isinstance(resource, RelspecDuckDBResource) else LONGEST_WAIT
    config = {"custom_user_agent": USER_AGENT, **resource.connection_config}
    try:
        return connect(resource.database, wait=wait, config=config)
    except DatabaseHeldError as error:
        longer = f"RelspecDuckDBResource(wait={2 * wait:g})"
        raise DatabaseHeldError(Path(resource.database), error.holder, waited=wait, longer=longer) from error


class RelspecResource(dg.ConfigurableResource):
    """Another engine than a DuckDB file: whatever ``ibis.connect`` takes.

    Any engine that has SQL will do. Each step has a connection of its own, so that steps may run in several processes.
    """

    url: str = Field(description="What ibis.connect takes, such as 'postgres://user:password@host/shop'.")

    @property
    def storage(self) -> Storage:
        """The engine, by the first part of the URL, and where in it the connection is."""
        with self.get_backend() as backend:
            return Storage(kind=engine_of(self.url), place=BackendTables(backend).place)

    @contextmanager
    def get_backend(self) -> Generator[BaseBackend]:
        """A connection, closed at the end.

        Raises:
            WarehouseError: RS402, where the database can't be reached.
        """
        backend = connect_to(self.url)
        try:
            yield backend
        finally:
            backend.disconnect()
