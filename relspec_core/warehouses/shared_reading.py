"""Read access to a database file: the file itself, or its metadata snapshot while another process writes to it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_file import AGAIN_SECONDS, DatabaseHeldError, connect
from relspec_core.warehouses.snapshot import find_snapshot, without_rows
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from relspec_core.engines.catalog_snapshot import CatalogSnapshot
    from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
    from relspec_core.engines.duckdb_file import Holder


SNAPSHOT_SECONDS = 1.0  # the first run opens the file some moments before it writes a snapshot


def connect_for_reading(
    database: Path, *, say: Callable[[str], None], wait: float = SNAPSHOT_SECONDS
) -> ExclusiveDuckDB:
    """The database, or its metadata snapshot if another process holds the file.

    Args:
        database: the file; an absent one is read as an empty database.
        say: receives a notice if the snapshot is read.
        wait: the maximum number of seconds to wait for the file or a snapshot, if there is none yet.

    Raises:
        DatabaseHeldError: RS402, if another process holds the file and there is no snapshot.
        WarehouseError: RS402, if the file cannot be opened for another reason.
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
    """A metadata snapshot in memory, for compiling plans: the file is closed, so that writers need not wait.

    Raises:
        WarehouseError: as ``connect_for_reading`` does.
    """
    engine = connect_for_reading(database, say=say)
    warehouse = warehouse_of(engine)
    if not warehouse.has_rows or not database.exists():
        return engine
    try:
        return without_rows(warehouse)
    finally:
        engine.disconnect()


def notice_of(snapshot: CatalogSnapshot, *, holder: Holder, database: Path) -> str:
    """A notice that a metadata snapshot is read: why, its time, and what it lacks."""
    at = f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC"
    what = (
        f"what it recorded at {at}, without what it has built since"
        if holder.pid == snapshot.process
        else f"what process {snapshot.process} recorded at {at}, without what was written since"
    )
    return f"{holder} holds {database.name}: this is {what}"
