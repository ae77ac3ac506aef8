import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import TaskCatalog, run
from relspec_core.engines.duckdb_file import connect
from relspec_core.errors import WarehouseError
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse
from tests.support.catalogs import sql_task


@pytest.fixture
def warehouse(con: DuckDBBackend) -> Warehouse:
    return DuckDBWarehouse(con)


def test_a_transaction_that_fails_leaves_nothing(warehouse: Warehouse) -> None:
    def fail() -> None:
        with warehouse.transaction():
            warehouse.execute("CREATE TABLE half AS SELECT 1 AS a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert warehouse.relation_kind("half") is None
    with warehouse.transaction():
        warehouse.execute("CREATE TABLE whole AS SELECT 1 AS a")
    assert warehouse.relation_kind("whole") == "table"


def test_a_table_is_found_whatever_the_case_of_its_name_and_however_it_is_qualified(warehouse: Warehouse) -> None:
    warehouse.execute('CREATE SCHEMA "Staging"')
    warehouse.execute('CREATE TABLE "Staging"."Orders" AS SELECT 1 AS "Id"')
    warehouse.execute("CREATE VIEW seen AS SELECT 1 AS a")
    names = ["staging.orders", "memory.STAGING.Orders", "seen", "main.seen", "orders"]
    assert list(warehouse.schemas(names)) == names[:-1]
    assert warehouse.schemas(["staging.orders"])["staging.orders"] == ibis.schema({"Id": "int32"})
    assert [warehouse.relation_kind(name) for name in names] == ["table", "table", "view", "view", None]


@pytest.mark.parametrize(
    ("before", "after"), [("table", "view"), ("view", "table"), ("view", "view"), ("table", "table")]
)
def test_a_table_or_view_takes_the_place_of_the_other(warehouse: Warehouse, before: str, after: str) -> None:
    schema = ibis.schema({"a": "int64"})
    for kind, value in ((before, 1), (after, 2)):
        warehouse.create("deep.thing", f"SELECT {value}::BIGINT AS a", schema=schema, kind=kind)
    assert warehouse.relation_kind("deep.thing") == after
    assert warehouse.rows("FROM deep.thing") == [(2,)]


def test_a_table_has_the_schema_that_is_asked_for(warehouse: Warehouse) -> None:
    schema = ibis.schema({"total": "int64", 'odd "name"': "string"})
    warehouse.create("t", "SELECT sum(range) AS x, 'a' AS y FROM range(4)", schema=schema, kind="table")
    assert warehouse.schemas(["t"]) == {"t": schema}
    assert warehouse.rows("FROM t") == [(6, "a")]


def content(warehouse: Warehouse, rows: str, columns: tuple[str, ...] = ("a", "b")) -> str:
    warehouse.execute(f"CREATE OR REPLACE TABLE t AS SELECT * FROM (VALUES {rows}) AS v(a, b)")
    return warehouse.contents("t", [list(columns)])[0]


def test_a_digest_of_contents_ignores_the_order_of_rows(warehouse: Warehouse) -> None:
    assert content(warehouse, "(1, 'x'), (2, 'y')") == content(warehouse, "(2, 'y'), (1, 'x')")


@pytest.mark.parametrize(
    "rows",
    ["(1, 'x'), (2, 'z')", "(1, 'y'), (2, 'x')", "(1, 'x')", "(1, 'x'), (2, 'y'), (2, 'y')", "(1, 'x'), (2, NULL)"],
)
def test_a_digest_of_contents_notices_values_rows_and_pairs(warehouse: Warehouse, rows: str) -> None:
    assert content(warehouse, rows) != content(warehouse, "(1, 'x'), (2, 'y')")


def test_a_digest_of_contents_does_not_cancel_equal_rows(warehouse: Warehouse) -> None:
    assert content(warehouse, "(1, 'x'), (1, 'x')") != content(warehouse, "(2, 'y'), (2, 'y')")


def test_a_digest_of_no_column_counts_rows(warehouse: Warehouse) -> None:
    assert content(warehouse, "(1, 'x')", ()) == content(warehouse, "(2, 'y')", ())
    assert content(warehouse, "(1, 'x')", ()) != content(warehouse, "(1, 'x'), (2, 'y')", ())


def test_a_digest_of_an_empty_table_is_a_digest(warehouse: Warehouse) -> None:
    warehouse.execute("CREATE TABLE nothing (a INTEGER)")
    assert warehouse.contents("nothing", [["a"]]) == warehouse.contents("nothing", [["a"]])


def test_duckdb_puts_less_often_into_its_file_what_is_written_inside(warehouse: Warehouse) -> None:
    def threshold() -> str:
        ((found,),) = warehouse.rows("SELECT current_setting('checkpoint_threshold')")
        return found

    before = threshold()
    with suppress(WarehouseError), warehouse.deferred_checkpoints():
        assert threshold() == "256.0 MiB"
        raise WarehouseError("something else")
    assert threshold() == before
    warehouse.set("checkpoint_threshold", "1 MiB")
    with warehouse.deferred_checkpoints():
        assert threshold() == "1.0 MiB"
    assert threshold() == "1.0 MiB"


def test_a_file_is_created_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.duckdb"
    backend = connect(path)
    assert DuckDBWarehouse(backend).path == str(path)
    backend.disconnect()
    assert path.is_file()


def test_an_absent_file_that_is_only_read_stands_for_an_empty_one(tmp_path: Path) -> None:
    backend = connect(tmp_path / "none.duckdb", read_only=True)
    assert DuckDBWarehouse(backend).path is None
    backend.disconnect()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "w.duckdb").write_text("no database " * 1000)
    with pytest.raises(WarehouseError, match=re.escape(str(tmp_path / "w.duckdb"))) as caught:
        connect(tmp_path / "w.duckdb")
    assert "the warehouse can't be opened" in str(caught.value)


def test_a_file_that_another_process_holds_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    hold = f"import duckdb; c = duckdb.connect({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(WarehouseError) as caught:
            connect(path)
        holder.communicate("\n")
    assert str(path) in str(caught.value)
    assert str(holder.pid) in str(caught.value)


def test_duckdb_draws_nothing_where_commands_print_their_results(tmp_path: Path) -> None:
    for read_only in (False, True):
        backend = connect(tmp_path / "w.duckdb", read_only=read_only)
        assert backend.con.execute("SELECT current_setting('enable_progress_bar')").fetchall() == [(False,)]
        backend.disconnect()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("'a'::ENUM('a', 'b')", "'x'::ENUM('x', 'y')"),
        ("INTERVAL 30 DAY", "INTERVAL 1 MONTH"),
        ("NULL::INT[]", "[]::INT[]"),
        ("[]::INT[]", "[NULL]::INT[]"),
        ("[[1], [2]]", "[[1, 2]]"),
        ("{'a': NULL::INT}", "NULL::STRUCT(a INT)"),
        ("0.0::DOUBLE", "-0.0::DOUBLE"),
        ("1.00::DECIMAL(18, 2)", "100::BIGINT"),
        ("DATE '1970-01-02'", "1::INT"),
        ("TIMESTAMP '2024-01-01'", "TIMESTAMPTZ '2024-01-01 00:00:00+00'"),
        ("'a'", "'a'::BLOB"),
    ],
)
def test_other_values_have_another_digest(con: DuckDBBackend, one: str, other: str) -> None:
    warehouse = DuckDBWarehouse(con)
    con.con.execute(f"CREATE TABLE one AS SELECT {one} AS x; CREATE TABLE other AS SELECT {other} AS x")
    assert warehouse.contents("one", [["x"]]) != warehouse.contents("other", [["x"]])
    assert warehouse.contents("one", [["x"]]) == warehouse.contents("one", [["x"]], query="FROM one")


def test_records_are_found_in_a_database_that_is_named_like_their_schema(tmp_path: Path) -> None:
    for _ in range(2):
        backend = connect(tmp_path / "relspec.duckdb")
        report = run(TaskCatalog([sql_task("SELECT 1 AS a", "one")]), backend=backend, quiet=True)
        backend.disconnect()
    assert report.ran == {}
    assert tuple(report.skipped) == ("one",)
