import re
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pytest
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend
from sqlglot import exp

from relspec_core import ExecutionContext, RelspecError, SourceSpec, TaskBuildContext, TaskCatalog, compile_task_catalog
from relspec_core.errors import (
    BuilderError,
    CompileError,
    CycleError,
    SqlError,
    UnknownColumnError,
    UnknownTableError,
    UnsupportedPlanError,
)
from relspec_core.task_catalog import Builder
from tests.support.catalogs import ORDERS, SHOP, compiled, plan_of, sql_task, task_of


def reads(name: str) -> Builder:
    return lambda ctx: ctx.table(name)


def line_of(function: Builder, offset: int) -> str:
    """The file and a line of a function, as messages have it."""
    return f"{Path(__file__).name}:{function.__code__.co_firstlineno + offset}"  # ty: ignore[missing-attribute]


# -- schemas -----------------------------------------------------------------------------------------------------------


def test_a_source_that_is_declared_and_does_not_exist_compiles() -> None:
    assert plan_of("SELECT amount FROM orders").deps.required_columns == {"orders": ("amount",)}


def test_the_schema_of_a_source_is_read_from_the_backend_where_none_is_declared(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE live (a TINYINT, b DECIMAL(9, 3), c VARCHAR[], d TIMESTAMP WITH TIME ZONE)")
    con.con.execute("CREATE VIEW seen AS SELECT a FROM live")
    tasks = [sql_task("SELECT * FROM live", "one"), sql_task("SELECT * FROM seen", "two")]
    plans = compile_task_catalog(TaskCatalog(tasks, [SourceSpec("live")]), backend=con)
    assert plans["one"].schema == ibis.schema(
        {"a": "int8", "b": "decimal(9, 3)", "c": "array<string>", "d": "timestamp('UTC', 6)"}
    )
    assert plans["two"].schema == ibis.schema({"a": "int8"})
    assert list(plans.sources) == ["live", "seen"]


def test_a_declared_schema_goes_before_that_of_the_backend(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders (order_id INTEGER)")
    plans = compile_task_catalog(TaskCatalog([sql_task("SELECT amount FROM orders")], [ORDERS]), backend=con)
    assert plans["plan"].schema == ibis.schema({"amount": "int64"})


def test_sources_may_be_declared_in_the_context() -> None:
    catalog = TaskCatalog([sql_task("SELECT amount FROM orders")])
    plans = compile_task_catalog(catalog, ctx=ExecutionContext(sources=(ORDERS,)))
    assert plans["plan"].deps.inputs == ("orders",)


def test_a_source_declared_in_the_catalog_and_in_the_context_is_refused() -> None:
    with pytest.raises(RelspecError, match="source 'orders' is declared twice"):
        compile_task_catalog(TaskCatalog([], SHOP), ctx=ExecutionContext(sources=(SourceSpec("orders"),)))


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_the_schema_of_a_source_is_read_from_its_file(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"orders.{form}"
    options = "" if form == "csv" else f"(FORMAT {form})"
    duckdb.connect().execute(f"COPY (SELECT 1::BIGINT AS id, 'x' AS note, 2.5::DOUBLE AS amount) TO '{path}' {options}")
    plan = plan_of("SELECT amount, id FROM orders", [SourceSpec("orders", path=path)])
    assert plan.schema == ibis.schema({"amount": "float64", "id": "int64"})
    assert plan.deps.required_columns == {"orders": ("amount", "id")}


def test_the_schema_of_a_source_of_several_files_has_the_columns_of_all(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,a\n1,2\n")
    (tmp_path / "two.csv").write_text("id,b\n3,x\n")
    plan = plan_of("SELECT * FROM parts", [SourceSpec("parts", path=tmp_path / "*.csv")])
    assert plan.schema == ibis.schema({"id": "int64", "a": "int64", "b": "string"})


def test_a_plan_is_compiled_against_what_its_upstream_task_yields() -> None:
    staged = sql_task("SELECT order_id AS id, amount * 2 AS twice FROM orders", "staged")
    plans = compiled(staged, sql_task("SELECT * FROM staged", "mart"))
    assert plans["mart"].deps.required_columns == {"staged": ("id", "twice")}
    assert plans["mart"].deps.required_types["staged"] == dict(plans["staged"].schema.items())


# -- the one tree ------------------------------------------------------------------------------------------------------


def test_the_text_of_a_plan_is_the_text_of_its_tree_and_names_no_column_that_nobody_needs() -> None:
    plan = plan_of(lambda ctx: ctx.table("orders").mutate(double=_.amount * 2).select("order_id", "double"))
    assert isinstance(plan.ast, exp.Query)
    assert plan.sql == plan.ast.sql("duckdb", pretty=True)
    assert {column.name for column in plan.ast.find_all(exp.Column)} == {"order_id", "amount"}
    assert "*" not in plan.sql.replace(" * ", "")


def test_the_output_columns_of_a_plan_have_the_names_and_types_of_its_expression() -> None:
    plan = plan_of(lambda ctx: ctx.table("orders").select("note", Total=_.amount.cast("int32"), **{"odd name": _.day}))
    assert plan.schema == ibis.schema({"note": "string", "Total": "int32", "odd name": "date"})
    assert plan.ast.named_selects == ["note", "Total", "odd name"]


# -- names -------------------------------------------------------------------------------------------------------------


def test_names_in_sql_are_found_whatever_their_case_and_spelled_as_declared() -> None:
    source = SourceSpec("RawOrders", schema={"OrderId": "int64", "amount": "int64"})
    plan = plan_of('SELECT ORDERID, Amount AS "Total" FROM rawORDERS', [source])
    assert plan.deps.required_columns == {"RawOrders": ("OrderId", "amount")}


def test_a_task_may_be_asked_for_in_another_case() -> None:
    plans = compiled(sql_task("SELECT amount FROM orders", "Staged"), task_of(reads("STAGED"), "mart"))
    assert plans["mart"].deps.required_columns == {"Staged": ("amount",)}


def test_dotted_names_stand_for_tables_in_schemas_and_databases() -> None:
    sources = [SourceSpec("raw.orders", schema={"a": "int64"}), SourceSpec("lake.raw.orders", schema={"b": "int64"})]
    tasks = (
        sql_task("SELECT a FROM raw.orders", "staging.orders"),
        task_of(reads("lake.raw.orders"), "staging.lake"),
        sql_task("SELECT o.a, l.b FROM staging.orders AS o, staging.lake AS l", "marts.both"),
    )
    plans = compiled(*tasks, sources=sources)
    assert plans["staging.orders"].deps.inputs == ("raw.orders",)
    assert plans["staging.lake"].deps.inputs == ("lake.raw.orders",)
    assert plans["marts.both"].deps.required_columns == {"staging.lake": ("b",), "staging.orders": ("a",)}


def test_two_tables_of_one_name_in_two_schemas_are_two_evidences() -> None:
    sources = [SourceSpec("a.t", schema={"x": "int64"}), SourceSpec("b.t", schema={"x": "int64", "y": "int64"})]
    plan = plan_of("SELECT one.x, two.y FROM a.t AS one JOIN b.t AS two ON one.x = two.x", sources)
    assert plan.deps.required_columns == {"a.t": ("x",), "b.t": ("x", "y")}


def test_a_common_table_expression_hides_a_source_of_its_name() -> None:
    plan = plan_of("WITH orders AS (SELECT customer_id AS amount FROM customers) SELECT amount FROM orders")
    assert plan.deps.required_columns == {"customers": ("customer_id",)}


# -- in-memory tables, functions, views --------------------------------------------------------------------------------


def test_an_in_memory_table_is_part_of_the_plan_and_no_evidence() -> None:
    cities = pa.table({"city": ["Oslo"], "country": ["NO"]})
    plan = plan_of(lambda ctx: ctx.table("customers").join(ibis.memtable(cities), "city").select("name", "country"))
    assert plan.deps.inputs == ("customers",)
    (name,) = plan.memory
    assert name in plan.sql


def test_a_python_function_is_part_of_the_plan() -> None:
    @ibis.udf.scalar.python
    def shout(text: str) -> str:
        return f"{text}!"

    plan = plan_of(lambda ctx: ctx.table("customers").select(loud=shout(_.name)))
    assert plan.deps.required_columns == {"customers": ("name",)}


@pytest.mark.parametrize("what", ["an in-memory table", "a Python function"])
def test_a_view_over_what_ends_with_the_process_is_refused(what: str) -> None:
    @ibis.udf.scalar.python
    def shout(text: str) -> str:
        return f"{text}!"

    def build(ctx: TaskBuildContext) -> ibis.Table:
        customers = ctx.table("customers")
        if what == "a Python function":
            return customers.select(loud=shout(customers.name))
        return customers.join(ibis.memtable({"city": ["Oslo"]}), "city")

    with pytest.raises(UnsupportedPlanError, match=f"is a view over {what}, which ends with this process"):
        compiled(task_of(build, kind="view"))


def test_a_view_may_call_the_functions_of_the_engine() -> None:
    @ibis.udf.scalar.builtin
    def levenshtein(one: str, other: str) -> int: ...  # ty: ignore[invalid-implicit-return-in-function-with-stub-body]

    def build(ctx: TaskBuildContext) -> ibis.Table:
        customers = ctx.table("customers")
        return customers.select(far=levenshtein(customers.name, customers.city))

    plan = compiled(task_of(build, kind="view"))["plan"]
    assert plan.deps.required_columns == {"customers": ("city", "name")}


# -- errors ------------------------------------------------------------------------------------------------------------


def misspelled_attribute(ctx: TaskBuildContext) -> ibis.Table:
    orders = ctx.table("orders")
    return orders.filter(orders.amout > 1)


def misspelled_item(ctx: TaskBuildContext) -> ibis.Table:
    orders = ctx.table("orders")
    return orders.group_by("note").agg(total=orders["amout"].sum())


def misspelled_name(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").select("order_id", "amout")


def misspelled_deferred(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").mutate(double=_.amout * 2)


def misspelled_sql(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.sql("SELECT order_id,\n  o.amout\nFROM orders AS o")


@pytest.mark.parametrize(
    ("build", "offset"),
    [
        (misspelled_attribute, 2),
        (misspelled_item, 2),
        (misspelled_name, 1),
        (misspelled_deferred, 1),
        (misspelled_sql, 1),
    ],
)
def test_a_misspelled_column_names_the_task_the_line_the_table_and_the_nearest_column(
    build: Builder, offset: int
) -> None:
    with pytest.raises(UnknownColumnError) as caught:
        compiled(task_of(build, "totals"))
    message = str(caught.value)
    assert message.startswith(
        "[RS102] task 'totals' reads 'orders.amout', which does not exist\n  at:   task 'totals' "
    )
    assert line_of(build, offset) in message
    assert "'order_id', 'customer_id', 'amount', 'note', 'day'" in message
    assert "next: did you mean 'amount'? " in message


def test_a_misspelled_column_in_sql_is_reported_with_its_position() -> None:
    with pytest.raises(UnknownColumnError, match=re.escape("line 2, column 5 of the SQL text")):
        compiled(task_of(misspelled_sql, "totals"))


@pytest.mark.parametrize("build", [reads("order"), sql_task("SELECT * FROM order_").build, reads("ordres")])
def test_a_misspelled_table_names_the_task_the_line_and_the_nearest_table(build: Builder) -> None:
    with pytest.raises(UnknownTableError) as caught:
        compiled(task_of(build, "totals"))
    message = str(caught.value)
    assert message.startswith("[RS101] task 'totals' reads table 'ord")
    assert "which no task writes and no source declares" in message
    assert "catalogs.py:" in message or line_of(reads, 1) in message  # ty: ignore[invalid-argument-type]
    assert "did you mean 'orders'?" in message


def test_a_misspelled_table_is_compared_with_tables_of_the_backend_too(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE warehouse_only (a INTEGER)")
    with pytest.raises(UnknownTableError, match="did you mean 'warehouse_only'"):
        compile_task_catalog(TaskCatalog([task_of(reads("warehouse_onl"))]), backend=con)


def test_several_problems_are_reported_together_in_task_order() -> None:
    tasks = (task_of(misspelled_sql, "c"), task_of(reads("nothing"), "a"), task_of(misspelled_name, "b"))
    with pytest.raises(CompileError) as caught:
        compiled(*tasks, sql_task("SELECT amount FROM orders", "good"))
    assert [error.code for error in caught.value.errors] == ["RS101", "RS102", "RS102"]
    message = str(caught.value)
    assert message.startswith("[RS199] 3 problems in the catalog")
    assert [message.index(f"task '{name}' reads") for name in "abc"] == sorted(
        message.index(f"task '{name}' reads") for name in "abc"
    )


def test_a_problem_is_reported_once_and_not_for_every_reader() -> None:
    readers = (task_of(reads("broken"), "a"), sql_task("SELECT * FROM broken", "z"))
    with pytest.raises(UnknownColumnError, match=r"task 'broken' reads 'orders\.amout'"):
        compiled(*readers, task_of(misspelled_name, "broken"))


def test_a_cycle_is_reported_with_its_path() -> None:
    with pytest.raises(CycleError) as caught:
        compiled(task_of(reads("b"), "a"), task_of(reads("c"), "b"), sql_task("SELECT * FROM a", "c"))
    assert caught.value.path == ("a", "b", "c", "a")
    assert caught.value.code == "RS201"


def test_a_task_that_reads_itself_is_a_cycle() -> None:
    with pytest.raises(CycleError, match="a -> a"):
        compiled(task_of(reads("a"), "a"))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT FROM WHERE",
        "SELECT (1",
        "SELECT 'open",
        "",
        "SELECT 1 AS a; SELECT 2 AS a",
        "DROP TABLE orders",
        "SELECT amount + note::DATE AS x FROM orders",
        "SELECT a.amount, b.amount FROM orders AS a, orders AS b",
        "SELECT customer_id FROM orders, customers",
        "SELECT note, sum(amount) AS s FROM orders",
    ],
)
def test_an_invalid_sql_text_is_reported_for_its_task(text: str) -> None:
    with pytest.raises(SqlError) as caught:
        compiled(sql_task(text, "totals"))
    assert caught.value.code == "RS103"
    assert "task 'totals'" in str(caught.value)


def test_a_sql_text_that_does_not_parse_is_reported_with_line_and_column() -> None:
    with pytest.raises(SqlError, match=r"line 2, column 19 of the SQL text"):
        compiled(sql_task("SELECT amount\nFROM orders WHERE )"))


def test_an_unknown_dialect_names_the_nearest() -> None:
    with pytest.raises(SqlError, match=r"there is no SQL dialect 'postgre'[\s\S]*did you mean 'postgres'"):
        compiled(task_of(lambda ctx: ctx.sql("SELECT 1 AS a", dialect="postgre")))


def test_a_text_in_another_dialect_is_written_in_that_of_the_backend() -> None:
    plan = plan_of(lambda ctx: ctx.sql("SELECT IFNULL(`note`, '-') AS n FROM `orders`", dialect="mysql"))
    assert plan.deps.required_columns == {"orders": ("note",)}
    assert "`" not in plan.sql


def test_a_builder_that_raises_is_told_with_its_line() -> None:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        table = ctx.table("orders")
        raise ValueError(f"no {table.get_name()} today")

    with pytest.raises(BuilderError) as caught:
        compiled(task_of(build, "totals"))
    assert "task 'totals' raised ValueError: no orders today" in str(caught.value)
    assert line_of(build, 2) in str(caught.value)


def test_asking_for_a_plan_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'totals'"):
        compiled(sql_task("SELECT 1 AS a", "totals"))["total"]


def test_a_plan_compiles_in_the_dialect_of_another_engine() -> None:
    catalog = TaskCatalog([task_of(lambda ctx: ctx.table("orders").group_by("note").agg(n=_.count()))], SHOP)
    plans = compile_task_catalog(catalog, backend=ibis.sqlite.connect())
    assert plans.dialect == "sqlite"
    assert plans["plan"].deps.required_columns == {"orders": ("note",)}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("SELECT customer_id, sum(amount) FROM orders GROUP BY ALL", ("customer_id", "sum(amount)")),
        ("SELECT customer_id + 1, count(*) FROM orders GROUP BY 1", ("(customer_id + 1)", "count_star()")),
        ("SELECT amount::INT, order_id FROM orders", ("CAST(amount AS INTEGER)", "order_id")),
        ("SELECT upper(note) FROM orders UNION ALL SELECT note FROM orders", ("upper(note)",)),
    ],
)
def test_what_a_text_leaves_without_a_name_has_duckdbs_also_below_an_operation_of_ibis(
    text: str, columns: tuple[str, ...]
) -> None:
    plan = plan_of(lambda ctx: ctx.sql(text).mutate(z=ibis.literal(1)).filter(ibis._.z > 0))
    assert plan.schema.names == (*columns, "z")
    assert (
        ibis.duckdb.connect()
        .con.execute(
            "CREATE TABLE orders (order_id BIGINT, customer_id BIGINT, amount BIGINT, note VARCHAR, day DATE); "
            + plan.sql
        )
        .fetchall()
        == []
    )
