"""Pausing of the cyclic garbage collector."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def gc_paused() -> Generator[None]:
    """Disable the cyclic garbage collector while many long-lived objects are allocated.

    Each new allocation threshold would scan all objects again. Can be nested, and entered by several threads.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
