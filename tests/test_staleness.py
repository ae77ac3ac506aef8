"""What is built again after an edit, and what is not, with the reason of each."""

import os
from dataclasses import replace
from pathlib import Path

import ibis
import pytest
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import RunReport, SourceSpec, TaskBuildContext, TaskCatalog, run, run_plan
from relspec_core.errors import UnknownColumnError
from relspec_core.staleness import UNCHANGED
from relspec_core.warehouse import connect
from tests.catalogs import Project, sql_task, task_of

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
        "spent": "reads paid.amount, paid.customer, whose rows are chosen anew",
        "mart": "reads spent.customer, spent.total, which task 'spent' builds anew",
    }
    assert tuple(report.skipped) == ("how_many", "notes")
    assert project.sql("SELECT sum(total) FROM mart") == [(120,)]
    assert tuple(project.run().ran) == ()


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
    assert project.run().ran["spent"] == "'spent' was changed by somebody else since it was built"
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
    assert (
        report.skipped["mart"]
        == "reads spent.customer, spent.total, whose rows are chosen anew, but came out as it was"
    )


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


# -- columns -----------------------------------------------------------------------------------------------------------

STG_ORDERS = "SELECT order_id, customer_id, amount, upper(note) AS note FROM raw_orders"


@pytest.fixture
def shop(con: DuckDBBackend) -> Project:
    con.con.execute(
        "CREATE TABLE raw_orders AS SELECT range AS order_id, range % 3 AS customer_id, range * 10 AS amount, "
        "'n' || range AS note FROM range(9)"
    )
    con.con.execute("CREATE TABLE raw_customers AS SELECT range AS customer_id, 'c' || range AS name FROM range(4)")
    project = Project(
        con,
        sql_task(STG_ORDERS, "stg_orders"),
        sql_task("SELECT customer_id, sum(amount) AS revenue FROM stg_orders GROUP BY customer_id", "revenue"),
        sql_task("SELECT order_id, note FROM stg_orders", "notes"),
        sql_task("SELECT name, revenue FROM raw_customers LEFT JOIN revenue USING (customer_id)", "directory"),
    )
    assert tuple(project.run().ran) == ("stg_orders", "notes", "revenue", "directory")
    return project


def test_another_calculation_of_a_column_reruns_its_task_and_its_readers_and_nothing_else(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("upper", "lower"))
    report = shop.run()
    assert report.ran == {
        "stg_orders": "its plan changed: another calculation of 'note'",
        "notes": "reads stg_orders.note, whose calculation changed",
    }
    assert report.skipped == {"revenue": UNCHANGED, "directory": UNCHANGED}


def test_a_renamed_column_stops_before_anything_runs_and_names_its_readers(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("amount", "amount AS amt"))
    with pytest.raises(UnknownColumnError) as raised:
        shop.run()
    message = str(raised.value)
    assert "revenue" in message
    assert "'amt'" in message
    assert shop.sql(
        "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'stg_orders' AND column_name = 'amt'"
    ) == [(0,)]


@pytest.mark.parametrize(
    "text",
    [
        STG_ORDERS + " -- as they come",
        STG_ORDERS.replace("FROM raw_orders", "FROM raw_orders AS o"),
        "WITH o AS (FROM raw_orders) SELECT order_id, customer_id, amount, upper(note) AS note FROM o",
    ],
)
def test_another_way_of_writing_a_task_reruns_nothing(shop: Project, text: str) -> None:
    shop.edit("stg_orders", text)
    shop.tasks = dict(reversed(shop.tasks.items()))
    assert shop.run().ran == {}


def test_a_filter_reruns_all_that_read_other_rows(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS + " WHERE order_id > 0")
    assert tuple(shop.run().ran) == ("stg_orders", "notes", "revenue")  # order 0 has no amount: revenue comes out alike
    shop.edit("stg_orders", STG_ORDERS + " WHERE order_id > 2")
    assert tuple(shop.run().ran) == ("stg_orders", "notes", "revenue", "directory")


def test_a_dropped_source_column_blocks_its_readers_before_anything_is_touched(shop: Project) -> None:
    before = shop.sql("SELECT name, built_at FROM relspec.evidence ORDER BY name")
    shop.sql("ALTER TABLE raw_orders DROP COLUMN note")
    report = shop.run()
    assert (report.ran, report.failed) == ({}, {})
    assert "raw_orders.note" in report.blocked["stg_orders"]
    assert shop.sql("SELECT name, built_at FROM relspec.evidence ORDER BY name") == before


def test_a_column_that_is_added_reruns_its_task_alone(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("amount,", "amount, amount * 2 AS double,"))
    report = shop.run()
    assert report.ran == {"stg_orders": "its plan changed: with new 'double'"}


# -- contents ----------------------------------------------------------------------------------------------------------


def test_what_comes_out_as_it_was_stops_the_rebuild_there(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("amount,", "amount + 0 AS amount,"))
    report = shop.run()
    assert tuple(report.ran) == ("stg_orders",)
    assert report.skipped["revenue"] == "reads stg_orders.amount, whose calculation changed, but came out as it was"
    assert (
        report.skipped["directory"] == "reads revenue.revenue, which task 'revenue' builds anew, but came out as it was"
    )
    assert shop.run().ran == {}


def test_contents_are_not_compared_where_the_author_or_the_caller_says_so(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("amount,", "amount + 0 AS amount,"), early_cutoff=False)
    assert tuple(shop.run().ran) == ("stg_orders", "revenue")
    shop.edit("stg_orders", STG_ORDERS.replace("amount,", "amount - 0 AS amount,"), early_cutoff=True)
    report = run(shop.catalog, backend=shop.con, quiet=True, cutoff_rows=3)
    assert tuple(report.ran) == ("stg_orders", "revenue")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT order_id, random() AS r FROM raw_orders", "it calls rand"),
        ("SELECT order_id, now() AS r FROM raw_orders", "it calls"),
        ("SELECT order_id FROM raw_orders LIMIT 3", "it takes some rows by LIMIT without an order"),
        ("SELECT any_value(order_id) AS x FROM raw_orders", "it calls any_value without an order"),
        ("SELECT row_number() OVER () AS x FROM raw_orders", "over a window without an order"),
        ("SELECT order_id FROM raw_orders USING SAMPLE 3", "it takes a sample"),
    ],
)
def test_what_may_come_out_differently_is_built_each_time_unless_its_author_says_otherwise(
    shop: Project, text: str, reason: str
) -> None:
    shop.tasks["chance"] = sql_task(text, "chance")
    shop.run()
    ran = shop.run().ran
    assert tuple(ran) == ("chance",)
    assert reason in ran["chance"]
    shop.edit("chance", text, deterministic=True)
    assert tuple(shop.run().ran) in ((), ("chance",))
    assert shop.run().ran == {}


def test_readers_of_what_comes_out_differently_are_built_only_where_they_read_that(shop: Project) -> None:
    shop.tasks["chance"] = sql_task("SELECT order_id, random() AS r FROM raw_orders", "chance")
    shop.tasks["ids"] = sql_task("SELECT order_id FROM chance", "ids")
    shop.tasks["values"] = sql_task("SELECT r FROM chance", "values")
    shop.run()
    report = shop.run()
    assert tuple(report.ran) == ("chance", "values")
    assert report.skipped["ids"] == UNCHANGED


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE revenue SET customer_id = 77 WHERE customer_id = 1",
        "UPDATE revenue SET revenue = revenue + 1",
        "CREATE OR REPLACE TABLE revenue AS SELECT customer_id, revenue * 2 AS revenue FROM revenue",
    ],
)
def test_values_that_somebody_else_changed_are_noticed(shop: Project, change: str) -> None:
    before = shop.sql("FROM revenue ORDER BY ALL")
    shop.sql(change)
    assert shop.run().ran == {"revenue": "'revenue' was changed by somebody else since it was built"}
    assert shop.sql("FROM revenue ORDER BY ALL") == before
    assert shop.run().ran == {}


def test_a_view_that_somebody_else_defined_anew_is_noticed(shop: Project) -> None:
    shop.edit("notes", "SELECT order_id, note FROM stg_orders", kind="view")
    shop.run()
    assert shop.run().ran == {}
    shop.sql("CREATE OR REPLACE VIEW notes AS SELECT order_id, upper(note) AS note FROM stg_orders WHERE order_id > 1")
    assert shop.run().ran == {"notes": "'notes' was changed by somebody else since it was built"}


def test_readers_of_a_view_are_left_where_what_they_read_of_it_came_out_the_same(shop: Project) -> None:
    shop.edit("stg_orders", "SELECT order_id, customer_id, amount, upper(note) AS note FROM raw_orders", kind="view")
    shop.run()
    shop.sql("UPDATE raw_orders SET note = 'new' WHERE order_id = 1")
    report = shop.run()
    assert "notes" in report.ran
    assert "revenue" in report.skipped
    assert report.skipped["revenue"].endswith("but came out as it was")
    shop.edit("stg_orders", shop.tasks["stg_orders"].build, early_cutoff=False)
    shop.run()
    shop.sql("UPDATE raw_orders SET note = 'newer' WHERE order_id = 1")
    assert {"notes", "revenue"} <= set(shop.run().ran)


def test_rows_that_somebody_else_added_or_took_away_are_noticed(shop: Project) -> None:
    shop.sql("DELETE FROM revenue WHERE customer_id = 1")
    assert shop.run().ran == {"revenue": "'revenue' was changed by somebody else since it was built"}


PEOPLE = "id,name,city\n1,ann,rome\n2,bob,oslo\n"


@pytest.fixture
def people(con: DuckDBBackend, tmp_path: Path) -> Project:
    (tmp_path / "people.csv").write_text(PEOPLE)
    project = Project(
        con,
        sql_task("SELECT id, name FROM people", "names"),
        sql_task("SELECT city, count(*) AS n FROM people GROUP BY city", "cities"),
        sources=[SourceSpec("people", path=str(tmp_path / "people.csv"))],
    )
    assert tuple(project.run().ran) == ("cities", "names")
    return project


@pytest.mark.parametrize(
    ("text", "ran"),
    [
        (PEOPLE, ()),
        (PEOPLE.replace("rome", "bonn"), ("cities",)),
        (PEOPLE.replace("ann", "eve"), ("names",)),
        (PEOPLE.replace("1,ann,rome\n2,bob,oslo\n", "2,bob,oslo\n1,ann,rome\n"), ()),
        (PEOPLE + "3,joe,bonn\n", ("cities", "names")),
        (PEOPLE.replace("city", "city,age").replace("rome", "rome,3").replace("oslo", "oslo,4"), ()),
    ],
)
def test_a_file_s_readers_are_built_where_what_they_read_of_it_changed(
    people: Project, tmp_path: Path, text: str, ran: tuple[str, ...]
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(text)
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))
    assert tuple(people.run().ran) == ran
    assert people.run().ran == {}


def test_a_large_file_s_readers_are_built_when_it_is_written(
    people: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_plan, "MOST_BYTES_COMPARED", 5)
    assert tuple(people.run().ran) == ("cities", "names")
    assert people.run().ran == {}
    os.utime(tmp_path / "people.csv", ns=(1, 1))
    assert tuple(people.run().ran) == ("cities", "names")


def test_a_file_that_can_t_be_read_as_declared_fails_its_readers_and_not_the_plan(
    people: Project, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE + "x,joe,bonn\n")
    people.sources = (replace(people.sources[0], schema={"id": "int64", "name": "string", "city": "string"}),)
    report = people.run()
    assert tuple(report.failed) == ("names",)


def test_a_view_finds_its_source_s_file_where_it_is_now(people: Project, tmp_path: Path) -> None:
    people.edit("names", "SELECT id, name FROM people", kind="view")
    people.run()
    (tmp_path / "people.csv").rename(tmp_path / "moved.csv")
    people.sources = (SourceSpec("people", path=str(tmp_path / "moved.csv")),)
    assert people.run().ran == {}
    assert people.sql("SELECT count(*) FROM names") == [(2,)]


def test_views_with_casts_are_not_taken_for_changed_in_the_next_process(tmp_path: Path) -> None:
    tasks = [
        sql_task(
            "SELECT 1::DOUBLE AS a, 2::DECIMAL(10, 2) AS b, list_transform([1], lambda x: x) AS c", "v", kind="view"
        )
    ]
    for expected in (("v",), (), ()):
        backend = connect(tmp_path / "w.duckdb")
        assert tuple(run(TaskCatalog(tasks), backend=backend, quiet=True).ran) == expected
        backend.disconnect()


def test_columns_whose_names_hold_commas_are_told_apart(con: DuckDBBackend) -> None:
    project = Project(
        con,
        sql_task('SELECT 1 AS a, 2 AS b, 7 AS "a, b"', "made"),
        sql_task('SELECT "a, b" AS z FROM made', "odd"),
        sql_task("SELECT a + b AS z FROM made", "plain"),
    )
    project.run()
    project.edit("made", 'SELECT 2 AS a, 2 AS b, 7 AS "a, b"')
    assert tuple(project.run().ran) == ("made", "plain")


def test_files_in_a_folder_are_looked_at_each(con: DuckDBBackend, tmp_path: Path) -> None:
    folder = tmp_path / "people.csv"
    folder.mkdir()
    (folder / "part0.csv").write_text(PEOPLE)
    (folder / "_SUCCESS").write_text("")
    project = Project(
        con, sql_task("SELECT name FROM people", "names"), sources=[SourceSpec("people", path=str(folder))]
    )
    assert tuple(project.run().ran) == ("names",)
    (folder / "part0.csv").write_text(PEOPLE.replace("ann", "eve"))
    assert tuple(project.run().ran) == ("names",)
    assert project.run().ran == {}
