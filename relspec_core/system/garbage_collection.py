"""Garbage collection while much is made that stays."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def left_alone() -> Generator[None]:
    """Collect no garbage inside: a collector that is woken by new objects looks at all that there is time and again.

    May be nested, and entered by several threads.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
