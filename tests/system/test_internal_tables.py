"""What commands tell of internal tables: what is written is what counts."""

import json
from typing import Any

import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import ExecutionContext, PlanCatalog, TaskCatalog, compile_task_catalog, task_graph_from_catalog
from relspec_core.errors import UnknownColumnError
from relspec_core.insight.catalog_diff import catalog_diff
from relspec_core.insight.column_reference import find_reference
from relspec_core.insight.contract import contract_of
from relspec_core.insight.explanation import explain
from relspec_core.insight.impact import impact_of
from relspec_core.insight.impact_report import Impact
from relspec_core.insight.lineage_tree import lineage_tree
from relspec_core.insight.pytest_module import task_fixtures
from relspec_core.insight.schema_change import EvidenceChange, dropped, recalculated
from relspec_core.insight.unused_columns import unused_columns
from relspec_core.insight.what_if_plans import PlanCompiler
from relspec_core.plan_catalog import compile_what_compiles
from relspec_core.planning.plan_snapshot import plan_snapshot
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.laws.internal_tables import internal, staged_project
from tests.support.catalogs import SHOP, Project, compiled, empty_backend, sql_task, task_of


@pytest.fixture
def project(con: DuckDBBackend) -> Project:
    return staged_project(con)


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
    assert str(catalog_diff(plan_snapshot(plans), plan_snapshot(more))).splitlines() == [
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
        catalog, plans=plans, graph=task_graph_from_catalog(plans), warehouse=DuckDBWarehouse(backend)
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
    assert [found.task for found in impact(plans, "orders.note", drop=True).broken] == [
        "staged"
    ]  # names it all the same
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


def test_fixtures_of_an_internal_task_have_all_that_it_reads_by_itself() -> None:
    tasks = [
        internal("SELECT order_id, note FROM orders", "staged"),
        sql_task("SELECT order_id FROM staged", "ids"),
        task_of(lambda ctx: ctx.table("staged").select("note", "order_id").select("order_id"), "asks"),
    ]
    found = compile_what_compiles(TaskCatalog(tasks, SHOP), backend=empty_backend())
    assert task_fixtures("staged", found, catalog="x:y").tables[0].columns.names == ("order_id", "note")
    assert dict(task_fixtures("asks", found, catalog="x:y").declared)["staged"].names == ("order_id", "note")
