"""Binding of queries by DuckDB over empty tables: their result schema, or their errors."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import ibis
from ibis.common.exceptions import IbisError
from sqlglot.errors import SqlglotError

from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import SqlError
from relspec_core.model.duckdb_types import from_duckdb, schema_to_duckdb
from relspec_core.model.formatting import listed
from relspec_core.model.names import quoted_column, quoted_name, table_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt
    from sqlglot import exp

    from relspec_core.sql.positions import TextPositions


MOST_CANDIDATES = 4
SUGGESTION = re.compile(r'Did you mean "(?P<name>[^"]+)"')


def scratch_database() -> DuckDBConnection:
    """An empty in-memory database whose errors include their position."""
    return DuckDBConnection.scratch(config={"errors_as_json": True})


def duckdb_types(schemas: Mapping[str, ibis.Schema]) -> dict[str, dict[str, str]]:
    """Schemas with DuckDB type names."""
    return {name: schema_to_duckdb(schema) for name, schema in schemas.items()}


def bind(
    query: exp.Query, *, schemas: Mapping[str, ibis.Schema], scratch: DuckDBConnection, places: TextPositions
) -> ibis.Schema:
    """The schema of a query's result.

    Args:
        query: in any dialect that DuckDB understands.
        schemas: of its tables.
        scratch: a ``scratch_database``; left empty.
        places: positions in the query's text.

    Raises:
        SqlError: RS103, with the position in the text.
    """
    text = query.sql("duckdb")
    scratch.execute("BEGIN TRANSACTION")
    try:
        for name, columns in duckdb_types(schemas).items():
            create_empty_table(scratch, name, columns)
        rows = scratch.rows(f"DESCRIBE {text}")
    except EngineError as error:
        raise _bind_error(error, places.rewritten(text, dialect="duckdb")) from error
    finally:
        scratch.roll_back()
    names = [row[0] for row in rows]
    folded = [name.casefold() for name in names]
    twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
    if twice:
        raise SqlError(
            f"the SQL text has two columns named {listed(twice)}",
            hint="give one of them an alias.",
            place=places.named(twice[0], time=2),
        )
    return ibis.schema({row[0]: _type_of(row[0], row[1], places) for row in rows})


def _type_of(column: str, kind: str, places: TextPositions) -> dt.DataType:
    try:
        return from_duckdb(kind)
    except (AssertionError, IbisError, SqlglotError) as error:
        raise SqlError(
            f"column '{column}' has a type that Ibis does not know: {kind}",
            hint="name the fields of a struct, or cast the column to another type.",
            place=places.start,
        ) from error


def _bind_error(error: EngineError, places: TextPositions) -> SqlError:
    """The error with DuckDB's message and position, and its suggestion as the hint."""
    found = _details(error)
    message = found["exception_message"].strip().splitlines()
    suggestion = SUGGESTION.search(found["exception_message"])
    candidates = [line.strip() for line in message[1:] if "->" in line]
    if suggestion:
        hint = f"did you mean '{suggestion['name']}'? Fix the text."
    elif 0 < len(candidates) <= MOST_CANDIDATES:
        hint = f"candidates are {', '.join(candidates)}."
    elif candidates:
        hint = "cast its arguments."
    else:
        hint = "fix the text."
    prefix = len("DESCRIBE ")
    place = places.holding(int(found["position"]) - prefix) if "position" in found else places.start
    return SqlError(f"the SQL text does not bind: {message[0]}", hint=hint, place=place)


def _details(error: EngineError) -> dict[str, str]:
    _, brace, rest = str(error).partition("{")
    try:
        return json.loads(brace + rest)
    except json.JSONDecodeError:
        return {"exception_message": str(error)}


def create_empty_table(connection: DuckDBConnection, name: str, columns: Mapping[str, str]) -> None:
    """Create an empty table, and the schema and database in its name.

    A column of another engine whose type DuckDB lacks becomes VARCHAR, the text form of its values.
    """
    try:
        for statement in empty_table(name, columns):
            connection.execute(statement)
    except EngineError:
        known = {column: kind if _is_known(connection, kind) else "VARCHAR" for column, kind in columns.items()}
        if known == dict(columns):
            raise
        for statement in empty_table(name, known):
            connection.execute(statement)


def _is_known(connection: DuckDBConnection, kind: str) -> bool:
    try:
        connection.execute(f"SELECT NULL::{kind}")
    except EngineError:
        return False
    return True


def empty_table(name: str, columns: Mapping[str, str]) -> list[str]:
    """The statements that create an empty table, and the schema and database in its name.

    Args:
        name: of the evidence.
        columns: with DuckDB type names.
    """
    *outer, _ = table_parts(name)
    found: list[str] = []
    if len(outer) > 1:
        found.append(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted_name(outer[0])}")
    if outer:
        found.append(f"CREATE SCHEMA IF NOT EXISTS {quoted_name('.'.join(outer))}")
    listing = ", ".join(f"{quoted_column(column)} {kind}" for column, kind in columns.items())
    return [*found, f"CREATE TABLE {quoted_name(name)} ({listing})"]
