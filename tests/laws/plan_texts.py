"""SQL texts of random plans: each reads a table, and perhaps another one, as three picks say. Rules as for the steps."""

from collections.abc import Callable, Sequence

import ibis.expr.types as ir

from tests.laws.plan_columns import ints, lists, pick, plain, some, structs

Text = Callable[[str, ir.Table, str, ir.Table, Sequence[int]], str]


def q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def a_list(t: ir.Table, p: Sequence[int]) -> str:
    """A list column, or a list of two columns."""
    return q(pick(lists(t), p[0])) if lists(t) else f"[{q(pick(ints(t), p[0]))}, {q(pick(ints(t), p[1]))}]"


# -- one SELECT --------------------------------------------------------------------------------------------------------


def cte_star(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    kept = ", ".join(q(name) for name in some(t, p[0]))
    return f"WITH x AS (SELECT * FROM {n}), dead AS (SELECT 1 AS z FROM {n}) SELECT {kept} FROM X WHERE {q(pick(ints(t), p[1]))} > 0"


def cte_shadow(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    i, j = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    inner = f"SELECT {i} AS i, {q(pick(t.columns, p[2]))} AS j FROM {n}"
    return f"WITH x AS ({inner}), y AS (WITH x AS (SELECT {j} AS i FROM {m}) SELECT i FROM x) SELECT x.i, y.i AS k FROM x JOIN y ON x.i = y.i"


def cte_own_name(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return f"WITH {n} AS (SELECT {q(pick(ints(t), p[0]))} AS i FROM {n} WHERE {q(pick(plain(t), p[1]))} IS NOT NULL) SELECT i FROM {n}"


def exclude(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    gone = pick(t.columns, p[0])
    i = q(pick(ints(t), p[1]))
    return f"SELECT i_ AS i FROM (SELECT * EXCLUDE ({q(gone)}), {i} AS i_ FROM {n}) WHERE i_ IS NOT NULL"


def star_replace(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i = q(pick(ints(t), p[0]))
    return f"SELECT * REPLACE ({q(pick(ints(t), p[1]))} + 1 AS {i}) FROM {n}"


def star_pattern(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    name = pick(ints(t), p[0])
    return f"SELECT COLUMNS(c -> c = '{name}' OR c LIKE '%{pick(t.columns, p[1])[0]}') FROM {n}"


def lateral_alias(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return f"SELECT {q(pick(ints(t), p[0]))} + 1 AS x_, x_ * 2 AS y_ FROM {n} WHERE x_ > {p[1] % 3} OR x_ IS NULL"


def distinct_on(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    key, i, j = q(pick(plain(t), p[0])), q(pick(ints(t), p[1])), q(pick(ints(t), p[2]))
    return f"SELECT DISTINCT ON ({key}) {i} AS i, {j} AS j FROM {n} ORDER BY {key}, 1, 2 DESC"


def qualify(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, key = q(pick(ints(t), p[0])), q(pick(t.columns, p[1]))
    return f"SELECT {i} AS i, 1::BIGINT AS one FROM {n} QUALIFY rank() OVER w <= 2 WINDOW w AS (PARTITION BY {key} ORDER BY {i})"


def frames(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, key = q(pick(ints(t), p[0])), q(pick(plain(t), p[1]))
    frame = ("RANGE BETWEEN 1 PRECEDING AND CURRENT ROW", "ROWS UNBOUNDED PRECEDING", "GROUPS 1 PRECEDING")[p[2] % 3]
    return f"SELECT {key} AS k, sum({i}) OVER (PARTITION BY {key} ORDER BY {i} {frame})::BIGINT AS s, {q(pick(ints(t), p[2]))} AS j FROM {n}"


def whole_row(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return f"SELECT x.{q(pick(ints(t), p[0]))} AS i, x AS whole FROM {n} AS x"


def map_of(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, j = q(pick(ints(t), p[0])), q(pick(ints(t), p[1]))
    return f"SELECT MAP {{'a': {i}, 'b': {j}}}['a'] AS i, {{'x': {i}, 'y': {q(pick(t.columns, p[2]))}}} AS s FROM {n}"


def list_words(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i = q(pick(ints(t), p[2]))
    values = (
        f"[x + {i} FOR x IN l IF x > 1]",
        f"list_transform(l, x -> x * {i})",
        f"list_filter(l, lambda x: x = {i})",
        "l[1:1]",
    )
    return f"SELECT i_, {values[p[2] % 4]} AS v FROM (SELECT {a_list(t, p)} AS l, * , {i} AS i_ FROM {n})"


def field(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i = q(pick(ints(t), p[1]))
    if not structs(t):
        return f"SELECT s.x AS x, s.y.z AS z FROM (SELECT {{'x': {i}, 'y': {{'z': {q(pick(t.columns, p[0]))}}}}} AS s FROM {n})"
    name = pick(structs(t), p[0])
    inner = q(pick(t[name].names, p[2]))
    return f"SELECT {i} AS i, {q(name)}.{inner} AS f, struct_extract({q(name)}, '{pick(t[name].names, p[0])}') AS g FROM {n}"


# -- groups ------------------------------------------------------------------------------------------------------------


def group_all(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    key, i = q(pick(t.columns, p[0])), q(pick(ints(t), p[1]))
    return f"SELECT {key} AS k, {i} + 1 AS i, sum({q(pick(ints(t), p[2]))})::BIGINT AS s FROM {n} GROUP BY ALL HAVING count(*) > 0"


def rollup(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return (
        f"SELECT {q(pick(t.columns, p[0]))} AS k, count({q(pick(t.columns, p[1]))}) AS n FROM {n} GROUP BY ROLLUP (1)"
    )


def grouping_sets(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    one, two, i = q(pick(plain(t), p[0])), q(pick(plain(t), p[1])), q(pick(ints(t), p[2]))
    sets = ("GROUPING SETS ((one), (two), ())", "CUBE (one, two)", "ROLLUP (one, two)")[p[2] % 3]
    inner = f"SELECT {one} AS one, {two} AS two, {i} AS i FROM {n}"
    return f"SELECT {'one, ' if p[0] % 2 else ''}sum(i)::BIGINT AS s, GROUPING(one)::BIGINT AS g FROM ({inner}) GROUP BY {sets}"


def ordered_aggregate(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, j, key = q(pick(ints(t), p[0])), q(pick(ints(t), p[1])), q(pick(plain(t), p[2]))
    return f"SELECT {key} AS k, list({i} ORDER BY {j}, {i}) FILTER (WHERE {j} > 0) AS l, count(*) AS n FROM {n} GROUP BY {key}"


def having(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    key, i = q(pick(t.columns, p[0])), q(pick(ints(t), p[1]))
    return f"SELECT count(*) AS n FROM {n} GROUP BY {key} HAVING max({i}) >= (SELECT min({q(pick(ints(o), p[2]))}) FROM {m})"


def quantile(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, j = q(pick(ints(t), p[0])), q(pick(ints(t), p[1]))
    return f"SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY {i}) AS m, quantile_disc({j}, 0.25) AS k, count(DISTINCT {j}) AS d FROM {n}"


def pivot(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    key, i, j = q(pick(plain(t), p[0])), q(pick(ints(t), p[1])), q(pick(ints(t), p[2]))
    inner = f"SELECT {key} AS k, {i} AS i, {j} AS j FROM {n}"
    pivoted = f"PIVOT ({inner}) ON i IN (0, 1, 2) USING sum(j)::BIGINT GROUP BY k"
    return f'SELECT "1" AS one{", k" if p[0] % 2 else ""} FROM ({pivoted})'


def unpivot(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, j, key = q(pick(ints(t), p[0])), q(pick(ints(t), p[1])), q(pick(plain(t), p[2]))
    inner = f"SELECT {key} AS k, {i} AS i, {j} AS j FROM {n}"
    shown = ("k, name, value", "value", "count(*) AS n")[p[2] % 3]
    return f"SELECT {shown} FROM (UNPIVOT ({inner}) ON i, j INTO NAME name VALUE value)"


# -- subqueries --------------------------------------------------------------------------------------------------------


def exists(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    test = f"SELECT * FROM {m} AS o WHERE o.{q(pick(ints(o), p[0]))} = t.{q(pick(ints(t), p[1]))}"
    return f"SELECT {q(pick(ints(t), p[2]))} AS i FROM {n} AS t WHERE {'NOT ' if p[2] % 2 else ''}EXISTS ({test})"


def scalar(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    inner = f"SELECT max(o.{q(pick(ints(o), p[0]))}) FROM {m} AS o WHERE o.{q(pick(ints(o), p[1]))} = t.{q(pick(ints(t), p[2]))}"
    return f"SELECT {q(pick(ints(t), p[1]))} AS i, ({inner}) AS most FROM {n} AS t"


def member(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    i, j, k = q(pick(ints(t), p[0])), q(pick(ints(o), p[1])), q(pick(ints(o), p[2]))
    tests = (
        f"{i} NOT IN (SELECT {j} FROM {m} WHERE {j} IS NOT NULL)",
        f"({i}, {q(pick(ints(t), p[2]))}) IN (SELECT {j}, {k} FROM {m})",
        f"{i} > ALL (SELECT {j} - 3 FROM {m} WHERE {k} = 1)",
        f"{i} = ANY (SELECT {j} FROM {m})",
    )
    return f"SELECT {q(pick(ints(t), p[1]))} AS i, {q(pick(t.columns, p[2]))} AS c FROM {n} WHERE {tests[p[2] % 4]}"


def rows_of_subquery(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    inner = f"FROM {n} SELECT {q(pick(t.columns, p[0]))} AS a_ WHERE {q(pick(ints(t), p[1]))} >= 1"
    return f"SELECT count(*) AS n FROM ({'SELECT DISTINCT * FROM (' if p[2] % 2 else '('}{inner}))"


def recursive(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, j = q(pick(ints(t), p[0])), q(pick(ints(t), p[1]))
    start = f"SELECT {i} AS i, {q(pick(plain(t), p[2]))} AS c, 0 AS depth FROM {n} WHERE {j} < 3"
    word = ("UNION ALL", "UNION")[p[2] % 2]
    steps = f"{start} {word} SELECT i + 1, c, depth + 1 FROM r WHERE i < 3 AND depth < 4"
    # In a subquery, as Ibis prints the expressions of a query without the word RECURSIVE.
    return f"SELECT i, depth FROM (WITH RECURSIVE r AS ({steps}) SELECT i, depth FROM r)"


# -- joins -------------------------------------------------------------------------------------------------------------


def using(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    side = ("", "LEFT ", "RIGHT ", "FULL ", "SEMI ", "ANTI ")[p[2] % 6]
    left = f"(SELECT {q(pick(ints(t), p[0]))} AS k, {q(pick(t.columns, p[1]))} AS l FROM {n}) AS x"
    right = f"(SELECT {q(pick(ints(o), p[1]))} AS k, {q(pick(o.columns, p[0]))} AS r FROM {m}) AS y"
    shown = "k, l" if side in ("SEMI ", "ANTI ") else "*" if p[0] % 2 else "k, r"
    return f"SELECT {shown} FROM {left} {side}JOIN {right} USING (k)"


def natural(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    left = f"(SELECT {q(pick(ints(t), p[0]))} AS k, {q(pick(t.columns, p[1]))} AS l FROM {n}) AS x"
    right = f"(SELECT {q(pick(ints(o), p[1]))} AS k, {q(pick(o.columns, p[0]))} AS r, 1 AS z FROM {m}) AS y"
    return f"SELECT {('*', 'k, z', 'l, k', 'r, k')[p[2] % 4]} FROM {left} NATURAL {('', 'LEFT ')[p[1] % 2]}JOIN {right}"


def self_join(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    on = f"x.{q(pick(ints(t), p[0]))} = y.{q(pick(ints(t), p[1]))}"
    return f"SELECT x.{q(pick(t.columns, p[2]))} AS l, y.{q(pick(ints(t), p[0]))} AS r FROM {n} AS x JOIN {n.upper()} AS y ON {on}"


def asof(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    right = f"SELECT {q(pick(ints(o), p[0]))} AS at, max({q(pick(ints(o), p[1]))}) AS most FROM {m} GROUP BY 1"
    i, j = q(pick(ints(t), p[1])), q(pick(ints(t), p[2]))
    return f"SELECT t.{i} AS i{', r.most' if p[0] % 2 else ''} FROM {n} AS t ASOF {('', 'LEFT ')[p[2] % 2]}JOIN ({right}) AS r ON t.{j} >= r.at"


def positional(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    left = f"SELECT {q(pick(ints(t), p[0]))} AS i, {q(pick(t.columns, p[1]))} AS l FROM {n} ORDER BY ALL"
    right = f"SELECT {q(pick(ints(o), p[1]))} AS j FROM {m} ORDER BY ALL"
    return f"SELECT {('i, j', 'j', 'count(*) AS n')[p[2] % 3]} FROM ({left}) AS x POSITIONAL JOIN ({right}) AS y"


def lateral(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    i, j = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    inner = f"SELECT max({q(pick(ints(o), p[2]))}) AS most, count(*) AS many FROM {m} AS o WHERE o.{j} = t.{i}"
    return f"SELECT t.{q(pick(ints(t), p[1]))} AS i, {('l.most', 'l.many', 'l.most + l.many AS s')[p[2] % 3]} FROM {n} AS t, LATERAL ({inner}) AS l"


def unnest(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, values = q(pick(ints(t), p[1])), a_list(t, p)
    return (
        f"SELECT {i} AS i, unnest({values}) AS u FROM {n}",
        f"SELECT t.{i} AS i, x.u FROM (SELECT *, {values} AS l_ FROM {n}) AS t, unnest(t.l_) AS x(u)",
        f"SELECT count(*) AS n FROM (SELECT {values} AS l_ FROM {n}) AS t, LATERAL unnest(t.l_)",
        f"SELECT i FROM (SELECT {i} AS i, unnest({values}) AS u FROM {n})",
    )[p[2] % 4]


def values(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return f"SELECT v.w, {q(pick(ints(t), p[0]))} AS i FROM {n} JOIN (VALUES (1, 'a', 2), (2, 'b', 3)) AS v(k, w, z) ON {q(pick(ints(t), p[1]))} = v.k"


def generated_rows(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i = q(pick(ints(t), p[0]))
    return f"SELECT g.x::BIGINT AS x, {q(pick(t.columns, p[2]))} AS c FROM {n}, range({p[1] % 3 + 1}) AS g(x) WHERE {i} >= g.x"


# -- set operations ----------------------------------------------------------------------------------------------------


def by_name(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    left, right = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    return f"SELECT i FROM (SELECT {left} AS i, 1::BIGINT AS z FROM {n} UNION {('ALL ', '')[p[2] % 2]}BY NAME SELECT 2::BIGINT AS y, {right} AS i FROM {m})"


def minus(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    words = ("EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL", "UNION", "UNION ALL")
    left, right = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    inner = f"SELECT {left} AS i, 1 AS z FROM {n} {words[p[2] % 6]} SELECT {right} AS i, 1 AS z FROM {m}"
    return f"SELECT {('i', 'count(*) AS n')[p[0] % 2]} FROM ({inner})"


def ordered_union(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    left, right, extra = q(pick(ints(t), p[0])), q(pick(ints(o), p[1])), q(pick(ints(t), p[2]))
    return f"SELECT i FROM (SELECT {left} AS i, {extra} AS e FROM {n} UNION ALL SELECT {right}, 3 FROM {m} ORDER BY e, i LIMIT 5)"


TEXTS: tuple[Text, ...] = (
    cte_star, cte_shadow, cte_own_name, exclude, star_replace, star_pattern, lateral_alias, distinct_on, qualify, frames,
    whole_row, map_of, list_words, field, group_all, rollup, grouping_sets, ordered_aggregate, having, quantile, pivot,
    unpivot, exists, scalar, member, rows_of_subquery, recursive, using, natural, self_join, asof, positional, lateral,
    unnest, values, generated_rows, by_name, minus, ordered_union,
)  # fmt: skip
