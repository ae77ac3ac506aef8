"""The file of a DuckDB database: opened, and its state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from relspec_core.database_lock import open_database
from relspec_core.duckdb_engine import DuckDBEngine
from relspec_core.errors import WarehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def connect(
    database: str | Path,
    *,
    read_only: bool = False,
    wait: float = 0.0,
    say: Callable[[str], None] | None = None,
    config: Mapping[str, Any] | None = None,
) -> DuckDBEngine:
    """A DuckDB file; an absent file is created, and stands for an empty one where it is only read.

    Args:
        database: the file.
        read_only: for reading only.
        wait: the most seconds to wait for another process that holds the file.
        say: is told once for whom, where there is one to wait for.
        config: DuckDB's settings.

    Raises:
        WarehouseError: RS402, where it can't be opened; names the process that holds it where DuckDB tells.
    """
    path = Path(database)
    if read_only and not path.exists():
        return DuckDBEngine.open()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"the warehouse's folder can't be made: {error}", at=str(path), hint="check the path and its permissions."
        ) from error
    backend = open_database(path, read_only=read_only, wait=wait, say=say, config=config)
    # DuckDB draws its bar on standard output, where commands print their results.
    backend.con.execute("SET enable_progress_bar = false")
    return backend


def file_state(path: str | Path) -> str | None:
    """Equal for equal states of a database's file; None where it has changes that are not yet in it, or is not here."""
    if Path(f"{path}.wal").exists():
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return f"{found.st_size}:{found.st_mtime_ns}"
