"""Internal tables: written with the columns that their readers need, and built again when these need others."""

from pathlib import Path

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    ExecutionContext,
    TaskBuildContext,
    TaskCatalog,
    compile_task_catalog,
)
from relspec_core.plan_catalog import compile_what_compiles
from tests.core.system.test_compile_cache import Kept
from tests.laws.internal_tables import SOURCE, STAGED, internal, staged_project
from tests.support.catalogs import SHOP, Project, compiled, empty_backend, sql_task, task_of


@pytest.fixture
def project(con: DuckDBBackend) -> Project:
    return staged_project(con)


def columns(project: Project, table: str) -> list[str]:
    return [row[0] for row in project.sql(f"DESCRIBE {table}")]


# -- what is written ---------------------------------------------------------------------------------------------------


def test_a_table_is_written_with_the_columns_that_its_readers_need_in_its_own_order(project: Project) -> None:
    project.edit("maxima", "SELECT b FROM staged WHERE id > 3")
    project.run().raise_if_failed()
    assert columns(project, "staged") == ["id", "a", "b"]
    assert project.sql("SELECT count(*), sum(a) FROM staged") == [(8, 9)]
    assert project.sql("FROM maxima ORDER BY b") == [(40,), (50,), (60,), (70,), (80,)]


def test_what_only_left_out_columns_come_from_is_not_read_either() -> None:
    plans = compiled(
        internal(
            "SELECT o.order_id, o.amount * 2 AS twice, (SELECT max(name) FROM customers) AS last FROM orders o", "t"
        ),
        sql_task("SELECT order_id FROM t", "ids"),
    )
    plan = plans["t"]
    assert (plan.needed, plan.left_out, plan.schema.names) == (("order_id",), ("twice", "last"), ("order_id",))
    assert plan.whole.names == ("order_id", "twice", "last")
    assert dict(plan.deps.required_columns) == {"orders": ("order_id",)}
    assert "amount" not in plan.sql
    assert tuple(plans.sources) == ("orders",)


def test_a_column_that_is_not_needed_is_not_needed_of_the_tables_before_it() -> None:
    plans = compiled(
        internal("SELECT order_id, customer_id, amount, note FROM orders", "first"),
        internal("SELECT order_id, customer_id, upper(note) AS note FROM first WHERE amount > 1", "second"),
        sql_task("SELECT customer_id FROM second", "last"),
    )
    assert plans["second"].schema.names == ("customer_id",)
    assert plans["first"].schema.names == ("customer_id", "amount")


def test_what_decides_the_rows_of_a_distinct_table_is_calculated_and_not_written(con: DuckDBBackend) -> None:
    con.con.execute(SOURCE)
    project = Project(
        con,
        internal("SELECT DISTINCT a, id % 2 AS odd, note AS n FROM src", "pairs"),
        sql_task("SELECT a, count(*) AS n FROM pairs GROUP BY a", "counts"),
    )
    project.run().raise_if_failed()
    assert columns(project, "pairs") == ["a"]
    assert project.sql("FROM counts ORDER BY a") == [(0, 3), (1, 3), (2, 3)]


def test_a_table_that_no_task_reads_is_a_result_and_whole() -> None:
    plan = compiled(internal("SELECT order_id, note FROM orders", "t"))["t"]
    assert (plan.schema.names, plan.needed) == (("order_id", "note"), None)


def test_each_output_of_a_task_is_pruned_by_itself() -> None:
    def split(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        return {"cheap": orders.filter(orders.amount < 5), "dear": orders.filter(orders.amount >= 5)}

    plans = compiled(task_of(split, "split", internal=True), sql_task("SELECT note FROM cheap", "notes"))
    assert plans["cheap"].schema.names == ("note",)
    assert len(plans["dear"].schema) == 5


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("SELECT note, day, amount FROM orders", "day"),
        ("SELECT note, upper(note) AS loud FROM orders", "note"),
        ("SELECT random() AS chance, note, amount FROM orders", "amount"),
        ("SELECT uuid() AS id, note FROM orders", "note"),
    ],
)
def test_where_only_rows_are_read_the_first_column_that_is_certain_and_of_a_fixed_size_is_written(
    text: str, kept: str
) -> None:
    plan = compiled(internal(text, "t"), sql_task("SELECT count(*) AS n FROM t", "n"))["t"]
    assert (plan.schema.names, plan.needed) == ((kept,), ())


@pytest.mark.parametrize(
    ("text", "serves"),
    [
        ("SELECT * FROM t", True),
        ("SELECT t FROM t", True),
        ("SELECT DISTINCT * FROM t", True),
        ("SELECT COLUMNS(* REPLACE (amount + 1 AS amount)) FROM t", False),
    ],
)
def test_a_reader_of_all_columns_keeps_all_and_one_that_cant_be_resolved_allows_no_more(
    text: str,
    serves: bool,  # noqa: FBT001 - what is expected
) -> None:
    plans = compiled(internal("SELECT * FROM orders", "t"), sql_task(text, "reader"))
    assert plans["t"].left_out == ()
    assert (plans["t"].needed is not None) is serves


def test_a_view_is_left_whole_and_keeps_what_it_reads() -> None:
    plans = compiled(
        internal("SELECT order_id, amount, note FROM orders", "t"),
        sql_task("SELECT order_id, amount FROM t", "shown", kind="view", internal=True),
        sql_task("SELECT order_id FROM shown", "ids"),
    )
    assert plans["shown"].schema.names == ("order_id", "amount")
    assert plans["t"].schema.names == ("order_id", "amount")


def test_builders_may_ask_for_every_column() -> None:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        table = ctx.table("t")
        return table.mutate(loud=table.note.upper()).select("order_id")

    plans = compiled(internal("SELECT order_id, amount, note FROM orders", "t"), task_of(build, "reader"))
    assert plans["t"].schema.names == ("order_id",)


# -- who is internal ---------------------------------------------------------------------------------------------------


def test_a_catalog_sets_the_default_of_internal_for_its_tasks() -> None:
    whole = sql_task("SELECT order_id, note FROM orders", "whole", internal=False)
    silent = sql_task("SELECT order_id, note FROM orders", "silent")
    reader = sql_task("SELECT whole.order_id FROM whole JOIN silent USING (order_id)", "reader")
    plans = compile_task_catalog(TaskCatalog([whole, silent, reader], SHOP, internal=True), backend=empty_backend())
    assert plans["whole"].schema.names == ("order_id", "note")
    assert plans["silent"].schema.names == ("order_id",)
    plans = compile_task_catalog(TaskCatalog([silent], internal=True) + TaskCatalog([whole, reader], SHOP))
    assert [plan.left_out for plan in plans] == [(), ("note",), ()]


def test_a_header_declares_a_task_internal(tmp_path: Path) -> None:
    (tmp_path / "one.sql").write_text("/* ---\ninternal: true\n--- */\nSELECT 1 AS a, 2 AS b")
    (tmp_path / "two.sql").write_text("-- internal: False\nSELECT a FROM one")
    (tmp_path / "three.sql").write_text("SELECT 3 AS c")
    catalog = TaskCatalog.from_folder(tmp_path)
    assert {task.name: task.internal for task in catalog} == {"one": True, "two": False, "three": None}
    assert compile_task_catalog(catalog)["one"].schema.names == ("a",)
    assert [task.internal for task in TaskCatalog.from_folder(tmp_path, internal=True)] == [True, True, False]


# -- when it is built again --------------------------------------------------------------------------------------------


def test_a_reader_that_wants_more_is_built_with_the_table_and_nothing_else_is(project: Project) -> None:
    project.run()
    project.tasks["notes"] = sql_task("SELECT note FROM staged", "notes")
    assert project.run().ran == {
        "staged": "its plan changed: with new 'note'",
        "notes": "'notes' does not exist yet",
    }
    assert columns(project, "staged") == ["a", "b", "note"]
    assert project.run().ran == {}


def test_a_reader_that_goes_away_changes_nothing_and_may_come_back(project: Project) -> None:
    project.run()
    gone = project.tasks.pop("maxima")
    report = project.run()
    assert (report.ran, set(report.skipped)) == ({}, {"staged", "totals"})
    project.tasks["maxima"] = gone
    assert project.run().ran == {}
    assert columns(project, "staged") == ["a", "b"]


def test_a_table_that_is_built_for_another_reason_loses_columns_that_no_task_needs(project: Project) -> None:
    project.run()
    project.tasks.pop("maxima")
    project.sql("UPDATE src SET a = 7 WHERE id = 1")
    assert set(project.run().ran) == {"staged", "totals"}
    assert columns(project, "staged") == ["a"]


def test_another_type_of_a_needed_column_is_a_change_also_for_a_wider_table(project: Project) -> None:
    project.edit("staged", STAGED.replace("id > 0", "id::VARCHAR <> '0'").replace("a,", "a::VARCHAR AS a,"))
    project.edit("totals", "SELECT max(a) AS total FROM staged")
    project.run()
    project.tasks.pop("maxima")
    assert project.run().ran == {}
    project.sql("ALTER TABLE src ALTER a TYPE INTEGER")
    assert project.run().ran["staged"] == "reads src.a, src.id, which changed"


def test_an_unneeded_column_may_change_and_is_built_when_it_is_needed_again(project: Project) -> None:
    project.run()
    gone = project.tasks.pop("maxima")
    project.edit("staged", STAGED.replace("b,", "b + 1 AS b,"))
    assert project.run().ran == {}
    project.tasks["maxima"] = gone
    assert project.run().ran == {
        "staged": "its plan changed: another calculation of 'b'",
        "maxima": "reads staged.b, whose calculation changed",
    }
    assert project.sql("FROM maxima") == [(81,)]


def test_a_changed_input_of_an_unneeded_column_is_no_change(con: DuckDBBackend) -> None:
    con.con.execute(SOURCE)
    project = Project(
        con,
        sql_task("SELECT id, a FROM src", "one"),
        sql_task("SELECT id, b FROM src", "other"),
        internal("SELECT one.id, one.a, (SELECT max(b) FROM other) AS most FROM one", "staged"),
        sql_task("SELECT a FROM staged", "reader"),
        sql_task("SELECT most FROM staged", "rare"),
    )
    project.run()
    gone = project.tasks.pop("rare")
    project.sql("UPDATE src SET b = b + 1")
    assert set(project.run().ran) == {"other"}
    project.tasks["rare"] = gone
    assert set(project.run().ran) == {"staged", "rare"}
    assert project.sql("SELECT DISTINCT most FROM rare") == [(81,)]


def test_a_wider_table_is_left_as_it_is_where_its_inputs_come_out_the_same(con: DuckDBBackend) -> None:
    con.con.execute(SOURCE)
    project = Project(
        con,
        sql_task("SELECT id, a FROM src", "one"),
        sql_task("SELECT id, b, note FROM src", "other"),
        internal("SELECT a, b, note FROM one JOIN other ON one.id = other.id", "staged"),
        sql_task("SELECT sum(a) AS n, sum(b) AS m FROM staged", "reader"),
        sql_task("SELECT note FROM staged", "notes"),
    )
    project.run()
    gone = project.tasks.pop("notes")
    project.edit("one", "SELECT id + 0 AS id, a FROM src")
    report = project.run()
    assert tuple(report.ran) == ("one",)
    assert "staged" in report.skipped
    assert project.run().ran == {}
    project.tasks["notes"] = gone
    assert project.run().ran == {"staged": "its plan changed: with new 'note'"}  # its version was not kept
    assert project.run().ran == {}


def test_marking_a_table_internal_builds_nothing_and_unmarking_it_builds_what_is_missing(project: Project) -> None:
    project.edit("staged", STAGED, internal=None)
    project.run()
    project.edit("staged", STAGED, internal=True)
    assert project.run().ran == {}
    project.sql("UPDATE src SET a = 7 WHERE id = 1")
    project.run()
    assert columns(project, "staged") == ["a", "b"]
    project.edit("staged", STAGED, internal=None)
    assert project.run().ran == {"staged": "its plan changed: with new 'id', 'note'"}


def test_where_only_rows_are_read_any_columns_will_do(project: Project) -> None:
    project.run()
    project.tasks.pop("totals")
    project.edit("maxima", "SELECT count(*) AS n FROM staged")
    assert tuple(project.run().ran) == ("maxima",)
    project.edit("staged", STAGED.replace("id,", "id + 1 AS id,"))
    assert project.run().ran == {}
    project.edit("staged", STAGED.replace("id > 0", "id > 1"))
    assert tuple(project.run().ran) == ("staged", "maxima")
    assert columns(project, "staged") == ["id"]


def test_columns_that_no_task_may_ask_for_any_more_do_not_stay(project: Project) -> None:
    project.run()
    project.tasks.pop("maxima")
    project.edit("staged", "SELECT id, a FROM src WHERE id > 0")
    assert project.run().ran == {"staged": "its plan changed: without 'b'"}


def test_what_may_come_out_differently_is_built_each_time_only_where_it_is_needed(project: Project) -> None:
    project.edit("staged", STAGED.replace("note)", "note) || random()"))
    project.run()
    assert project.run().ran == {}
    project.tasks["notes"] = sql_task("SELECT note FROM staged", "notes")
    project.run()
    assert project.run().ran["staged"].startswith("it calls rand")


def test_a_last_reader_that_goes_away_leaves_a_result(project: Project) -> None:
    project.run()
    project.tasks.pop("maxima")
    project.tasks.pop("totals")
    assert project.run().ran == {"staged": "its plan changed: with new 'id', 'note'"}


def test_a_target_is_built_with_what_other_readers_need(project: Project) -> None:
    assert tuple(project.run("totals").ran) == ("staged", "totals")
    assert tuple(project.run().ran) == ("maxima",)


def test_narrower_plans_come_from_the_cache(project: Project) -> None:
    cache = Kept()
    ctx = ExecutionContext(cache=cache)
    first = compile_task_catalog(project.catalog, backend=project.con, ctx=ctx)
    kept = cache.kept
    second = compile_task_catalog(project.catalog, backend=project.con, ctx=ctx)
    assert cache.kept == kept
    assert [(plan.sql, plan.fingerprint, plan.needed) for plan in second] == [
        (plan.sql, plan.fingerprint, plan.needed) for plan in first
    ]
    assert second["staged"].left_out == ("id", "note")


def test_a_task_without_a_plan_may_need_anything() -> None:
    tasks = [
        internal("SELECT order_id, note FROM orders", "staged"),
        sql_task("SELECT order_id FROM staged", "ids"),
        sql_task("SELECT note, nothing FROM staged", "broken"),
    ]
    found = compile_what_compiles(TaskCatalog(tasks, SHOP), backend=empty_backend())
    assert set(found.errors) == {"broken"}
    assert found.plans["staged"].left_out == ()


def test_a_task_that_lost_its_source_keeps_what_it_needs(con: DuckDBBackend) -> None:
    con.con.execute(SOURCE)
    con.con.execute("CREATE TABLE more AS SELECT 1 AS id, 2 AS x, 3 AS y")
    project = Project(
        con,
        internal(STAGED, "staged"),
        sql_task("SELECT a FROM staged", "reader"),
        sql_task("SELECT b, x FROM staged JOIN more USING (id)", "joined"),
    )
    project.run()
    project.sql("ALTER TABLE more DROP COLUMN x")
    project.sql("UPDATE src SET a = 7")
    report = project.run()
    assert set(report.ran) == {"staged", "reader"}
    assert columns(project, "staged") == ["id", "a", "b"]
