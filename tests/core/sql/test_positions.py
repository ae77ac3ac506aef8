"""What is said of a SQL text that is wrong: the task, line and column, and all other problems in the same report."""

import re

import ibis
import pytest

from relspec_core import TaskBuildContext
from relspec_core.errors import CompileError, CycleError, RelspecError, SqlError, UnknownColumnError, UnknownTableError
from tests.support.catalogs import compiled, sql_task, task_of

NAMED = re.compile(r"task '(\w+)'| in a circle: (\w+)")


def error_of(text: str, dialect: str = "duckdb") -> RelspecError:
    with pytest.raises(RelspecError) as caught:
        compiled(task_of(lambda ctx: ctx.sql(text, dialect=dialect), "totals"))
    return caught.value


LINE = error_of.__code__.co_firstlineno + 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT FROM WHERE", "line 1, column 13"),
        ("SELECT amount\nFROM orders WHERE )", "line 2, column 19"),
        ("SELECT amount,\n  'open", "line 2, column 3"),
        ("SELECT amount,\n  note /* open", "line 2, column 8"),
        ("SELECT 1 AS a;\n SELECT 2 AS b", "line 2, column 2"),
        ("\n DROP TABLE orders", "line 2, column 2"),
        ("", "line 1, column 1"),
        ("SELECT amount,\n  flor(amount) FROM orders", "line 2, column 3"),
        ("SELECT 'ÄÖÜ', flor(amount) FROM orders", "line 1, column 15"),
        ("SELECT * FROM flor(1)", "line 1, column 15"),
        ("SELECT note,\n  sum(amount) FROM orders", "line 1, column 8"),
        ("SELECT amount\nFROM orders WHERE sum(amount) > 1", "line 2, column 19"),
        ("SELECT amount,\n  note + day FROM orders", "line 2, column 8"),
        ("SELECT a.note,\n  b.note FROM orders a, orders b", "line 2, column 5"),
        ("SELECT amount,\n  customer_id FROM orders, customers", "line 2, column 3"),
        ("SELECT amount,\n  o.note FROM orders", "line 2, column 5"),
        ("SELECT amount,\n  o.* FROM orders", "line 2, column 3"),
        ("SELECT 1 FROM orders,\n  orders", "line 2, column 3"),
    ],
)
def test_an_invalid_text_is_reported_with_its_position(text: str, place: str) -> None:
    error = error_of(text)
    assert isinstance(error, SqlError)
    assert f"task 'totals' at tests/core/sql/test_positions.py:{LINE}; {place} of the SQL text" in error.at


def test_an_unknown_function_names_the_nearest() -> None:
    assert "did you mean 'floor'?" in error_of("SELECT flor(amount) FROM orders").hint


def test_an_unknown_column_has_its_line_and_its_first_letters_column() -> None:
    error = error_of('SELECT amount,\n  "amout" + 1 AS next FROM orders')
    assert isinstance(error, UnknownColumnError)
    assert "; line 2, column 3 of the SQL text; evidence 'orders' has" in error.at


def test_an_unknown_table_has_its_line_and_column() -> None:
    error = error_of("SELECT amount\nFROM ordres")
    assert isinstance(error, UnknownTableError)
    assert error.at == f"task 'totals' at tests/core/sql/test_positions.py:{LINE}; line 2, column 6 of the SQL text"


@pytest.mark.parametrize(
    ("dialect", "text", "place"),
    [
        ("tsql", "SELECT TOP 5 [amount],\n  FLOR([amount]) AS f FROM [orders]", "line 2, column 3"),
        ("tsql", "SELECT TOP 5 [amount],\n  [amout] FROM [orders]", "line 2, column 3"),
        ("bigquery", "SELECT amount,\n  tag, amout FROM `orders`, UNNEST(SPLIT(note, ',')) AS tag", "line 2, column 8"),
        ("snowflake", "SELECT IFF(amount > 1, 1, 0) AS a,\n  customer_id FROM orders, customers", "line 2, column 3"),
        ("mysql", "SELECT `amount`\nFROM `orders` WHERE", "line 2, column 15"),
    ],
)
def test_in_another_dialect_too_the_place_is_that_of_the_text_as_written(dialect: str, text: str, place: str) -> None:
    assert f"{place} of the SQL text" in error_of(text, dialect).at


def test_a_dialect_that_does_not_exist_names_the_nearest_and_the_line_of_the_builder() -> None:
    error = error_of("SELECT 1 AS a", "snowflke")
    assert error.code == "RS103"
    assert error.at == f"task 'totals' at tests/core/sql/test_positions.py:{LINE}"
    assert error.hint.startswith("did you mean 'snowflake'?")


def test_all_unknown_and_ambiguous_columns_of_a_text_are_reported_together() -> None:
    error = error_of("SELECT amout,\n  nte, customer_id FROM orders, customers")
    assert isinstance(error, CompileError)
    assert [(problem.code, str(problem.place)) for problem in error.errors] == [
        ("RS102", "line 1, column 8 of the SQL text"),
        ("RS102", "line 2, column 3 of the SQL text"),
        ("RS103", "line 2, column 8 of the SQL text"),
    ]


def test_all_unknown_tables_of_a_text_are_reported_together() -> None:
    error = error_of("SELECT 1 AS a FROM ordres, custmers")
    assert isinstance(error, CompileError)
    assert [problem.code for problem in error.errors] == ["RS101", "RS101"]


def test_every_tasks_problems_come_in_one_flat_report_in_task_order() -> None:
    def unknown_dialect(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql("SELECT 1 AS a", dialect="oracel")

    tasks = (
        sql_task("SELECT FROM WHERE", "bad_sql"),
        task_of(unknown_dialect, "dialect"),
        sql_task("SELECT flor(amount) FROM orders", "function"),
        sql_task("SELECT customer_id FROM orders, customers", "ambiguous"),
        sql_task("SELECT amout, nte FROM orders", "columns"),
        sql_task("SELECT amount FROM orders", "good"),
        sql_task("SELECT * FROM round", "round"),
    )
    with pytest.raises(CompileError) as caught:
        compiled(*tasks)
    named = ["".join(NAMED.findall(str(error))[0]) for error in caught.value.errors]
    assert named == ["ambiguous", "bad_sql", "columns", "columns", "dialect", "function", "round"]
    assert isinstance(caught.value.errors[-1], CycleError)
    assert str(caught.value).startswith("[RS199] 7 problems in the catalog")


def test_a_problem_of_a_text_is_reported_for_its_task_and_not_for_its_readers() -> None:
    reader = sql_task("SELECT * FROM broken", "reader")
    with pytest.raises(CompileError) as caught:
        compiled(reader, sql_task("SELECT amout, nte FROM orders", "broken"))
    assert {error.what for error in caught.value.errors} == {
        "task 'broken' reads 'orders.amout', which does not exist",
        "task 'broken' reads 'orders.nte', which does not exist",
    }


def test_readers_of_a_task_that_reads_an_unknown_table_are_no_circle() -> None:
    tasks = (
        sql_task("SELECT * FROM ordres", "a"),
        sql_task("SELECT * FROM a", "b"),
        sql_task("SELECT * FROM b", "c"),
        task_of(lambda ctx: {"x": ctx.table("a"), "y": ctx.table("orders")}, "d"),
    )
    with pytest.raises(UnknownTableError, match="task 'a' reads table 'ordres'"):
        compiled(*tasks)


def test_a_task_is_found_by_an_output_that_it_does_not_declare_though_others_wait_for_its_reader() -> None:
    tasks = (
        sql_task("SELECT order_id FROM y", "a"),
        sql_task("SELECT * FROM a", "b"),
        task_of(lambda ctx: {"x": ctx.table("customers"), "y": ctx.table("orders")}, "d"),
    )
    assert [plan.name for plan in compiled(*tasks)] == ["a", "b", "x", "y"]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT #1 AS a FROM orders",
        "PIVOT orders ON note USING sum(amount)",
        "SELECT * FROM (PIVOT orders ON note USING sum(amount))",
    ],
)
def test_a_text_without_column_names_is_refused_with_an_alternative(text: str) -> None:
    assert isinstance(error_of(text), SqlError)
