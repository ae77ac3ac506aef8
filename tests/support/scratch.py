"""An oracle for runs: builds every task from scratch, by Ibis and DuckDB alone."""

import re
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import duckdb
import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import sqlglot
from ibis.common.exceptions import IbisError

from relspec_core import PlanCatalog, TaskBuildContext
from tests.laws.edited import Columns, Project, Written, fits, sql_type
from tests.laws.generated import Generated, Recipe
from tests.laws.plan_texts import q
from tests.support.catalogs import duckdb_type

LACKING = re.compile(r'[Cc]olumn "(?P<column>[^"]+)" (in EXCLUDE list )?not found')

# The expression of each output, and the text that it is built with.
Outputs = Mapping[str, tuple[ir.Table, str]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is in a table: its columns with their types, and its rows."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[object, ...], ...]

    def of(self, columns: Iterable[str]) -> Counter[str]:
        """The values of these columns together, whatever the order of rows."""
        at = [[name for name, _ in self.columns].index(column) for column in columns]
        return Counter(repr([row[index] for index in at]) for row in self.rows)

    def types_of(self, columns: Iterable[str]) -> dict[str, str]:
        return {name: kind for name, kind in self.columns if name in set(columns)}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Found):
            return NotImplemented
        return self.columns == other.columns and Counter(map(repr, self.rows)) == Counter(map(repr, other.rows))

    __hash__ = None  # type: ignore[assignment]


def found_in(con: duckdb.DuckDBPyConnection, name: str) -> Found:
    answer = con.execute(f"FROM {q(name)}")
    columns = tuple((column[0], str(column[1])) for column in answer.description or ())
    return Found(columns, tuple(answer.fetchall()))


class BrokenTaskError(Exception):
    """Ibis or DuckDB refuses a task."""

    def __init__(self, task: str, error: Exception) -> None:
        super().__init__(f"{task}: {error}")
        self.task = task


class OtherColumnsError(Exception):
    """A text gives other columns than a plan says."""


FAILED_ON_ROWS = (duckdb.ConversionException, duckdb.InvalidInputException)
REFUSED = (
    duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, IbisError, OtherColumnsError,
    *FAILED_ON_ROWS,
)  # fmt: skip


class Scratch:
    """A database that holds what the sources of a project hold, and all that a build from scratch makes of it.

    Attributes:
        printed: the text that each output was built with.
    """

    def __init__(self) -> None:
        self._backend = ibis.duckdb.connect(threads=1)
        self._schemas: dict[str, ibis.Schema] = {}
        self._made: list[str] = []
        self._built: dict[object, Outputs] = {}
        self.con = self._backend.con
        self.con.execute("CREATE SCHEMA live")
        self.printed: dict[str, str] = {}

    def close(self) -> None:
        self._backend.disconnect()

    def load(self, generated: Generated) -> None:
        with self._live():
            generated.load(self._backend)

    def change(self, statements: Iterable[str]) -> None:
        """Change the sources."""
        with self._live():
            for statement in statements:
                self.con.execute(statement)

    def build(self, project: Project) -> None:
        """Build every task as its builder writes it, by the sources' columns as they are or are declared.

        Raises:
            BrokenTaskError: for the first one that reads what is not there.
        """
        self._clear()
        for name, columns in project.sources.items():
            self._show(name, columns, project.live[name])
        for recipe in project.recipes:
            with _blamed_on(recipe.name):
                for output, (table, text) in self._outputs(project.builder(recipe), recipe).items():
                    self._make(output, table, text)

    def build_plans(self, plans: PlanCatalog, project: Project, *, leave: Collection[str]) -> None:
        """Build what the plans' expressions say, over sources as they are: a text with * takes the columns there are.

        Where a task does not bind so, it is built over sources that have only NULLs where a plan could read nothing.
        Tasks to leave are not built.

        Raises:
            BrokenTaskError: for the first one that reads what is not there.
        """
        self._clear()
        for recipe in (recipe for recipe in project.recipes if recipe.name not in leave):
            there = {name: self._there(schema, project.live[name]) for name, schema in plans.schemas.items()}
            try:
                self._make_plans(plans, recipe.name, project, there)
            except REFUSED:
                with _blamed_on(recipe.name):
                    self._make_unless_unread(plans, recipe.name, project)

    def _make_unless_unread(self, plans: PlanCatalog, task: str, project: Project) -> None:
        """Build a task over all that its plans may read; what a text names, no plan reads and no table has is NULL."""
        try:
            self._make_plans(plans, task, project, plans.schemas)
        except duckdb.BinderException as error:
            deps, lacking = plans.deps_of(task), LACKING.search(str(error))
            if lacking is None or any(lacking["column"] in read for read in deps.required_columns.values()):
                raise
            written = [name for name in deps.inputs if name in plans]
            for name in written:
                column = f"NULL AS {q(lacking['column'])}"
                self.con.execute(f"CREATE TEMP VIEW {q(name)} AS SELECT *, {column} FROM memory.main.{q(name)}")
            self._make_plans(plans, task, project, plans.schemas)
            for name in written:
                self.con.execute(f"DROP VIEW temp.{q(name)}")

    @staticmethod
    def _there(schema: ibis.Schema, live: Columns) -> ibis.Schema:
        return ibis.schema({name: kind for name, kind in schema.items() if name in live})

    def _make_plans(self, plans: PlanCatalog, task: str, project: Project, schemas: Mapping[str, ibis.Schema]) -> None:
        for name, schema in schemas.items():
            self._show(name, dict(schema.items()), project.live[name])
        for plan in plans.of_task(task):
            text = project.texts.get(task, {}).get(plan.name)
            self._make(plan.name, plan.expr, text or str(self._backend.compile(plan.expr)))

    def found(self, name: str) -> Found:
        return found_in(self.con, name)

    def _outputs(self, builder: Recipe | Written, recipe: Recipe) -> Outputs:
        """What a builder gives; it is asked again only where it, or what it reads, has changed."""
        key = (builder, tuple((name, self._schemas[name]) for name in recipe.base))
        if key not in self._built:
            built = builder(TaskBuildContext(table=self._table, sql=self._sql, params={}))
            tables = built if isinstance(built, Mapping) else {recipe.name: built}
            texts = dict(builder.texts) if isinstance(builder, Written) else {}
            self._built[key] = {
                output: (table, texts.get(output) or str(self._backend.compile(table)))
                for output, table in tables.items()
            }
        return self._built[key]

    def _table(self, name: str) -> ir.Table:
        return ibis.table(self._schemas[name], name=name)

    def _sql(self, text: str, _dialect: str | None) -> ir.Table:
        spelled = as_duckdb_spells(text)
        return self._backend.sql(spelled, schema=ibis.schema(self._types(spelled)))

    def _make(self, name: str, table: ir.Table, text: str) -> None:
        """A table of exactly the columns that the expression says, filled by the text as it is or as Ibis prints it."""
        self._backend._register_udfs(table)
        self._backend._register_in_memory_tables(table)
        schema = table.schema()
        if len(self._types(text)) != len(schema):
            raise OtherColumnsError(name)
        self.printed[name] = self._cast(text, schema)
        self.con.execute(f"CREATE OR REPLACE TABLE {q(name)} AS {self.printed[name]}")
        self._made.append(name)
        self._schemas[name] = schema

    def _cast(self, text: str, schema: ibis.Schema) -> str:
        """The text, with casts where DuckDB's types are not those that Ibis says: a sum of integers, say."""
        types = self._types(text)
        listing = [
            q(column) if found == duckdb_type(sql_type(kind)) else f"{q(column)}::{sql_type(kind)} AS {q(column)}"
            for (column, kind), found in zip(schema.items(), types.values(), strict=True)
        ]
        return text if listing == [q(column) for column in types] else f"SELECT {', '.join(listing)} FROM ({text})"

    def _types(self, text: str) -> dict[str, dt.DataType]:
        return {row[0]: duckdb_type(row[1]) for row in self.con.execute(f"DESCRIBE {text}").fetchall()}

    def _show(self, name: str, columns: Columns, live: Columns) -> None:
        """A source with the columns that plans are written for."""
        listing = ", ".join(
            q(column) if fits(kind, live.get(column)) else f"NULL::{sql_type(kind)} AS {q(column)}"
            for column, kind in columns.items()
        )
        self.con.execute(f"CREATE OR REPLACE VIEW {q(name)} AS SELECT {listing} FROM live.{q(name)}")
        self._schemas[name] = ibis.schema(columns)

    def _clear(self) -> None:
        for name in self._made:
            self.con.execute(f"DROP TABLE IF EXISTS {q(name)}")
        self._made.clear()

    @contextmanager
    def _live(self) -> Generator[None]:
        self.con.execute("USE memory.live")
        yield
        self.con.execute("USE memory.main")


@cache
def as_duckdb_spells(text: str) -> str:
    """SQLGlot takes the clauses of a text in another order, too."""
    return sqlglot.parse_one(text, read="duckdb").sql("duckdb")


@contextmanager
def _blamed_on(task: str) -> Generator[None]:
    try:
        yield
    except REFUSED as error:
        raise BrokenTaskError(task, error) from error
