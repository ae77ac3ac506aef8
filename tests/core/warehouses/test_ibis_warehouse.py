"""Runs on engines other than DuckDB: a PostgreSQL server, and SQLite."""

import threading
import time
from collections.abc import Generator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ibis
import pytest
from click.testing import CliRunner, Result
from ibis.backends.postgres import Backend as PostgresBackend

from relspec_core import RunReport, SourceSpec, TaskCatalog, TaskSpec, run
from relspec_core.cli import main
from relspec_core.errors import WarehouseError
from relspec_core.evidence_store import EvidenceStore
from relspec_core.planning.run_plan import plan_run
from relspec_core.runs.options import RunOptions
from relspec_core.runs.run_log import RunLog
from relspec_core.staleness.reasons import UNCHANGED, ChangedOutside
from relspec_core.warehouses.engine_adapters import ADAPTERS
from relspec_core.warehouses.warehouse_selection import warehouse_of
from tests.support.catalogs import sql_task

ORDERS = """
CREATE TABLE raw_orders (order_id BIGINT, customer_id BIGINT, amount DOUBLE PRECISION, note VARCHAR, paid_on DATE)
"""
ROWS = "INSERT INTO raw_orders VALUES (1, 1, 2.5, 'a', '2026-01-01'), (2, 1, 3.5, 'b', NULL), (3, 2, 1, NULL, NULL)"
STG_ORDERS = "SELECT order_id, customer_id, amount, upper(note) AS note, paid_on FROM raw_orders"
REVENUE = "SELECT customer_id, sum(amount) AS total, count(*) AS orders FROM stg_orders GROUP BY customer_id"
NOTES = "SELECT order_id, note FROM stg_orders"


class Shop:
    """A database with orders, and tasks on it.

    Args:
        url: of it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.con = self.connect()
        self.tasks = {"stg_orders": STG_ORDERS, "revenue": REVENUE, "notes": NOTES}
        self.others: list[TaskSpec] = []
        self.sql(ORDERS)
        self.sql(ROWS)

    def connect(self) -> Any:  # noqa: ANN401 - Ibis's base class declares no connection
        return ibis.connect(self.url)

    @property
    def catalog(self) -> TaskCatalog:
        return TaskCatalog([*(sql_task(text, name) for name, text in self.tasks.items()), *self.others])

    def run(self, **options: Any) -> RunReport:  # noqa: ANN401 - as RunOptions takes them
        return run(self.catalog, backend=self.con, options=RunOptions(quiet=True, **options))

    def sql(self, text: str) -> None:
        self.con.raw_sql(text).close()
        self.con.con.commit()

    def rows(self, table: str) -> list[tuple]:
        cursor = self.con.raw_sql(f"SELECT * FROM {table} ORDER BY 1")
        try:
            return [tuple(row) for row in cursor.fetchall()]
        finally:
            cursor.close()


@pytest.fixture(params=sorted(ADAPTERS))
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Shop]:
    """A shop on each engine with an adapter; a server's URL comes from the fixture of its name."""
    is_sqlite = request.param == "sqlite"
    found = Shop(f"sqlite://{tmp_path / 'shop.db'}" if is_sqlite else request.getfixturevalue(request.param))
    yield found
    found.con.disconnect()


def test_a_run_writes_tables_and_an_idle_one_does_nothing(shop: Shop) -> None:
    assert list(shop.run().ran) == ["stg_orders", "notes", "revenue"]
    assert shop.rows("revenue") == [(1, 6.0, 2), (2, 1.0, 1)]
    assert shop.rows("notes") == [(1, "A"), (2, "B"), (3, None)]
    idle = shop.run()
    assert (idle.ran, set(idle.skipped.values())) == ({}, {UNCHANGED})


def test_only_readers_of_what_changed_are_built(shop: Shop) -> None:
    shop.run()
    shop.tasks["stg_orders"] = STG_ORDERS.replace("upper(note)", "lower(note)")
    assert list(shop.run().ran) == ["stg_orders", "notes"]
    shop.sql("UPDATE raw_orders SET amount = 9 WHERE order_id = 3")
    report = shop.run()
    assert list(report.ran) == ["stg_orders", "revenue"]
    assert report.skipped["notes"] != UNCHANGED
    assert shop.rows("revenue") == [(1, 6.0, 2), (2, 9.0, 1)]


def test_a_table_that_somebody_else_has_changed_is_built_again(shop: Shop) -> None:
    shop.run()
    shop.sql("UPDATE revenue SET total = 0 WHERE customer_id = 1")
    assert shop.run().ran == {"revenue": str(ChangedOutside(table="revenue"))}
    assert shop.rows("revenue") == [(1, 6.0, 2), (2, 1.0, 1)]


def test_a_lost_column_blocks_only_its_readers(shop: Shop) -> None:
    shop.tasks = {"revenue": REVENUE.replace("stg_orders", "raw_orders"), "days": "SELECT paid_on FROM raw_orders"}
    shop.run()
    shop.sql("ALTER TABLE raw_orders DROP COLUMN paid_on")
    report = shop.run()
    assert list(report.blocked) == ["days"]
    assert "'raw_orders.paid_on'" in report.blocked["days"]


def test_a_task_that_fails_leaves_its_table_and_blocks_its_readers(shop: Shop) -> None:
    shop.tasks["kinds"] = "SELECT order_id, note FROM raw_orders WHERE order_id < 3"
    shop.tasks["readers"] = "SELECT note FROM kinds"
    shop.run()
    before = shop.rows("kinds")
    # A scalar function's argument that is out of its range fails only when it is evaluated.
    fails = "CASE WHEN order_id = 1 THEN abs(-9223372036854775807 - order_id) ELSE order_id END"
    shop.tasks["kinds"] = f"SELECT {fails} AS order_id, note FROM raw_orders WHERE order_id < 3"
    shop.tasks["readers"] = "SELECT lower(note) AS note FROM kinds"
    report = shop.run()
    assert list(report.failed) == ["kinds"], report
    assert list(report.blocked) == ["readers"]
    assert shop.rows("kinds") == before
    assert list(shop.run().failed) == ["kinds"]


def test_nothing_of_a_run_that_is_all_or_nothing_appears_where_a_task_fails(shop: Shop) -> None:
    shop.tasks["bad"] = "SELECT abs(-9223372036854775807 - order_id) AS a FROM notes WHERE order_id > 0"
    report = shop.run(all_or_nothing=True)
    assert (report.ran, list(report.failed)) == ({}, ["bad"])
    assert not {"notes", "revenue", "stg_orders"} & set(shop.con.list_tables())
    del shop.tasks["bad"]
    assert len(shop.run(all_or_nothing=True).ran) == 3


def test_views_stay_when_a_table_below_them_gets_other_columns(shop: Shop) -> None:
    shop.others = [
        TaskSpec("big", lambda ctx: ctx.table("revenue").filter(ibis._.total > 2).select("customer_id"), kind="view"),
        TaskSpec("customers", lambda ctx: ctx.table("big").distinct()),
    ]
    shop.run()
    shop.sql("CREATE VIEW theirs AS SELECT customer_id FROM big")
    shop.tasks["revenue"] = REVENUE.replace("count(*)", "max(amount) AS most, count(*)")
    assert list(shop.run().ran) == ["revenue"]
    assert shop.rows("theirs") == shop.rows("big") == shop.rows("customers") == [(1,)]
    assert not shop.run().ran


def test_a_view_that_somebody_else_defines_anew_is_made_again(shop: Shop) -> None:
    shop.others = [TaskSpec("big", lambda ctx: ctx.table("revenue").filter(ibis._.total > 2), kind="view")]
    shop.run()
    shop.sql("DROP VIEW big")
    shop.sql("CREATE VIEW big AS SELECT * FROM revenue")
    assert list(shop.run().ran) == ["big"]
    assert shop.rows("big") == [(1, 6.0, 2)]


def test_tables_in_memory_are_read(shop: Shop) -> None:
    names = ibis.memtable({"customer_id": [1, 2], "name": ["Ann", "Bob"]})
    shop.others = [
        TaskSpec("named", lambda ctx: ctx.table("revenue").join(names, "customer_id").select("name", "total"))
    ]
    shop.run()
    assert shop.rows("named") == [("Ann", 6.0), ("Bob", 1.0)]
    assert not shop.run().ran
    shop.sql("UPDATE raw_orders SET amount = 2 WHERE order_id = 3")
    shop.run()
    assert shop.rows("named") == [("Ann", 6.0), ("Bob", 2.0)]


def test_a_task_that_takes_too_long_is_stopped(shop: Shop) -> None:
    endless = "WITH RECURSIVE n AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM n WHERE a < 1000000000) SELECT max(a) AS a FROM n"
    shop.others = [TaskSpec("slow", lambda ctx: ctx.sql(endless), timeout=0.5)]
    report = shop.run()
    assert list(report.failed) == ["slow"]
    assert "0.5 s" in report.failed["slow"]
    assert len(report.ran) == 3


def test_records_and_runs_are_kept_beside_the_tables(shop: Shop) -> None:
    shop.run()
    shop.run()
    other = shop.connect()
    warehouse = warehouse_of(other)
    records = EvidenceStore(warehouse).load()
    assert [(name, found.rows, found.task) for name, found in records.items()] == [
        ("notes", 3, "notes"), ("revenue", 2, "revenue"), ("stg_orders", 3, "stg_orders"),
    ]  # fmt: skip
    history = RunLog(warehouse).runs()
    assert [(found.number, found.outcome, dict(found.counts)) for found in history.runs] == [
        (2, "finished", {"skipped": 3}), (1, "finished", {"ran": 3}),
    ]  # fmt: skip
    assert plan_run(shop.catalog, backend=other).schedule.order == ()
    other.disconnect()


def test_a_source_in_files_is_refused_for_its_readers_alone(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("id,name\n1,Ann\n")
    reader = TaskSpec("customers", lambda ctx: ctx.table("raw_customers").select("name"))
    catalog = TaskCatalog([*shop.catalog.tasks, reader], [SourceSpec("raw_customers", path=str(path))])
    report = run(catalog, backend=shop.con, quiet=True)
    assert list(report.failed) == ["customers"]
    assert "engine can't read its files" in report.failed["customers"]
    assert len(report.ran) == 3


def test_limits_of_duckdb_are_refused(shop: Shop) -> None:
    with pytest.raises(WarehouseError, match="takes no memory_limit of '1GB'"):
        shop.run(memory_limit="1GB")


def test_two_runs_at_once_leave_what_one_leaves(shop: Shop) -> None:
    shop.run()
    shop.sql("UPDATE raw_orders SET amount = amount + 1")
    reports: list[RunReport] = []

    def run_too() -> None:
        con = shop.connect()
        reports.append(run(shop.catalog, backend=con, quiet=True))
        con.disconnect()

    threads = [threading.Thread(target=run_too) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.ok for report in reports] == [True, True]
    assert shop.rows("revenue") == [(1, 8.0, 2), (2, 2.0, 1)]
    assert not shop.run().ran
    assert {found.number for found in RunLog(warehouse_of(shop.con)).runs().runs} == {1, 2, 3, 4}


def test_the_command_takes_the_url_of_an_engine(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sql").mkdir()
    for name, text in shop.tasks.items():
        (tmp_path / "sql" / f"{name}.sql").write_text(text)
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "./sql"\ndatabase = "$SHOP_URL"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", shop.url)

    def relspec(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    assert relspec("plan").exit_code == 3
    assert relspec("run").output.splitlines()[-1].startswith("3 ran, 0 skipped")
    assert relspec("plan").exit_code == 0
    assert "wrote revenue, 2 rows" in relspec("explain", "revenue").output
    assert relspec("runs", "show", "1").output.startswith("run 1 finished")
    assert "paid_on" in relspec("unused").output
    assert "1 broken, 2 waiting" in relspec("impact", "raw_orders.order_id", "--drop").output
    assert relspec("check").exit_code == 2
    result = relspec("run", "--database", "postgres://127.0.0.1:1/nothing")
    assert (result.exit_code, result.output.splitlines()[0][:51]) == (
        2,
        "[RS402] the postgres database can't be reached: con",
    )


class UnknownEngine(PostgresBackend):
    """A backend that speaks to PostgreSQL, under a name for which relspec has no adapter."""

    name = "unknown"


@pytest.fixture
def unknown(postgres: str) -> Generator[Shop]:
    """A shop on an engine of which relspec knows nothing but that it has SQL."""
    found = Shop(postgres)
    known, found.con = found.con, UnknownEngine().connect(**found.con._con_kwargs)
    known.disconnect()
    yield found
    found.con.disconnect()


def test_on_an_engine_that_cant_compare_contents_what_reads_sources_is_built_each_time(unknown: Shop) -> None:
    unknown.tasks["one"] = "SELECT 1 AS one"
    assert len(unknown.run().ran) == 4
    again = unknown.run()
    assert list(again.ran) == ["stg_orders", "notes", "revenue"]
    assert again.ran["stg_orders"].endswith("of 'raw_orders', of which no version is known")
    assert unknown.rows("revenue") == [(1, 6.0, 2), (2, 1.0, 1)]


def test_on_an_engine_without_transactions_a_failed_task_leaves_its_table_and_is_built_again(unknown: Shop) -> None:
    unknown.tasks = {"kinds": "SELECT 1 AS a"}
    unknown.run()
    unknown.tasks["kinds"] = "SELECT 1 / (SELECT count(*) FROM raw_orders WHERE order_id > 3) AS a"
    assert list(unknown.run().failed) == ["kinds"]
    assert unknown.rows("kinds") == [(1,)]
    unknown.tasks["kinds"] = "SELECT 1 AS a"
    assert unknown.run().ran == {"kinds": "'kinds' does not exist yet"}
    with pytest.raises(WarehouseError, match="no transaction in which all of a run could appear at once"):
        unknown.run(all_or_nothing=True)


def test_numbers_of_any_precision_and_odd_types_are_written_as_they_are(postgres: str) -> None:
    shop = Shop(postgres)
    shop.tasks = {
        "kept": "SELECT n, j, i, t FROM odd",
        "plain": "SELECT t, NULL AS nothing FROM odd",
    }
    shop.sql("CREATE TABLE odd (n NUMERIC, j JSONB, i INTERVAL, t TEXT, net CIDR, pg pg_lsn)")
    shop.sql("""INSERT INTO odd VALUES (0.00049, '{"a": 1}', '1 day 2 hours', 'x', '10.0.0.0/8', '0/1')""")
    report = shop.run()
    assert list(report.ran) == ["kept", "plain"], report
    assert shop.rows("kept") == [(Decimal("0.00049"), {"a": 1}, timedelta(days=1, hours=2), "x")]
    assert not shop.run().ran
    shop.con.disconnect()


def test_another_schema_that_is_looked_in_is_left_alone(postgres: str) -> None:
    shop = Shop(postgres)
    shop.run()
    shop.sql("CREATE SCHEMA work")
    shop.sql("CREATE TABLE work.raw_orders AS SELECT * FROM public.raw_orders")
    shop.sql("SET search_path TO work, public")
    assert len(shop.run().ran) == 3
    shop.sql("SET search_path TO public")
    assert not shop.run().ran
    assert len(RunLog(warehouse_of(shop.con)).runs().runs) == 2
    shop.con.disconnect()


def test_what_another_run_publishes_meanwhile_counts_as_changed(postgres: str) -> None:
    shop = Shop(postgres)
    shop.tasks = {"stg": "SELECT order_id, note, amount FROM raw_orders"}
    shop.run()
    stale = shop.connect()  # the plan of a run that is slow to begin
    slow = TaskCatalog(
        [*shop.catalog.tasks, sql_task("SELECT order_id, note FROM stg WHERE pg_sleep(0.3)::text = ''", "child")]
    )
    reports: list[RunReport] = []
    thread = threading.Thread(target=lambda: reports.append(run(slow, backend=stale, quiet=True)))
    thread.start()
    asleep = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    while thread.is_alive() and not shop.con.con.execute(asleep).fetchall():
        shop.con.con.commit()  # within a transaction the server's answer stays the same
        time.sleep(0.01)
    assert thread.is_alive(), reports
    shop.sql("UPDATE raw_orders SET note = 'new'")
    shop.run()
    thread.join()
    assert [report.ok for report in reports] == [True]
    shop.tasks["child"] = "SELECT order_id, note FROM stg"
    shop.run()
    assert shop.rows("child") == [(1, "new"), (2, "new"), (3, "new")]
    stale.disconnect()
    shop.con.disconnect()


def test_a_source_that_cant_be_read_stops_its_readers_alone(postgres: str) -> None:
    shop = Shop(postgres)
    shop.sql("CREATE VIEW failing AS SELECT 1 / (order_id - 1) AS x FROM raw_orders")
    shop.tasks["of_failing"] = "SELECT x FROM failing"
    report = shop.run()
    assert list(report.failed) == ["of_failing"]
    assert "division by zero" in report.failed["of_failing"]
    assert len(report.ran) == 3
    shop.con.disconnect()


def test_a_name_that_the_engine_would_cut_off_is_refused(postgres: str) -> None:
    shop = Shop(postgres)
    shop.tasks["l" * 64] = "SELECT 1 AS a"
    assert "more than 63 bytes" in shop.run().failed["l" * 64]
    shop.con.disconnect()


def test_a_table_of_many_columns_is_compared(shop: Shop) -> None:
    columns = [f"c{number}" for number in range(140)]
    shop.sql(f"CREATE TABLE wide ({', '.join(f'{column} BIGINT' for column in columns)})")
    shop.sql(f"INSERT INTO wide VALUES ({', '.join(map(str, range(140)))})")
    shop.tasks = {"all_of_it": f"SELECT {', '.join(columns)} FROM wide"}
    shop.run()
    assert not shop.run().ran
    shop.sql("UPDATE wide SET c139 = 0")
    assert list(shop.run().ran) == ["all_of_it"]


def test_a_variable_that_is_not_set_names_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "one.sql").write_text("SELECT 1 AS one")
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "./sql"\ndatabase = "$SHOP_URL"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHOP_URL", raising=False)
    result = CliRunner().invoke(main, ["run"])
    assert result.exit_code == 2
    assert "[RS100]" in result.output
    assert "SHOP_URL" in result.output
    assert not (tmp_path / "$SHOP_URL").exists()
