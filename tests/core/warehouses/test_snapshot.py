"""A snapshot says what the warehouse itself would, less what is done after it."""

import json
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from relspec_core import TaskCatalog, TaskSpec, run
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_file import connect
from relspec_core.evidence_store import EvidenceStore
from relspec_core.planning.run_plan import RunPlan, observed_contents, plan_run
from relspec_core.staleness.reasons import ChangedOutside
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.shared_reading import read_schemas
from relspec_core.warehouses.snapshot import find_snapshot, snapshot_file, snapshot_for_readers, write_snapshot
from relspec_core.warehouses.warehouse_selection import warehouse_of
from tests.support.catalogs import sql_task

TASKS = (
    sql_task("SELECT id, amount FROM raw.orders WHERE amount > 0", "paid"),
    sql_task("SELECT sum(amount) AS total FROM paid", "totals", kind="view"),
    sql_task("SELECT customer FROM raw.orders", "customers"),
)
CATALOG = TaskCatalog(TASKS)
ODD = (
    "CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE odd AS SELECT 'a'::mood AS m, {'x y': [1.5::DECIMAL(9, 2)]} AS s"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database in which all is built, and its snapshot."""
    folder = tmp_path_factory.mktemp("built")
    with opened(folder / "shop.duckdb") as engine:
        engine.con.execute("CREATE SCHEMA raw; CREATE TABLE raw.orders AS SELECT 1 AS id, 5 AS amount, 'a' AS customer")
        assert run(CATALOG, backend=engine, quiet=True).ok
    return folder


@pytest.fixture
def database(built: Path, tmp_path: Path) -> Path:
    """The same for one test alone."""
    copytree(built, tmp_path, dirs_exist_ok=True)
    return tmp_path / "shop.duckdb"


@contextmanager
def opened(path: Path) -> Generator[ExclusiveDuckDB]:
    engine = connect(path)
    yield engine
    engine.disconnect()


@contextmanager
def recorded(path: Path) -> Generator[ExclusiveDuckDB]:
    engine = find_snapshot(path)
    assert engine is not None
    yield engine
    engine.disconnect()


def plans(path: Path, catalog: TaskCatalog = CATALOG) -> tuple[RunPlan, RunPlan]:
    """What a run would do by the warehouse itself, and by its snapshot."""
    with opened(path) as engine, recorded(path) as snapshot:
        return plan_run(catalog, backend=engine), plan_run(catalog, backend=snapshot)


def with_text(name: str, text: str) -> TaskCatalog:
    """The catalog with another query for a task."""
    return TaskCatalog([replace(task, build=sql_task(text).build) if task.name == name else task for task in TASKS])


def test_a_snapshot_has_every_record_and_the_columns_of_every_table(database: Path) -> None:
    with opened(database) as engine:
        engine.con.execute(ODD)
        write_snapshot(DuckDBWarehouse(engine))
        with recorded(database) as snapshot:
            names = ["raw.orders", "paid", "totals", "odd", f"{database.stem}.main.paid"]
            live, known = DuckDBWarehouse(engine), warehouse_of(snapshot)
            assert list(EvidenceStore(known).load().items()) == list(EvidenceStore(live).load().items())
            assert known.schemas(names) == live.schemas(names)
            assert len(known.schemas(names)) == len(names)


@pytest.mark.parametrize(
    "catalog",
    [
        CATALOG,
        with_text("paid", "SELECT id, amount FROM raw.orders WHERE amount > 1"),
        TaskCatalog([*TASKS, sql_task("SELECT amount FROM raw.orders", "more")]),
    ],
)
def test_after_a_run_its_snapshot_gives_the_plan_that_the_warehouse_gives(database: Path, catalog: TaskCatalog) -> None:
    live, known = plans(database, catalog)
    assert str(known) == str(live)
    assert json.loads(known.to_json()) == json.loads(live.to_json())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE raw.orders SET customer = 'b'", "reads raw.orders.customer, which changed"),
        ("INSERT INTO paid VALUES (7, 7)", str(ChangedOutside(table="paid"))),
        ("UPDATE paid SET amount = 7", str(ChangedOutside(table="paid"))),
        ("CREATE OR REPLACE VIEW totals AS SELECT 1::HUGEINT AS total", str(ChangedOutside(table="totals"))),
        ("DROP TABLE customers", "'customers' does not exist yet"),
        ("ALTER TABLE raw.orders DROP COLUMN customer", "which 'raw.orders' lacks"),
    ],
)
def test_a_run_tells_readers_what_it_found_changed(database: Path, change: str, reason: str) -> None:
    with opened(database) as engine:
        engine.con.execute(change)
        write_snapshot(DuckDBWarehouse(engine))
        planned = plan_run(CATALOG, backend=engine)
        write_snapshot(DuckDBWarehouse(engine), observed=observed_contents(planned))
    live, known = plans(database)
    assert str(known) == str(live)
    assert reason in str(known)


def test_what_a_run_saw_counts_until_something_was_built_from_it(database: Path) -> None:
    with opened(database) as engine:
        engine.con.execute("UPDATE raw.orders SET customer = 'b'; UPDATE paid SET amount = 7")
        assert tuple(run(CATALOG, backend=engine, quiet=True).ran) == ("customers", "paid")
    live, known = plans(database)
    assert str(known) == str(live)
    assert known.schedule.order == ()


def test_where_no_run_saw_a_source_the_last_build_from_it_counts(database: Path) -> None:
    with opened(database) as engine:
        engine.con.execute("UPDATE raw.orders SET customer = 'b'")
        write_snapshot(DuckDBWarehouse(engine))
    _, known = plans(database)
    assert known.schedule.order == ()


def test_of_columns_that_nobody_read_no_version_is_known(database: Path) -> None:
    catalog = TaskCatalog([sql_task("SELECT amount FROM raw.orders", "more"), *TASKS])
    with recorded(database) as snapshot:
        known = plan_run(catalog, backend=snapshot)
    assert {task: tuple(known.freshness[task].inputs) for task in ("more", "customers")} == {
        "more": (),
        "customers": ("raw.orders",),
    }


def test_who_compiles_plans_keeps_no_file_open(database: Path) -> None:
    said: list[str] = []
    engine = read_schemas(database, say=said.append)
    with opened(database) as writer:
        writer.con.execute("CREATE TABLE more AS SELECT 1 AS a")
    live = warehouse_of(engine)
    assert list(live.schemas(["raw.orders", "paid", "more"])) == ["raw.orders", "paid"]
    assert list(EvidenceStore(live).known_sources()) == ["raw.orders"]
    assert said == []
    engine.disconnect()


def test_records_are_found_in_a_database_that_is_named_like_their_schema(tmp_path: Path) -> None:
    database = tmp_path / "relspec.duckdb"
    catalog = TaskCatalog([sql_task("SELECT 1 AS a", "one")])
    with opened(database) as engine:
        assert run(catalog, backend=engine, quiet=True).ok
    assert plans(database, catalog)[1].schedule.order == ()


def test_nothing_is_written_where_nothing_has_changed(database: Path) -> None:
    with opened(database) as engine:
        write_snapshot(DuckDBWarehouse(engine))
        before = snapshot_file(database).stat().st_ino
        write_snapshot(DuckDBWarehouse(engine))
        assert snapshot_file(database).stat().st_ino == before
        engine.con.execute("CREATE TABLE more AS SELECT 1 AS a")
        write_snapshot(DuckDBWarehouse(engine))
        assert snapshot_file(database).stat().st_ino != before


@pytest.mark.parametrize("text", ["", "damaged", "[]", '{"form": 0}\n[]\n{}', '{"form": 1}\n[]\n{}', "{}\n\n"])
def test_a_snapshot_that_can_not_be_read_counts_as_none_and_makes_way(database: Path, text: str) -> None:
    snapshot_file(database).write_text(text)
    assert find_snapshot(database) is None
    with opened(database) as engine:
        engine.con.execute("CREATE TABLE more AS SELECT 1 AS a")
        write_snapshot(DuckDBWarehouse(engine))
    with recorded(database) as snapshot:
        assert warehouse_of(snapshot).schemas(["more"])
    assert {file.name for file in snapshot_file(database).parent.iterdir()} == {".gitignore", "shop.duckdb.json"}


def test_a_run_goes_on_where_no_snapshot_can_be_written(tmp_path: Path) -> None:
    snapshot_file(tmp_path / "w.duckdb").parent.write_text("a file")
    with opened(tmp_path / "w.duckdb") as engine:
        assert run(TaskCatalog([sql_task("SELECT 1 AS a", "one")]), backend=engine, quiet=True).ok
    assert find_snapshot(tmp_path / "w.duckdb") is None


def test_a_database_in_memory_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one: TaskSpec = sql_task("SELECT 1 AS a", "one")
    assert run(TaskCatalog([one]), backend=ExclusiveDuckDB.open(), quiet=True).ok
    assert list(tmp_path.iterdir()) == []


def test_a_short_body_after_another_leaves_no_snapshot_and_a_long_one_does_while_it_goes_on(database: Path) -> None:
    with opened(database) as engine:
        warehouse = DuckDBWarehouse(engine)
        with snapshot_for_readers(warehouse):
            first = snapshot_file(database).stat().st_mtime_ns
            engine.con.execute("CREATE TABLE one AS SELECT 1 AS x")
        with snapshot_for_readers(warehouse):
            engine.con.execute("CREATE TABLE two AS SELECT 1 AS x")
        assert snapshot_file(database).stat().st_mtime_ns == first
        with snapshot_for_readers(warehouse):
            engine.con.execute("BEGIN; CREATE TABLE three AS SELECT 1 AS x")
            deadline = time.monotonic() + 60
            while snapshot_file(database).stat().st_mtime_ns == first and time.monotonic() < deadline:
                time.sleep(0.01)
            engine.con.execute("COMMIT")
        with recorded(database) as snapshot:
            assert set(warehouse_of(snapshot).schemas(["one", "two", "three"])) == {"one", "two"}
