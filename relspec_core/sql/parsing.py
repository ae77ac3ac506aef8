"""Parsing of SQL texts, with corrections to SQLGlot's DuckDB dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB

if TYPE_CHECKING:
    from collections.abc import Sequence


JSON_PATH_STARTS = ("$", "/")


class InstalledDuckDB(DuckDB):
    """The SQL dialect of the installed DuckDB version.

    ``~`` matches a whole text before DuckDB 2 and a part of it from then on, which SQLGlot decides by the version. In
    ``j -> 'a.b'`` the text is a key: only texts that begin with ``$`` or ``/`` are paths, but SQLGlot converts any.
    """

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """Convert a text to a JSON path if it is one, else keep the key."""
        if isinstance(path, exp.Literal) and path.is_string and not path.name.startswith(JSON_PATH_STARTS):
            return path
        return super().to_json_path(path)


def parse_sql(text: str, *, dialect: str) -> Sequence[exp.Expr | None]:
    """Parse the statements of a text.

    Args:
        text: any number of statements.
        dialect: the SQLGlot dialect.

    Raises:
        sqlglot.errors.SqlglotError: if the text does not parse.
    """
    reader = Dialect.get_or_raise(dialect)
    if type(reader) is DuckDB:
        reader = InstalledDuckDB(version=duckdb.__version__)
    statements = reader.parse(text)
    for statement in statements:
        if statement is not None:
            _name_options(statement)
    return statements


def _name_options(statement: exp.Expr) -> None:
    """Turn the left side of ``=`` in a table function's arguments into an option's name, in place."""
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            for option in table.this.find_all(exp.EQ):
                if option.parent is table.this and isinstance(option.this, exp.Column):
                    option.set("this", option.this.this)


def parse_query(text: str, *, dialect: str) -> exp.Query:
    """Parse a text that is known to be a single query.

    Raises:
        sqlglot.errors.SqlglotError: if the text does not parse.
    """
    (statement,) = parse_sql(text, dialect=dialect)
    if not isinstance(statement, exp.Query):
        raise TypeError(f"{text!r} is not a query")
    return statement
