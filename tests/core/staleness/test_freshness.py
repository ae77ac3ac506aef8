"""What is built again after an edit, and what is not, with the reason of each."""

import ibis
import pytest
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import ExecutionContext, RunReport, SourceSpec, TaskBuildContext, compile_task_catalog
from relspec_core.planning.run_plan import RunPlan, plan_outputs
from relspec_core.staleness.reasons import UNCHANGED, ChangedOutside, InputChanged
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.support.catalogs import Project, sql_task, task_of

ORDERS = "CREATE TABLE orders AS SELECT range AS id, range % 3 AS customer, range * 10 AS amount, 'n' || range AS note FROM range(6)"


@pytest.fixture
def project(con: DuckDBBackend) -> Project:
    con.con.execute(ORDERS)
    con.con.execute("CREATE TABLE customers AS SELECT range AS customer, 'c' || range AS name FROM range(3)")
    project = Project(
        con,
        sql_task("SELECT id, customer, amount FROM orders WHERE amount > 0", "paid"),
        sql_task("SELECT customer, sum(amount) AS total FROM paid GROUP BY customer", "spent"),
        sql_task("SELECT name, total FROM spent JOIN customers USING (customer)", "mart"),
        sql_task("SELECT upper(note) AS note FROM orders", "notes"),
        sql_task("SELECT count(*) AS n FROM orders", "how_many"),
    )
    assert tuple(project.run().ran) == ("how_many", "notes", "paid", "spent", "mart")
    return project


def test_a_second_run_builds_nothing_and_says_why_for_each_task(project: Project) -> None:
    report = project.run()
    assert report.skipped == dict.fromkeys(("how_many", "notes", "paid", "spent", "mart"), UNCHANGED)
    assert (report.ran, report.failed, report.blocked) == ({}, {}, {})


def test_an_edited_filter_is_built_again_with_what_depends_on_it(project: Project) -> None:
    project.edit("paid", "SELECT id, customer, amount FROM orders WHERE amount > 20")
    report = project.run()
    assert report.ran == {
        "paid": "its plan changed: other rows, by a filter, join, group, order or limit",
        "spent": str(InputChanged(evidence="paid", columns=("amount", "customer"), how="rows")),
        "mart": str(InputChanged(evidence="spent", columns=("customer", "total"), how="rebuild", producer="spent")),
    }
    assert tuple(report.skipped) == ("how_many", "notes")
    assert project.sql("SELECT sum(total) FROM mart") == [(120,)]
    assert tuple(project.run().ran) == ()


def test_tables_asked_for_alone_are_judged_by_what_others_are_now(project: Project) -> None:
    project.edit("paid", "SELECT id, customer, amount FROM orders WHERE amount > 20")
    assert stale(project, "spent", "notes") == ()
    assert stale(project, "spent", "paid") == ("paid", "spent")
    project.run("paid")
    assert stale(project, "spent", "mart") == ("spent", "mart")
    project.con.con.execute("ALTER TABLE paid DROP COLUMN amount")
    blocked = planned(project, "spent", "notes")
    assert (blocked.schedule.order, tuple(blocked.schedule.blocked)) == ((), ("spent",))


def planned(project: Project, *outputs: str) -> RunPlan:
    plans = compile_task_catalog(project.catalog, backend=project.con, ctx=ExecutionContext(cache=project.cache))
    return plan_outputs(plans, warehouse=DuckDBWarehouse(project.con), outputs=outputs)


def stale(project: Project, *outputs: str) -> tuple[str, ...]:
    return planned(project, *outputs).schedule.order


def test_an_edit_that_changes_no_result_builds_nothing(project: Project) -> None:
    project.edit("paid", "select o.id, o.customer, o.amount /* same */ from ORDERS o where (o.amount > 0)")
    assert tuple(project.run().ran) == ()


def test_an_edited_constant_in_ibis_is_built_again(project: Project) -> None:
    project.tasks["scaled"] = task_of(lambda ctx: ctx.table("orders").select(x=_.amount * 2), "scaled")
    assert tuple(project.run().ran) == ("scaled",)
    project.edit("scaled", lambda ctx: ctx.table("orders").select(x=_.amount * 3))
    assert project.run().ran == {"scaled": "its plan changed: another calculation of 'x'"}


def test_an_edited_python_function_is_built_again(project: Project) -> None:
    def scaled(factor: int) -> RunReport:
        @ibis.udf.scalar.python
        def scale(number: int) -> int:
            return number * factor

        project.tasks["scaled"] = task_of(lambda ctx: ctx.table("orders").select(x=scale(_.amount)), "scaled")
        return project.run()

    assert tuple(scaled(2).ran) == ("scaled",)
    assert tuple(scaled(2).ran) == ()
    assert scaled(3).ran == {"scaled": "its plan changed: another calculation of 'x'"}
    assert project.sql("SELECT sum(x) FROM scaled") == [(450,)]


def test_an_edited_parameter_is_built_again_where_the_plan_holds_it(project: Project) -> None:
    def dear(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("orders").filter(_.amount > ctx.params.get("least", 0))

    project.tasks["dear"] = task_of(dear, "dear")
    project.run()
    assert tuple(project.run(params={"unread": 1}).ran) == ()
    assert tuple(project.run(params={"least": 30}).ran) == ("dear",)


@pytest.mark.parametrize(
    ("change", "ran"),
    [
        pytest.param("UPDATE orders SET note = 'x' WHERE id = 1", ("notes",), id="one column"),
        pytest.param("UPDATE orders SET amount = 11 WHERE id = 1", ("paid", "spent", "mart"), id="another column"),
        pytest.param("UPDATE customers SET name = 'x' WHERE customer = 1", ("mart",), id="another table"),
        pytest.param(
            "INSERT INTO orders VALUES (9, 0, 90, 'n9')", ("how_many", "notes", "paid", "spent", "mart"), id="a new row"
        ),
        pytest.param(
            "INSERT INTO orders VALUES (9, 0, 0, 'n9')",
            ("how_many", "notes", "paid"),
            id="a new row that is filtered out",
        ),
        pytest.param("ALTER TABLE orders ADD COLUMN unread INTEGER DEFAULT 3", (), id="a new column"),
        pytest.param(
            "CREATE OR REPLACE TABLE orders AS FROM orders ORDER BY id DESC", (), id="another order of the same rows"
        ),
        pytest.param(
            "CREATE OR REPLACE TABLE orders AS SELECT note, id, amount, customer FROM orders",
            (),
            id="another order of columns",
        ),
    ],
)
def test_exactly_the_readers_of_a_changed_column_and_theirs_are_built(
    project: Project, change: str, ran: tuple[str, ...]
) -> None:
    project.sql(change)
    assert tuple(project.run().ran) == ran
    assert tuple(project.run().ran) == ()


def test_the_reason_names_the_columns_and_the_source_that_changed(project: Project) -> None:
    project.sql("UPDATE orders SET note = 'x' WHERE id = 1")
    assert project.run().ran == {"notes": "reads orders.note, which changed"}
    project.sql("DELETE FROM orders WHERE id = 0")
    assert project.run().ran["how_many"] == "reads the rows of orders, which changed"


def test_a_dropped_column_blocks_exactly_its_readers_and_theirs(project: Project) -> None:
    project.sql("ALTER TABLE orders DROP COLUMN amount")
    report = project.run()
    assert tuple(report.blocked) == ("paid", "spent", "mart")
    assert report.blocked["paid"].startswith(
        "task 'paid' reads 'orders.amount', which 'orders' lacks; it has 'id', 'customer', 'note'"
    )
    assert "task 'paid' reads 'orders.amount'" in report.blocked["mart"]
    assert tuple(report.skipped) == ("how_many", "notes")
    assert project.sql("SELECT count(*) FROM mart") == [(3,)]


def test_a_dropped_column_that_comes_back_is_no_reason_to_build(project: Project) -> None:
    project.sql("CREATE TABLE kept AS FROM orders")
    project.sql("ALTER TABLE orders DROP COLUMN amount")
    assert tuple(project.run().blocked) == ("paid", "spent", "mart")
    project.sql("CREATE OR REPLACE TABLE orders AS FROM kept")
    assert tuple(project.run().skipped) == ("how_many", "notes", "paid", "spent", "mart")


def test_a_dropped_source_blocks_its_readers_and_theirs(project: Project) -> None:
    project.sql("DROP TABLE customers")
    report = project.run()
    assert report.blocked == {"mart": "task 'mart' waits for 'customers', which does not exist"}
    assert tuple(report.skipped) == ("how_many", "notes", "paid", "spent")


def test_a_column_of_another_type_has_its_readers_built_again(project: Project) -> None:
    project.sql("ALTER TABLE customers ALTER name TYPE BLOB USING name::BLOB")
    assert tuple(project.run().ran) == ("mart",)
    assert project.sql("SELECT DISTINCT typeof(name) FROM mart") == [("BLOB",)]


def test_a_column_that_is_not_of_its_declared_type_blocks_its_readers_and_theirs(project: Project) -> None:
    project.sources = (SourceSpec("customers", schema={"customer": "int64", "name": "string"}),)
    assert tuple(project.run().ran) == ()
    project.sql("ALTER TABLE customers ALTER name TYPE INTEGER USING customer")
    report = project.run()
    assert tuple(report.blocked) == ("mart",)
    assert report.blocked["mart"].startswith("task 'mart' reads 'customers.name' as string, but it is int32; cast it")
    assert tuple(report.skipped) == ("how_many", "notes", "paid", "spent")


def test_a_table_that_somebody_dropped_is_built_again_and_not_its_readers(project: Project) -> None:
    project.sql("DROP TABLE spent")
    assert project.run().ran == {"spent": "'spent' does not exist yet"}


def test_a_table_that_somebody_altered_is_built_again(project: Project) -> None:
    project.sql("ALTER TABLE spent ADD COLUMN mine INTEGER")
    assert project.run().ran["spent"] == str(ChangedOutside(table="spent"))
    assert tuple(project.run().ran) == ()


def test_a_table_of_that_name_that_relspec_did_not_write_is_replaced(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE one AS SELECT 'mine' AS a")
    project = Project(con, sql_task("SELECT 1 AS one", "one"))
    assert tuple(project.run().ran) == ("one",)
    assert project.sql("FROM one") == [(1,)]


def test_a_renamed_output_is_built_with_its_readers(project: Project) -> None:
    project.edit("spent", "SELECT customer, sum(amount) AS sum_total FROM paid GROUP BY customer")
    project.edit("mart", "SELECT name, sum_total AS total FROM spent JOIN customers USING (customer)")
    assert tuple(project.run().ran) == ("spent", "mart")


def test_a_new_task_between_two_is_built_with_those_after_it(project: Project) -> None:
    project.tasks["checked"] = sql_task("SELECT * FROM paid WHERE id < 100", "checked")
    project.edit("spent", "SELECT customer, sum(amount) AS total FROM checked GROUP BY customer")
    report = project.run()
    assert tuple(report.ran) == ("checked", "spent")
    changed = InputChanged(evidence="spent", columns=("customer", "total"), how="rows")
    assert report.skipped["mart"].startswith(str(changed))


def test_a_table_whose_task_is_renamed_is_left_as_it_is(project: Project) -> None:
    project.tasks["notes_v2"] = sql_task("SELECT upper(note) AS note FROM orders", "notes_v2", outputs=("notes",))
    del project.tasks["notes"]
    assert project.run("notes_v2").skipped == {"notes_v2": UNCHANGED}


def test_two_outputs_are_built_together_when_one_changes(con: DuckDBBackend) -> None:
    con.con.execute(ORDERS)

    def halves(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        return {"ids": orders.select("id"), "big": orders.filter(orders.amount > ctx.params["least"]).select("note")}

    project = Project(con, task_of(halves, "split"), sql_task("SELECT count(*) AS n FROM ids", "n"))
    project.run(params={"least": 10})
    report = project.run(params={"least": 20})
    assert report.ran["split"].startswith("its plan changed")
    assert project.sql("SELECT count(*) FROM big") == [(3,)]


def test_what_another_target_built_is_not_built_again(project: Project) -> None:
    project.edit("paid", "SELECT id, customer, amount FROM orders WHERE amount > 20")
    assert tuple(project.run("paid").ran) == ("paid",)
    assert tuple(project.run().ran) == ("spent", "mart")


def test_a_run_on_a_reopened_database_knows_what_earlier_runs_did(tmp_path: object) -> None:
    path = f"{tmp_path}/w.duckdb"
    for expected in (("one", "two"), ()):
        con = ibis.duckdb.connect(path)
        project = Project(con, sql_task("SELECT 1 AS a", "one"), sql_task("SELECT a FROM one", "two"))
        assert tuple(project.run().ran) == expected
        con.disconnect()
