"""The DuckDB file while a run of Dagster's writes to it: dagster-duckdb's resource as a warehouse."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import ibis
from dagster_duckdb import DuckDBResource

from relspec_core.errors import ProjectionError
from relspec_core.warehouse import Warehouse
from relspec_core.warehouse_snapshot import leave_snapshot


@contextmanager
def open_warehouse(resource: DuckDBResource) -> Generator[Warehouse]:
    """The resource's database as a warehouse, for reading and writing.

    The resource by itself leaves its connection open when the body raises, and with it the lock on the file. Ibis gets
    the resource's connection, as one process can't open a file twice with different settings. What is known before
    the body begins is left to those who read meanwhile.

    Raises:
        duckdb.IOException: where another process keeps the file open longer than the resource waits (about 100 s).
    """
    Path(resource.database).parent.mkdir(parents=True, exist_ok=True)
    with resource.get_connection() as connection, closing(connection):
        warehouse = Warehouse(ibis.duckdb.from_connection(connection))
        leave_snapshot(warehouse)
        yield warehouse


def database_file(database: str | Path) -> Path:
    """The absolute path, as the processes of runs may have another working folder."""
    if str(database).startswith(":memory:") or not str(database):
        raise ProjectionError(
            f"database '{database}' is gone when a step ends",
            at="build_definitions(database=...)",
            hint="give the path of a DuckDB file; it need not exist yet.",
        )
    return Path(database).expanduser().absolute()
