"""What a plan reads, as a table: the plan, its required columns, the lineage of each output, the uses of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import ibis
import ibis.expr.datatypes as dt
import pytest
from ibis import _

from relspec_core import InferredDeps, PlanArtifact, SourceSpec, TaskBuildContext
from relspec_core.inferred_deps import merge_deps
from relspec_core.task_catalog import Builder
from tests.support.catalogs import compiled, plan_of, task_of

T = SourceSpec("t", schema=dict.fromkeys("abcd", "int64"))
U = SourceSpec("u", schema=dict.fromkeys("aef", "int64"))
SOURCES = (T, U)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One plan.

    Attributes:
        plan: a builder or a SQL text.
        required: ``t: a b, u:`` for columns a and b of t, and only rows of u.
        lineage: output column to ``t.a identity, t.b filter``.
        rows: what decides which rows there are, and their order.
    """

    plan: Builder | str
    required: str
    lineage: Mapping[str, str]
    rows: str = ""


def t(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("t")


def u(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("u")


CASES = {
    "projected columns": Case(
        plan=lambda ctx: t(ctx).select("a", x=_.b + _.c),
        required="t: a b c",
        lineage={"a": "t.a identity", "x": "t.b transformation, t.c transformation"},
    ),
    "a column that is selected and dropped again": Case(
        plan=lambda ctx: t(ctx).mutate(x=_.b * 2).drop("x", "b").select("a"),
        required="t: a",
        lineage={"a": "t.a identity"},
    ),
    "a filter on a column that is not selected": Case(
        plan=lambda ctx: t(ctx).filter(_.b > 1).select("a"),
        required="t: a b",
        lineage={"a": "t.a identity"},
        rows="t.b filter",
    ),
    "join keys that are not selected": Case(
        plan=lambda ctx: t(ctx).join(u(ctx), "a").select("b", "e"),
        required="t: a b, u: a e",
        lineage={"b": "t.b identity", "e": "u.e identity"},
        rows="t.a join, u.a join",
    ),
    "a semi join": Case(
        plan=lambda ctx: t(ctx).semi_join(u(ctx), [("b", "e")]).select("a"),
        required="t: a b, u: e",
        lineage={"a": "t.a identity"},
        rows="t.b filter, u.e filter",
    ),
    "a left join of whose other side nothing is selected": Case(
        plan=lambda ctx: t(ctx).left_join(u(ctx), "a").select("b"),
        required="t: a b, u: a",
        lineage={"b": "t.b identity"},
        rows="t.a join, u.a join",
    ),
    "a cross join needs rows only": Case(
        plan=lambda ctx: t(ctx).cross_join(u(ctx)).select("b"),
        required="t: b, u:",
        lineage={"b": "t.b identity"},
    ),
    "a self-join": Case(
        plan=lambda ctx: (x := t(ctx)).join(y := x.view(), x.c == y.d).select(x.a, z=y.b),
        required="t: a b c d",
        lineage={"a": "t.a identity", "z": "t.b identity"},
        rows="t.c join, t.d join",
    ),
    "group keys and aggregates": Case(
        plan=lambda ctx: t(ctx).group_by("a").agg(s=_.b.sum(), n=_.count()),
        required="t: a b",
        lineage={"a": "t.a identity", "s": "t.b aggregation", "n": ""},
        rows="t.a group_by",
    ),
    "an aggregate that is dropped needs nothing": Case(
        plan=lambda ctx: t(ctx).group_by("a").agg(s=_.b.sum(), m=_.c.max()).select("m"),
        required="t: a c",
        lineage={"m": "t.c aggregation"},
        rows="t.a group_by",
    ),
    "a filter after grouping": Case(
        plan=lambda ctx: t(ctx).group_by("a").agg(s=_.b.sum()).filter(_.s > 1).select("a"),
        required="t: a b",
        lineage={"a": "t.a identity"},
        rows="t.a group_by, t.b filter",
    ),
    "a filtered aggregate": Case(
        plan=lambda ctx: t(ctx).agg(s=_.b.sum(where=_.c > 0)),
        required="t: b c",
        lineage={"s": "t.b aggregation, t.c conditional"},
    ),
    "a sort key that is not selected": Case(
        plan=lambda ctx: t(ctx).order_by(_.b.desc()).limit(3).select("a"),
        required="t: a b",
        lineage={"a": "t.a identity"},
        rows="t.b sort",
    ),
    "a window shapes its own column only": Case(
        plan=lambda ctx: t(ctx).select("a", s=_.b.sum().over(group_by=_.c, order_by=_.d)),
        required="t: a b c d",
        lineage={"a": "t.a identity", "s": "t.b aggregation, t.c window, t.d window"},
    ),
    "a rank": Case(
        plan=lambda ctx: t(ctx).select("a", r=ibis.row_number().over(group_by=_.b, order_by=_.c)),
        required="t: a b c",
        lineage={"a": "t.a identity", "r": "t.b window, t.c window"},
    ),
    "a filter on a rank": Case(
        plan=lambda ctx: t(ctx).filter(ibis.row_number().over(group_by=_.b, order_by=_.c) == 0).select("a"),
        required="t: a b c",
        lineage={"a": "t.a identity"},
        rows="t.b filter, t.c filter",
    ),
    "a union by position": Case(
        plan=lambda ctx: t(ctx).select("a", "b").union(u(ctx).select(a="e", b="f")).select("a"),
        required="t: a, u: e",
        lineage={"a": "t.a identity, u.e identity"},
    ),
    "a distinct union compares every column": Case(
        plan=lambda ctx: t(ctx).select("a", "b").union(u(ctx).select(a="e", b="f"), distinct=True).select("a"),
        required="t: a b, u: e f",
        lineage={"a": "t.a identity, u.e identity"},
        rows="t.a group_by, t.b group_by, u.e group_by, u.f group_by",
    ),
    "a difference": Case(
        plan=lambda ctx: t(ctx).select("a").difference(u(ctx).select(a="e")),
        required="t: a, u: e",
        lineage={"a": "t.a identity"},
        rows="t.a group_by, u.e filter",
    ),
    "distinct rows": Case(
        plan=lambda ctx: t(ctx).select("a", "b").distinct().select("a"),
        required="t: a b",
        lineage={"a": "t.a identity"},
        rows="t.a group_by, t.b group_by",
    ),
    "a count of rows": Case(
        plan=lambda ctx: t(ctx).count().name("n").as_table(),
        required="t:",
        lineage={"n": ""},
    ),
    "a count of rows over a projection": Case(
        plan=lambda ctx: t(ctx).select("a", "b").mutate(c=_.a + _.b).count().name("n").as_table(),
        required="t:",
        lineage={"n": ""},
    ),
    "a count of filtered rows": Case(
        plan=lambda ctx: t(ctx).filter(_.b > 1).count().name("n").as_table(),
        required="t: b",
        lineage={"n": ""},
        rows="t.b filter",
    ),
    "membership in another table": Case(
        plan=lambda ctx: t(ctx).filter(_.b.isin(u(ctx).e)).select("a"),
        required="t: a b, u: e",
        lineage={"a": "t.a identity"},
        rows="t.b filter, u.e filter",
    ),
    "a scalar of another table": Case(
        plan=lambda ctx: t(ctx).select("a", m=u(ctx).e.max().as_scalar()),
        required="t: a, u: e",
        lineage={"a": "t.a identity", "m": "u.e aggregation"},
    ),
    "a condition decides, its branches are values": Case(
        plan=lambda ctx: t(ctx).select(x=(_.a > 1).ifelse(_.b, _.c)),
        required="t: a b c",
        lineage={"x": "t.a conditional, t.b transformation, t.c transformation"},
    ),
    "a table that is asked for and not read is no dependency": Case(
        plan=lambda ctx: t(ctx).select("a") if u(ctx).columns else u(ctx),
        required="t: a",
        lineage={"a": "t.a identity"},
    ),
    "an in-memory table is no evidence": Case(
        plan=lambda ctx: t(ctx).join(ibis.memtable({"a": [1], "z": [2]}), "a").select("b", "z"),
        required="t: a b",
        lineage={"b": "t.b identity", "z": ""},
        rows="t.a join",
    ),
    "SQL: a star that the plan around it prunes": Case(
        plan=lambda ctx: ctx.sql("SELECT * FROM t WHERE b > 1").select("a"),
        required="t: a b",
        lineage={"a": "t.a identity"},
        rows="t.b filter",
    ),
    "SQL: unread columns and expressions of a WITH": Case(
        plan="WITH x AS (SELECT a, b FROM t), dead AS (SELECT e FROM u) SELECT a FROM x",
        required="t: a",
        lineage={"a": "t.a identity"},
    ),
    "SQL: a correlated subquery": Case(
        plan="SELECT a, (SELECT max(e) FROM u WHERE u.a = t.b) AS m FROM t",
        required="t: a b, u: a e",
        lineage={"a": "t.a identity", "m": "t.b filter, u.a filter, u.e aggregation"},
    ),
    "SQL: EXISTS asks for rows": Case(
        plan="SELECT a FROM t WHERE EXISTS (SELECT e, f FROM u WHERE u.a = t.a)",
        required="t: a, u: a",
        lineage={"a": "t.a identity"},
        rows="t.a filter, u.a filter",
    ),
    "SQL: QUALIFY": Case(
        plan="SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY c DESC) = 1",
        required="t: a b c",
        lineage={"a": "t.a identity"},
        rows="t.b filter, t.c filter",
    ),
    "SQL: USING takes both keys": Case(
        plan="SELECT a, b, e FROM t JOIN u USING (a)",
        required="t: a b, u: a e",
        lineage={"b": "t.b identity", "e": "u.e identity"},
        rows="t.a join, u.a join",
    ),
    "SQL: a literal needs rows only": Case(
        plan="SELECT 1 AS one FROM t",
        required="t:",
        lineage={"one": ""},
    ),
    "SQL over SQL over Ibis": Case(
        plan=lambda ctx: ctx.sql("SELECT * FROM t").group_by("a").agg(m=_.b.max()).join(ctx.sql("FROM u"), "a"),
        required="t: a b, u: a e f",
        lineage={"a": "t.a identity", "m": "t.b aggregation", "e": "u.e identity", "f": "u.f identity"},
        rows="t.a group_by, t.a join, u.a join",
    ),
}


@cache
def plan_named(name: str) -> PlanArtifact:
    return plan_of(CASES[name].plan, SOURCES)


def required_of(deps: InferredDeps) -> str:
    return ", ".join(f"{name}: {' '.join(columns)}".strip() for name, columns in deps.required_columns.items())


def uses_of(uses: tuple) -> str:
    return ", ".join(f"{use.evidence}.{use.column} {use.use.lower()}" for use in uses)


@pytest.mark.parametrize("name", CASES)
def test_a_plan_requires_exactly_what_it_reads(name: str) -> None:
    case = CASES[name]
    deps = plan_named(name).deps
    assert required_of(deps) == case.required
    assert deps.inputs == tuple(deps.required_columns)
    assert deps.unresolved == {}


@pytest.mark.parametrize("name", CASES)
def test_lineage_tells_where_each_output_comes_from_and_how(name: str) -> None:
    case = CASES[name]
    plan = plan_named(name)
    assert tuple(plan.deps.lineage) == tuple(plan.schema)
    assert {
        output: uses_of(uses) for output, uses in plan.deps.lineage.items() if output in case.lineage
    } == case.lineage
    assert uses_of(plan.deps.row_uses) == case.rows


def test_required_types_are_those_of_the_table_that_is_read() -> None:
    source = SourceSpec("t", schema={"a": "int8", "b": "decimal(12, 2)", "c": "array<string>", "d": "int64"})
    deps = plan_of(lambda ctx: ctx.table("t").select("a", "b", "c"), [source]).deps
    assert deps.required_types == {"t": {"a": dt.int8, "b": dt.Decimal(12, 2), "c": dt.dtype("array<string>")}}


def test_every_use_of_a_required_column_is_listed() -> None:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        return t(ctx).filter(_.a > 1).group_by("a").agg(s=_.a.sum() + _.b.max())

    assert plan_of(build, SOURCES).deps.uses_of("t") == {
        "a": ("AGGREGATION", "FILTER", "GROUP_BY", "IDENTITY"),
        "b": ("AGGREGATION",),
    }


def test_the_outputs_of_one_task_are_read_together() -> None:
    def build(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        return {"one": t(ctx).select("a"), "two": t(ctx).filter(_.b > 1).select("a"), "three": u(ctx).select("e")}

    plans = compiled(task_of(build, "many"), sources=SOURCES)
    assert required_of(plans["one"].deps) == "t: a"
    assert required_of(plans["three"].deps) == "u: e"
    merged = plans.deps_of("many")
    assert required_of(merged) == "t: a b, u: e"
    assert merged.uses_of("t") == {"a": ("IDENTITY",), "b": ("FILTER",)}


def test_nothing_merged_is_nothing_read() -> None:
    assert merge_deps([]).inputs == ()


@pytest.mark.parametrize(
    ("text", "required", "reason"),
    [
        ("SELECT * FROM (PIVOT t ON a IN (1) USING sum(b), max(c))", "t: a b c d", "PIVOT is not analysed"),
        ("SELECT * FROM t UNPIVOT ((v, w) FOR name IN ((a, b), (c, d)))", "t: a b c d", "the query pivots it"),
        ("SELECT COLUMNS(* REPLACE (a + 1 AS a)) FROM t", "t: a b c d", "the query selects columns by a pattern"),
    ],
)
def test_what_can_not_be_resolved_requires_all_columns_and_says_why(text: str, required: str, reason: str) -> None:
    deps = plan_of(text, SOURCES).deps
    assert required_of(deps) == required
    assert deps.unresolved == {"t": reason}
