"""SQL texts of tasks: parsed once, bound against empty tables to learn their schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import ibis
from ibis.backends.sql.datatypes import DuckDBType
from sqlglot import exp, parse
from sqlglot.dialects.dialect import Dialect, Dialects
from sqlglot.errors import ParseError, SqlglotError

from relspec_core.errors import SqlError, UnknownColumnError, did_you_mean, listed
from relspec_core.names import quoted_column, quoted_name, table_parts
from relspec_core.plan_tree import UnqualifiableQuery, UnresolvedColumns, plan_tree, read_tables, rename_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relspec_core.query_scope import ColumnProblem


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlText:
    """A query that was written as text.

    Attributes:
        ast: as parsed, tables spelled as declared.
        schema: of what it yields.
    """

    ast: exp.Query
    schema: ibis.Schema


def read_sql(
    text: str,
    *,
    dialect: str,
    schema_of: Callable[[str], tuple[str, ibis.Schema]],
    scratch: duckdb.DuckDBPyConnection,
) -> SqlText:
    """Parse and bind one query.

    Args:
        text: of the query.
        dialect: SQLGlot's name of its dialect.
        schema_of: the declared spelling and the schema of a table that the text names; raises where there is none.
        scratch: an empty database in memory, left empty.

    Raises:
        SqlError: RS103, with line and column. UnknownColumnError: RS102. UnknownTableError: RS101, by ``schema_of``.
    """
    query = _parsed(text, dialect)
    found = {name: schema_of(name) for name in read_tables(query)}
    rename_tables(query, lambda name: found[name][0] if name in found else None)
    schemas = dict(found.values())
    check_columns(query, schemas)
    return SqlText(ast=query, schema=_bound(query, schemas, scratch))


def _parsed(text: str, dialect: str) -> exp.Query:
    try:
        Dialect.get_or_raise(dialect)
    except ValueError as error:
        known = [known.value for known in Dialects if known.value]
        raise SqlError(
            f"there is no SQL dialect '{dialect}'", hint=f"{did_you_mean(dialect, known)}There are {', '.join(known)}."
        ) from error
    try:
        statements = [statement for statement in parse(text, read=dialect) if statement is not None]
    except SqlglotError as error:
        raise SqlError(
            f"the SQL text does not parse: {_parse_message(error)}", at=_excerpt(error), hint=PARSE_HINT
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        kinds = ", ".join(statement.key.upper() for statement in statements) or "nothing"
        raise SqlError(
            f"the SQL text is no single query but {kinds}", hint="write one SELECT; relspec writes the table."
        )
    return statements[0]


PARSE_HINT = "mend the text, or name its dialect: ctx.sql(text, dialect=...)."


def _parse_message(error: SqlglotError) -> str:
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        return f"{first['description']} (line {first['line']}, column {first['col']})"
    return str(error).splitlines()[0]


def _excerpt(error: SqlglotError) -> str:
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        return f"...{first['start_context'][-40:]}>>>{first['highlight']}<<<{first['end_context'][:40]}...".replace(
            "\n", " "
        )
    return ""


def check_columns(query: exp.Query, schemas: Mapping[str, ibis.Schema]) -> None:
    """Raise for every column of a query that is unknown or ambiguous; the query itself is left as it is.

    Raises:
        UnknownColumnError: RS102. SqlError: RS103.
    """
    types = duckdb_types(schemas)
    try:
        plan_tree(query.copy(), schemas=types, dialect="duckdb")
    except UnresolvedColumns as error:
        raise column_error(error.problems[0]) from error
    except UnqualifiableQuery as error:
        raise SqlError(f"the SQL text can't be resolved: {error}", hint="check its tables and columns.") from error


def column_error(problem: ColumnProblem) -> UnknownColumnError | SqlError:
    """The error for a column that can't be resolved; whoever knows the task completes it."""
    place = f"line {problem.line}, column {problem.position} of the SQL text" if problem.line else ""
    if problem.owners:
        return SqlError(
            f"column '{problem.column}' is ambiguous: {listed(problem.owners)} all have it",
            at=place,
            hint=f"write {problem.owners[0]}.{problem.column}, or whichever is meant.",
        )
    return unknown_column(problem.column, evidence=problem.evidence, columns=problem.candidates, at=place)


def unknown_column(
    column: str, *, evidence: str | None, columns: tuple[str, ...], at: str = "", task: str | None = None
) -> UnknownColumnError:
    """RS102 with the nearest name and the columns there are."""
    who = f"task '{task}'" if task else "the query"
    what = f"{who} reads '{evidence}.{column}'" if evidence else f"{who} reads a column '{column}'"
    where = f"evidence '{evidence}' has {listed(columns)}" if evidence else f"there are {listed(columns)}"
    return UnknownColumnError(
        f"{what}, which does not exist",
        at="; ".join(filter(None, [at, where])),
        hint=f"{did_you_mean(column, columns)}Fix the plan, or add the column to what writes it.",
    )


def duckdb_types(schemas: Mapping[str, ibis.Schema]) -> dict[str, dict[str, str]]:
    """Schemas with DuckDB's names of their types."""
    return {
        name: {column: DuckDBType.to_string(kind) for column, kind in schema.items()}
        for name, schema in schemas.items()
    }


def _bound(query: exp.Query, schemas: Mapping[str, ibis.Schema], scratch: duckdb.DuckDBPyConnection) -> ibis.Schema:
    """The schema of a query's result, learned from DuckDB over empty tables."""
    text = query.sql("duckdb")
    scratch.begin()
    try:
        for name, columns in duckdb_types(schemas).items():
            create_empty_table(scratch, name, columns)
        rows = scratch.execute(f"DESCRIBE {text}").fetchall()
    except duckdb.Error as error:
        message = str(error).splitlines()[0]
        raise SqlError(f"the SQL text does not bind: {message}", at=text[:200], hint="mend the text.") from error
    finally:
        scratch.rollback()
    names = [row[0] for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SqlError(f"the SQL text yields two columns named {listed(twice)}", hint="give one of them an alias.")
    return ibis.schema({row[0]: DuckDBType.from_string(row[1]) for row in rows})


def create_empty_table(connection: duckdb.DuckDBPyConnection, name: str, columns: Mapping[str, str]) -> None:
    """Create an empty table, and the schema and database that its name asks for."""
    *outer, _ = table_parts(name)
    if len(outer) > 1:
        connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted_name(outer[0], dialect='duckdb')}")
    if outer:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted_name('.'.join(outer), dialect='duckdb')}")
    listing = ", ".join(f"{quoted_column(column, dialect='duckdb')} {kind}" for column, kind in columns.items())
    connection.execute(f"CREATE TABLE {quoted_name(name, dialect='duckdb')} ({listing})")
