"""SQL texts of tasks: parsing in any dialect, and binding to determine the schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect, Dialects
from sqlglot.errors import ParseError, SqlglotError

from relspec_core.errors import RelspecError, SqlError, TextPosition, UnknownColumnError, UnknownTableError, raise_all
from relspec_core.lineage.canonical_query import UnqualifiableQuery, UnresolvedColumns, plan_tree
from relspec_core.model.formatting import alternatives, did_you_mean, first_line, listed
from relspec_core.model.hashing import digest, schema_token
from relspec_core.model.names import from_table
from relspec_core.sql.binding import bind, duckdb_types
from relspec_core.sql.identifiers import read_tables, rename_tables
from relspec_core.sql.parsing import parse_query, parse_sql
from relspec_core.sql.pivots import has_columns_by_data
from relspec_core.sql.positions import TextPositions
from relspec_core.sql.transpiling import is_foreign, transpile
from relspec_core.sql.volatility import reads_unseen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import ibis

    from relspec_core.engines.duckdb_connection import DuckDBConnection
    from relspec_core.lineage.scopes import ColumnProblem
    from relspec_core.model.hashing import Token
    from relspec_core.system.compile_cache import CompileCache


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlQuery:
    """A query that was written as text.

    Attributes:
        sql: in the backend's dialect, with tables spelled as declared.
        schema: of the result.
        token: equal for equal texts over equal tables; None if the text reads something that relspec can't observe.
        tree: creates a new tree of ``sql``, owned by the caller.
    """

    sql: str
    schema: ibis.Schema
    token: Token | None
    tree: Callable[[], exp.Query]


def read_sql(
    text: str,
    *,
    dialect: str,
    target: str,
    schema_of: Callable[[str], tuple[str, ibis.Schema]],
    scratch: Callable[[], DuckDBConnection],
    cache: CompileCache,
) -> SqlQuery:
    """Parse and bind one query.

    Args:
        text: of the query.
        dialect: the SQLGlot dialect of the text.
        target: the SQLGlot dialect of the backend.
        schema_of: returns the declared spelling and the schema of a table in the text, or raises.
        scratch: returns a ``scratch_database``; left empty.
        cache: results for equal texts over equal schemas.

    Raises:
        SqlError: RS103. UnknownColumnError: RS102. UnknownTableError: RS101, from ``schema_of``. Each has its position
            in the text. A ``CompileError`` if there are several.
    """
    key = digest(("text", text, dialect, target))
    kept: _KeptText | None = cache.find(key)
    if kept is not None and kept.is_of(schema_of):
        return kept.text(target, token=kept.token(text, dialect))
    _check_dialect(dialect)
    places = TextPositions(text, dialect=dialect)
    query = _parsed(text, dialect, places)
    tables = _spelled_tables(query, schema_of, places)
    schemas = dict(tables.values())
    if is_foreign(dialect, target):
        query, places = transpile(query, types=duckdb_types(schemas), dialect=dialect, target=target, places=places)
    _check_columns(query, schemas, places)
    schema = bind(query, schemas=schemas, scratch=scratch(), places=places)
    _name_outputs(query, tuple(schema))
    found = _KeptText(sql=query.sql(target), schema=schema, tables=tables)
    seen = not reads_unseen(query)
    if seen:
        cache.keep(key, found)
    return found.text(target, token=found.token(text, dialect) if seen else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptText:
    """A cached SQL text, and its tables by their names in the text: declared spelling and schema."""

    sql: str
    schema: ibis.Schema
    tables: Mapping[str, tuple[str, ibis.Schema]]

    def is_of(self, schema_of: Callable[[str], tuple[str, ibis.Schema]]) -> bool:
        """Whether the text still refers to the same tables with the same schemas."""
        try:
            return all(schema_of(name) == found for name, found in self.tables.items())
        except UnknownTableError:
            return False

    def text(self, target: str, *, token: Token | None) -> SqlQuery:
        return SqlQuery(
            sql=self.sql, schema=self.schema, token=token, tree=lambda: parse_query(self.sql, dialect=target)
        )

    def token(self, text: str, dialect: str) -> Token:
        tables = tuple((name, spelled, schema_token(schema)) for name, (spelled, schema) in self.tables.items())
        return (text, dialect, tables)


def _name_outputs(query: exp.Query, names: Sequence[str]) -> None:
    """Name unnamed expressions as DuckDB does, in place, because outer queries refer to those names."""
    select: exp.Expr = query
    while isinstance(select, (exp.Subquery, exp.SetOperation)):
        select = select.this
    if not isinstance(select, exp.Select) or len(select.expressions) != len(names):
        return
    if any(found.is_star or found.find(exp.Columns) for found in select.expressions):
        return
    named = [
        found if isinstance(found, (exp.Alias, exp.Column)) else exp.alias_(found, name, quoted=True)
        for found, name in zip(select.expressions, names, strict=True)
    ]
    select.set("expressions", named)


def _check_dialect(dialect: str) -> None:
    try:
        Dialect.get_or_raise(dialect)
    except ValueError as error:
        known = [known.value for known in Dialects if known.value]
        raise SqlError(f"there is no SQL dialect '{dialect}'", hint=alternatives(dialect, known, most=99)) from error


def _parsed(text: str, dialect: str, places: TextPositions) -> exp.Query:
    try:
        statements = [statement for statement in parse_sql(text, dialect=dialect) if statement is not None]
    except SqlglotError as error:
        raise _parse_error(error, text, places) from error
    statements = [
        exp.select("*").from_(exp.Subquery(this=statement)) if isinstance(statement, exp.Pivot) else statement
        for statement in statements
    ]
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = ", ".join(statement.key.upper() for statement in statements) or "nothing"
        raise SqlError(
            f"the SQL text is not a single query but {kinds}",
            hint="write one SELECT; relspec creates the table.",
            place=places.second_statement(),
        )
    if statements[0].find(exp.PositionalColumn):
        raise SqlError("the SQL text refers to a column by position", hint="use its name instead of #1, #2 and so on.")
    if has_columns_by_data(statements[0]):
        raise SqlError(
            "the SQL text has a PIVOT whose columns depend on the data",
            hint="list the values, as in PIVOT t ON x IN ('a', 'b') ..., or select its columns by name.",
            place=places.named("PIVOT"),
        )
    for hint in list(statements[0].find_all(exp.Hint)):
        hint.pop()  # for another engine's optimizer; its names would be taken for tables
    return statements[0]


PARSE_HINT = "fix the text, or set its dialect: ctx.sql(text, dialect=...), or in the header of its file."
UNCLOSED = re.compile(r"Missing (?P<delimiter>.+) from \d+:(?P<offset>\d+)")
TOKEN = re.compile(r"<Token .*?text: (?P<text>.*), line: .*>")
MISSING = re.compile(r"Required keyword: '\w+' missing for <class '[\w.]*?(?P<kind>\w+)'>")


def _parse_error(error: SqlglotError, text: str, places: TextPositions) -> SqlError:
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        said = TOKEN.sub(r"'\g<text>'", MISSING.sub(r"something is missing in \g<kind>", first["description"]))
        message, at, place = said, _excerpt(first), places.ending(first["line"], first["col"])
    else:
        message, at, place = _unclosed(error, text)
    return SqlError(f"the SQL text does not parse: {message}", at=at, hint=PARSE_HINT, place=place)


def _unclosed(error: SqlglotError, text: str) -> tuple[str, str, TextPosition]:
    """The message, excerpt and position for a text with an unclosed quote or comment."""
    found = UNCLOSED.search(str(error.__context__))
    offset = int(found["offset"]) if found else text.rfind("/*")
    if offset < 0:
        return first_line(error), "", TextPosition(1, 1)
    opened = found["delimiter"] if found else "/*"
    return f"{opened} is opened here and not closed", "", TextPositions(text, dialect="").offset(offset)


def _excerpt(first: Mapping[str, str]) -> str:
    found = f"...{first['start_context'][-40:]}>>>{first['highlight']}<<<{first['end_context'][:40]}..."
    return " ".join(found.split())


def _spelled_tables(
    query: exp.Query, schema_of: Callable[[str], tuple[str, ibis.Schema]], places: TextPositions
) -> dict[str, tuple[str, ibis.Schema]]:
    """The declared spelling and the schema of each table; the query is respelled in place."""
    found: dict[str, tuple[str, ibis.Schema]] = {}
    problems: list[RelspecError] = []
    for name in read_tables(query):
        try:
            found[name] = schema_of(name)
        except UnknownTableError as error:
            first = next(table for table in query.find_all(exp.Table) if from_table(table) == name)
            error.place = places.ending(first.this.meta.get("line"), first.this.meta.get("col"))
            problems.append(error)
    raise_all(problems)
    rename_tables(query, lambda name: found[name][0] if name in found else None)
    return found


def _check_columns(query: exp.Query, schemas: Mapping[str, ibis.Schema], places: TextPositions) -> None:
    """Raise errors for all unknown or ambiguous columns of a query, which is not modified."""
    try:
        plan_tree(query.copy(), schemas=duckdb_types(schemas), dialect="duckdb")
    except UnresolvedColumns as error:
        problems = {(problem, places.ending(problem.line, problem.position)): None for problem in error.problems}
        raise_all([column_error(problem, place=place) for problem, place in problems])
    except UnqualifiableQuery as error:
        message = str(error)
        place = places.named(message.rpartition(": ")[2], time=2 if "already used" in message else 1)
        raise SqlError(
            f"the SQL text can't be resolved: {message}", hint="check its tables and columns.", place=place
        ) from error


def column_error(problem: ColumnProblem, *, place: TextPosition | None = None) -> UnknownColumnError | SqlError:
    """The error for a column that can't be resolved; ``complete`` adds the task."""
    if problem.owners:
        return SqlError(
            f"column '{problem.column}' is ambiguous: {listed(problem.owners)} all have it",
            hint=f"qualify it, as in {problem.owners[0]}.{problem.column}.",
            place=place,
        )
    if problem.column in problem.candidates:
        return SqlError(
            f"column '{problem.column}' is qualified with a table that is not in the FROM clause",
            hint=f"'{problem.column}' is a column of '{problem.evidence}'."
            if problem.evidence
            else "fix the qualifier.",
            place=place,
        )
    return unknown_column(problem.column, evidence=problem.evidence, columns=problem.candidates, place=place)


def unknown_column(
    column: str,
    *,
    evidence: str | None,
    columns: tuple[str, ...],
    at: str = "",
    task: str | None = None,
    place: TextPosition | None = None,
) -> UnknownColumnError:
    """RS102: a column does not exist, with the nearest name and the existing columns."""
    who = f"task '{task}'" if task else "the query"
    what = f"{who} reads '{evidence}.{column}'" if evidence else f"{who} reads a column '{column}'"
    where = f"evidence '{evidence}' has {listed(columns)}" if evidence else f"there are {listed(columns)}"
    return UnknownColumnError(
        f"{what}, which does not exist",
        at="; ".join(filter(None, [at, where])),
        hint=f"{did_you_mean(column, columns)}Fix the plan, or add the column to the task or source.",
        place=place,
    )
