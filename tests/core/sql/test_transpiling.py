"""Texts in the dialects of other engines, executed on DuckDB."""

from collections.abc import Iterator
from typing import Any

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import PlanArtifact, TaskBuildContext, TaskCatalog, TaskSpec, compile_task_catalog, run
from relspec_core.errors import SqlError

ROWS = """
CREATE TABLE orders (order_id BIGINT, customer_id BIGINT, amount BIGINT, note VARCHAR, day DATE);
INSERT INTO orders VALUES
    (1, 10, 5, 'a,b', '2024-01-31'), (2, 10, 8, NULL, '2024-02-01'), (3, 11, 1, 'c', '2024-03-05');
CREATE TABLE events (id INTEGER, tags VARCHAR[], payload JSON);
INSERT INTO events VALUES (1, ['x', 'y'], '{"k": {"v": 3}}');
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[DuckDBBackend]:
    backend = ibis.duckdb.connect()
    backend.con.execute(ROWS)
    yield backend
    backend.disconnect()


def dialect_task(text: str, dialect: str, name: str = "plan") -> TaskSpec:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql(text, dialect=dialect)

    return TaskSpec(name, build)


def plan_in(shop: DuckDBBackend, dialect: str, text: str) -> PlanArtifact:
    return compile_task_catalog(TaskCatalog([dialect_task(text, dialect)]), backend=shop)["plan"]


CASES: list[tuple[str, str, list[tuple[Any, ...]], dict[str, tuple[str, ...]]]] = [
    (
        "postgres",
        "SELECT amount / 2 AS half, note::text || '!' AS loud FROM orders WHERE amount % 2 = 1",
        [(0, "c!"), (2, "a,b!")],
        {"orders": ("amount", "note")},
    ),
    (
        "postgres",
        "SELECT DISTINCT ON (customer_id) customer_id, order_id FROM orders ORDER BY customer_id, amount DESC",
        [(10, 2), (11, 3)],
        {"orders": ("amount", "customer_id", "order_id")},
    ),
    (
        "redshift",
        "SELECT NVL(note, '-') AS n, DATEDIFF(day, day, day) AS d FROM orders WHERE amount > 5",
        [("-", 0)],
        {"orders": ("amount", "day", "note")},
    ),
    (
        "tsql",
        "SELECT TOP 2 amount, ISNULL([note], '-') + '!' n, LEN(note) l FROM [orders] WITH (NOLOCK) ORDER BY 1 DESC",
        [(5, "a,b!", 3), (8, "-!", None)],
        {"orders": ("amount", "note")},
    ),
    (
        "snowflake",
        """SELECT IFF(amount > 5, 'big', 'small') AS size, ZEROIFNULL(amount) AS z FROM orders
        QUALIFY ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY amount DESC) = 1""",
        [("big", 8), ("small", 1)],
        {"orders": ("amount", "customer_id")},
    ),
    ("snowflake", "SELECT id, payload:k.v::int AS v FROM events", [(1, 3)], {"events": ("id", "payload")}),
    (
        "bigquery",
        "SELECT * EXCEPT (note, day), SAFE_DIVIDE(amount, 0) d FROM `orders` WHERE FORMAT_DATE('%m', day) = '01'",
        [(1, 10, 5, None)],
        {"orders": ("amount", "customer_id", "day", "order_id")},
    ),
    (
        "bigquery",
        "SELECT e.id, tag FROM events e, UNNEST(e.tags) AS tag",
        [(1, "x"), (1, "y")],
        {"events": ("id", "tags")},
    ),
    (
        "mysql",
        """SELECT `customer_id`, GROUP_CONCAT(note ORDER BY note SEPARATOR ';') AS notes, SUM(amount DIV 2) h, "s" s
        FROM `orders` GROUP BY `customer_id`""",
        [(10, "a,b", 6, "s"), (11, "c", 0, "s")],
        {"orders": ("amount", "customer_id", "note")},
    ),
    (
        "spark",
        "SELECT /*+ BROADCAST(o) */ order_id, tag FROM orders o LATERAL VIEW explode(split(note, ',')) t AS tag",
        [(1, "a"), (1, "b"), (3, "c")],
        {"orders": ("note", "order_id")},
    ),
    (
        "spark",
        "SELECT order_id, tag FROM orders o LATERAL VIEW OUTER explode(split(note, ',')) t AS tag",
        [(1, "a"), (1, "b"), (2, None), (3, "c")],
        {"orders": ("note", "order_id")},
    ),
    (
        "spark",
        """SELECT order_id, tag, n FROM orders LATERAL VIEW explode_outer(split(note, ',')) t AS tag
        LATERAL VIEW explode(array(order_id, amount)) s AS n WHERE order_id = 2""",
        [(2, None, 2), (2, None, 8)],
        {"orders": ("amount", "note", "order_id")},
    ),
    (
        "tsql",
        """SELECT o.order_id, x.later FROM orders o OUTER APPLY (
            SELECT TOP 1 p.order_id AS later FROM orders p
            WHERE p.customer_id = o.customer_id AND p.amount > o.amount ORDER BY p.day
        ) AS x""",
        [(1, 2), (2, None), (3, None)],
        {"orders": ("amount", "customer_id", "day", "order_id")},
    ),
    (
        "tsql",
        """SELECT o.order_id, y.n FROM orders o OUTER APPLY (
            SELECT p.order_id AS later FROM orders p WHERE p.customer_id = o.customer_id AND p.amount > o.amount
        ) AS x CROSS APPLY (SELECT COALESCE(x.later, 0) + 1 AS n) AS y""",
        [(1, 3), (2, 1), (3, 1)],
        {"orders": ("amount", "customer_id", "order_id")},
    ),
    (
        "spark",
        "SELECT NVL(note, 'x') AS n, amount / 2 AS h FROM orders WHERE size(split(note, ',')) = 2",
        [("a,b", 2.5)],
        {"orders": ("amount", "note")},
    ),
    (
        "oracle",
        "SELECT DECODE(amount, 1, 'one', 'more') AS d FROM orders WHERE NVL(note, 'x') = 'c'",
        [("one",)],
        {"orders": ("amount", "note")},
    ),
    (
        "trino",
        "SELECT amount / 2 AS h, date_diff('day', DATE '2024-01-01', day) AS n FROM orders WHERE amount = 5",
        [(2, 30)],
        {"orders": ("amount", "day")},
    ),
    (
        "clickhouse",
        "SELECT customer_id, countIf(amount > 5) AS c FROM orders GROUP BY customer_id",
        [(10, 1), (11, 0)],
        {"orders": ("amount", "customer_id")},
    ),
]


@pytest.mark.parametrize(("dialect", "text", "rows", "columns"), CASES)
def test_a_text_of_another_dialect_means_on_duckdb_what_it_means_at_home(
    shop: DuckDBBackend, dialect: str, text: str, rows: list[tuple[Any, ...]], columns: dict[str, tuple[str, ...]]
) -> None:
    plan = plan_in(shop, dialect, text)
    assert sorted(shop.con.execute(plan.sql).fetchall(), key=str) == sorted(rows, key=str)
    assert plan.deps.required_columns == columns


@pytest.mark.parametrize(
    "value",
    [
        "note ~ 'a'",
        "note !~ 'a'",
        "note ~ 'a.*'",
        "regexp_matches(note, 'a')",
        *(
            f"""'{{"k": {{"v": 1}}, "k.v": 2, "k v": 4, "0": 5}}'::JSON {path}"""
            for path in ("->> 'k.v'", "-> 'k.v'", "->> 'k v'", "->> '$.k.v'", "->> '/k/v'", "-> 'k' ->> 'v'", "->> '0'")
        ),
        """json_extract_string('{"k": {"v": 1}, "k.v": 2}', 'k.v')""",
        """json_extract('{"k": {"v": 1}, "k.v": 2}', '$.k.v')""",
        "'[1, [2, 3]]'::JSON -> 1 ->> 0",
    ],
)
def test_a_text_of_duckdb_means_what_duckdb_reads_in_it(shop: DuckDBBackend, value: str) -> None:
    text = f"SELECT order_id, {value} AS v FROM orders ORDER BY order_id"
    plan = plan_in(shop, "duckdb", text)
    assert shop.con.execute(plan.sql).fetchall() == shop.con.execute(text).fetchall()


@pytest.mark.parametrize(
    ("dialect", "half"),
    [("postgres", 2), ("tsql", 2), ("redshift", 2), ("trino", 2), ("sqlite", 2), ("mysql", 2.5), ("snowflake", 2.5)],
)
def test_a_division_of_whole_numbers_is_that_of_its_dialect(shop: DuckDBBackend, dialect: str, half: float) -> None:
    text = "WITH same AS (SELECT amount * 1 AS a, order_id FROM orders) SELECT a / 2 AS h FROM same WHERE order_id = 1"
    assert shop.con.execute(plan_in(shop, dialect, text).sql).fetchall() == [(half,)]


def test_names_are_found_whatever_their_case_and_keep_the_spelling_of_the_text(shop: DuckDBBackend) -> None:
    plan = plan_in(shop, "snowflake", 'SELECT "ORDER_ID", o.Amount AS Total FROM ORDERS AS O WHERE o.NOTE IS NOT NULL')
    assert plan.deps.required_columns == {"orders": ("amount", "note", "order_id")}
    assert list(plan.schema) == ["order_id", "Total"]


def test_two_names_that_differ_only_by_quotes_are_refused_with_their_position(shop: DuckDBBackend) -> None:
    with pytest.raises(SqlError, match="'Orders' and 'orders' are two names in postgres and one in duckdb") as caught:
        plan_in(shop, "postgres", 'WITH "Orders" AS (SELECT 1 AS a)\nSELECT * FROM orders')
    assert "line 2, column 15 of the SQL text" in str(caught.value)


def test_an_unquoted_name_is_its_table_expression_as_its_dialect_folds_it(shop: DuckDBBackend) -> None:
    assert plan_in(shop, "postgres", "WITH Recent AS (SELECT amount FROM orders) SELECT * FROM RECENT").deps.inputs == (
        "orders",
    )
    assert plan_in(shop, "snowflake", 'WITH recent AS (SELECT day FROM orders) SELECT * FROM "RECENT"').deps.inputs == (
        "orders",
    )


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("snowflake", "SELECT f.value AS v FROM orders AS o, LATERAL FLATTEN(input => SPLIT(o.note, ',')) AS f"),
        ("spark", "SELECT p, tag FROM orders LATERAL VIEW OUTER posexplode(split(note, ',')) t AS p, tag"),
        ("oracle", "SELECT TO_CHAR(amount, '999') AS a FROM orders"),
    ],
)
def test_what_duckdb_has_no_words_for_is_an_error_and_never_left_out(
    shop: DuckDBBackend, dialect: str, text: str
) -> None:
    with pytest.raises(SqlError, match=rf"the {dialect} text can't be written in duckdb's SQL"):
        plan_in(shop, dialect, text)


def test_ibis_and_texts_of_several_dialects_mix_in_one_task_and_one_run(shop: DuckDBBackend) -> None:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        big = ctx.sql("SELECT TOP 5 [customer_id], [amount] FROM [halves] ORDER BY [amount] DESC", dialect="tsql")
        return big.group_by("customer_id").agg(total=big.amount.sum())

    halves = dialect_task("SELECT customer_id, amount / 2 AS amount FROM orders", "postgres", "halves")
    report = run(TaskCatalog([TaskSpec("totals", build), halves]), backend=shop, quiet=True)
    assert list(report.ran) == ["halves", "totals"]
    assert sorted(shop.con.execute("FROM totals").fetchall()) == [(10, 6), (11, 0)]


def test_a_plan_of_another_dialect_has_the_fingerprint_of_its_meaning(shop: DuckDBBackend) -> None:
    mysql = plan_in(shop, "mysql", "SELECT IFNULL(`note`, '-') AS n FROM `orders`")
    duckdb = plan_in(shop, "duckdb", "SELECT coalesce(note, '-') AS n FROM orders")
    assert mysql.fingerprint == duckdb.fingerprint
    assert mysql.deps == duckdb.deps
