"""The whole catalog on empty tables: every problem of every task in one report."""

import json
from collections.abc import Iterable
from pathlib import Path

import ibis
from hypothesis import given, settings
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from relspec_core.insight.catalog_check import CatalogReport, check_catalog
from tests.laws.generated import Generated, catalogs
from tests.support.catalogs import SHOP, empty_backend, sql_task, task_of


def report_of(
    *tasks: TaskSpec, sources: Iterable[SourceSpec] = SHOP, backend: DuckDBBackend | None = None
) -> CatalogReport:
    return check_catalog(TaskCatalog(tasks, sources), backend=backend or empty_backend())


def test_a_sound_catalog_compiles_and_runs() -> None:
    report = report_of(
        sql_task("SELECT customer_id, sum(amount) AS total FROM orders GROUP BY 1", "revenue"),
        sql_task("SELECT name, total FROM customers JOIN revenue USING (customer_id)", "directory", kind="view"),
        sql_task("SELECT count(*) AS n FROM directory", "n"),
    )
    assert report.ok
    assert report.ran == ("directory", "n", "revenue")
    assert str(report) == "3 of 3 tasks compile and run on empty tables, 0 problems"


def test_the_problems_of_all_tasks_are_in_one_report_and_the_others_are_run() -> None:
    report = report_of(
        sql_task("SELECT amout FROM orders", "misspelled"),
        sql_task("SELECT * FROM misspelled", "reader"),
        sql_task("SELECT * FROM ordres", "no_table"),
        sql_task("SELECT amount FROM orders", "fine"),
        task_of(lambda ctx: ctx.table("customers").nmae, "not_a_table"),
    )
    assert report.ran == ("fine",)
    assert report.unchecked == ("reader",)
    assert [problem.code for problem in report.problems] == ["RS102", "RS101", "RS102"]
    text = str(report)
    assert "did you mean 'amount'?" in text
    assert "did you mean 'orders'?" in text
    assert "not checked, as they read what these write: 'reader'" in text
    assert text.endswith("1 of 5 tasks compile and run on empty tables, 3 problems")
    assert [problem["code"] for problem in json.loads(report.to_json())["problems"]] == ["RS102", "RS101", "RS102"]


def test_what_compiles_but_does_not_bind_is_found(con: DuckDBBackend) -> None:
    @ibis.udf.scalar.builtin(name="no_such_function")
    def no_such_function(value: int) -> int:
        raise NotImplementedError

    def build(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("orders").select(found=no_such_function(_.amount))

    report = report_of(
        task_of(build, "broken"), sql_task("SELECT found + 1 AS more FROM broken", "reader"), backend=con
    )
    assert report.ran == ("reader",)
    (problem,) = report.problems
    assert "task 'broken' does not run on empty tables" in problem.what
    assert "no_such_function" in problem.what
    assert "'orders'" in problem.hint
    assert con.con.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_sources_without_a_schema_are_named(tmp_path: Path) -> None:
    sources = (*SHOP, SourceSpec("lost", path=tmp_path / "lost.csv"), SourceSpec("later"))
    report = report_of(
        sql_task("SELECT a FROM lost", "reader"), sql_task("SELECT amount FROM orders", "fine"), sources=sources
    )
    assert report.without_schema == ("later", "lost")
    assert "sources without a schema: 'later', 'lost'" in str(report)
    assert report.ran == ("fine",)
    assert [problem.code for problem in report.problems] == ["RS106"]


def test_names_of_three_parts_and_types_that_ibis_does_not_know_can_be_checked(con: DuckDBBackend) -> None:
    con.raw_sql("CREATE SCHEMA staging")
    con.raw_sql("CREATE TABLE staging.odd (a BIT, b UNION(x INT, y TEXT), c ENUM('u', 'v'), d TIME_NS, e BIGNUM)")
    con.raw_sql("ATTACH ':memory:' AS other")
    con.raw_sql("CREATE TABLE other.main.t (id BIGINT)")
    report = report_of(
        sql_task("SELECT c, a FROM staging.odd", "odd"),
        sql_task("SELECT id FROM other.main.t", "marts.far"),
        sources=(),
        backend=con,
    )
    assert str(report) == "2 of 2 tasks compile and run on empty tables, 0 problems"


def test_python_functions_and_tables_in_memory_are_there(con: DuckDBBackend) -> None:
    @ibis.udf.scalar.python
    def doubled(value: int) -> int:
        return value * 2

    def build(ctx: TaskBuildContext) -> ibis.Table:
        rates = ibis.memtable({"customer_id": [1], "rate": [2]})
        return ctx.table("orders").join(rates, "customer_id").select(twice=doubled(_.rate))

    assert report_of(task_of(build, "twice"), task_of(build, "again"), backend=con).ok


@settings(max_examples=settings().max_examples // 2)
@given(catalogs(most=4))
def test_a_random_catalog_that_compiles_runs_on_empty_tables(generated: Generated) -> None:
    report = check_catalog(generated.catalog, backend=empty_backend())
    assert report.ok, str(report)
    assert len(report.ran) == len(generated.tasks)
