"""SQL texts as trees that say what the texts say."""

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
    """DuckDB's SQL as the installed DuckDB reads it.

    ``~`` matches a whole text before DuckDB 2 and a part of it from then on, which SQLGlot knows by the version. In
    ``j -> 'a.b'`` the text is a key: only what begins with ``$`` or ``/`` is a path, and SQLGlot takes all for one.
    """

    def to_json_path(self, path: exp.Expr | None) -> exp.Expr | None:
        """A path where the text is one, else the key as written."""
        if isinstance(path, exp.Literal) and path.is_string and not path.name.startswith(JSON_PATH_STARTS):
            return path
        return super().to_json_path(path)


def parse_sql(text: str, *, dialect: str) -> Sequence[exp.Expr | None]:
    """The statements of a text.

    Args:
        text: of any number of statements.
        dialect: SQLGlot's name of its dialect.

    Raises:
        sqlglot.errors.SqlglotError: where the text does not parse.
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
    """In place: what stands left of ``=`` in a table function's arguments is an option's name, and no column."""
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Func):
            for option in table.this.find_all(exp.EQ):
                if option.parent is table.this and isinstance(option.this, exp.Column):
                    option.set("this", option.this.this)


def parse_query(text: str, *, dialect: str) -> exp.Query:
    """The one query of a text, which is known to be one.

    Raises:
        sqlglot.errors.SqlglotError: where the text does not parse.
    """
    (statement,) = parse_sql(text, dialect=dialect)
    if not isinstance(statement, exp.Query):
        raise TypeError(f"{text!r} is no query")
    return statement
