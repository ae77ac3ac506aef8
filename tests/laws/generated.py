"""Random plans and catalogs: tasks in Ibis and SQL over random sources, each the outcome of a few picks that can be shrunk."""

import random
from contextlib import suppress
from dataclasses import dataclass

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.backends.sql.datatypes import DuckDBType
from ibis.common.exceptions import IbisError

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from tests.laws.plan_columns import MOST_COLUMNS, ints, with_int
from tests.laws.plan_steps import OF_THIS_PROCESS, STEPS, Step
from tests.laws.plan_texts import TEXTS, Text, q

NAMES = ("Key", "a", "b", "Weird Col", "select", "t0", "src_1", "s.t")
KINDS = ("int64", "int64", "int64", "string", "date", "array<int64>", "struct<x: int64, Y: string>")
ROWS = 14
PICKS = st.tuples(*[st.integers(0, 255)] * 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a task is built.

    Attributes:
        name: of the task.
        base: the evidence that it starts from, and another one.
        texts: the SQL text to read of each; None: the table as it is.
        steps: what follows, each with three picks.
        split: whether it has a second output.
    """

    name: str
    base: tuple[str, str]
    texts: tuple[tuple[Text, tuple[int, ...]] | None, tuple[Text, tuple[int, ...]] | None]
    steps: tuple[tuple[Step, tuple[int, ...]], ...]
    split: bool = False

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}_rest") if self.split else (self.name,)

    @property
    def may_be_view(self) -> bool:
        return not any(step in OF_THIS_PROCESS for step, _ in self.steps)

    def __call__(self, ctx: TaskBuildContext) -> ir.Table | dict[str, ir.Table]:
        tables = [ctx.table(name) for name in self.base]
        read = [self._read(ctx, tables, at) for at in (0, 1)]
        table, other = read
        for step, picks in self.steps:
            with suppress(IbisError):  # what Ibis itself refuses is no step
                table = with_int(step(table, other, picks))
        if len(table.columns) > MOST_COLUMNS:
            table = table.select(*dict.fromkeys([*table.columns[: MOST_COLUMNS - 1], ints(table)[-1]]))
        if not self.split:
            return table
        return dict(zip(self.outputs, (table, table.filter(table[ints(table)[0]] > 1)), strict=True))

    def _read(self, ctx: TaskBuildContext, tables: list[ir.Table], at: int) -> ir.Table:
        text = self.texts[at]
        if text is None or not all(map(ints, tables)):  # texts and steps calculate with whole numbers
            return with_int(tables[at])
        write, picks = text
        other = 1 - at
        return with_int(ctx.sql(write(self.base[at], tables[at], self.base[other], tables[other], picks)))


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
            columns = ", ".join(f"{q(name)} {DuckDBType.to_string(kind)}" for name, kind in source.schema.items())
            con.con.execute(f"CREATE OR REPLACE TABLE {q(source.name)} ({columns})")
            rows = (", ".join(value(kind, numbers) for kind in source.schema.types) for _ in range(ROWS))
            con.con.execute(f"INSERT INTO {q(source.name)} VALUES {', '.join(f'({row})' for row in rows)}")


def value(kind: dt.DataType, numbers: random.Random) -> str:
    """A literal of DuckDB; few different ones, so that rows meet."""
    if numbers.random() < 1 / 8:
        return "NULL"
    if isinstance(kind, dt.Array):
        return f"[{', '.join(value(kind.value_type, numbers) for _ in range(numbers.randrange(4)))}]"
    if isinstance(kind, dt.Struct):
        return f"struct_pack({', '.join(f'{q(name)} := {value(inner, numbers)}' for name, inner in kind.items())})"
    if kind.is_string():
        return numbers.choice(("'x'", "'y'", "''", "'Z z'"))
    if kind.is_date() or kind.is_timestamp():
        return f"DATE '20{numbers.randrange(19, 23)}-0{numbers.randrange(1, 4)}-01'"
    return str(numbers.randrange(6))


@st.composite
def sources_of(draw: st.DrawFn) -> tuple[SourceSpec, ...]:
    return tuple(draw(source_specs(f"src_{at}")) for at in range(draw(st.integers(1, 3))))


@st.composite
def source_specs(draw: st.DrawFn, name: str) -> SourceSpec:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=6, unique=True))
    kinds = [draw(st.sampled_from(KINDS)) for _ in names]
    return SourceSpec(name, schema=dict(zip(names, ["int64", *kinds[1:]], strict=True)))


@st.composite
def recipes(draw: st.DrawFn, name: str, evidence: tuple[str, ...], *, most_steps: int) -> Recipe:
    text = st.none() | st.tuples(st.sampled_from(TEXTS), PICKS)
    return Recipe(
        name=name,
        base=(draw(st.sampled_from(evidence)), draw(st.sampled_from(evidence))),
        texts=(draw(text), draw(st.none() | text)),
        steps=tuple(draw(st.lists(st.tuples(st.sampled_from(STEPS), PICKS), min_size=0, max_size=most_steps))),
        split=draw(st.integers(0, 5)) == 0,
    )


@st.composite
def plans(draw: st.DrawFn) -> Generated:
    """A task on its own, with more in it than the tasks of catalogs have."""
    sources = draw(sources_of())
    recipe = draw(recipes("plan", tuple(source.name for source in sources), most_steps=6))
    return Generated(sources=sources, recipes=(recipe,), kinds=("table",), seed=draw(st.integers(0, 1000)))


@st.composite
def catalogs(draw: st.DrawFn, *, least: int = 3, most: int = 10) -> Generated:
    """Random catalogs of that many tasks; each task reads sources or earlier tasks."""
    sources = draw(sources_of())
    evidence = [source.name for source in sources]
    # Names that do not sort as the tasks depend on each other.
    names = draw(st.permutations([f"{letter}_task" for letter in "abcdefghij"[: draw(st.integers(least, most))]]))
    found: list[Recipe] = []
    for name in names:
        found.append(draw(recipes(name, tuple(evidence), most_steps=3)))
        evidence.extend(found[-1].outputs)
    kinds = tuple("view" if draw(st.integers(0, 5)) == 0 and recipe.may_be_view else "table" for recipe in found)
    return Generated(sources=sources, recipes=tuple(found), kinds=kinds, seed=draw(st.integers(0, 1000)))
