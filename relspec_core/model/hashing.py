"""Stable hashes of relspec's own tokens, never of SQL text, pickles or files that a dependency wrote."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.datatypes as dt

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa


Token: TypeAlias = "str | tuple[Token, ...]"  # noqa: S105 - a token of a hash


def digest(token: Token) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a token.

    >>> digest(("a", "b")) == digest(("a", ("b",)))
    False
    """
    # Distinct tokens have distinct JSON.
    return hashlib.sha256(json.dumps(token).encode()).hexdigest()[:32]


def schema_token(schema: ibis.Schema) -> Token:
    """Column names with their types, in order."""
    return tuple((name, type_token(kind)) for name, kind in schema.items())


def type_token(kind: dt.DataType) -> Token:
    """The name of a type and its fields, as the name is ambiguous if field names contain colons or commas."""
    fields = kind.items() if isinstance(kind, dt.Struct) else ()
    inner = [found for found in kind.args if isinstance(found, dt.DataType)]
    return (str(kind), tuple((name, type_token(found)) for name, found in fields), tuple(map(type_token, inner)))


def table_token(table: pa.Table) -> Token:
    """The contents of an in-memory table, independent of its chunks: names, types and values."""
    columns = (
        tuple("null" if value is None else repr(value) for value in column.to_pylist()) for column in table.columns
    )
    return tuple((field.name, str(field.type), column) for field, column in zip(table.schema, columns, strict=True))
