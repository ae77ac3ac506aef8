"""Memory use of the engine during a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.warehouses.warehouse import Warehouse


HELD = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()"
PAUSE = 0.2


class MemoryMonitor:
    """Samples the bytes that DuckDB's buffer manager holds; peaks between two samples are missed.

    Args:
        warehouse: a cursor for this purpose only; None: memory is not sampled.

    Attributes:
        peak: the most bytes held; None before the first sample.
    """

    __slots__ = ("_of_tasks", "_seen_at", "_warehouse", "peak")

    def __init__(self, warehouse: Warehouse | None) -> None:
        self._warehouse = warehouse
        self._of_tasks: dict[str, int] = {}
        self._seen_at = time.monotonic()
        self.peak: int | None = None

    def look(self, tasks: Iterable[str]) -> None:
        """Take a sample, unless the last one is recent.

        Args:
            tasks: the tasks that are being built.
        """
        if self._warehouse is None or time.monotonic() - self._seen_at < PAUSE:
            return
        ((held,),) = self._warehouse.rows(HELD)
        self.peak = max(held, self.peak or 0)
        self._of_tasks.update((task, max(held, self._of_tasks.get(task, 0))) for task in tasks)
        self._seen_at = time.monotonic()

    def peak_of(self, task: str) -> int | None:
        """The most bytes held while a task was built; None if no sample was taken."""
        return self._of_tasks.get(task)
