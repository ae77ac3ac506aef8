"""Internal tables: written with the columns that their readers need, and built again when these need others."""

import json
from pathlib import Path
from typing import Any

import ibis
import pytest
from hypothesis import given, settings
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    ExecutionContext,
    PlanCatalog,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskSpec,
    compile_task_catalog,
    run,
    task_graph_from_catalog,
)
from relspec_core.catalog_diff import catalog_diff, snapshot
from relspec_core.changed_plans import PlanCompiler
from relspec_core.contract import contract_of
from relspec_core.errors import UnknownColumnError
from relspec_core.evidence_change import EvidenceChange, dropped, recalculated
from relspec_core.evidence_reference import find_reference
from relspec_core.explanation import explain
from relspec_core.impact import impact_of
from relspec_core.impact_report import Impact
from relspec_core.lineage_tree import lineage_tree
from relspec_core.plan_catalog import compile_what_compiles
from relspec_core.task_fixtures import task_fixtures
from relspec_core.unused_columns import unused_columns
from relspec_core.warehouse import Warehouse
from tests.catalogs import SHOP, Project, compiled, empty_backend, sql_task, task_of
from tests.cutting import bag_of, quoted
from tests.generated import Generated, catalogs
from tests.test_compile_cache import Kept

SOURCE = "CREATE TABLE src AS SELECT range AS id, range % 3 AS a, range * 10 AS b, 'n' || range AS note FROM range(9)"
STAGED = "SELECT id, a, b, upper(note) AS note FROM src WHERE id > 0"


def internal(text: str, name: str) -> TaskSpec:
    return sql_task(text, name, internal=True)


@pytest.fixture
def project(con: DuckDBBackend) -> Project:
    """An internal table, and two tasks that read a column of it each."""
    con.con.execute(SOURCE)
    return Project(
        con,
        internal(STAGED, "staged"),
        sql_task("SELECT sum(a) AS total FROM staged", "totals"),
        sql_task("SELECT max(b) AS most FROM staged", "maxima"),
    )


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
        internal("SELECT o.order_id, o.amount * 2 AS twice, (SELECT max(name) FROM customers) AS last FROM orders o", "t"),
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
    "text", ["SELECT * FROM t", "SELECT t FROM t", "SELECT COLUMNS(c -> c LIKE '%id') FROM t", "SELECT DISTINCT * FROM t"]
)
def test_a_reader_of_all_columns_keeps_all(text: str) -> None:
    plans = compiled(internal("SELECT * FROM orders", "t"), sql_task(text, "reader"))
    assert plans["t"].left_out == ()


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


def test_a_catalog_says_it_for_the_tasks_that_say_nothing() -> None:
    whole = sql_task("SELECT order_id, note FROM orders", "whole", internal=False)
    silent = sql_task("SELECT order_id, note FROM orders", "silent")
    reader = sql_task("SELECT whole.order_id FROM whole JOIN silent USING (order_id)", "reader")
    plans = compile_task_catalog(TaskCatalog([whole, silent, reader], SHOP, internal=True), backend=empty_backend())
    assert plans["whole"].schema.names == ("order_id", "note")
    assert plans["silent"].schema.names == ("order_id",)
    plans = compile_task_catalog(TaskCatalog([silent], internal=True) + TaskCatalog([whole, reader], SHOP))
    assert [plan.left_out for plan in plans] == [(), ("note",), ()]


def test_a_header_says_it_too(tmp_path: Path) -> None:
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


def test_a_table_that_is_built_for_another_reason_loses_what_nobody_needs(project: Project) -> None:
    project.run()
    project.tasks.pop("maxima")
    project.sql("UPDATE src SET a = 7 WHERE id = 1")
    assert set(project.run().ran) == {"staged", "totals"}
    assert columns(project, "staged") == ["a"]


def test_what_nobody_needs_may_change_and_is_built_when_it_is_needed_again(project: Project) -> None:
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


def test_a_changed_input_of_what_nobody_needs_is_no_change(con: DuckDBBackend) -> None:
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
    assert report.skipped["staged"].endswith("but came out as it was")
    assert project.run().ran == {}
    project.tasks["notes"] = gone
    assert project.run().ran == {"staged": "its plan changed: with new 'note'"}  # its version was not kept
    assert project.run().ran == {}


def test_marking_a_table_builds_nothing_and_taking_the_mark_away_builds_what_is_missing(project: Project) -> None:
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


# -- what is told of it ------------------------------------------------------------------------------------------------


def explained(project: Project, task: str) -> tuple[list[str], dict[str, Any]]:
    found = explain(project.catalog, task, backend=project.con)
    lines = str(found).splitlines()
    start = [at for at, line in enumerate(lines) if line.startswith("  writes ")]
    stop = [at for at, line in enumerate(lines) if at not in start and line[:3] != "   "]
    return [line for at in start for line in lines[at : min(s for s in stop if s > at)]], json.loads(found.to_json())


def test_explain_tells_what_is_written_and_what_is_left_out(project: Project) -> None:
    text, data = explained(project, "staged")
    assert text == [
        "  writes staged: a, b",
        "    because it is internal, and its readers need these",
        "    leaves out id, note, which no task needs",
    ]
    assert data["writes"]["staged"]["left_out"] == ["id", "note"]
    assert explained(project, "totals") == ([], explained(project, "totals")[1])
    project.edit("totals", "SELECT count(*) AS n FROM staged")
    project.edit("maxima", "SELECT count(*) AS n FROM staged")
    assert explained(project, "staged")[0][:2] == [
        "  writes staged: id",
        "    because 'maxima', 'totals' read its rows, and a table has at least one column",
    ]
    project.edit("maxima", "SELECT * FROM staged")
    assert explained(project, "staged")[0] == [
        "  writes staged: id, a, b, note",
        "    because it is internal, and its readers need all",
    ]
    project.edit("totals", "SELECT 1 AS one")
    project.edit("maxima", "SELECT 1 AS one")
    assert explained(project, "staged")[0][1] == "    because no task reads it, and so it is a result"


def shop() -> PlanCatalog:
    return compiled(
        internal("SELECT order_id, customer_id, amount, upper(note) AS note FROM orders", "staged"),
        sql_task("SELECT customer_id, sum(amount) AS total FROM staged GROUP BY 1", "revenue"),
    )


def test_contract_and_diff_know_the_columns_that_are_written() -> None:
    plans = shop()
    assert str(contract_of("staged", task_graph_from_catalog(plans))).splitlines()[2:] == [
        "# read by revenue (GROUP_BY, IDENTITY)",
        "customer_id: int64",
        "# read by revenue (AGGREGATION)",
        "amount: int64",
    ]
    more = compiled(*plans.tasks, sql_task("SELECT note FROM staged", "notes"))
    assert str(catalog_diff(snapshot(plans), snapshot(more))).splitlines() == [
        "added notes (task notes)",
        "changed staged (task staged)",
        "  note: added",
        "  read by notes: note",
        "1 added, 1 changed",
    ]


def test_unused_tells_nothing_of_what_is_left_out_nor_of_what_stands_for_rows() -> None:
    tasks = [
        internal("SELECT order_id, note FROM orders", "staged"),
        sql_task("SELECT count(*) AS n FROM staged", "n"),
    ]
    catalog = TaskCatalog(tasks, SHOP)
    backend = empty_backend()
    plans = compile_task_catalog(catalog, backend=backend)
    found = unused_columns(
        catalog, plans=plans, graph=task_graph_from_catalog(plans), warehouse=Warehouse(backend)
    )
    assert [table.evidence for table in found.tables] == ["orders"]
    assert [column.name for column in found.tables[0].columns] == ["customer_id", "amount", "note", "day"]


def test_a_column_that_is_not_written_has_no_lineage() -> None:
    plans = shop()
    graph = task_graph_from_catalog(plans)
    with pytest.raises(UnknownColumnError, match=r"'staged\.note' is not written: 'staged' is internal"):
        lineage_tree(find_reference("staged.note", graph), plans)
    assert str(lineage_tree(find_reference("orders.note", graph), plans)).endswith("nothing: nobody reads it")
    assert "revenue.total" in str(lineage_tree(find_reference("staged.amount", graph), plans))


def impact(plans: PlanCatalog, reference: str, *, drop: bool = False) -> Impact:
    graph = task_graph_from_catalog(plans)
    found = find_reference(reference, graph)
    change: EvidenceChange = dropped(found, graph) if drop else recalculated(found, graph)
    compiler = PlanCompiler(sources=SHOP, backend=empty_backend(), ctx=ExecutionContext())
    return impact_of(change, plans=plans, graph=graph, compiler=compiler)


def test_impact_follows_what_is_written() -> None:
    plans = shop()
    assert impact(plans, "orders.note").untouched == ("revenue", "staged")
    assert impact(plans, "staged.note").untouched == ("revenue", "staged")
    assert [found.task for found in impact(plans, "orders.amount").rebuilt] == ["revenue", "staged"]
    assert [found.task for found in impact(plans, "orders.day", drop=True).rebuilt] == []
    assert impact(plans, "orders.day", drop=True).untouched == ("revenue", "staged")
    assert [found.task for found in impact(plans, "orders.note", drop=True).broken] == ["staged"]  # names it all the same
    assert impact(plans, "staged.note", drop=True).ok


def test_impact_counts_readers_that_a_change_breaks_and_the_task_that_is_changed() -> None:
    plans = compiled(
        internal("SELECT * FROM customers", "people"),
        internal("SELECT order_id, customer_id, note FROM orders", "staged"),
        sql_task("SELECT order_id, name FROM staged JOIN people USING (customer_id)", "named"),
        sql_task("SELECT name FROM named", "names"),
    )
    assert impact(plans, "customers.name", drop=True).untouched == ("staged",)
    assert impact(plans, "named.name", drop=True).untouched == ("people", "staged")


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


def test_fixtures_of_an_internal_task_have_all_that_it_reads_by_itself() -> None:
    tasks = [
        internal("SELECT order_id, note FROM orders", "staged"),
        sql_task("SELECT order_id FROM staged", "ids"),
        task_of(lambda ctx: ctx.table("staged").select("note", "order_id").select("order_id"), "asks"),
    ]
    found = compile_what_compiles(TaskCatalog(tasks, SHOP), backend=empty_backend())
    assert task_fixtures("staged", found, catalog="x:y").tables[0].columns.names == ("order_id", "note")
    assert dict(task_fixtures("asks", found, catalog="x:y").declared)["staged"].names == ("order_id", "note")


# -- on random catalogs ------------------------------------------------------------------------------------------------


def written(generated: Generated, tasks: TaskCatalog) -> dict[str, tuple[tuple[str, ...], Any]]:
    con = ibis.duckdb.connect(threads=1)
    generated.load(con)
    run(tasks, backend=con, quiet=True).raise_if_failed()
    plans = compile_task_catalog(generated.catalog, backend=con)
    found = {}
    for plan in plans:
        names = [row[0] for row in con.con.execute(f"DESCRIBE {quoted(plan.name)}").fetchall()]
        found[plan.name] = (tuple(names), bag_of(con.con, f"FROM {quoted(plan.name)}"))
    con.disconnect()
    return found


@settings(max_examples=settings().max_examples // 2)
@given(catalogs(most=6))
def test_results_are_the_same_and_what_is_written_is_calculated_alike(generated: Generated) -> None:
    """Laws 1, 3 and 10: with every table internal, and with none."""
    pruned = TaskCatalog(generated.tasks, generated.sources, internal=True)
    whole, fewer = (compile_task_catalog(tasks, backend=empty_backend()) for tasks in (generated.catalog, pruned))
    for plan in fewer:
        assert plan.calculations.rows == whole[plan.name].calculations.rows
        for column in plan.schema:
            assert plan.calculations.columns[column] == whole[plan.name].calculations.columns[column]
    read = {name for plan in fewer for name in plan.deps.inputs}
    before, after = written(generated, generated.catalog), written(generated, pruned)
    for name in set(before) - read:
        assert after[name] == before[name]
    assert {name: columns for name, (columns, _) in after.items()} == {plan.name: plan.schema.names for plan in fewer}


@settings(max_examples=settings().max_examples // 2)
@given(catalogs(most=6))
def test_marking_every_table_builds_nothing_again(generated: Generated) -> None:
    con = ibis.duckdb.connect(threads=1)
    generated.load(con)
    run(generated.catalog, backend=con, quiet=True).raise_if_failed()
    again = run(generated.catalog, backend=con, quiet=True).ran
    pruned = TaskCatalog(generated.tasks, [SourceSpec(source.name) for source in generated.sources], internal=True)
    assert set(run(pruned, backend=con, quiet=True).ran) <= set(again)
    con.disconnect()
