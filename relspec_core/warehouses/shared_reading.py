"""The warehouse for those who only read: its file, or what was recorded of it where another process writes to it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_backend import SnapshotDuckDB
from relspec_core.engines.duckdb_file import AGAIN_SECONDS, DatabaseHeldError, connect
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.snapshot import find_snapshot, without_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relspec_core.engines.catalog_snapshot import CatalogSnapshot
    from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
    from relspec_core.engines.duckdb_file import Holder


SNAPSHOT_SECONDS = 1.0  # the first run of all opens the file some moments before it leaves a snapshot


def connect_for_reading(
    database: Path, *, say: Callable[[str], None], wait: float = SNAPSHOT_SECONDS
) -> ExclusiveDuckDB:
    """The warehouse, or what was recorded of it last where another process writes to it.

    Args:
        database: the file; an absent one stands for an empty one.
        say: is told where it is not the warehouse itself.
        wait: the most seconds to wait for the file, or for a snapshot of it, where there is none.

    Raises:
        DatabaseHeldError: RS402, where another process holds the file and nothing was recorded of it.
        WarehouseError: RS402, where it can't be opened for another reason.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            return connect(database, read_only=True)
        except DatabaseHeldError as error:
            found = find_snapshot(database)
            if found is not None:
                say(notice_of(found.snapshot, holder=error.holder, database=database))
                return found
            if error.holder.pid == os.getpid() or time.monotonic() >= deadline:
                raise
        time.sleep(AGAIN_SECONDS)


def read_schemas(database: Path, *, say: Callable[[str], None]) -> ExclusiveDuckDB:
    """The same without the rows of tables, in memory: the file is closed, so that nobody waits for who compiles plans.

    Raises:
        WarehouseError: as ``connect_for_reading`` does.
    """
    engine = connect_for_reading(database, say=say)
    if isinstance(engine, SnapshotDuckDB) or not database.exists():
        return engine
    try:
        return without_rows(DuckDBWarehouse(engine))
    finally:
        engine.disconnect()


def notice_of(snapshot: CatalogSnapshot, *, holder: Holder, database: Path) -> str:
    """Why a reader has what was recorded of a database instead of the database, of when that is, and what it lacks."""
    at = f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC"
    what = (
        f"what it recorded at {at}, without what it has built since"
        if holder.pid == snapshot.process
        else f"what process {snapshot.process} recorded at {at}, without what was written since"
    )
    return f"{holder} holds {database.name}: this is {what}"
