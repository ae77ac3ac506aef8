"""The canonical tree of a text: it gives the rows that the text gives, and names no column that it could do without."""

from collections import Counter
from collections.abc import Iterator

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskCatalog
from relspec_core.errors import SqlError
from relspec_core.plan_catalog import PartialCatalog, compile_what_compiles
from tests.laws.cutting import bag_of, cut_tables
from tests.support.catalogs import empty_backend, plan_of, sql_task

SOURCES = (
    SourceSpec("t", schema=dict.fromkeys("abcd", "int64")),
    SourceSpec("u", schema=dict.fromkeys("aef", "int64")),
    SourceSpec(
        "s",
        schema={"id": "int64", "st": "struct<x: int64, y: struct<z: int64>>", "arr": "array<int64>", "txt": "string"},
    ),
)
# grouping
GROUPING = (
    "SELECT k, n FROM (SELECT a + b AS k, c, count(*) AS n FROM t GROUP BY ROLLUP (k, c))",
    "SELECT n FROM (SELECT a AS k, c, count(*) AS n FROM t GROUP BY ROLLUP (1, 2))",
    "SELECT n FROM (SELECT a AS k, c, count(*) AS n FROM t GROUP BY CUBE (1, (2)))",
    "SELECT n FROM (SELECT a AS k, c, count(*) AS n FROM t GROUP BY GROUPING SETS ((1), (1, 2), ()))",
    "SELECT b FROM (SELECT a, b FROM t GROUP BY 1, 2)",
    "SELECT n FROM (SELECT a, b, count(*) AS n FROM t GROUP BY 2, 1)",
    "SELECT a b FROM t GROUP BY b, a",
    "SELECT b AS a, sum(c) AS s FROM t GROUP BY b, t.a",
    "SELECT grouping(a) AS g, count(*) AS n FROM t GROUP BY ROLLUP (a, b)",
    "SELECT sum(b) AS s FROM t GROUP BY a, c HAVING max(d) > 20 ORDER BY min(d)",
    "SELECT count(*) AS n FROM (SELECT a, sum(b) FROM t GROUP BY a HAVING sum(c) > 3)",
    "SELECT count(*) AS n FROM (SELECT sum(b) AS s FROM t)",
    "SELECT sum(a) FILTER (WHERE b > 2) AS s FROM t GROUP BY c",
    "SELECT string_agg(a::VARCHAR, ',' ORDER BY d) AS s, count(DISTINCT b) AS n FROM t",
    "SELECT quantile_cont(a, 0.5) AS m, mode(c) AS o FROM t",
    "SELECT first(b ORDER BY d) AS f, arg_max(a, d) AS x, list(b ORDER BY d) AS l FROM t GROUP BY c",
)
# order, limit, distinct
ORDER = (
    "SELECT b FROM (SELECT a, b FROM t ORDER BY ALL LIMIT 3)",
    "SELECT b FROM (SELECT a, b FROM t UNION ALL SELECT e, f FROM u ORDER BY ALL DESC LIMIT 3)",
    "SELECT b FROM (SELECT a, b, count(*) AS n FROM t GROUP BY ALL ORDER BY ALL LIMIT 3)",
    "SELECT a FROM (SELECT a, b FROM t UNION ALL SELECT e, f FROM u ORDER BY 2, 1 LIMIT 3)",
    "SELECT b FROM (SELECT a, b FROM t UNION ALL SELECT e, f FROM u ORDER BY 1, 2 LIMIT 3)",
    "SELECT a FROM ((SELECT a, b FROM t ORDER BY b, a LIMIT 4) UNION ALL (SELECT e, f FROM u ORDER BY f, e LIMIT 3))",
    "SELECT b FROM (SELECT DISTINCT ON (a) a, b, c, d FROM t ORDER BY a, d)",
    "SELECT b FROM (SELECT DISTINCT ON (1) a, b, c, d FROM t ORDER BY 1, 2, 3, 4)",
    "SELECT DISTINCT a, b FROM t ORDER BY b",
    "SELECT count(*) AS n FROM (SELECT DISTINCT a, b FROM t) WHERE a > 2",
    "SELECT a, count(*) AS n FROM t GROUP BY a ORDER BY count(*) DESC, a LIMIT 2",
    "SELECT a FROM t ORDER BY (SELECT max(e) FROM u WHERE u.a = t.a), d LIMIT 3",
    "SELECT count(*) AS n FROM (SELECT 1 FROM t LIMIT 3)",
)
# windows
WINDOWS = (
    "SELECT a FROM (SELECT a, row_number() OVER (ORDER BY d) AS r FROM t) WHERE r < 5",
    "SELECT a FROM (SELECT a, b, row_number() OVER (ORDER BY d) AS r FROM t) WHERE a < 5",
    "SELECT a FROM (SELECT a, max(b) OVER (PARTITION BY c) AS m FROM t QUALIFY row_number() OVER (ORDER BY d) < 4)",
    "SELECT a, lag(b) OVER w AS l, lead(b, 2, 0) OVER w AS m FROM t WINDOW w AS (PARTITION BY c ORDER BY d)",
    "SELECT sum(sum(b)) OVER (ORDER BY a) AS s, a FROM t GROUP BY a",
    "SELECT a, sum(b) AS s FROM t GROUP BY a QUALIFY rank() OVER (ORDER BY s) < 3",
    "SELECT max(x) AS m FROM (SELECT a AS x, row_number() OVER () AS y FROM t)",
    "SELECT a FROM (SELECT a, sum(b) OVER (ORDER BY d ROWS BETWEEN c PRECEDING AND CURRENT ROW) AS s FROM t) WHERE s > 2",
)
# set operations
SETS = (
    "SELECT b FROM (SELECT a, b FROM t UNION BY NAME SELECT e AS b, f AS z, a FROM u)",
    "SELECT a FROM (SELECT a, b FROM t EXCEPT ALL SELECT a, e FROM u)",
    "SELECT a FROM (SELECT a, b FROM t EXCEPT SELECT a, e FROM u) WHERE b > 1",
    "(SELECT a, b FROM t) UNION ALL (SELECT e, f FROM u) ORDER BY a, b LIMIT 5",
)
# subqueries
SUBQUERIES = (
    "SELECT a FROM t WHERE (SELECT count(*) FROM u WHERE u.a = t.a) > 2",
    "SELECT a FROM t WHERE a > ALL (SELECT e FROM u WHERE f > 2)",
    "SELECT a FROM t WHERE a = ANY (SELECT e FROM u)",
    "SELECT (SELECT u.e FROM u WHERE u.a = t.a ORDER BY u.e, u.f LIMIT 1) AS z FROM t",
    "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a HAVING count(*) > 3)",
    "SELECT a FROM t WHERE EXISTS (SELECT max(e) FROM u WHERE u.a = t.a GROUP BY f HAVING count(*) > 1)",
    "SELECT a FROM t WHERE EXISTS (SELECT DISTINCT e FROM u WHERE u.a = t.b OFFSET 2)",
    "SELECT a FROM t WHERE EXISTS (SELECT e FROM u WHERE u.a = t.b LIMIT 0)",
    "SELECT a FROM t WHERE NOT EXISTS (FROM u WHERE u.a = t.a)",
    "SELECT (SELECT max(x) FROM (SELECT t.a AS x UNION ALL SELECT t.b)) AS x FROM t",
    "SELECT x FROM (SELECT a AS x FROM t) WHERE x IN (SELECT x FROM (SELECT e AS x FROM u))",
    "SELECT count(*) AS n FROM (SELECT (SELECT max(t.a)) AS m FROM t)",
    "SELECT x.n FROM (SELECT (SELECT (SELECT max(t.a))) AS m, (SELECT count(t.b)) AS n FROM t) AS x",
    "SELECT count(*) AS n FROM (SELECT (SELECT sum(t.a + u.e) FROM u) AS m, a FROM t)",
    "SELECT a, (SELECT count(*) AS n FROM (SELECT (SELECT max(t.a + u.e) FROM u AS v LIMIT 1) AS m FROM u)) AS k FROM t",
)
# expressions that are named
EXPRESSIONS = (
    "WITH x AS (SELECT a, b FROM t), y AS (SELECT a, b FROM x) SELECT a FROM y",
    "WITH x(p, q) AS (SELECT a, b FROM t) SELECT q FROM x WHERE p IN (SELECT p FROM x)",
    "WITH RECURSIVE r(n, m) AS (SELECT a, b FROM t UNION SELECT n + 1, m FROM r WHERE n < 5) SELECT n FROM r",
    "WITH a AS (SELECT a FROM t) SELECT a.a FROM a",
    "WITH t AS (SELECT a, b + 1 AS b FROM t) SELECT b FROM t",
)
# FROM
FROM = (
    "SELECT a FROM ((SELECT a, b FROM t))",
    "SELECT count(*) AS n FROM (((FROM t SELECT a WHERE b >= 1)))",
    "SELECT a, e FROM t NATURAL LEFT JOIN u",
    "SELECT t.a AS ta, u.a AS ua, a FROM t FULL JOIN u USING (a)",
    "SELECT a FROM t LEFT JOIN u USING (a) LEFT JOIN (SELECT a, f FROM u) AS w USING (a)",
    "SELECT t.b FROM t ANTI JOIN u ON t.a = u.e",
    "SELECT t.a, u.e FROM t POSITIONAL JOIN u",
    "SELECT t.a, u.e FROM t ASOF JOIN u ON t.a = u.a AND t.d >= u.f",
    "SELECT t.a, v.x FROM t, (VALUES (1, 2), (3, 4)) AS v(x, y) WHERE t.a = v.y",
    "SELECT t.a, r.range AS i FROM t, range(3) AS r",
    "SELECT t.a, l.m FROM t LEFT JOIN LATERAL (SELECT max(e) AS m, min(f) AS z FROM u WHERE u.a = t.a) AS l ON TRUE",
    "SELECT t.a, l.e FROM t, LATERAL (SELECT e, f FROM u WHERE u.a = t.a ORDER BY f, e LIMIT 2) AS l",
    "SELECT c FROM (SELECT unnest([a, b]) AS x, c FROM t)",
    "SELECT c FROM (SELECT unnest(range(a)) AS x, c FROM t)",
    "SELECT count(*) AS n FROM (SELECT unnest([a, b]) AS x, c FROM t)",
    "SELECT x.p FROM t AS x(p, q)",
    "SELECT q, d FROM t AS t(p, q) WHERE p > 1",
    "SELECT x.b, x.p FROM t AS x(p, b)",
    "SELECT count(z) AS n FROM (SELECT a AS x, b AS y FROM t) AS z",
    'SELECT "T"."A" FROM main.t',
)
# joins by common columns
USING = (
    "SELECT x.a, y.d FROM t x, t y JOIN u USING (a) WHERE x.a = y.b",
    "SELECT a, x.b, y.d FROM t x, t y JOIN u USING (a) WHERE x.a = y.b",
    "SELECT t.b, u.f FROM t, u JOIN (SELECT a, e FROM u) AS v USING (a) WHERE t.a = v.e",
    "SELECT x.d, v.f FROM t x, t y NATURAL JOIN u v WHERE x.a = y.b",
    "SELECT x.a, y.e, z.f FROM t x, u y FULL JOIN (SELECT a + 1 AS a, f FROM u) z USING (a) WHERE x.d < 5",
    "SELECT g, p, q FROM (SELECT * FROM t x, u y FULL JOIN (SELECT a + 1 AS a, f FROM u) z USING (a)) AS s(p, b, c, d, q, e, f, g)",
    "SELECT p, q FROM (SELECT * FROM t x FULL JOIN u y USING (a), t z RIGHT JOIN u w USING (a)) AS s(p, b, c, d, e, f, q)",
    "SELECT p, q, z FROM (SELECT * FROM u CROSS JOIN t x JOIN (SELECT d, 3 AS z FROM t) USING (d)) AS s(p, e, f, q)",
    "SELECT * REPLACE (a + 1 AS a) FROM t JOIN u USING (a)",
    "SELECT * REPLACE (a + 1 AS a, e * 2 AS e) FROM t FULL JOIN (SELECT a + 1 AS a, e FROM u) USING (a)",
    "SELECT * EXCLUDE (t.a) RENAME (b AS z) FROM t FULL JOIN (SELECT a + 1 AS a, e FROM u) USING (a)",
    "SELECT t.* FROM t FULL JOIN (SELECT a + 1 AS a, e FROM u) AS v USING (a)",
    "SELECT v.* FROM t LEFT JOIN (SELECT a + 1 AS a, e FROM u) AS v USING (a)",
    "SELECT * FROM t RIGHT JOIN u USING (a) SEMI JOIN u w USING (a)",
    "SELECT (SELECT max(w.e) FROM (SELECT e, f FROM u) w WHERE w.f = a) AS m FROM t x, t y LEFT JOIN u z USING (a)",
    "SELECT a, count(*) AS n FROM t JOIN u USING (a) GROUP BY a HAVING a > 1",
    "SELECT -a AS a, count(*) AS n FROM t JOIN u USING (a) GROUP BY t.a, a HAVING a > 1",
    "SELECT sum(b) AS a FROM t JOIN u USING (a) GROUP BY c HAVING a > 500",
    "SELECT a FROM t JOIN u USING (a) GROUP BY a HAVING (SELECT max(f) FROM (SELECT f FROM u) w WHERE w.f < a) > 1",
    "SELECT b FROM t JOIN u USING (a) QUALIFY row_number() OVER (PARTITION BY a ORDER BY d, e, f) = 1",
    "SELECT a, b, range AS r FROM t JOIN u USING (a), range(a)",
    "SELECT -a AS a, e FROM t FULL JOIN (SELECT a + 1 AS a, e FROM u) USING (a) ORDER BY a + 0, e LIMIT 9",
    "SELECT -a AS a FROM t FULL JOIN (SELECT a + 1 AS a, e FROM u) USING (a) ORDER BY a, e LIMIT 9",
    "SELECT * FROM t JOIN (SELECT a, e FROM u) AS v USING (a), range(3)",
    "SELECT d, b, v.f FROM t ASOF JOIN (SELECT max(e) AS b, f FROM u GROUP BY f) AS v USING (b)",
    "SELECT * FROM t ASOF LEFT JOIN (SELECT a, max(e) - 2 AS b FROM u GROUP BY a) AS v USING (a, b)",
    "SELECT * FROM t ASOF RIGHT JOIN (SELECT a, max(e) - 2 AS b FROM u GROUP BY a) AS v USING (a, b)",
    "SELECT a, b, q FROM ((t JOIN u USING (a)) FULL JOIN (SELECT a + 1 AS a, 5 AS q FROM u) AS v USING (a))",
    "SELECT x.b FROM t x, (u y FULL JOIN (SELECT a + 1 AS a, 3 AS r FROM u) z USING (a)) WHERE r = 3 AND d < 5",
    "SELECT t.*, w.x FROM t JOIN u USING (a), unnest([a, b]) AS w(x)",
)
# projections
PROJECTIONS = (
    "SELECT t.* EXCLUDE (a), u.e FROM t JOIN u USING (a)",
    "SELECT * REPLACE (a + b AS a) FROM t",
    "SELECT a + 1 AS a, a * 2 AS z FROM t",
    "SELECT a AS x, x + 1 AS y, y + 1 AS z FROM t WHERE y > 2 ORDER BY z",
    "SELECT a AS b, b AS a FROM t",
    "SELECT s.x FROM (SELECT {'x': a, 'y': b} AS s FROM t)",
    "SELECT list_transform([a, b], lambda x: x + c) AS l FROM t",
    "SELECT [x + c FOR x IN [a, b] IF x > d] AS l FROM t",
    "SELECT CASE a WHEN 1 THEN b WHEN 2 THEN c ELSE d END AS x FROM t",
    "SELECT a FROM (SELECT * FROM t JOIN u USING (a)) WHERE e > 3",
    "SELECT a FROM (PIVOT t ON c USING sum(d) GROUP BY a)",
    "WITH p AS (PIVOT t ON c IN (1, 2) USING sum(d)::BIGINT GROUP BY a) SELECT a FROM p",
    "PIVOT t ON c IN (1, 2) USING sum(d) GROUP BY a",
    "UNPIVOT t ON b, c INTO NAME n VALUE v",
    "UNPIVOT t ON b, c",
    "SELECT a, v FROM (UNPIVOT t ON b, c INTO NAME n VALUE v)",
    "WITH x AS (UNPIVOT (SELECT a, b, c FROM t) ON b, c INTO NAME n VALUE v) SELECT n FROM x WHERE v > 1",
    "SELECT a FROM (PIVOT t ON c IN (1, 2) USING sum(d)::BIGINT GROUP BY a)",
    'SELECT "1" FROM (PIVOT t ON c IN (1, 2) USING percentile_disc(0.5) WITHIN GROUP (ORDER BY d) GROUP BY a)',
    "SELECT x FROM t AS x",
    "SELECT x FROM t AS x(p, q)",
    "SELECT w.a FROM (SELECT t AS w FROM t)",
    "SELECT t.d, y FROM t LEFT JOIN u AS y ON t.d = y.e",
    "SELECT list(t ORDER BY d) AS l FROM t GROUP BY b",
    "SELECT a FROM t WHERE columns('a|b') > 1",
    "SELECT coalesce(*columns('b|c'), 3) AS x FROM t",
    "SELECT a + 1 AS n FROM (SELECT columns(c -> c < 'c') FROM t)",
    "SELECT * FROM (SELECT columns('a|b') FROM t) AS x JOIN (SELECT columns(* EXCLUDE (a)) FROM u) AS y ON x.b = y.e",
    "SELECT b FROM (SELECT columns(* REPLACE (a + 1 AS a)) FROM t)",
    "SELECT a, x FROM t UNPIVOT (x FOR n IN (b, c))",
)
# what SQLGlot knows too little of
FUNCTIONS = (
    "SELECT one FROM (SELECT mean(a) AS k, 1 AS one FROM t)",
    "SELECT a FROM t WHERE EXISTS (SELECT mad(e) FROM u WHERE false)",
    "SELECT mad(a) AS m, b FROM t GROUP BY ALL",
    "SELECT one FROM (SELECT geomean(a) AS k, 1 AS one FROM t)",
    "SELECT txt.upper() AS x FROM s",
    "SELECT s.txt.len() AS x FROM s",
    "SELECT (a + 1).abs() AS x FROM t",
    "SELECT max(a).abs() AS x FROM t",
    "SELECT b FROM t WHERE a.abs() > 1",
    "SELECT count(*) AS n FROM t GROUP BY b.abs()",
    "SELECT arr.list_filter(x -> x > id).len() AS l FROM s",
    "SELECT txt.upper().lower() AS x FROM s",
    "SELECT main.abs(a) AS x FROM t",
    "SELECT id FROM (SELECT id, regexp_split_to_table(txt, ' ') AS w FROM s)",
    "SELECT st.* FROM s",
    "SELECT q.y FROM (SELECT st.* FROM s) AS q",
    "SELECT count(*) AS n FROM (SELECT sum(b) FROM t WHERE false GROUP BY ALL)",
    "SELECT n FROM (SELECT 'x' AS kind, a, count(*) AS n FROM t GROUP BY 1, 2)",
    "SELECT n FROM (SELECT 7 AS kind, count(*) AS n FROM t GROUP BY 1)",
)
NAMES = (
    "SELECT a FROM t WHERE EXISTS (SELECT e + 1 AS b FROM u WHERE b = 3)",
    "SELECT id FROM s WHERE EXISTS (SELECT unnest(arr) FROM s AS q WHERE q.id = s.id)",
    "SELECT a FROM t WHERE EXISTS (SELECT e AS k FROM u ORDER BY k)",
    "SELECT a FROM t WHERE EXISTS (SELECT e, f FROM u ORDER BY 2)",
    "SELECT a AS b FROM t ORDER BY -b LIMIT 3",
    "SELECT a AS b FROM t ORDER BY b LIMIT 3",
    "SELECT a + 1 AS z FROM t ORDER BY -z, z LIMIT 3",
    "SELECT DISTINCT ON (b + 0) a AS b, c FROM t ORDER BY b + 0, a, c",
    "SELECT sum(c) OVER v AS s FROM t WINDOW w AS (PARTITION BY a), v AS (w ORDER BY b)",
    "SELECT main.t.a FROM main.t",
    "SELECT st.x AS x, st.id FROM s AS st",
    "SELECT st.y.z AS z FROM s AS st WHERE st.x > 1",
    "SELECT st.* EXCLUDE (id) FROM s AS st",
    "SELECT count(COLUMNS(st.*)) FROM s AS st",
    "SELECT id FROM s AS st WHERE EXISTS (SELECT 1 FROM t WHERE t.d = st.x)",
    "WITH t AS (SELECT a, 0 AS b FROM u) SELECT t.a, q.b FROM t JOIN main.t AS q ON q.a = t.a",
)
TEXTS = (
    *GROUPING, *ORDER, *WINDOWS, *SETS, *SUBQUERIES, *EXPRESSIONS, *FROM, *USING, *PROJECTIONS, *FUNCTIONS, *NAMES
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Iterator[DuckDBBackend]:
    con = ibis.duckdb.connect(threads=1)
    con.con.execute(
        "CREATE TABLE t AS SELECT range * 7919 % 5 AS a, range * 31 % 7 AS b, range * 17 % 3 AS c, range AS d FROM range(40)"
    )
    con.con.execute(
        "CREATE TABLE u AS SELECT range * 7 % 5 AS a, range * 3 % 7 AS e, range * 11 % 4 AS f FROM range(30)"
    )
    con.con.execute(
        "CREATE TABLE s AS SELECT range AS id, {'x': range, 'y': {'z': range * 2}} AS st, [range, 3] AS arr, "
        "'a b ' || range AS txt FROM range(9)"
    )
    con.con.execute("CREATE SCHEMA one; CREATE TABLE one.t AS SELECT range AS a, range * 2 AS b FROM range(4)")
    con.con.execute("CREATE SCHEMA two; CREATE TABLE two.t AS SELECT range * 2 AS a, range AS c FROM range(4)")
    yield con
    con.disconnect()


@pytest.fixture(scope="module")
def compiled() -> PartialCatalog:
    """All of them at once, each a task of its own, named by its place."""
    tasks = [sql_task(text, f"text_{at}") for at, text in enumerate(TEXTS)]
    return compile_what_compiles(TaskCatalog(tasks, SOURCES), backend=empty_backend())


@pytest.mark.parametrize("text", TEXTS)
def test_a_pruned_text_gives_the_same_rows_on_just_what_it_requires_and_binds_on_nothing_less(
    data: DuckDBBackend, compiled: PartialCatalog, text: str
) -> None:
    name = f"text_{TEXTS.index(text)}"
    assert name not in compiled.errors, compiled.errors[name]
    plan = compiled.plans[name]
    expected = bag_of(data.con, text)
    assert bag_of(data.con, plan.sql) == expected
    with cut_tables(data.con, plan.deps) as cut:
        assert Counter(cut.rows(plan.sql)) == expected
        assert list(cut.needless(plan.sql)) == []


@pytest.mark.parametrize(
    ("text", "required"),
    [
        (
            "SELECT b FROM one.t WHERE EXISTS (SELECT 1 FROM two.t WHERE two.t.a = one.t.a)",
            {"one.t": ("a", "b"), "two.t": ("a",)},
        ),
        ("SELECT one.t.b, c FROM one.t JOIN two.t ON one.t.a = two.t.a", {"one.t": ("a", "b"), "two.t": ("a", "c")}),
        ("SELECT x.b FROM one.t AS x JOIN t ON t.d = x.a", {"one.t": ("a", "b"), "t": ("d",)}),
        ("SELECT c, e FROM u JOIN two.t USING (a)", {"two.t": ("a", "c"), "u": ("a", "e")}),
        ("SELECT a, b, e FROM one.t NATURAL JOIN u", {"one.t": ("a", "b"), "u": ("a", "e")}),
        ("SELECT e, b FROM one.t, u WHERE e > b", {"one.t": ("b",), "u": ("e",)}),
    ],
)
def test_tables_of_several_schemas_may_share_a_name(
    data: DuckDBBackend, text: str, required: dict[str, tuple[str, ...]]
) -> None:
    one, two = (
        SourceSpec(name, schema={"a": "int64", other: "int64"}) for name, other in (("one.t", "b"), ("two.t", "c"))
    )
    plan = plan_of(text, [*SOURCES, one, two])
    assert plan.deps.required_columns == required
    assert bag_of(data.con, plan.sql) == bag_of(data.con, text)


@pytest.mark.parametrize(
    ("projection", "columns"),
    [
        ("columns('a|b') + 1", "a b"),
        ("columns('(a|b)') AS 'x_\\1'", "x_a x_b"),
        ("min(columns(*)) AS 'min_\\0'", "min_a min_b min_c min_d"),
        ("columns(* EXCLUDE (a, d))", "b c"),
        ("columns(t.*)::VARCHAR", "a b c d"),
        ("columns(['d', 'A'])", "a d"),
        ("columns(lambda c: c >= 'c')", "c d"),
        ("columns('a|b') + columns('a|b')", "a b"),
        ("* SIMILAR TO '[ab]'", "a b"),
        ("* NOT LIKE 'a'", "b c d"),
        ("* ILIKE 'A'", "a"),
        ("* GLOB '[a-c]'", "a b c"),
    ],
)
def test_a_pattern_is_spelled_out_under_the_names_that_duckdb_gives(
    data: DuckDBBackend, projection: str, columns: str
) -> None:
    text = f"SELECT {projection} FROM t"
    plan = plan_of(text, SOURCES)
    assert [name for name, *_ in data.con.execute(f"DESCRIBE {plan.sql}").fetchall()] == columns.split()
    assert [name for name, *_ in data.con.execute(f"DESCRIBE {text}").fetchall()] == columns.split()
    assert list(plan.schema) == columns.split()
    assert bag_of(data.con, plan.sql) == bag_of(data.con, text)
    assert plan.deps.unresolved == {}


def test_a_star_that_would_show_a_joined_column_twice_is_refused() -> None:
    with pytest.raises(SqlError):
        plan_of("SELECT * EXCLUDE (range) FROM t JOIN u USING (a), range(2)", SOURCES)


def test_an_order_by_position_over_unknown_columns_is_refused() -> None:
    with pytest.raises(SqlError):
        plan_of("SELECT * FROM (SELECT * FROM range(3) UNION ALL SELECT a FROM t ORDER BY 1) AS s", SOURCES)


def test_a_column_that_an_outer_table_also_has_is_required_although_the_text_binds_without_it(
    data: DuckDBBackend,
) -> None:
    """Where a subquery's table goes by the name of one around it, the engine takes the outer column for a missing one."""
    plan = plan_of("SELECT a FROM t AS u WHERE u.a IN (SELECT u.a FROM u)", SOURCES)
    assert plan.deps.required_columns == {"t": ("a",), "u": ("a",)}
    with cut_tables(data.con, plan.deps) as cut:
        assert list(cut.needless(plan.sql)) == ["u.a"]
