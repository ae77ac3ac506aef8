"""Random catalogs: tasks in Ibis and SQL over random sources, each the outcome of a few picks that can be shrunk.

Every table has at least one integer column and only integers and texts. Every plan is deterministic: ordered limits are
ordered by all of their columns, ranks do not depend on ties.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec

NAMES = ("Key", "a", "b", "Weird Col", "select", "t0", "src_1")
TEXTS = ("x", "y", "", "Z z", None)
NUMBERS = (0, 1, 2, 3, 4, 5, None)
ROWS = 14
MOST_COLUMNS = 8

Step = Callable[[ir.Table, ir.Table, Sequence[int]], ir.Table]
Text = Callable[[str, ir.Table, str, ir.Table, Sequence[int]], str]


def pick(names: Sequence[str], number: int) -> str:
    return names[number % len(names)]


def ints(table: ir.Table) -> list[str]:
    return [name for name, kind in table.schema().items() if kind.is_integer()]


def some(table: ir.Table, number: int) -> list[str]:
    """An integer column and whatever else the bits of a number say, in table order."""
    first = pick(ints(table), number)
    return [name for at, name in enumerate(table.columns) if name == first or number >> at & 1][:MOST_COLUMNS]


def fresh(table: ir.Table, stem: str) -> str:
    return next(name for at in range(100) if (name := f"{stem}{at}") not in table.columns)


# -- steps in Ibis -----------------------------------------------------------------------------------------------------


def project(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.select(some(t, p[0]))


def keep(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    column = t[pick(t.columns, p[0])]
    if column.type().is_string():
        return t.filter((column == "x") | column.isnull())
    return t.filter(column > p[1] % 4, (column != p[2] % 4) | column.isnull())


def add(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    one, other, any_one = t[pick(ints(t), p[0])], t[pick(ints(t), p[1])], t[pick(t.columns, p[2])]
    values = (
        one + other,
        any_one.isnull().ifelse(one, other),
        ibis.coalesce(one, other, 0),
        (one.cast("string") + "!").length(),
        one.cast("int32").cast("int64"),
    )
    return t.mutate(**{fresh(t, "n"): values[p[2] % len(values)].cast("int64")})


def replace(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    name = pick(ints(t), p[0])
    return t.mutate(**{name: t[name] * 2 + p[1] % 3})


def rename(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.rename({fresh(t, "r"): pick(t.columns, p[0])})


def group(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    keys = list(dict.fromkeys([pick(t.columns, p[0]), pick(t.columns, p[1])]))
    value, test = t[pick(ints(t), p[2])], t[pick(ints(t), p[0] + 1)]
    return t.group_by(keys).agg(
        **{
            fresh(t, "many"): t.count(),
            fresh(t, "sum"): value.sum(),
            fresh(t, "most"): value.max(where=test > 1),
        }
    )


def total(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.agg(many=t.count(), most=t[pick(ints(t), p[0])].max(), different=t[pick(t.columns, p[1])].nunique())


def count(t: ir.Table, _o: ir.Table, _p: Sequence[int]) -> ir.Table:
    return t.count().name("many").as_table()


def join(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if p[0] % 5 == 0:
        o = t.view()
    right = o.select(**{f"o_{at}": o[name] for at, name in enumerate(some(o, p[2]))})
    kinds = ("inner", "left", "semi", "anti", "outer", "right")
    joined = t.join(right, t[pick(ints(t), p[0])] == right[pick(ints(right), p[1])], how=kinds[p[2] % len(kinds)])
    taken = [name for name in joined.columns if name in t.columns][:4]
    kept = joined.select([*taken, *(name for name in joined.columns if name not in t.columns)][:MOST_COLUMNS])
    return kept if ints(kept) else kept.mutate(one=ibis.literal(1, "int64"))


def combine(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    width = min(len(ints(t)), len(ints(o)), 2)
    left = t.select(**{f"u{at}": t[name] for at, name in enumerate(ints(t)[:width])})
    right = o.select(**{f"u{at}": o[name] for at, name in enumerate(reversed(ints(o)[-width:]))})
    match p[0] % 5:
        case 0:
            combined = left.union(right, distinct=True)
        case 1:
            combined = left.intersect(right)
        case 2:
            combined = left.difference(right)
        case _:
            combined = left.union(right)
    return combined.select("u0") if p[1] % 2 else combined


def window(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    value, key, order = t[pick(ints(t), p[0])], t[pick(t.columns, p[1])], t[pick(ints(t), p[2])]
    new = (
        value.sum().over(group_by=key),
        ibis.rank().over(group_by=key, order_by=order),
        value.max().over(group_by=key, order_by=order, range=(None, 0)),
        ibis.dense_rank().over(order_by=order.desc()),
    )
    return t.mutate(**{fresh(t, "w"): new[p[0] % len(new)].cast("int64")})


def distinct(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.select(some(t, p[0])).distinct()


def top(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    chosen = t.select(some(t, p[0]))
    limited = chosen.order_by([chosen[name].desc() for name in chosen.columns]).limit(p[1] % 5 + 1)
    return limited.select(pick(ints(limited), p[2])) if p[2] % 2 else limited


def within(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    mine, other = t[pick(ints(t), p[0])], o[pick(ints(o), p[1])]
    return t.filter(mine.isin(other) if p[2] % 2 else mine >= other.min())


def lookup(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    name = fresh(t, "label")
    table = ibis.memtable({"mem_key": [0, 1, 2], name: [p[1] % 3, 5, 6]})
    return t.join(table, t[pick(ints(t), p[0])] == table.mem_key, how="left").drop("mem_key")


STEPS: tuple[Step, ...] = (
    project, keep, add, replace, rename, group, total, count, join, combine, window, distinct, top, within, lookup,
)  # fmt: skip


# -- SQL texts ---------------------------------------------------------------------------------------------------------


def q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def cte_star(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    kept = ", ".join(q(name) for name in some(t, p[0]))
    return f"WITH x AS (SELECT * FROM {n}), dead AS (SELECT 1 AS z FROM {n}) SELECT {kept} FROM X WHERE {q(pick(ints(t), p[1]))} > 0"


def qualify(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    i, key = q(pick(ints(t), p[0])), q(pick(t.columns, p[1]))
    return f"SELECT {i} AS i, 1::BIGINT AS one FROM {n} QUALIFY rank() OVER w <= 2 WINDOW w AS (PARTITION BY {key} ORDER BY {i})"


def exists(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    test = f"SELECT * FROM {m} AS o WHERE o.{q(pick(ints(o), p[0]))} = t.{q(pick(ints(t), p[1]))}"
    return f"SELECT {q(pick(ints(t), p[2]))} AS i FROM {n} AS t WHERE {'NOT ' if p[2] % 2 else ''}EXISTS ({test})"


def scalar(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    inner = f"SELECT max(o.{q(pick(ints(o), p[0]))}) FROM {m} AS o WHERE o.{q(pick(ints(o), p[1]))} = t.{q(pick(ints(t), p[2]))}"
    return f"SELECT {q(pick(ints(t), p[1]))} AS i, ({inner}) AS most FROM {n} AS t"


def group_all(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    key, i = q(pick(t.columns, p[0])), q(pick(ints(t), p[1]))
    return f"SELECT {key} AS k, {i} + 1 AS i, sum({q(pick(ints(t), p[2]))})::BIGINT AS s FROM {n} GROUP BY ALL HAVING count(*) > 0"


def by_name(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    left, right = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    return f"SELECT i FROM (SELECT {left} AS i, 1::BIGINT AS z FROM {n} UNION ALL BY NAME SELECT 2::BIGINT AS y, {right} AS i FROM {m})"


def using(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    side = ("", "LEFT ", "RIGHT ", "FULL ")[p[2] % 4]
    left = f"(SELECT {q(pick(ints(t), p[0]))} AS k, {q(pick(t.columns, p[1]))} AS l FROM {n}) AS x"
    right = f"(SELECT {q(pick(ints(o), p[1]))} AS k, {q(pick(o.columns, p[0]))} AS r FROM {m}) AS y"
    return f"SELECT {'*' if p[0] % 2 else 'k, r'} FROM {left} {side}JOIN {right} USING (k)"


def exclude(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    gone = pick(t.columns, p[0])
    i = q(pick(ints(t), p[1]))
    return f"SELECT i_ AS i FROM (SELECT * EXCLUDE ({q(gone)}), {i} AS i_ FROM {n}) WHERE i_ IS NOT NULL"


def rollup(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return (
        f"SELECT {q(pick(t.columns, p[0]))} AS k, count({q(pick(t.columns, p[1]))}) AS n FROM {n} GROUP BY ROLLUP (1)"
    )


def lateral_alias(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    return f"SELECT {q(pick(ints(t), p[0]))} + 1 AS x_, x_ * 2 AS y_ FROM {n} WHERE x_ > {p[1] % 3} OR x_ IS NULL"


def minus(n: str, t: ir.Table, m: str, o: ir.Table, p: Sequence[int]) -> str:
    words = ("EXCEPT", "INTERSECT", "EXCEPT ALL", "INTERSECT ALL", "UNION")
    left, right = q(pick(ints(t), p[0])), q(pick(ints(o), p[1]))
    return f"SELECT i FROM (SELECT {left} AS i, 1 AS z FROM {n} {words[p[2] % 5]} SELECT {right} AS i, 1 AS z FROM {m})"


def rows_of_subquery(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    inner = f"FROM {n} SELECT {q(pick(t.columns, p[0]))} AS a_ WHERE {q(pick(ints(t), p[1]))} >= 1"
    return f"SELECT count(*) AS n FROM ({'SELECT DISTINCT * FROM (' if p[2] % 2 else '('}{inner}))"


def self_join(n: str, t: ir.Table, _m: str, _o: ir.Table, p: Sequence[int]) -> str:
    on = f"x.{q(pick(ints(t), p[0]))} = y.{q(pick(ints(t), p[1]))}"
    return f"SELECT x.{q(pick(t.columns, p[2]))} AS l, y.{q(pick(ints(t), p[0]))} AS r FROM {n} AS x JOIN {n.upper()} AS y ON {on}"


TEXTS_IN_SQL: tuple[Text, ...] = (
    cte_star, qualify, exists, scalar, group_all, by_name, using, exclude, rollup, lateral_alias, minus,
    rows_of_subquery, self_join,
)  # fmt: skip


# -- catalogs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task is built.

    Attributes:
        name: of the task.
        base: the evidence that it starts from, and another one.
        text: the SQL text to start with; None: the table as it is.
        steps: what follows, each with three picks.
        split: whether it has a second output.
    """

    name: str
    base: tuple[str, str]
    text: tuple[Text, tuple[int, ...]] | None
    steps: tuple[tuple[Step, tuple[int, ...]], ...]
    split: bool

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_rest") if self.split else (self.name,)

    def __call__(self, ctx: TaskBuildContext) -> ir.Table | dict[str, ir.Table]:
        table, other = ctx.table(self.base[0]), ctx.table(self.base[1])
        if self.text is not None:
            write, picks = self.text
            table = ctx.sql(write(self.base[0], table, self.base[1], other, picks))
        for step, picks in self.steps:
            table = step(table, other, picks)
        if len(table.columns) > MOST_COLUMNS:
            table = table.select(*table.columns[: MOST_COLUMNS - 1], ints(table)[-1])
        if not self.split:
            return table
        return dict(zip(self.outputs, (table, table.filter(table[ints(table)[0]] > 1)), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Sources with data, and tasks over them."""

    sources: tuple[SourceSpec, ...]
    recipes: tuple[Recipe, ...]
    kinds: tuple[str, ...]
    seed: int

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        return tuple(
            TaskSpec(recipe.name, recipe, outputs=recipe.outputs, kind="view" if kind == "view" else "table")
            for recipe, kind in zip(self.recipes, self.kinds, strict=True)
        )

    @property
    def catalog(self) -> TaskCatalog:
        return TaskCatalog(self.tasks, self.sources)

    def load(self, con: DuckDBBackend) -> None:
        """Create the sources with their rows."""
        numbers = random.Random(self.seed)  # noqa: S311 - test data
        for source in self.sources:
            kinds = {name: "VARCHAR" if kind.is_string() else "BIGINT" for name, kind in source.schema.items()}
            columns = ", ".join(f"{q(name)} {kind}" for name, kind in kinds.items())
            con.con.execute(f"CREATE TABLE {q(source.name)} ({columns})")
            rows = [
                [numbers.choice(TEXTS if kind == "VARCHAR" else NUMBERS) for kind in kinds.values()]
                for _ in range(ROWS)
            ]
            values = ", ".join("(" + ", ".join("NULL" if v is None else repr(v) for v in row) + ")" for row in rows)
            con.con.execute(f"INSERT INTO {q(source.name)} VALUES {values}")


@st.composite
def catalogs(draw: st.DrawFn, *, least: int = 3, most: int = 10) -> Generated:
    """Random catalogs of that many tasks; each task reads sources or earlier tasks."""
    sources = tuple(draw(source_specs(f"src_{at}")) for at in range(draw(st.integers(1, 3))))
    evidence = [source.name for source in sources]
    picks = st.tuples(*[st.integers(0, 255)] * 3)
    recipes: list[Recipe] = []
    # Names that do not sort as the tasks depend on each other.
    names = draw(st.permutations([f"{letter}_task" for letter in "abcdefghij"[: draw(st.integers(least, most))]]))
    for name in names:
        recipe = Recipe(
            name=name,
            base=(draw(st.sampled_from(evidence)), draw(st.sampled_from(evidence))),
            text=draw(st.none() | st.tuples(st.sampled_from(TEXTS_IN_SQL), picks)),
            steps=tuple(draw(st.lists(st.tuples(st.sampled_from(STEPS), picks), min_size=0, max_size=3))),
            split=draw(st.integers(0, 5)) == 0,
        )
        recipes.append(recipe)
        evidence.extend(recipe.outputs)
    kinds = tuple(
        "view" if view == 0 and lookup not in [step for step, _ in recipe.steps] else "table"
        for recipe in recipes
        for view in [draw(st.integers(0, 5))]
    )
    return Generated(sources=sources, recipes=tuple(recipes), kinds=kinds, seed=draw(st.integers(0, 1000)))


@st.composite
def source_specs(draw: st.DrawFn, name: str) -> SourceSpec:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    kinds = [draw(st.sampled_from(["int64", "int64", "string"])) for _ in names]
    return SourceSpec(name, schema=dict(zip(names, ["int64", *kinds[1:]], strict=True)))
