"""Removal of files left by processes that died while they worked on a warehouse."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.system.cache_folder import CACHE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator


# DuckDB's spill files, which it does not remove on start, and partially written cache files.
SPILLED, HALF_WRITTEN = "duckdb_temp_*", "tmp*"
LOADED_AT = time.time()


def sweep(database: str | Path) -> int:
    """Remove the files of earlier processes; the database itself is transactional and needs no cleaning.

    Args:
        database: a file that this process has open for writing, so that no other process uses it.

    Returns:
        The number of bytes removed.
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
