"""Ctrl-C and SIGTERM, held back while something is under way that must not break off anywhere."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_signals() -> Generator[Callable[[], None]]:
    """While inside, what has come is told by the function that this gives, and nowhere else.

    It does what the signal's usual handler does, that is, it mostly raises. An exception between any two steps of
    Python's would leave locks taken, and Python 3.11 takes a thread for ended whose ``join`` was broken off. Of several
    signals the first one counts, once. Only the main thread gets signals, so that in others nothing is held; nor is a
    signal that ends the process or is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    usual = {int(number): handler for number in HELD if callable(handler := signal.getsignal(number))}
    came: list[int] = []
    told: list[int] = []

    def tell() -> None:
        if came and not told:
            told.extend(came)
            usual[came[0]](came[0], None)

    for number in usual:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield tell
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
