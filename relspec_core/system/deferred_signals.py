"""Deferral of SIGINT and SIGTERM during operations that must not be interrupted at an arbitrary point."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


DEFERRED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_signals() -> Generator[Callable[[], None]]:
    """Defer signals inside the block; the function that it yields handles a pending one.

    That function calls the signal's usual handler, which typically raises. An exception at an arbitrary point would
    leave locks held, and Python 3.11 considers a thread ended whose ``join`` was interrupted. Of several signals the
    first one counts, once. Only the main thread receives signals, so nothing is deferred in others; nor is a signal
    that ends the process or is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    usual = {int(number): handler for number in DEFERRED if callable(handler := signal.getsignal(number))}
    pending: list[int] = []
    handled: list[int] = []

    def handle_pending() -> None:
        if pending and not handled:
            handled.extend(pending)
            usual[pending[0]](pending[0], None)

    for number in usual:
        signal.signal(number, lambda number, _frame: pending.append(number))
    try:
        yield handle_pending
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
