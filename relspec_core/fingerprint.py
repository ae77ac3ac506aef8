"""Stable hashes of tokens of our own making: never of SQL text, pickles or files that a dependency wrote."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
from ibis.expr.operations.udf import InputType

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis
    import pyarrow as pa


Token: TypeAlias = "str | tuple[Token, ...]"  # noqa: S105 - a token of a hash


def digest(token: Token) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a token.

    >>> digest(("a", "b")) == digest(("a", ("b",)))
    False
    """
    sha = hashlib.sha256()
    _feed(sha, token)
    return sha.hexdigest()[:32]


def _feed(sha: hashlib._Hash, token: Token) -> None:
    """Lengths go before contents, so that no two tokens share their bytes."""
    if isinstance(token, str):
        data = token.encode()
        sha.update(b"s%d:" % len(data))
        sha.update(data)
    else:
        sha.update(b"t%d:" % len(token))
        for item in token:
            _feed(sha, item)


def schema_token(schema: ibis.Schema) -> Token:
    """Column names with their types, in order."""
    return tuple((name, type_token(kind)) for name, kind in schema.items())


def type_token(kind: dt.DataType) -> Token:
    """A type: its name, which leaves fields whose names have colons or commas in them ambiguous, and its fields."""
    fields = kind.items() if isinstance(kind, dt.Struct) else ()
    inner = [found for found in kind.args if isinstance(found, dt.DataType)]
    return (str(kind), tuple((name, type_token(found)) for name, found in fields), tuple(map(type_token, inner)))


def table_token(table: pa.Table) -> Token:
    """The contents of an in-memory table: names, types and values, whatever its chunks."""
    columns = (
        tuple("null" if value is None else repr(value) for value in column.to_pylist()) for column in table.columns
    )
    return tuple((field.name, str(field.type), column) for field, column in zip(table.schema, columns, strict=True))


def function_tokens(expr: ibis.Expr) -> Mapping[str, Token]:
    """For every user-defined function, by its name in SQL in lower case: its own name, types and body."""
    nodes = expr.op().find((ops.ScalarUDF, ops.AggUDF))
    return {type(node).__name__.casefold(): function_token(node) for node in nodes}


def has_python_functions(expr: ibis.Expr) -> bool:
    """Whether an expression calls functions that end with this process, unlike the engine's own."""
    nodes = expr.op().find((ops.ScalarUDF, ops.AggUDF))
    return any(getattr(node, "__input_type__", None) is not InputType.BUILTIN for node in nodes)


def function_token(node: object) -> Token:
    """A user-defined function: its own name, types and body."""
    # Ibis keeps the function behind a property of the node's class, so that only the node itself gives it.
    names = ("__func_name__", "__udf_namespace__", "__config__", "dtype", "__input_type__")
    facts = tuple(str(getattr(node, name, "")) for name in names)
    return (*facts, _body_of(getattr(node, "__func__", None)))


def _body_of(function: object) -> str:
    """A function's source, and the values that it closes over; its code where there is no source."""
    inner = inspect.unwrap(function) if callable(function) else None
    if inner is None:
        return ""
    closed = [repr(cell.cell_contents) for cell in getattr(inner, "__closure__", None) or ()]
    try:
        text = inspect.getsource(inner)
    except (OSError, TypeError):
        code = getattr(inner, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(inner)
    return "\n".join([text, repr(getattr(inner, "__defaults__", None)), *closed])
