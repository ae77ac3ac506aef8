"""Digests of what tasks read, on a database file and on its metadata snapshot."""

from pathlib import Path

import pytest

from relspec_core import TaskCatalog, run
from relspec_core.engines.duckdb_backend import Engine
from relspec_core.engines.duckdb_file import connect
from relspec_core.planning.run_plan import plan_run
from relspec_core.staleness.input_digests import InputDigests
from relspec_core.warehouses.snapshot import find_snapshot
from relspec_core.warehouses.warehouse_selection import warehouse_of
from tests.support.catalogs import sql_task

CATALOG = TaskCatalog(
    [
        sql_task("SELECT id, amount FROM orders", "paid", kind="view"),
        sql_task("SELECT sum(amount) AS s FROM paid", "totals"),
    ]
)


def digest_of_view(backend: Engine) -> str | None:
    """The digest of what ``totals`` reads of the view ``paid``."""
    planned = plan_run(CATALOG, backend=backend)
    digests = InputDigests(
        observation=planned.observation, plans=planned.plans, warehouse=warehouse_of(backend), cutoff_rows=10
    )
    (edge,) = planned.graph.edges_of("totals")
    return digests.of(edge)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database in which all is built, with its snapshot."""
    file = tmp_path / "shop.duckdb"
    engine = connect(file)
    engine.con.execute("CREATE TABLE orders AS SELECT 1 AS id, 5 AS amount")
    assert run(CATALOG, backend=engine, quiet=True).ok
    engine.disconnect()
    return file


def test_the_contents_of_a_view_over_a_small_source_table_are_compared(database: Path) -> None:
    engine = connect(database)
    assert digest_of_view(engine) is not None
    engine.disconnect()


def test_a_snapshot_compares_no_view_over_a_source_table(database: Path) -> None:
    snapshot = find_snapshot(database)
    assert snapshot is not None
    assert digest_of_view(snapshot) is None
    snapshot.disconnect()
