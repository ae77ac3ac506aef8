"""What all tests share: one profile for the properties, an embedded DuckDB, and a web server for files."""

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ibis
import pytest
from hypothesis import HealthCheck, Phase, settings
from ibis.backends.duckdb import Backend as DuckDBBackend

from tests.support.message_snapshots import RENEW, MessageSnapshots
from tests.support.postgres_server import new_database, postgres_server
from tests.support.shards import Resumption, counts_of, is_shard
from tests.support.stores import WebStore, web_store

# The same few examples on every machine and in every run. A failing catalog is shown unchanged: to make it smaller
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

# Tests of whole systems wait for servers and processes for longest, and begin.
FOLDERS = ("system", "dagster", "laws", "core", "docs", "cases")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--plans", type=int, default=350, help="how many random plans tests/laws/test_plans.py makes")
    parser.addoption("--edits", type=int, default=60, help="how many random edits tests/laws/test_edits.py makes")
    parser.addoption("--kills", type=int, default=20, help="how many runs tests/system/test_chaos.py kills")
    parser.addoption(
        "--all-mutants", action="store_true", help="take all queries in tests/laws/test_mutants.py, not a few"
    )
    parser.addoption(RENEW, action="store_true", help="write tests/snapshots/messages instead of comparing with it")
    parser.addoption("--resume", metavar="FILE", help="leave out the tests that passed in interrupted sessions")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("resume")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Resumption(Path(file)), "resumption")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:  # noqa: ANN401 - xdist may not be loaded
    """Keep the tests of a file in one process, where they share a server or a built example, but not shards."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - as above

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if is_shard(nodeid) else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and end with shards, which fill the rest of each process's time."""
    tests = config.rootpath / "tests"

    def place(item: pytest.Item) -> tuple[bool, int]:
        folder = item.path.relative_to(tests).parts[0] if item.path.is_relative_to(tests) else ""
        return is_shard(item.nodeid), FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)

    items.sort(key=place)
    resumption = config.pluginmanager.get_plugin("resumption")
    passed = {*getattr(config, "workerinput", {}).get("passed", ()), *(resumption.passed if resumption else ())}
    items[:] = [item for item in items if item.nodeid not in passed]


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collection, and collect less often: a twentieth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print in one line what the tests counted."""
    counts: Counter[str] = Counter()
    if resumption := config.pluginmanager.get_plugin("resumption"):
        counts.update(resumption.counts)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        counts.update(counts_of(report))
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
