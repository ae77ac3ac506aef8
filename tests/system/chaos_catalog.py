"""Random catalogs of tables of differing sizes for tests that kill runs: what they hold is known from DuckDB alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random

import duckdb

SOURCES: Mapping[str, int] = {"raw_large": 40_000, "raw_middle": 6_000, "raw_small": 20}
COLUMNS = "id, grp, amount, note"
# Every table has the same columns; {n} is what an edit changes.
SHAPES: Mapping[str, tuple[str, ...]] = {
    "keep": (f"SELECT {COLUMNS} FROM {{0}} WHERE amount % 97 <> {{n}}",),
    "shift": ("SELECT id, grp, amount + {n} AS amount, note || '{n}' AS note FROM {0}",),
    "total": (
        "SELECT grp AS id, grp % 50 AS grp, sum(amount + {n})::BIGINT AS amount, min(note) AS note FROM {0} GROUP BY grp",
    ),
    "rank": (
        "SELECT id, grp, rank() OVER (PARTITION BY grp ORDER BY amount % 1000, id) + {n} AS amount, note FROM {0}",
    ),
    "join": (
        "SELECT l.id, l.grp, l.amount + r.most AS amount, l.note FROM {0} AS l JOIN (SELECT grp, max(amount) % 1000 + {n} AS most FROM {1} GROUP BY grp) AS r ON l.grp = r.grp",
    ),
    "union": (
        f"SELECT {COLUMNS} FROM {{0}} WHERE grp % 3 <> {{n}} % 3 UNION ALL SELECT {COLUMNS} FROM {{1}} WHERE id % 5 = {{n}} % 5",
    ),
    "split": (
        f"SELECT {COLUMNS} FROM {{0}} WHERE amount % 10 < {{n}} % 10",
        f"SELECT {COLUMNS} FROM {{0}} WHERE amount % 10 >= {{n}} % 10",
    ),
}
PARENTS: Mapping[str, int] = {"join": 2, "union": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A task: the shape of its query, or of its two queries, what they read, and a constant in them."""

    name: str
    shape: str
    parents: tuple[str, ...]
    number: int
    kind: str = "table"

    @property
    def texts(self) -> Mapping[str, str]:
        """The query of each output."""
        texts = [text.format(*self.parents, n=self.number) for text in SHAPES[self.shape]]
        names = [self.name] if len(texts) == 1 else [f"{self.name}_{number}" for number in range(len(texts))]
        return dict(zip(names, texts, strict=True))

    @property
    def builder(self) -> str:
        """The task as a user would write it."""
        queries = [f'"{output}": ctx.sql("{text}")' for output, text in self.texts.items()]
        built = f"{{{', '.join(queries)}}}" if len(queries) > 1 else queries[0].partition(": ")[2]
        return f'@task(kind="{self.kind}")\ndef {self.name}(ctx):\n    return {built}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosCatalog:
    """Tasks, upstream first."""

    recipes: tuple[Recipe, ...]

    @property
    def module(self) -> str:
        """A module that declares them."""
        names = ", ".join(recipe.name for recipe in self.recipes)
        tasks = "\n".join(recipe.builder for recipe in self.recipes)
        return f"from relspec_core import TaskCatalog, task\n\n{tasks}\ncatalog = TaskCatalog([{names}])\n"

    @property
    def outputs(self) -> Mapping[str, tuple[str, ...]]:
        """What each task writes."""
        return {recipe.name: tuple(recipe.texts) for recipe in self.recipes}

    @property
    def tables(self) -> tuple[str, ...]:
        """Of the outputs those that are tables."""
        return tuple(output for recipe in self.recipes if recipe.kind == "table" for output in recipe.texts)

    @property
    def views(self) -> tuple[str, ...]:
        """Of the outputs those that are views."""
        return tuple(output for recipe in self.recipes if recipe.kind == "view" for output in recipe.texts)

    def build(self, con: duckdb.DuckDBPyConnection) -> None:
        """Build everything by DuckDB alone."""
        for recipe in self.recipes:
            for output, text in recipe.texts.items():
                con.execute(f"CREATE OR REPLACE {recipe.kind} {output} AS {text}")

    def edited(self, random: Random) -> ChaosCatalog:
        """Another constant in one of the tasks."""
        at = random.randrange(len(self.recipes) // 2)
        found = self.recipes[at]
        recipe = replace(found, number=found.number + random.randint(1, 8))
        return ChaosCatalog(recipes=(*self.recipes[:at], recipe, *self.recipes[at + 1 :]))


def random_catalog(random: Random) -> ChaosCatalog:
    """Some 10 to 14 tasks: chains and diamonds, a view that is read, a task with two outputs."""
    recipes = [
        Recipe(name=f"t{at:02}", shape="shift", parents=(source,), number=at) for at, source in enumerate(SOURCES)
    ]
    shapes = ["split", *random.choices(["keep", "shift", "total", "rank", "join", "union"], k=random.randint(5, 9))]
    random.shuffle(shapes)
    view = random.randrange(len(shapes))
    for at, shape in enumerate(shapes):
        tables = [output for recipe in recipes for output in recipe.texts]
        number = PARENTS.get(shape, 1)
        parents = [*random.sample(tables[-3:], number - 1), random.choice([tables[0], tables[0], *tables])]
        kind = "view" if at == view and shape != "split" else "table"
        name = f"t{len(recipes):02}"
        recipes.append(Recipe(name=name, shape=shape, parents=tuple(parents), number=random.randint(1, 9), kind=kind))
    recipes.append(Recipe(name="tail", shape="total", parents=(list(recipes[-1].texts)[-1],), number=1))
    return ChaosCatalog(recipes=tuple(recipes))


def make_sources(con: duckdb.DuckDBPyConnection) -> None:
    for source, rows in SOURCES.items():
        con.execute(
            f"CREATE TABLE {source} AS SELECT range AS id, range * 7919 % {max(rows // 40, 7)} AS grp, "
            f"(hash(range) % 100000)::BIGINT AS amount, md5(range::VARCHAR)[:8] AS note FROM range({rows})"
        )


def changed_rows(random: Random) -> str:
    """Statements that change sources."""
    changes = (
        "UPDATE {0} SET amount = amount + 1 WHERE id % 5 = {1}",
        "DELETE FROM {0} WHERE id = (SELECT min(id) + {1} FROM {0})",
        "INSERT INTO {0} SELECT max(id) + 1, 3, {1}, 'new' FROM {0}",
    )
    sources = random.sample(sorted(SOURCES), random.randint(1, len(SOURCES)))
    return ";".join(random.choice(changes).format(source, random.randrange(5)) for source in sources)


def digests(con: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> dict[str, str]:
    """Of each of these tables that exists: the number of its rows, its columns with their types, a hash of its rows."""
    columns = con.execute(
        "SELECT table_name, string_agg(column_name || ' ' || data_type, ', ' ORDER BY column_index) "
        "FROM duckdb_columns() WHERE schema_name = 'main' GROUP BY table_name"
    ).fetchall()
    there = dict(columns)
    found = {}
    for table in tables:
        if table in there:
            rows, total = con.execute(f'SELECT count(*), sum(hash(t)::HUGEINT) FROM "{table}" AS t').fetchall()[0]
            found[table] = f"{rows} rows of ({there[table]}): {total}"
    return found
