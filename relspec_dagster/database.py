"""The DuckDB file: a short look while the code location loads, and dagster-duckdb's resource while a run writes."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb
import ibis
from dagster_duckdb import DuckDBResource

from relspec_core.errors import WarehouseError
from relspec_core.warehouse import Warehouse

LOOK_AGAIN_SECONDS = 0.1


class DatabaseBusy(Exception):  # noqa: N818 - a signal: whoever needs the database tells the user what for
    """Somebody is writing to the database."""


@contextmanager
def look(database: Path, *, seconds: float) -> Generator[ibis.BaseBackend | None]:
    """A read-only backend on the file, closed when the body ends; None where the file does not exist.

    Never makes the file and never takes its write lock, so it disturbs no run.

    Args:
        database: the DuckDB file.
        seconds: how long to wait for another process that writes to it.

    Raises:
        DatabaseBusy: where it is still being written to after that time, or is open for writing in this process.
        WarehouseError: RS402, where the file is no DuckDB database that can be read.
    """
    backend = _connect(database, deadline=time.monotonic() + seconds)
    try:
        yield backend
    finally:
        if backend is not None:
            backend.disconnect()


def _connect(database: Path, *, deadline: float) -> ibis.BaseBackend | None:
    while database.exists():
        try:
            return ibis.duckdb.connect(database, read_only=True)
        except duckdb.ConnectionException as error:
            raise DatabaseBusy from error
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise WarehouseError(
                    f"'{database}' can't be read: {error}",
                    at=f"database '{database}'",
                    hint="name a DuckDB file, or a file that does not exist yet.",
                ) from error
            if time.monotonic() >= deadline:
                raise DatabaseBusy from error
        time.sleep(LOOK_AGAIN_SECONDS)
    return None


@contextmanager
def open_warehouse(resource: DuckDBResource) -> Generator[Warehouse]:
    """The resource's database as a warehouse, for reading and writing.

    The resource by itself leaves its connection open when the body raises, and with it the lock on the file. Ibis gets
    the resource's connection, as one process can't open a file twice with different settings.

    Raises:
        duckdb.IOException: where another process keeps the file open longer than the resource waits (about 100 s).
    """
    Path(resource.database).parent.mkdir(parents=True, exist_ok=True)
    with resource.get_connection() as connection, closing(connection):
        yield Warehouse(ibis.duckdb.from_connection(connection))
