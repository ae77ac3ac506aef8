"""The modules that fixtures prints: each is run by pytest, in a process of its own where it matters."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import pytest
from hypothesis import given, settings
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.backends.sql.datatypes import DuckDBType

from relspec_core import TaskBuildContext, TaskCatalog, TaskSpec
from relspec_core.errors import UnknownTargetError
from relspec_core.insight.pytest_module import TaskFixtures, task_fixtures
from relspec_core.insight.sample_values import literal
from relspec_core.plan_catalog import compile_what_compiles
from tests.laws.generated import Generated, catalogs
from tests.support.catalogs import SHOP, empty_backend, sql_task, task_of

MODULE = ModuleType("printed_catalog")
REFERENCE = f"{MODULE.__name__}:catalog"


def fixtures_of(task: TaskSpec, *more: TaskSpec, asked: str | None = None) -> TaskFixtures:
    compiled = compile_what_compiles(TaskCatalog([task, *more], SHOP), backend=empty_backend())
    return task_fixtures(asked or task.name, compiled, catalog=REFERENCE)


def runs(fixtures: TaskFixtures, task: TaskSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Execute the module and its test, in this process; the catalog is the task."""
    monkeypatch.setitem(sys.modules, MODULE.__name__, MODULE)
    monkeypatch.setattr(MODULE, "catalog", TaskCatalog([task], SHOP), raising=False)
    namespace: dict[str, Any] = {}
    exec(str(fixtures), namespace)  # noqa: S102 - it is what is tested
    (test,) = [value for name, value in namespace.items() if name.startswith("test_")]
    test()


def test_tables_hold_only_the_columns_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    task = sql_task(
        "SELECT customer_id, sum(amount) AS total FROM orders WHERE day > DATE '2024-01-01' GROUP BY 1", "t"
    )
    fixtures = fixtures_of(task)
    assert fixtures.tables[0].statements == (
        'CREATE TABLE "orders" ("customer_id" BIGINT, "amount" BIGINT, "day" DATE)',
        """INSERT INTO "orders" ("customer_id", "amount", "day") VALUES\n    (1, 1, '2024-01-01'),\n    (2, 2, '2024-01-02'),\n    (3, 3, '2024-01-03')""",
    )
    assert (fixtures.declared, fixtures.refused) == ({}, None)
    assert json.loads(fixtures.to_json())["outputs"] == {"t": ["customer_id", "total"]}
    runs(fixtures, task, monkeypatch)


def test_a_builder_that_names_more_columns_than_its_plan_reads_gets_them_declared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = task_of(lambda ctx: ctx.table("orders").select("note", "amount").select("amount"), "t")
    fixtures = fixtures_of(task)
    assert fixtures.tables[0].columns.names == ("amount",)
    assert fixtures.declared["orders"].names == ("order_id", "customer_id", "amount", "note", "day")
    runs(fixtures, task, monkeypatch)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT note::INT + 1 AS number FROM orders",
        "SELECT note::DATE AS day FROM orders",
        "SELECT note::JSON -> 'a' AS found FROM orders",
        "SELECT note::INT AS number, name::DATE AS day FROM orders, customers",
        "SELECT count(*) AS n FROM orders",
        "SELECT 1 AS one",
    ],
)
def test_texts_are_such_that_the_task_runs_on_them(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = sql_task(text, "t")
    fixtures = fixtures_of(task)
    assert fixtures.refused is None
    runs(fixtures, task, monkeypatch)


def test_values_that_the_engine_refuses_are_printed_with_what_it_says() -> None:
    fixtures = fixtures_of(sql_task("SELECT error('never: ' || amount) AS bad FROM orders WHERE amount > 0", "t"))
    assert fixtures.refused is None  # on rows of nothing but NULL
    fixtures = fixtures_of(sql_task("SELECT error('never') AS bad FROM orders", "t"))
    assert "Other values are needed" in str(fixtures)


def test_a_table_that_the_builder_asks_for_and_does_not_read_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        ctx.table("customers")
        return ctx.table("orders").select("amount")

    fixtures = fixtures_of(task_of(build, "t"))
    assert set(fixtures.declared) == {"customers", "orders"}
    assert [table.name for table in fixtures.tables] == ["orders"]
    runs(fixtures, task_of(build, "t"), monkeypatch)


@settings(max_examples=4)
@given(catalogs(most=3))
def test_every_task_of_a_random_catalog_runs_in_its_module(generated: Generated) -> None:
    compiled = compile_what_compiles(generated.catalog, backend=empty_backend())
    for task in compiled.plans.tasks:
        fixtures = task_fixtures(task.name, compiled, catalog=REFERENCE)
        assert fixtures.refused is None
        with pytest.MonkeyPatch.context() as patch:
            runs(fixtures, task, patch)


def test_a_task_with_two_outputs_over_tables_in_schemas_and_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        staged = ctx.table("staging.orders")
        return {"big": staged.filter(_.amount > 1), "marts.small": staged.filter(_.amount <= 1)}

    task = task_of(build, "split", outputs=("big", "marts.small"))
    fixtures = fixtures_of(task, sql_task("SELECT amount FROM orders", "staging.orders"))
    assert fixtures.tables[0].statements[0] == 'CREATE SCHEMA IF NOT EXISTS "staging"'
    runs(fixtures, task, monkeypatch)


def test_there_is_a_value_for_every_type_of_duckdb(con: DuckDBBackend) -> None:
    rows = con.con.execute("SELECT column_name, column_type FROM (DESCRIBE FROM test_all_types())").fetchall()
    no_value = {"union", "geometry"}  # GEOMETRY needs an extension
    for name, type_name in rows:
        kind = DuckDBType.from_string(type_name)
        con.con.execute(f'CREATE TABLE "{name}" (a {DuckDBType.to_string(kind)})')
        con.con.execute(f'INSERT INTO "{name}" VALUES ({literal(kind, 1)}), ({literal(kind, 2)})')
        found = con.con.execute(f'SELECT count(a), any_value(typeof(a)) FROM "{name}"').fetchall()
        assert found[0][0] == (0 if name in no_value else 2), name
        assert DuckDBType.from_string(found[0][1] or type_name) == kind


def test_every_type_is_right_in_a_module_that_runs(con: DuckDBBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    con.con.execute("CREATE TABLE every AS FROM test_all_types()")
    task = sql_task("SELECT * FROM every", "t")
    fixtures = task_fixtures("t", compile_what_compiles(TaskCatalog([task]), backend=con), catalog=REFERENCE)
    assert fixtures.refused is None
    runs(fixtures, task, monkeypatch)


def test_a_value_of_an_unknown_type_is_null() -> None:
    assert literal(dt.macaddr, 1) == "NULL"


def test_an_unknown_task_gives_the_nearest() -> None:
    with pytest.raises(UnknownTargetError, match="did you mean 'revenue'"):
        fixtures_of(sql_task("SELECT amount FROM orders", "revenue"), asked="revenu")


def test_a_printed_module_passes_under_pytest_for_a_module_and_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "marts.revenue.sql").write_text("SELECT id, sum(amount) AS total FROM raw GROUP BY id")
    (tmp_path / "raw.csv").write_text("id,amount,unread\n1,2,3\n")
    (tmp_path / "shop.py").write_text(
        "from relspec_core import SourceSpec, TaskCatalog\n"
        "catalog = TaskCatalog.from_folder('sql', sources=[SourceSpec('raw', path='raw.csv')])\n"
    )
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "shop:catalog"\n')
    command = [sys.executable, "-c", "from relspec_core.cli import main; main()", "fixtures", "marts.revenue"]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    printed = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    (tmp_path / "test_module.py").write_text(printed)
    (tmp_path / "test_folder.py").write_text(printed.replace("'shop:catalog'", "'./sql'"))
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "2 passed" in tested.stdout
