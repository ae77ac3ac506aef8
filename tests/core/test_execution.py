import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ibis
import pytest
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, run
from relspec_core.errors import NotReadyError, TaskFailedError, UnknownTargetError, WarehouseError
from relspec_core.execution import build_task
from relspec_core.planning.run_plan import plan_run
from relspec_core.task_catalog import Builder
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.support.catalogs import Project, sql_task, task_of, text_block

ORDERS = "CREATE TABLE orders AS SELECT range AS id, range % 3 AS customer, range * 10 AS amount FROM range(6)"


@pytest.fixture
def project(con: DuckDBBackend) -> Project:
    """Six orders; what customers spent; how many did; and a task that has nothing to do with either."""
    con.con.execute(ORDERS)
    return Project(
        con,
        sql_task("SELECT id, customer, amount FROM orders WHERE amount > 0", "paid"),
        sql_task("SELECT customer, sum(amount) AS total FROM paid GROUP BY customer", "spent"),
        sql_task("SELECT count(*) AS n FROM spent", "spenders"),
        sql_task("SELECT 1 AS one", "other"),
    )


def test_tables_are_built_upstream_first_each_with_its_reason(project: Project) -> None:
    report = project.run()
    assert report.ran == {
        "other": "'other' does not exist yet",
        "paid": "'paid' does not exist yet",
        "spent": "'spent' does not exist yet",
        "spenders": "'spenders' does not exist yet",
    }
    assert list(report.ran) == ["other", "paid", "spent", "spenders"]
    assert (report.skipped, report.failed, report.blocked) == ({}, {}, {})
    assert report.ok
    assert project.sql("FROM spent ORDER BY customer") == [(0, 30), (1, 50), (2, 70)]
    assert project.sql("FROM spenders") == [(3,)]


def test_a_table_has_exactly_the_schema_of_its_plan(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)

    def build(ctx: TaskBuildContext) -> ibis.Table:
        orders = ctx.table("orders")
        return orders.group_by("customer").agg(total=orders.amount.sum(), mean=orders.amount.mean(), Odd=_.count())

    project = Project(con, task_of(build))
    project.run()
    found = project.sql(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'plan' ORDER BY column_index"
    )
    assert found == [("customer", "BIGINT"), ("total", "BIGINT"), ("mean", "DOUBLE"), ("Odd", "BIGINT")]


def test_a_run_needs_no_backend(capsys: pytest.CaptureFixture[str]) -> None:
    report = run(TaskCatalog([sql_task("SELECT 1 AS one", "one")]), quiet=True)
    assert tuple(report.ran) == ("one",)
    assert capsys.readouterr() == ("", "")


def test_an_empty_catalog_runs_nothing(con: DuckDBBackend) -> None:
    report = run(TaskCatalog([]), backend=con, quiet=True)
    assert report.ok
    assert str(report) == f"0 ran, 0 skipped, 0 failed, 0 blocked, in {report.seconds:.1f} s"


def test_planning_a_run_writes_nothing(project: Project) -> None:
    planned = plan_run(project.catalog, backend=project.con)
    assert planned.schedule.waves == (("other", "paid"), ("spent",), ("spenders",))
    assert project.sql("SELECT table_name FROM duckdb_tables()") == [("orders",)]
    assert project.sql("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'relspec'") == [(0,)]


def test_fewer_than_one_worker_is_refused(con: DuckDBBackend) -> None:
    with pytest.raises(WarehouseError, match="0 workers can't build anything"):
        run(TaskCatalog([]), backend=con, workers=0)


# -- targets -----------------------------------------------------------------------------------------------------------


def test_a_target_is_built_with_all_that_it_needs_and_nothing_else(project: Project) -> None:
    assert tuple(project.run("spent").ran) == ("paid", "spent")
    report = project.run("spenders")
    assert tuple(report.ran) == ("spenders",)
    assert tuple(report.skipped) == ("paid", "spent")


def test_a_target_may_be_one_output_of_a_task(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)

    def halves(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        return {"cheap": orders.filter(orders.amount < 30), "dear": orders.filter(orders.amount >= 30)}

    project = Project(con, task_of(halves, "split"), sql_task("SELECT 1 AS one", "other"))
    assert tuple(project.run("dear").ran) == ("split",)
    assert tuple(project.run("split").skipped) == ("split",)


def test_every_unknown_target_is_told_before_anything_is_built(project: Project) -> None:
    with pytest.raises(UnknownTargetError, match=r"no task 'spend'[\s\S]*did you mean 'spent'"):
        project.run("paid", "spend")
    with pytest.raises(Exception, match=r"no task 'x'[\s\S]*no task 'y'"):
        project.run("x", "y")
    with pytest.raises(UnknownTargetError, match="no task 'orders'"):
        project.run("orders")
    assert DuckDBWarehouse(project.con).relation_kind("paid") is None


# -- kinds, outputs, names ---------------------------------------------------------------------------------------------


def kind_of(project: Project, name: str) -> str | None:
    return DuckDBWarehouse(project.con).relation_kind(name)


def test_a_view_shows_what_its_sources_have_now(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)
    project = Project(con, sql_task("SELECT count(*) AS n FROM orders", "how_many", kind="view"))
    project.run()
    assert kind_of(project, "how_many") == "view"
    assert project.sql("FROM how_many") == [(6,)]
    project.sql("INSERT INTO orders VALUES (6, 0, 60)")
    assert project.sql("FROM how_many") == [(7,)]


def test_a_task_that_changes_its_kind_is_published_anew(project: Project) -> None:
    project.run()
    for kind in ("view", "table"):
        project.edit("paid", project.tasks["paid"].build, kind=kind)
        report = project.run()
        assert f"is to be a {kind}" in report.ran["paid"]
        assert kind_of(project, "paid") == kind
        assert project.sql("FROM spenders") == [(3,)]
    assert tuple(project.run().ran) == ()


def test_a_task_with_two_outputs_publishes_both(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)

    def halves(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        return {"cheap": orders.filter(orders.amount < 30), "marts.dear": orders.filter(orders.amount >= 30)}

    project = Project(con, task_of(halves, "split"), sql_task("SELECT count(*) AS n FROM marts.dear", "marts.n"))
    assert tuple(project.run().ran) == ("split", "marts.n")
    assert project.sql("SELECT count(*) FROM cheap") == [(3,)]
    assert project.sql("FROM marts.n") == [(3,)]
    assert tuple(project.run().skipped) == ("split", "marts.n")


def test_a_source_in_another_schema_is_read_by_its_dotted_name(con: DuckDBBackend) -> None:
    con.con.execute("CREATE SCHEMA raw")
    con.con.execute(ORDERS.replace("orders", "raw.orders"))
    project = Project(con, sql_task("SELECT amount FROM RAW.Orders", "staging.orders"))
    assert tuple(project.run().ran) == ("staging.orders",)
    assert tuple(project.run().skipped) == ("staging.orders",)
    assert project.sql("SELECT sum(amount) FROM staging.orders") == [(150,)]


def test_in_memory_tables_and_python_functions_are_executed(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)

    @ibis.udf.scalar.python
    def shout(text: str) -> str:
        return f"{text}!"

    def build(ctx: TaskBuildContext) -> ibis.Table:
        names = ibis.memtable({"customer": [0, 1], "name": ["ann", "bob"]})
        return ctx.table("orders").join(names, "customer").select("id", loud=shout(_.name))

    project = Project(con, task_of(build, "named"))
    project.run()
    assert project.sql("FROM named ORDER BY id") == [(0, "ann!"), (1, "bob!"), (3, "ann!"), (4, "bob!")]
    assert tuple(project.run().skipped) == ("named",)


# -- failures ----------------------------------------------------------------------------------------------------------


@ibis.udf.scalar.python
def refuse(amount: int) -> int:
    raise ValueError(f"no {amount} today")


@ibis.udf.scalar.python
def pick_two(amount: int) -> int:
    return 2 if amount else 0


@ibis.udf.scalar.python
def interrupt(amount: int) -> int:
    raise KeyboardInterrupt(amount)


def paid_with(function: Callable[[ibis.Value], ibis.Value]) -> Builder:
    return lambda ctx: ctx.table("orders").mutate(amount=function(_.amount))


def test_a_python_function_is_there_again_after_a_run_in_which_its_task_failed(project: Project) -> None:
    def broken(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("orders").mutate(amount=pick_two(_.amount), no=ibis.literal("no number").cast("int64"))

    project.edit("paid", broken)
    assert tuple(project.run().failed) == ("paid",)
    project.edit("paid", paid_with(pick_two))
    project.run().raise_if_failed()
    assert project.sql("SELECT DISTINCT amount FROM paid ORDER BY 1") == [(0,), (2,)]


def records(project: Project) -> list[tuple]:
    return project.sql("SELECT name, version, fingerprint, built_at FROM relspec.evidence ORDER BY name")


def test_a_failing_task_blocks_its_readers_and_the_others_go_on(project: Project) -> None:
    project.edit("paid", paid_with(refuse))
    report = project.run()
    assert tuple(report.ran) == ("other",)
    assert tuple(report.failed) == ("paid",)
    assert "[RS401] task 'paid' failed: " in report.failed["paid"]
    assert "ValueError: no 0 today" in report.failed["paid"]
    assert "\n" not in report.failed["paid"]
    assert tuple(report.blocked) == ("spent", "spenders")
    assert report.blocked["spent"] == "task 'spent' waits for task 'paid', which failed or is blocked"
    assert not report.ok
    with pytest.raises(TaskFailedError, match="1 ran, 0 skipped, 1 failed, 2 blocked"):
        report.raise_if_failed()


def test_a_table_that_loses_a_column_is_built_and_only_the_readers_of_that_column_are_blocked() -> None:
    con = ibis.duckdb.connect()
    con.con.execute("CREATE TABLE raw AS SELECT 1 AS id, 'x' AS note")
    texts = {"stg": "SELECT * FROM raw", "ids": "SELECT id FROM stg", "notes": "SELECT note FROM stg"}
    project = Project(con, *(sql_task(text, name) for name, text in texts.items()))
    assert project.run().ok
    project.sql("ALTER TABLE raw DROP COLUMN note")
    report = project.run()
    assert dict(report.ran) == {"stg": "its plan changed: without 'note'"}
    assert tuple(report.skipped) == ("ids",)
    assert dict(report.blocked) == {"notes": "task 'notes' reads 'stg.note', which 'stg' lacks; it has 'id'"}


def test_a_failing_task_leaves_its_old_table_and_record(project: Project) -> None:
    project.run()
    before = project.sql("FROM paid ORDER BY id"), records(project)
    good = project.tasks["paid"].build
    project.edit("paid", paid_with(refuse))
    assert tuple(project.run().failed) == ("paid",)
    assert (project.sql("FROM paid ORDER BY id"), records(project)) == before
    project.edit("paid", good)
    assert tuple(project.run().skipped) == ("other", "paid", "spent", "spenders")


def test_a_failing_second_output_leaves_the_first_as_it_was(project: Project) -> None:
    def two(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        limit = 10 * ctx.params["least"]
        second = orders.mutate(x=refuse(orders.amount)) if ctx.params["fail"] else orders.mutate(x=orders.amount)
        return {"first": orders.filter(orders.amount >= limit), "second": second}

    project.tasks = {"two": task_of(two, "two")}
    project.run(params={"least": 0, "fail": False})
    before = project.sql("SELECT count(*) FROM first"), records(project)
    assert tuple(project.run(params={"least": 3, "fail": True}).failed) == ("two",)
    assert (project.sql("SELECT count(*) FROM first"), records(project)) == before
    assert tuple(project.run(params={"least": 3, "fail": False}).ran) == ("two",)
    assert project.sql("SELECT count(*) FROM first") == [(3,)]


def test_ctrl_c_in_a_python_function_ends_the_run_and_leaves_the_old_state(project: Project) -> None:
    project.run()
    before = project.sql("FROM paid ORDER BY id"), records(project)
    project.edit("paid", paid_with(interrupt))
    with pytest.raises(KeyboardInterrupt):
        project.run()
    assert (project.sql("FROM paid ORDER BY id"), records(project)) == before


def test_ctrl_c_in_a_long_query_ends_the_run_and_leaves_the_old_state(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        text_block("""
        import signal, sys
        import ibis
        from relspec_core import TaskCatalog, TaskSpec, run

        signal.signal(signal.SIGINT, signal.default_int_handler)  # test workers start processes that ignore it
        TEXTS = {"1": "SELECT 1 AS a", "2": "SELECT sum(range)::BIGINT AS a FROM range(100_000_000_000)"}
        catalog = TaskCatalog([TaskSpec("slow", lambda ctx: ctx.sql(TEXTS[sys.argv[1]]))])
        run(catalog, backend=ibis.duckdb.connect("w.duckdb"))
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, script, "1"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    running = subprocess.Popen([*command[:-1], "2"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    assert running.stderr.readline() == "building slow\n"
    try:
        for _press in range(5):  # of somebody who has no patience
            running.send_signal(signal.SIGINT)
            time.sleep(0.05)
        _, message = running.communicate(timeout=30)
    finally:
        running.kill()
        running.communicate()
    assert "KeyboardInterrupt" in message
    assert running.returncode != 0
    con = ibis.duckdb.connect(tmp_path / "w.duckdb")
    assert con.con.execute("FROM slow").fetchall() == [(1,)]
    con.disconnect()


def test_a_process_that_dies_in_a_build_leaves_the_old_state(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        text_block("""
        import os, sys
        import ibis
        from relspec_core import TaskCatalog, TaskSpec, run

        @ibis.udf.scalar.python
        def die(number: int) -> int:
            os._exit(9)

        def first(ctx):
            return ctx.sql(f"SELECT {sys.argv[1]} AS a")

        def both(ctx):
            t = ctx.table("first")
            return {"safe": t, "deadly": t.mutate(b=die(t.a) if sys.argv[1] == "2" else t.a)}

        catalog = TaskCatalog([TaskSpec("first", first), TaskSpec("both", both)])
        print(*run(catalog, backend=ibis.duckdb.connect("w.duckdb"), quiet=True).ran)
        """)
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def run_with(number: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, script, number], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    assert run_with("1") == (0, "first both\n")
    assert run_with("2") == (9, "")
    con = ibis.duckdb.connect(tmp_path / "w.duckdb")
    assert con.con.execute("FROM first, safe, deadly").fetchall() == [(2, 1, 1, 1)]
    stored = con.con.execute("SELECT name, row_count FROM relspec.evidence ORDER BY 1").fetchall()
    con.disconnect()
    assert stored == [("deadly", 1), ("first", 1), ("safe", 1)]


def test_building_one_task_whose_source_is_not_there_is_refused(con: DuckDBBackend) -> None:
    catalog = TaskCatalog([sql_task("SELECT a FROM absent", "reader")], [SourceSpec("absent", schema={"a": "int64"})])
    plans = plan_run(catalog, backend=con).plans
    with pytest.raises(NotReadyError, match="task 'reader' waits for 'absent', which does not exist"):
        build_task("reader", plan_catalog=plans, warehouse=DuckDBWarehouse(con))
