"""Projects that are edited: random catalogs over sources whose columns change, and random edits of all that can change."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from hypothesis import strategies as st
from ibis.backends.sql.datatypes import DuckDBType

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from tests.laws.generated import KINDS, NAMES, PICKS, Generated, Recipe, catalogs, value
from tests.laws.plan_steps import STEPS
from tests.laws.plan_texts import q

Columns = Mapping[str, dt.DataType]
Item = TypeVar("Item")

INTEGERS = ("int16", "int32", "int64")
# What a source's column may become, and the value it gets where DuckDB can't tell by itself.
RETYPED: Mapping[str, tuple[str, ...]] = {
    "int16": ("int32", "int64", "string"),
    "int32": ("int64", "int64", "int16"),
    "int64": ("int32", "string"),
    "date": ("timestamp(6)", "timestamp(6)", "string"),
    "string": ("int64",),
}


def fits(wanted: dt.DataType, found: dt.DataType | None) -> bool:
    """Whether a plan made for one type may read another: as the documents say, of the types that occur here."""
    if str(wanted) in INTEGERS and str(found) in INTEGERS:
        return INTEGERS.index(str(wanted)) <= INTEGERS.index(str(found))
    return wanted == found or (wanted.is_date() and found is not None and found.is_timestamp())


@dataclass(frozen=True, slots=True)
class Written:
    """A builder that reads SQL texts, one for each output."""

    texts: tuple[tuple[str, str], ...]

    def __call__(self, ctx: TaskBuildContext) -> dict[str, ir.Table]:
        return {output: ctx.sql(text) for output, text in self.texts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A catalog and what its sources have now.

    Attributes:
        recipes: of the tasks, upstream first.
        kinds: of the tasks.
        live: the columns that each source has.
        declared: the columns that a source is declared with; the others are not declared.
        texts: tasks that are written in SQL, with the text of each output.
    """

    recipes: tuple[Recipe, ...]
    kinds: tuple[str, ...]
    live: Mapping[str, Columns]
    declared: Mapping[str, Columns]
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def catalog(self) -> TaskCatalog:
        tasks = [
            TaskSpec(
                recipe.name,
                self.builder(recipe),
                outputs=recipe.outputs,
                kind="view" if kind == "view" and recipe.may_be_view else "table",
            )
            for recipe, kind in zip(self.recipes, self.kinds, strict=True)
        ]
        return TaskCatalog(tasks, [SourceSpec(name, schema=columns) for name, columns in self.declared.items()])

    @property
    def sources(self) -> dict[str, Columns]:
        """The columns that tasks are written for."""
        return {**self.live, **self.declared}

    @property
    def drifted(self) -> tuple[str, ...]:
        """The sources that have not what they are declared with."""
        return tuple(
            name
            for name, columns in self.declared.items()
            if any(self.live[name].get(column) != kind for column, kind in columns.items())
        )

    def builder(self, recipe: Recipe) -> Recipe | Written:
        return Written(tuple(self.texts[recipe.name].items())) if recipe.name in self.texts else recipe

    def written_in_sql(self, name: str, printed: Mapping[str, str]) -> "Project":
        """The same with a task as the text that Ibis prints for it; which can hold no value of this process."""
        recipe = next(recipe for recipe in self.recipes if recipe.name == name)
        if not recipe.may_be_view:
            return self
        return replace(self, texts={**self.texts, name: {output: printed[output] for output in recipe.outputs}})

    def with_recipe(self, new: Recipe) -> "Project":
        """The same with another plan of a task, in Ibis."""
        recipes = tuple(new if recipe.name == new.name else recipe for recipe in self.recipes)
        return replace(self, recipes=recipes, texts=without(self.texts, new.name))

    def repaired(self, broken: str) -> "Project":
        """The same with a task that fits what it reads: its text left out, or all that it does to what it reads."""
        recipe = next(recipe for recipe in self.recipes if recipe.name == broken)
        if broken not in self.texts:
            recipe = replace(recipe, texts=(None, None), steps=())
        return self.with_recipe(recipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One change.

    Attributes:
        what: it changes, in a few words.
        project: after it.
        sources: statements that change the sources.
        behind: statements that change a task's table behind relspec's back.
        task: whose table that is.
    """

    what: str
    project: Project
    sources: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    task: str | None = None


@st.composite
def projects(draw: st.DrawFn, *, most: int) -> tuple[Project, Generated]:
    """Random projects with what fills their sources. Never the simplest of all, with which Hypothesis begins."""
    generated = draw(catalogs(most=most).filter(lambda found: any(recipe.steps for recipe in found.recipes)))
    narrow = random.Random(generated.seed)  # noqa: S311 - test data
    sources = tuple(
        SourceSpec(
            source.name,
            schema={name: narrowed(at, kind, narrow) for at, (name, kind) in enumerate(source.schema.items())},
        )
        for source in generated.sources
    )
    live = {source.name: dict(source.schema.items()) for source in sources}
    declared = {name: columns for name, columns in live.items() if draw(st.booleans())}
    project = Project(recipes=generated.recipes, kinds=generated.kinds, live=live, declared=declared)
    return project, replace(generated, sources=sources)


def narrowed(at: int, kind: dt.DataType, numbers: random.Random) -> dt.DataType:
    """Some integer columns, never the first one, have a type that can be widened."""
    return dt.dtype(numbers.choice(INTEGERS)) if at and kind == dt.int64 else kind


@st.composite
def edits(draw: st.DrawFn, project: Project, printed: Mapping[str, str], tables: tuple[str, ...]) -> Edit:
    """Random edits of a project.

    Args:
        draw: given by Hypothesis.
        project: to edit.
        printed: what Ibis prints for each output.
        tables: the outputs that there are as tables.
    """
    kinds = ["plan", "plan", "data", "data", "columns", "columns"]
    kinds += ["table"] if tables else []
    kinds += ["declaration"] * 3 if project.drifted else []
    match draw(st.sampled_from(kinds)):
        case "plan":
            return draw(edits_of_plans(project, printed))
        case "data":
            return draw(edits_of_data(project))
        case "columns":
            return draw(edits_of_columns(project))
        case "table":
            return draw(edits_of_tables(project, tables))
        case _:
            return declared_anew(project)


# -- plans -------------------------------------------------------------------------------------------------------------


@st.composite
def edits_of_plans(draw: st.DrawFn, project: Project, printed: Mapping[str, str]) -> Edit:
    recipe = draw(st.sampled_from(project.recipes))
    new = (draw(st.sampled_from(STEPS)), draw(PICKS))
    where = draw(st.integers(0, len(recipe.steps)))
    before, after = recipe.steps[:where], recipe.steps[where:]
    match draw(st.sampled_from(["a step added", "a step dropped", "a step changed", "a task written in SQL"])):
        case "a step dropped" if after:
            return Edit(
                what="a step dropped", project=project.with_recipe(replace(recipe, steps=(*before, *after[1:])))
            )
        case "a step changed" if after:
            changed = (*before, (after[0][0], new[1]), *after[1:])
            return Edit(what="a step changed", project=project.with_recipe(replace(recipe, steps=changed)))
        case "a task written in SQL" if recipe.may_be_view and recipe.name not in project.texts:
            return Edit(what="a task written in SQL", project=project.written_in_sql(recipe.name, printed))
        case _:
            return Edit(what="a step added", project=project.with_recipe(replace(recipe, steps=(*before, new, *after))))


# -- data --------------------------------------------------------------------------------------------------------------


@st.composite
def edits_of_data(draw: st.DrawFn, project: Project) -> Edit:
    name = draw(st.sampled_from(tuple(project.live)))
    columns, table, row = project.live[name], q(name), draw(st.integers(0, 13))
    numbers = random.Random(draw(st.integers(0, 1000)))  # noqa: S311 - test data
    match draw(st.sampled_from(["a value changed", "a row added", "a row deleted"])):
        case "a value changed" as what:
            column = draw(st.sampled_from(tuple(columns)))
            change = f"UPDATE {table} SET {q(column)} = {value(columns[column], numbers)} WHERE rowid = {row}"
        case "a row added" as what:
            change = f"INSERT INTO {table} VALUES ({', '.join(value(kind, numbers) for kind in columns.values())})"
        case what:
            change = f"DELETE FROM {table} WHERE rowid = {row}"
    return Edit(what=what, project=project, sources=(change,))


# -- the columns of sources --------------------------------------------------------------------------------------------


@st.composite
def edits_of_columns(draw: st.DrawFn, project: Project) -> Edit:
    """A source's columns change, and its declaration with them or not. The first one stays an integer, for the steps."""
    name = draw(st.sampled_from(tuple(project.live)))
    columns, alter = project.live[name], f"ALTER TABLE {q(name)}"
    free = [new for new in NAMES if new.casefold() not in {column.casefold() for column in columns}]
    column = draw(st.sampled_from(tuple(columns)[1:] or tuple(columns)))
    wider = RETYPED.get(str(columns[column]), ())
    match draw(st.sampled_from(["added", "dropped", "renamed", "retyped"])):
        case "dropped" if len(columns) > 1:
            return _altered(
                draw, project, name, "dropped", without(columns, column), f"{alter} DROP COLUMN {q(column)}"
            )
        case "renamed" if free:
            column, new = draw(st.sampled_from(tuple(columns))), draw(st.sampled_from(free))
            renamed = {new if own == column else own: kind for own, kind in columns.items()}
            return _altered(draw, project, name, "renamed", renamed, f"{alter} RENAME COLUMN {q(column)} TO {q(new)}")
        case "retyped" if wider and column != next(iter(columns)):
            kind = dt.dtype(draw(st.sampled_from(wider)))
            what = "widened" if fits(columns[column], kind) else "given another type"
            using = f"length({q(column)})" if columns[column].is_string() else f"{q(column)}::{sql_type(kind)}"
            change = f"{alter} ALTER COLUMN {q(column)} SET DATA TYPE {sql_type(kind)} USING {using}"
            return _altered(draw, project, name, what, {**columns, column: kind}, change)
        case _ if free:
            new, kind = draw(st.sampled_from(free)), dt.dtype(draw(st.sampled_from((*KINDS, "int16", "int32"))))
            numbers = random.Random(draw(st.integers(0, 1000)))  # noqa: S311 - test data
            changes = [
                f"{alter} ADD COLUMN {q(new)} {sql_type(kind)}",
                *(f"UPDATE {q(name)} SET {q(new)} = {value(kind, numbers)} WHERE rowid % 3 = {at}" for at in range(3)),
            ]
            return _altered(draw, project, name, "added", {**columns, new: kind}, *changes)
        case _:
            return draw(edits_of_data(project))


def _altered(draw: st.DrawFn, project: Project, name: str, what: str, columns: Columns, *changes: str) -> Edit:
    after = replace(project, live={**project.live, name: columns})
    if name in project.declared and draw(st.booleans()):
        after = replace(after, declared={**project.declared, name: columns})
    return Edit(what=f"a source's column {what}", project=after, sources=changes)


def declared_anew(project: Project) -> Edit:
    """The declarations of all sources that have drifted, as these are now."""
    now = {name: project.live[name] for name in project.drifted}
    return Edit(what="a source declared as it is", project=replace(project, declared={**project.declared, **now}))


# -- tables of tasks, behind relspec's back ----------------------------------------------------------------------------


@st.composite
def edits_of_tables(draw: st.DrawFn, project: Project, tables: tuple[str, ...]) -> Edit:
    """A change that relspec can see: of a table's columns or its number of rows."""
    name = draw(st.sampled_from(tables))
    task = next(recipe.name for recipe in project.recipes if name in recipe.outputs)
    changes = {
        "dropped": f"DROP TABLE {q(name)}",
        "given a row": f"INSERT INTO {q(name)} DEFAULT VALUES",
        "given a column": f"ALTER TABLE {q(name)} ADD COLUMN IF NOT EXISTS relspec_new INTEGER",
        "put in its place": f"CREATE OR REPLACE TABLE {q(name)} AS SELECT 1 AS relspec_new",
    }
    what = draw(st.sampled_from(tuple(changes)))
    return Edit(what=f"a task's table {what}", project=project, behind=(changes[what],), task=task)


# -- small parts -------------------------------------------------------------------------------------------------------


def without(items: Mapping[str, Item], name: str) -> dict[str, Item]:
    return {own: item for own, item in items.items() if own != name}


def sql_type(kind: dt.DataType) -> str:
    return DuckDBType.to_string(kind)
