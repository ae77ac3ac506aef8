"""Options of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass

from relspec_core.errors import WarehouseError

CUTOFF_ROWS = 10_000_000
MOST_WORKERS = 4


def usual_workers() -> int:
    """Default number of workers of commands: one per CPU, at most four."""
    return min(os.cpu_count() or 1, MOST_WORKERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of a run.

    Attributes:
        workers: maximum parallel tasks; they share the memory and the threads of one DuckDB.
        quiet: show no progress.
        cutoff_rows: the most rows of a table whose contents are compared, so that readers with unchanged inputs are not
            built; 0: build every reader of a built table.
        memory_limit: of DuckDB for all workers together, such as ``"4GB"``; it remains set on the connection. Unchanged
            where left out.
        threads: of DuckDB for all workers together, likewise.
        timeout: time limit in seconds of tasks without one of their own; no limit where left out.
        retries: retries of a task after transient failures, such as a lost connection.
        all_or_nothing: publish everything at the end of the run, and nothing if a task fails or is blocked; no retries.

    Raises:
        WarehouseError: RS402, for invalid values.
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
