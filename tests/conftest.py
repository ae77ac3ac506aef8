"""What all tests share: one profile for the properties, an embedded DuckDB, and a web server for files."""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import ibis
import pytest
from hypothesis import HealthCheck, Phase, settings
from ibis.backends.duckdb import Backend as DuckDBBackend

from tests.support.message_snapshots import RENEW, MessageSnapshots
from tests.support.postgres_server import new_database, postgres_server
from tests.support.stores import WebStore, web_store

# The same few examples on every machine and in every run. A failing catalog is shown as it was found: to make it smaller
# takes minutes, and to look for others too. Both: pytest --hypothesis-profile=hunt tests/laws/test_laws.py
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

# All that take ten seconds or more.
LONGEST = (
    "test_dagster_live.py", "test_tpc.py", "test_plans.py", "test_chaos.py", "test_dagster_browser.py",
    "test_evidence_sensor.py", "test_laws.py", "test_edits.py", "test_faults.py", "test_multi_asset.py",
    "test_mutants.py", "test_example.py", "test_dagster_projection_laws.py", "test_pytest_module.py",
    "test_carry_forward.py", "test_worker_pool.py", "test_locks.py", "test_schedules.py",
    "test_plan_oracle.py", "test_internal_tables_laws.py", "test_input_versions.py", "test_hamilton_output.py",
    "test_catalog_diff.py", "test_dagster_laws.py", "test_resources.py", "test_freshness.py",
    "test_execution.py", "test_dagster_sensor_laws.py", "test_impact_laws.py", "test_snapshot.py",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plans", type=int, default=350, help="how many random plans tests/laws/test_plans.py makes")
    parser.addoption("--edits", type=int, default=60, help="how many random edits tests/laws/test_edits.py makes")
    parser.addoption("--kills", type=int, default=20, help="how many runs tests/system/test_chaos.py kills")
    parser.addoption(
        "--all-mutants", action="store_true", help="take all queries in tests/laws/test_mutants.py, not a few"
    )
    parser.addoption(RENEW, action="store_true", help="write tests/snapshots/messages instead of comparing with it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: what is short fills the rest of each process's time."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """Spare Python from looking for garbage in the modules, which stay, and so often: a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what the tests counted."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        counts.update({name: count for name, count in report.user_properties if isinstance(count, int)})
    if counts:
        terminalreporter.write_line(", ".join(f"{count:,} {name}" for name, count in counts.items()))


@pytest.fixture
def con() -> Iterator[DuckDBBackend]:
    backend = ibis.duckdb.connect(threads=1)  # by which small queries take three quarters of the time
    yield backend
    backend.disconnect()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres(postgres_url: str) -> str:
    """The URL of a database of a PostgreSQL server with nothing in it."""
    return new_database(postgres_url)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebStore]:
    with web_store(tmp_path / "web") as store:
        yield store


@pytest.fixture
def message_snapshots(request: pytest.FixtureRequest) -> MessageSnapshots:
    return MessageSnapshots(renew=request.config.getoption(RENEW))
