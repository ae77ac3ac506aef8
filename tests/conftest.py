"""What all tests share: one profile for the properties, and an embedded DuckDB."""

from collections.abc import Iterator

import ibis
import pytest
from hypothesis import HealthCheck, settings
from ibis.backends.duckdb import Backend as DuckDBBackend

# The same examples on every machine and in every run; to hunt for new ones: pytest --hypothesis-profile=default.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("ci")


@pytest.fixture
def con() -> Iterator[DuckDBBackend]:
    backend = ibis.duckdb.connect()
    yield backend
    backend.disconnect()
