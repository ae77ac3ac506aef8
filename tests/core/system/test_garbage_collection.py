"""Garbage collection is disabled inside the block, and restored afterwards."""

import gc
from collections.abc import Callable, Generator
from contextlib import suppress

import pytest

from relspec_core.system.garbage_collection import gc_paused


@pytest.fixture(params=[gc.enable, gc.disable], ids=["on", "off"])
def before(request: pytest.FixtureRequest) -> Generator[Callable[[], None]]:
    """What was done before."""
    was = gc.isenabled()
    request.param()
    yield request.param
    (gc.enable if was else gc.disable)()


def test_it_is_as_it_was_afterwards(before: Callable[[], None]) -> None:
    with gc_paused():
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == (before is gc.enable)


def test_it_is_as_it_was_after_an_error(before: Callable[[], None]) -> None:
    with suppress(ValueError), gc_paused():
        raise ValueError
    assert gc.isenabled() == (before is gc.enable)
