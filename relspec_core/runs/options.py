"""How a run goes about its work."""

from __future__ import annotations

import os
from dataclasses import dataclass

from relspec_core.errors import WarehouseError

CUTOFF_ROWS = 10_000_000
MOST_WORKERS = 4


def usual_workers() -> int:
    """How many workers commands take where nothing is said: one for each processor, and four at most."""
    return min(os.cpu_count() or 1, MOST_WORKERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes about its work.

    Attributes:
        workers: the most tasks to build at once; they share the memory and the threads of one DuckDB.
        quiet: show no progress.
        cutoff_rows: the most rows of a table whose contents are compared with what its readers read before, so that
            these are left alone where they would read the same; 0: build every reader of what was built.
        memory_limit: of DuckDB for all workers together, such as ``"4GB"``; it stays so on the connection. As it is
            where left out.
        threads: of DuckDB for all workers together, likewise.
        timeout: the most seconds of a task that names none itself; no limit where left out.
        retries: retries of a task after transient failures, such as a lost connection.
        all_or_nothing: publish everything at the end of the run, and nothing where a task fails or is blocked; there is
            no second try then.

    Raises:
        WarehouseError: RS402, for values that make no sense.
    """

    workers: int = 1
    quiet: bool = False
    cutoff_rows: int = CUTOFF_ROWS
    memory_limit: str | None = None
    threads: int | None = None
    timeout: float | None = None
    retries: int = 2
    all_or_nothing: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise WarehouseError(
                f"{self.workers} workers can't build anything", hint="give at least 1, or leave it out."
            )
        if self.threads is not None and self.threads < 1:
            raise WarehouseError(f"DuckDB can't work with {self.threads} threads", hint="give at least 1.")
        if self.timeout is not None and self.timeout <= 0:
            raise WarehouseError(f"no task ends within {self.timeout} s", hint="give more, or leave it out.")
