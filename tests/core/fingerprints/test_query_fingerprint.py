"""Law 8: what a fingerprint ignores, and what it notices."""

from collections.abc import Callable, Sequence

import ibis
import pyarrow as pa
import pytest
from ibis import _

from relspec_core import SourceSpec, TaskBuildContext
from relspec_core.model.hashing import digest, table_token
from relspec_core.task_catalog import Builder
from tests.support.catalogs import plan_of

T = SourceSpec("t", schema={"a": "int64", "b": "int64", "c": "string"})
U = SourceSpec("u", schema={"a": "int64", "d": "int64"})
WIDER_T = SourceSpec("t", schema={"new": "date", "c": "string", "b": "int64", "a": "int64"})


def fingerprint(plan: Builder | str, sources: Sequence[SourceSpec] = (T, U)) -> str:
    return plan_of(plan, sources).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("SELECT a FROM t", "select  a\nfrom t", id="formatting and case of keywords"),
        pytest.param("SELECT a FROM t", "SELECT /* why */ a -- because\nFROM t", id="comments"),
        pytest.param("SELECT a FROM t", 'SELECT "a" FROM "t"', id="quotes"),
        pytest.param("SELECT a FROM t", "SELECT A FROM T", id="case of names"),
        pytest.param("SELECT a FROM t", "SELECT x.a FROM t AS x", id="table aliases"),
        pytest.param("SELECT a FROM t", "FROM t SELECT a", id="FROM first"),
        pytest.param("SELECT a + b AS x FROM t", "SELECT (a + b) AS x FROM t", id="parentheses that change nothing"),
        pytest.param("SELECT a FROM t WHERE (a > 1)", "SELECT a FROM t WHERE a > 1", id="parentheses around a filter"),
        pytest.param(
            "WITH x AS (SELECT a, b FROM t) SELECT a FROM x",
            "WITH y AS (SELECT a, b FROM t) SELECT a FROM y",
            id="names of common table expressions",
        ),
        pytest.param(
            "WITH x AS (SELECT a AS k FROM t WHERE b > 1) SELECT k AS a FROM x",
            "WITH x AS (SELECT a AS other FROM t WHERE b > 1) SELECT other AS a FROM x",
            id="aliases inside",
        ),
        pytest.param(
            "WITH x AS (SELECT a, b FROM t) SELECT a FROM x",
            "WITH x AS (SELECT a FROM t), dead AS (SELECT d FROM u) SELECT a FROM x",
            id="what nothing reads",
        ),
        pytest.param("SELECT * FROM t", "SELECT a, b, c FROM t", id="a star and the columns that it expands to"),
        pytest.param(
            "SELECT t.a, d FROM t JOIN u ON t.a = u.a",
            "SELECT x.a, y.d FROM t x JOIN u y ON x.a = y.a",
            id="join aliases",
        ),
        pytest.param(
            lambda ctx: ctx.table("t").select("a", "b").filter(_.a > 1),
            lambda ctx: ctx.table("t").view().select("a", "b").filter(_.a > 1),
            id="Ibis's generated names",
        ),
        pytest.param(
            lambda ctx: ctx.table("t").mutate(tmp=_.b * 2).select("a"),
            lambda ctx: ctx.table("t").mutate(other=_.b * 3).select("a"),
            id="columns that are dropped again",
        ),
        pytest.param(
            lambda ctx: ctx.table("t").mutate(x=_.a * 2).select("a", y=_.x + 1),
            lambda ctx: ctx.table("t").mutate(z=_.a * 2).select("a", y=_.z + 1),
            id="names of columns on the way",
        ),
    ],
)
def test_a_fingerprint_ignores_what_changes_no_result(one: Builder | str, other: Builder | str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("SELECT a + 1 AS x FROM t", "SELECT a + 2 AS x FROM t", id="a constant"),
        pytest.param("SELECT a FROM t WHERE c = 'x'", "SELECT a FROM t WHERE c = 'X'", id="case of a text"),
        pytest.param("SELECT a + 1 AS x FROM t", "SELECT a + 1 AS y FROM t", id="the name of an output"),
        pytest.param("SELECT a, b FROM t", "SELECT b, a FROM t", id="the order of outputs"),
        pytest.param("SELECT a FROM t", "SELECT b AS a FROM t", id="another column"),
        pytest.param("SELECT a FROM t", "SELECT a FROM u", id="another table"),
        pytest.param("SELECT a FROM t", "SELECT a FROM t WHERE a > 1", id="a filter"),
        pytest.param("SELECT a FROM t WHERE a > 1", "SELECT a FROM t WHERE a >= 1", id="an operator"),
        pytest.param("SELECT a FROM t", "SELECT DISTINCT a FROM t", id="DISTINCT"),
        pytest.param("SELECT a FROM t", "SELECT a FROM t ORDER BY a", id="an order"),
        pytest.param("SELECT a FROM t ORDER BY a", "SELECT a FROM t ORDER BY a DESC", id="the direction of an order"),
        pytest.param("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT 2", id="a limit"),
        pytest.param("SELECT a FROM t", "SELECT a::INTEGER AS a FROM t", id="a cast"),
        pytest.param("SELECT a::INTEGER AS a FROM t", "SELECT a::SMALLINT AS a FROM t", id="another cast"),
        pytest.param("SELECT sum(a) AS x FROM t", "SELECT max(a) AS x FROM t", id="another function"),
        pytest.param(
            "SELECT a FROM t UNION SELECT a FROM u", "SELECT a FROM t UNION ALL SELECT a FROM u", id="UNION ALL"
        ),
        pytest.param(
            "SELECT t.a FROM t JOIN u ON t.a = u.a",
            "SELECT t.a FROM t LEFT JOIN u ON t.a = u.a",
            id="the side of a join",
        ),
        pytest.param("SELECT a - b - 1 AS x FROM t", "SELECT a - (b - 1) AS x FROM t", id="parentheses that matter"),
        pytest.param(
            "SELECT x.a FROM t AS x JOIN t AS y ON x.a = y.b",
            "SELECT y.a FROM t AS x JOIN t AS y ON x.a = y.b",
            id="the other side of a self-join",
        ),
        pytest.param(
            "SELECT rank() OVER (PARTITION BY a ORDER BY b) AS r FROM t",
            "SELECT rank() OVER (PARTITION BY b ORDER BY a) AS r FROM t",
            id="the keys of a window",
        ),
        pytest.param(
            "SELECT sum(a) OVER (ORDER BY b ROWS 1 PRECEDING) AS r FROM t",
            "SELECT sum(a) OVER (ORDER BY b ROWS 2 PRECEDING) AS r FROM t",
            id="the frame of a window",
        ),
        pytest.param(
            "WITH x AS (SELECT a FROM t WHERE b > 1) SELECT a FROM x",
            "WITH x AS (SELECT a FROM t WHERE b > 2) SELECT a FROM x",
            id="a constant inside a common table expression",
        ),
    ],
)
def test_a_fingerprint_notices_what_may_change_the_result(one: Builder | str, other: Builder | str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_a_fingerprint_ignores_columns_of_the_source_that_the_plan_does_not_read() -> None:
    assert fingerprint("SELECT a, c FROM t") == fingerprint("SELECT a, c FROM t", [WIDER_T])


def test_a_fingerprint_notices_another_type_of_an_output() -> None:
    narrow = SourceSpec("t", schema={"a": "int32", "b": "int64", "c": "string"})
    assert fingerprint("SELECT a FROM t") != fingerprint("SELECT a FROM t", [narrow])


def unnested(ctx: TaskBuildContext) -> ibis.Table:
    t = ctx.table("t")
    return t.mutate(l=ibis.array([t.a, t.b])).unnest("l", offset="at")


def test_a_name_that_ibis_makes_up_at_random_changes_neither_fingerprint_nor_text() -> None:
    one, other = plan_of(unnested, [T]), plan_of(unnested, [T])
    assert one.fingerprint == other.fingerprint
    assert one.sql == other.sql


# -- functions ---------------------------------------------------------------------------------------------------------


def shouting(mark: str) -> Builder:
    @ibis.udf.scalar.python
    def shout(text: str) -> str:
        return f"{text}{mark}"

    return lambda ctx: ctx.table("t").select(x=shout(_.c))


def doubling(ctx: TaskBuildContext) -> ibis.Table:
    @ibis.udf.scalar.python
    def change(number: int) -> int:
        return number * 2

    return ctx.table("t").select(x=change(_.a))


def tripling(ctx: TaskBuildContext) -> ibis.Table:
    @ibis.udf.scalar.python
    def change(number: int) -> int:
        return number * 3

    return ctx.table("t").select(x=change(_.a))


def test_a_fingerprint_notices_the_body_of_a_function() -> None:
    assert fingerprint(doubling) != fingerprint(tripling)


def test_a_function_that_each_compilation_defines_anew_is_the_same_function() -> None:
    assert fingerprint(doubling) == fingerprint(doubling)


def test_a_fingerprint_notices_what_a_function_closes_over() -> None:
    assert fingerprint(shouting("!")) != fingerprint(shouting("?"))
    assert fingerprint(shouting("!")) == fingerprint(shouting("!"))


# -- in-memory tables --------------------------------------------------------------------------------------------------


def joining(table: object) -> Builder:
    return lambda ctx: ctx.table("t").join(ibis.memtable(table), "a").select("a", "z")


def test_a_fingerprint_notices_the_contents_of_an_in_memory_table() -> None:
    assert fingerprint(joining({"a": [1, 2], "z": ["x", "y"]})) != fingerprint(joining({"a": [1, 2], "z": ["x", "Y"]}))
    assert fingerprint(joining({"a": [1, 2], "z": ["x", "y"]})) == fingerprint(joining({"a": [1, 2], "z": ["x", "y"]}))


def chunked(*chunks: Sequence[int | None]) -> pa.Table:
    return pa.table({"a": pa.chunked_array([pa.array(chunk, pa.int64()) for chunk in chunks])})


def test_the_chunks_of_an_in_memory_table_do_not_count() -> None:
    assert table_token(chunked([1, 2], [3])) == table_token(chunked([1], [2, 3]))


@pytest.mark.parametrize(
    "other", [chunked([1, None]), chunked([1, 0]), chunked([1]), chunked([None, 1]), pa.table({"b": [1, 2]})]
)
def test_the_values_nulls_and_names_of_an_in_memory_table_count(other: pa.Table) -> None:
    assert table_token(other) != table_token(chunked([1, 2]))


@pytest.mark.parametrize(
    "change", [lambda token: (token,), lambda token: (*token, ""), lambda token: ("".join(token),), lambda _token: "ab"]
)
def test_tokens_of_another_shape_have_another_digest(
    change: Callable[[tuple[str, ...]], tuple[str, ...] | str],
) -> None:
    assert digest(change(("a", "b"))) != digest(("a", "b"))
    assert len(digest("a")) == 32


def calculation_of(text: str, column: str) -> tuple[str, str]:
    found = plan_of(text, [T, U]).calculations
    return found.rows.hash, found.columns[column].hash


def test_another_calculation_of_one_column_of_a_union_all_leaves_the_rows_and_the_other_columns() -> None:
    text = "SELECT a, upper(c) AS c FROM t UNION ALL SELECT a, 'u' AS c FROM u"
    other = text.replace("upper", "lower")
    assert calculation_of(text, "a") == calculation_of(other, "a")
    assert calculation_of(text, "c") != calculation_of(other, "c")
    united = text.replace("UNION ALL", "UNION")
    assert calculation_of(united, "a") != calculation_of(united.replace("upper", "lower"), "a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "SELECT note IS NULL AS n, unnest([amount, 2]) AS u FROM orders",
            "SELECT day IS NULL AS n, unnest([amount, 2]) AS u FROM orders",
        ),
        (
            "SELECT n, unnest(l) AS u FROM (SELECT note AS n, [amount] AS l FROM orders)",
            "SELECT n, unnest(l) AS u FROM (SELECT upper(note) AS n, [amount] AS l FROM orders)",
        ),
        (
            "SELECT amount AS n, unnest([1, 2]) AS u, unnest([3, 4]) AS v FROM orders",
            "SELECT amount + 1 AS n, unnest([1, 2]) AS u, unnest([3, 4]) AS v FROM orders",
        ),
        (
            "SELECT n FROM (SELECT amount AS n, unnest([1, 2]) AS u, unnest([3, 4]) AS v FROM orders)",
            "SELECT n FROM (SELECT amount * 2 AS n, unnest([1, 2]) AS u, unnest([3, 4]) AS v FROM orders)",
        ),
        (
            "SELECT amount AS n, unnest({'a': 1, 'b': customer_id}) FROM orders",
            "SELECT customer_id AS n, unnest({'a': 1, 'b': customer_id}) FROM orders",
        ),
    ],
)
def test_columns_beside_an_unnesting_count(one: str, other: str) -> None:
    assert plan_of(one).fingerprint != plan_of(other).fingerprint
