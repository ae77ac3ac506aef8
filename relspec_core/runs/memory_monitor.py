"""How much memory the engine holds while a run goes on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.warehouses.warehouse import Warehouse


HELD = "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()"
PAUSE = 0.2


class MemoryMonitor:
    """Looks now and then at the bytes that DuckDB's buffer manager holds; what is shorter than that is not seen.

    Args:
        warehouse: a cursor that nobody else uses; None: nothing is seen.

    Attributes:
        peak: the most bytes that were held; None before the first look.
    """

    __slots__ = ("_of_tasks", "_seen_at", "_warehouse", "peak")

    def __init__(self, warehouse: Warehouse | None) -> None:
        self._warehouse = warehouse
        self._of_tasks: dict[str, int] = {}
        self._seen_at = time.monotonic()
        self.peak: int | None = None

    def look(self, tasks: Iterable[str]) -> None:
        """Look, unless that was just done.

        Args:
            tasks: that are being built now.
        """
        if self._warehouse is None or time.monotonic() - self._seen_at < PAUSE:
            return
        ((held,),) = self._warehouse.rows(HELD)
        self.peak = max(held, self.peak or 0)
        self._of_tasks.update((task, max(held, self._of_tasks.get(task, 0))) for task in tasks)
        self._seen_at = time.monotonic()

    def peak_of(self, task: str) -> int | None:
        """The most bytes that were held while a task was built; None where nobody looked then."""
        return self._of_tasks.get(task)
