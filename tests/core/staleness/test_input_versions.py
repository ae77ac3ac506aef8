"""What is built again after a change of one column, of contents, or by somebody else."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskCatalog, run
from relspec_core.engines.duckdb_file import connect
from relspec_core.errors import UnknownColumnError
from relspec_core.staleness.input_versions import MOST_BYTES_COMPARED
from relspec_core.staleness.reasons import UNCHANGED, ChangedOutside, InputChanged
from tests.support.catalogs import Project, sql_task

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


def test_a_rebuild_with_unchanged_values_stops_there(shop: Project) -> None:
    shop.edit("stg_orders", STG_ORDERS.replace("amount,", "amount + 0 AS amount,"))
    report = shop.run()
    assert tuple(report.ran) == ("stg_orders",)
    revenue = InputChanged(evidence="stg_orders", columns=("amount",), how="calculation")
    directory = InputChanged(evidence="revenue", columns=("revenue",), how="rebuild", producer="revenue")
    assert report.skipped["revenue"].startswith(str(revenue))
    assert report.skipped["directory"].startswith(str(directory))
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
        ("SELECT order_id FROM raw_orders LIMIT 3", "LIMIT"),
        ("SELECT any_value(order_id) AS x FROM raw_orders", "it calls any_value without an order"),
        ("SELECT row_number() OVER () AS x FROM raw_orders", "over a window without an order"),
        ("SELECT order_id FROM raw_orders USING SAMPLE 3", "it samples"),
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
    assert shop.run().ran == {"revenue": str(ChangedOutside(table="revenue"))}
    assert shop.sql("FROM revenue ORDER BY ALL") == before
    assert shop.run().ran == {}


def test_a_view_that_somebody_else_defined_anew_is_noticed(shop: Project) -> None:
    shop.edit("notes", "SELECT order_id, note FROM stg_orders", kind="view")
    shop.run()
    assert shop.run().ran == {}
    shop.sql("CREATE OR REPLACE VIEW notes AS SELECT order_id, upper(note) AS note FROM stg_orders WHERE order_id > 1")
    assert shop.run().ran == {"notes": str(ChangedOutside(table="notes"))}


def test_readers_of_a_view_are_left_where_what_they_read_of_it_came_out_the_same(shop: Project) -> None:
    shop.edit("stg_orders", "SELECT order_id, customer_id, amount, upper(note) AS note FROM raw_orders", kind="view")
    shop.run()
    shop.sql("UPDATE raw_orders SET note = 'new' WHERE order_id = 1")
    report = shop.run()
    assert "notes" in report.ran
    assert "revenue" in report.skipped
    assert report.skipped["revenue"] != UNCHANGED
    shop.edit("stg_orders", shop.tasks["stg_orders"].build, early_cutoff=False)
    shop.run()
    shop.sql("UPDATE raw_orders SET note = 'newer' WHERE order_id = 1")
    assert {"notes", "revenue"} <= set(shop.run().ran)


def test_rows_that_somebody_else_added_or_took_away_are_noticed(shop: Project) -> None:
    shop.sql("DELETE FROM revenue WHERE customer_id = 1")
    assert shop.run().ran == {"revenue": str(ChangedOutside(table="revenue"))}


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


def test_a_large_file_s_readers_are_built_when_it_is_written(con: DuckDBBackend, tmp_path: Path) -> None:
    file = tmp_path / "people.parquet"
    con.con.execute(
        "COPY (SELECT range AS id, 'ann' AS name, 'rome' AS city, repeat(chr(97 + (range % 26)::INT), 1_000_000) AS photo "
        f"FROM range(101)) TO '{file}' (COMPRESSION uncompressed)"
    )
    assert file.stat().st_size > MOST_BYTES_COMPARED
    people = Project(con, sql_task("SELECT id, name FROM people", "names"), sources=[SourceSpec("people", path=file)])
    assert tuple(people.run().ran) == ("names",)
    assert people.run().ran == {}
    os.utime(file, ns=(1, 1))
    assert tuple(people.run().ran) == ("names",)


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
