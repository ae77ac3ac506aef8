"""Garbage collection is off inside, and as it was afterwards."""

import gc
from contextlib import suppress

import pytest

from relspec_core.garbage import left_alone


@pytest.fixture(params=[True, False], ids=["enabled", "disabled"])
def enabled(request: pytest.FixtureRequest) -> bool:
    was = gc.isenabled()
    request.addfinalizer(gc.enable if was else gc.disable)
    (gc.enable if request.param else gc.disable)()
    return request.param


def test_it_is_as_it_was_afterwards(enabled: bool) -> None:
    with left_alone():
        with left_alone():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled() == enabled


def test_it_is_as_it_was_after_an_error(enabled: bool) -> None:
    with suppress(ValueError), left_alone():
        raise ValueError
    assert gc.isenabled() == enabled
