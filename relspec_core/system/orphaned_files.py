"""Files that a process left which died while it worked on a warehouse."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.system.cache_folder import CACHE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator


# What DuckDB spilled to disk, which it does not look for when it starts again, and what was half-written of ours.
SPILLED, HALF_WRITTEN = "duckdb_temp_*", "tmp*"
LOADED_AT = time.time()


def sweep(database: str | Path) -> int:
    """Remove what processes before this one left; the database itself needs nothing, for it works in transactions.

    Args:
        database: its file, which this process has open for writing, so that nobody else has.

    Returns:
        The bytes that were removed.
    """
    removed = 0
    for file in _left(Path(database)):
        with suppress(OSError):
            found = file.stat()
            if found.st_mtime < LOADED_AT:
                file.unlink()
                removed += found.st_size
    return removed


def _left(database: Path) -> Iterator[Path]:
    yield from Path(f"{database}.tmp").glob(SPILLED)
    yield from (database.parent / CACHE_FOLDER).glob(HALF_WRITTEN)
