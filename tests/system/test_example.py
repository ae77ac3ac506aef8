"""The Jaffle Shop, built in a real DuckDB from a tenth of its customers."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import ibis
import pytest
from ibis import _

from examples.jaffle_shop.catalog import catalog
from examples.jaffle_shop.generate import generate
from examples.jaffle_shop.settings import RAW_TABLES, data_folder
from relspec_core import (
    PlanCatalog,
    RelspecError,
    RunReport,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskSpec,
    compile_task_catalog,
    run,
)

TASKS = frozenset(catalog.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A folder of raw files, and a database file that one complete run has built from it."""

    raw: Path
    database: Path
    first_run: RunReport
    plans: PlanCatalog


def shop_in(folder: Path) -> TaskCatalog:
    """The example's catalog, on the raw files in another folder."""
    return TaskCatalog(catalog.tasks, [replace(spec, path=folder / f"{spec.name}.csv") for spec in catalog.sources])


def with_task(tasks: TaskCatalog, edited: TaskSpec) -> TaskCatalog:
    return TaskCatalog([edited if spec.name == edited.name else spec for spec in tasks.tasks], tasks.sources)


def with_source(tasks: TaskCatalog, edited: SourceSpec) -> TaskCatalog:
    return TaskCatalog(tasks.tasks, [edited if spec.name == edited.name else spec for spec in tasks.sources])


def run_in(database: Path, tasks: TaskCatalog) -> RunReport:
    backend = ibis.duckdb.connect(database)
    try:
        return run(tasks, backend=backend)
    finally:
        backend.disconnect()


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tenth of the customers with all that they ordered and said; the data is generated if it is not there yet."""
    everything = data_folder()
    generate(everything)
    small = tmp_path_factory.mktemp("shop") / "raw"
    small.mkdir()
    with duckdb.connect() as sql:
        for table in RAW_TABLES:
            sql.execute(f"CREATE TABLE {table} AS FROM read_csv('{everything}/raw_{table}.csv')")
        sql.execute("DELETE FROM customers WHERE hash(id) % 10 > 0")
        sql.execute("DELETE FROM tweets WHERE user_id NOT IN (SELECT id FROM customers)")
        sql.execute("DELETE FROM orders WHERE customer NOT IN (SELECT id FROM customers)")
        sql.execute("DELETE FROM items WHERE order_id NOT IN (SELECT id FROM orders)")
        for table in RAW_TABLES:
            sql.execute(f"COPY {table} TO '{small}/raw_{table}.csv'")
    return small


@pytest.fixture(scope="session")
def shop(raw: Path) -> Shop:
    database = raw.parent / "shop.duckdb"
    first_run = run_in(database, shop_in(raw))
    plans = compile_task_catalog(shop_in(raw), backend=ibis.duckdb.connect())
    return Shop(raw=raw, database=database, first_run=first_run, plans=plans)


@pytest.fixture(scope="session")
def attached(shop: Shop) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database with ``shop``, which has what was built, and ``files``, the raw files read by plain SQL."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{shop.database}' AS shop (READ_ONLY)")
        connection.execute("CREATE SCHEMA files")
        for table in RAW_TABLES:
            connection.execute(f"CREATE TABLE files.raw_{table} AS FROM read_csv('{shop.raw}/raw_{table}.csv')")
        yield connection


@pytest.fixture
def sql(attached: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to ``attached`` of the test's own; what it makes is rolled back."""
    with attached.cursor() as connection:
        connection.execute("BEGIN")
        yield connection
        connection.execute("ROLLBACK")


@pytest.fixture
def built(shop: Shop, tmp_path: Path) -> Path:
    """A database of the test's own, as the first run left it."""
    return Path(shutil.copy(shop.database, tmp_path))


@pytest.fixture
def raw_copy(raw: Path, tmp_path: Path) -> Path:
    """Raw files of the test's own."""
    return Path(shutil.copytree(raw, tmp_path / "raw"))


def number(sql: duckdb.DuckDBPyConnection, query: str) -> float:
    ((value,),) = sql.execute(query).fetchall()
    return float(value)


def test_the_first_run_builds_every_task(shop: Shop) -> None:
    assert set(shop.first_run.ran) == TASKS
    assert not shop.first_run.failed
    assert not shop.first_run.blocked


SOLD = "files.raw_items AS item JOIN files.raw_products AS product USING (sku)"
COST = f"SELECT sum(cost) / 100 FROM {SOLD} JOIN files.raw_supplies USING (sku)"


TOTALS = {
    "orders": ("SELECT count(*) FROM orders", "SELECT count(*) FROM files.raw_orders"),
    "money paid": ("SELECT sum(order_total) FROM orders", "SELECT sum(order_total) / 100 FROM files.raw_orders"),
    "price of items": (
        "SELECT sum(food_revenue + drink_revenue) FROM orders",
        f"SELECT sum(price) / 100 FROM {SOLD}",
    ),
    "cost of orders": ("SELECT sum(supply_cost) FROM orders", COST),
    "cost of supplies": ("SELECT sum(total_cost) FROM supplies", COST),
    "lifetime spend": (
        "SELECT sum(lifetime_spend) FROM customers",
        "SELECT sum(order_total) / 100 FROM files.raw_orders",
    ),
    "returning customers": (
        "SELECT count(*) FROM customers WHERE customer_type = 'returning'",
        "SELECT count(*) FROM (SELECT customer FROM files.raw_orders GROUP BY customer HAVING count(*) > 1)",
    ),
    "daily revenue": (
        "SELECT sum(revenue) FROM daily_revenue",
        "SELECT sum(subtotal) / 100 FROM files.raw_orders",
    ),
    "running totals at their end": (
        "SELECT sum(total) FROM (SELECT max(revenue_so_far) AS total FROM daily_revenue GROUP BY location_id)",
        "SELECT sum(subtotal) / 100 FROM files.raw_orders",
    ),
    "days of trade": (
        "SELECT count(*) FROM daily_revenue",
        "SELECT count(*) FROM (SELECT DISTINCT store_id, ordered_at::DATE FROM files.raw_orders)",
    ),
    "food sold": (
        "SELECT sum(units) FROM food_orders",
        f"SELECT count(*) FROM {SOLD} WHERE product.type = 'jaffle'",
    ),
    "drink revenue": (
        "SELECT sum(revenue) FROM drink_orders",
        f"SELECT sum(price) / 100 FROM {SOLD} WHERE product.type = 'beverage'",
    ),
    "stores with trade": (
        "SELECT count(*) FROM locations WHERE order_count > 0",
        "SELECT count(DISTINCT store_id) FROM files.raw_orders",
    ),
    "tweets": ("SELECT sum(tweet_count) FROM customer_sentiment", "SELECT count(*) FROM files.raw_tweets"),
}


@pytest.mark.parametrize("total", TOTALS)
def test_totals_are_those_of_plain_sql_on_the_raw_files(sql: duckdb.DuckDBPyConnection, total: str) -> None:
    in_marts, in_raw_files = TOTALS[total]
    expected = number(sql, in_raw_files)
    sql.execute("USE shop")
    assert number(sql, in_marts) == pytest.approx(expected, rel=1e-12)
    assert expected > 0


def test_the_moving_average_is_that_of_the_last_seven_days_of_trade(sql: duckdb.DuckDBPyConnection) -> None:
    averages = sql.execute("""
        WITH days AS (
            SELECT store_id, ordered_at::DATE AS day, sum(subtotal) / 100 AS revenue FROM files.raw_orders GROUP BY ALL
        )
        SELECT this.store_id, this.day, (
            SELECT avg(revenue) FROM (
                SELECT revenue FROM days WHERE store_id = this.store_id AND day <= this.day ORDER BY day DESC LIMIT 7
            )
        )
        FROM days AS this ORDER BY ALL
    """).fetchall()
    sql.execute("USE shop")
    built = sql.execute(
        "SELECT location_id, ordered_on, revenue_7_day_average FROM daily_revenue ORDER BY ALL"
    ).fetchall()
    assert [row[:2] for row in built] == [row[:2] for row in averages]
    assert [float(row[2]) for row in built] == pytest.approx([row[2] for row in averages], abs=0.0051)


def test_every_customer_either_tweets_or_is_quiet(sql: duckdb.DuckDBPyConnection) -> None:
    customers = number(sql, "SELECT count(*) FROM files.raw_customers")
    sql.execute("USE shop")
    tweeting = number(sql, "SELECT count(*) FROM customer_sentiment")
    quiet = number(sql, "SELECT count(*) FROM quiet_customers")
    assert tweeting + quiet == customers


def test_the_second_run_builds_nothing_and_gives_a_reason_for_each_task(shop: Shop, built: Path) -> None:
    second = run_in(built, shop_in(shop.raw))
    assert (*second.ran, *second.failed, *second.blocked) == ()
    assert set(second.skipped) == TASKS
    assert all(second.skipped.values())


def test_editing_a_filter_rebuilds_that_task_and_its_descendants_only(shop: Shop, built: Path) -> None:
    original = catalog["orders"]

    def without_first_orders(ctx: TaskBuildContext) -> ibis.Table:
        whole = original.build(ctx)
        assert isinstance(whole, ibis.Table)
        return whole.filter(_.customer_order_number > 1)

    edited = with_task(shop_in(shop.raw), replace(original, build=without_first_orders))
    report = run_in(built, edited)
    descendants = {"orders_by_kind", "customers", "locations", "daily_revenue", "customer_sentiment", "quiet_customers"}
    assert set(report.ran) == {"orders", *descendants}
    assert next(iter(report.ran)) == "orders"
    assert set(report.skipped) == TASKS - {"orders", *descendants}


@pytest.mark.parametrize(
    ("text", "wrong", "nearest"),
    [
        ("SELECT order_totl FROM orders", "order_totl", "'order_total'"),
        ("SELECT order_total FROM oders", "'oders'", "'orders'"),
    ],
    ids=["column", "table"],
)
def test_a_misspelled_name_is_an_error_before_anything_runs(
    shop: Shop, tmp_path: Path, text: str, wrong: str, nearest: str
) -> None:
    def misspelled(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql(text)

    edited = replace(catalog["quiet_customers"], build=misspelled)
    database = tmp_path / "new.duckdb"
    with pytest.raises(RelspecError) as error:
        run_in(database, with_task(shop_in(shop.raw), edited))
    for part in ("task 'quiet_customers'", "test_example.py:", wrong, nearest):
        assert part in str(error.value)
    with duckdb.connect(database) as sql:
        assert sql.execute("FROM duckdb_tables()").fetchall() == []


def drop_column(file: Path, column: str) -> None:
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, [name for name in rows[0] if name != column], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


STORES = {"id": "string", "name": "string", "opened_at": "timestamp", "tax_rate": "float64"}
WITHOUT_TAX_RATE = {"stg_locations", "locations", "daily_revenue"}


def test_a_raw_column_dropped_after_a_run_blocks_its_readers_and_theirs_and_what_is_stale_is_built(
    raw_copy: Path, tmp_path: Path
) -> None:
    database = tmp_path / "shop.duckdb"
    run_in(database, shop_in(raw_copy))
    drop_column(raw_copy / "raw_stores.csv", "tax_rate")
    costs = raw_copy / "raw_supplies.csv"
    costs.write_text(costs.read_text(encoding="utf-8").replace(",46,", ",64,"), encoding="utf-8")

    report = run_in(database, shop_in(raw_copy))
    assert set(report.blocked) == WITHOUT_TAX_RATE
    assert "raw_stores" in report.blocked["stg_locations"]
    assert "tax_rate" in report.blocked["stg_locations"]
    assert {"stg_supplies", "products", "order_items", "orders", "supplies"} <= set(report.ran)
    assert {"stg_customers", "stg_orders", "stg_order_items", "stg_products", "stg_tweets"} <= set(report.skipped)
    assert not report.failed


def test_a_declared_raw_column_that_the_file_lacks_blocks_the_same_tasks_on_the_first_run(
    raw_copy: Path, tmp_path: Path
) -> None:
    drop_column(raw_copy / "raw_stores.csv", "tax_rate")
    tasks = shop_in(raw_copy)
    stores = next(spec for spec in tasks.sources if spec.name == "raw_stores")
    report = run_in(tmp_path / "new.duckdb", with_source(tasks, replace(stores, schema=STORES)))
    assert set(report.blocked) == WITHOUT_TAX_RATE
    assert "tax_rate" in report.blocked["stg_locations"]
    assert "stg_locations" in report.blocked["daily_revenue"]
    assert set(report.ran) == TASKS - WITHOUT_TAX_RATE
    assert not report.failed


SPARE = "spare_column"  # so that a table can lose all the others


def columns_read(shop: Shop, output: str) -> dict[str, tuple[str, ...]]:
    deps = shop.plans[output].deps
    return {name: deps.required_columns.get(name, ()) for name in deps.inputs}


def cut(sql: duckdb.DuckDBPyConnection, name: str, columns: tuple[str, ...]) -> None:
    """Make a table of that name with these columns of the evidence alone."""
    whole = f"files.{name}" if name.startswith("raw_") else f"shop.{name}"
    sql.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {', '.join((*columns, f'NULL AS {SPARE}'))} FROM {whole}")


OUTPUTS = sorted({*TASKS - {"orders_by_kind"}, "food_orders", "drink_orders"})


def test_the_plans_are_those_of_all_tasks_and_outputs(shop: Shop) -> None:
    assert sorted(plan.name for plan in shop.plans) == OUTPUTS


@pytest.mark.parametrize("output", OUTPUTS)
def test_inputs_cut_down_to_the_required_columns_give_the_same_rows(
    sql: duckdb.DuckDBPyConnection, shop: Shop, output: str
) -> None:
    sql.execute("USE shop")  # a view names its inputs without a database
    sql.execute(f"CREATE TABLE memory.whole AS FROM {output}")
    sql.execute("USE memory")
    for name, columns in columns_read(shop, output).items():
        cut(sql, name, columns)
    sql.execute(f"CREATE TABLE result AS {shop.plans[output].sql}")
    assert number(sql, "SELECT count(*) FROM result") > 0
    assert sql.execute("FROM result EXCEPT ALL FROM whole").fetchall() == []
    assert sql.execute("FROM whole EXCEPT ALL FROM result").fetchall() == []


@pytest.mark.parametrize("output", OUTPUTS)
def test_with_one_more_column_cut_no_plan_binds(sql: duckdb.DuckDBPyConnection, shop: Shop, output: str) -> None:
    inputs = columns_read(shop, output)
    for name, columns in inputs.items():
        cut(sql, name, columns)
    explain = f"EXPLAIN {shop.plans[output].sql}"
    sql.execute(explain)
    for name, columns in inputs.items():
        for column in columns:
            cut(sql, name, tuple(other for other in columns if other != column))
            with pytest.raises(duckdb.BinderException, match=column):
                sql.execute(explain)
        cut(sql, name, columns)


def test_generation_refuses_a_folder_that_holds_only_some_of_the_files(raw_copy: Path) -> None:
    (raw_copy / "raw_items.csv").unlink()
    with pytest.raises(SystemExit, match=r"lacks raw_items\.csv"):
        generate(raw_copy)


def test_generation_leaves_complete_data_alone(raw_copy: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in raw_copy.iterdir()}
    assert not generate(raw_copy)
    assert {file.name: file.stat().st_mtime_ns for file in raw_copy.iterdir()} == before
