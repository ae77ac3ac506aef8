"""A database file that stays open from one op to the next, as opening and closing it takes longer than most ops."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import RLock, Timer
from typing import TypeAlias

from relspec_core.warehouses.warehouse import Warehouse

Open: TypeAlias = Callable[[], AbstractContextManager[Warehouse]]


class ReusedConnection:
    """A file that the ops of one process use one after another.

    Others want it too: another run, whose op has the pool's slot while the next op here waits for that slot; another
    program, which tries now and then. So it is open for some time only, and beyond that while the op goes on that uses
    it: short ops share it, a long one has it for itself, and nobody is waited for with the file open.

    Args:
        seconds: for which it stays open when it is opened.
    """

    __slots__ = ("_due", "_is_used", "_lock", "_opened", "_seconds", "_timer", "_warehouse")

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lock = RLock()
        self._opened = ExitStack()
        self._warehouse: Warehouse | None = None
        self._timer: Timer | None = None
        self._is_used = self._due = False

    @contextmanager
    def use(self, opened: Open, *, may_stay: Callable[[], bool]) -> Generator[Warehouse]:
        """The file's warehouse, open until the body ends, and beyond that unless the body raises.

        Args:
            opened: gives the warehouse where it is not open, and closes it.
            may_stay: whether it may stay open behind the body; asked when it is opened.
        """
        with self._lock:
            warehouse = self._warehouse or self._open(opened, may_stay=may_stay())
            self._is_used = True
        try:
            yield warehouse
        except BaseException:  # who knows what state it is in
            self.close()
            raise
        with self._lock:
            self._is_used = False
            if self._due:
                self.close()

    def close(self) -> None:
        """Close the file, if it is open; the next one who uses it opens it again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._warehouse, self._timer = None, None
            self._is_used = self._due = False
            self._opened.close()

    def _open(self, opened: Open, *, may_stay: bool) -> Warehouse:
        warehouse = self._opened.enter_context(opened())
        self._warehouse = warehouse
        self._due = not may_stay or not self._seconds
        if not self._due:
            self._timer = Timer(self._seconds, self._expire, [warehouse])
            self._timer.daemon = True
            self._timer.start()
        return warehouse

    def _expire(self, warehouse: Warehouse) -> None:
        with self._lock:
            if self._warehouse is not warehouse:  # it was closed just now
                return
            self._due = True
            if not self._is_used:
                self.close()
