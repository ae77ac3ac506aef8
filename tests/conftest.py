"""What all tests share: one profile for the properties, and an embedded DuckDB."""

from collections.abc import Iterator

import ibis
import pytest
from hypothesis import HealthCheck, Phase, settings
from ibis.backends.duckdb import Backend as DuckDBBackend

# The same few examples on every machine and in every run. A failing catalog is shown as it was found: to make it smaller
# takes minutes, and to look for others too. Both: pytest --hypothesis-profile=hunt tests/test_laws.py
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "hunt", max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("ci")


@pytest.fixture
def con() -> Iterator[DuckDBBackend]:
    backend = ibis.duckdb.connect()
    yield backend
    backend.disconnect()
