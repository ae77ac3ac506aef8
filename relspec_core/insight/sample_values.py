"""Small sample values of every type, as DuckDB literals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from relspec_core.model.duckdb_types import to_duckdb
from relspec_core.model.names import quoted_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


NULL = "NULL"

TEXTS: tuple[Callable[[int], str], ...] = (
    lambda row: "abcdefghi"[row - 1],
    str,
    lambda row: f"2024-01-0{row}",
    lambda row: f'{{"a": {row}}}',
)
"""Texts to try in turn, as a plan may parse a text as a number, a date or JSON."""

PLAIN: Mapping[type[dt.DataType], Callable[[int], str]] = {
    dt.Integer: str,
    dt.Floating: lambda row: f"{row}.5",
    dt.Decimal: str,
    dt.Timestamp: lambda row: f"'2024-01-0{row} 12:00:00'",
    dt.Boolean: lambda row: str(row % 2 == 1).lower(),
    dt.Date: lambda row: f"'2024-01-0{row}'",
    dt.Time: lambda row: f"'0{row}:00:00'",
    dt.Interval: lambda row: f"INTERVAL {row} DAY",
    dt.UUID: lambda row: f"'00000000-0000-0000-0000-00000000000{row}'",
    dt.JSON: lambda row: f"'{{\"a\": {row}}}'",
    dt.Binary: lambda row: f"'\\x0{row}'",
    dt.INET: lambda row: f"'10.0.0.{row}'",
}

DUCKDB_ONLY: Mapping[str, Callable[[int], str]] = {
    "BIT": lambda row: f"'10{row % 2}'",
    "TIME_NS": lambda row: f"'0{row}:00:00'",
    "BIGNUM": str,
    "UINT128": str,
}
"""DuckDB types that Ibis has no name for."""


def literal(kind: dt.DataType, row: int, *, text: Callable[[int], str] = TEXTS[0]) -> str:
    """A literal of a type for a row of a sample table.

    >>> literal(dt.dtype("array<decimal(3, 1)>"), 2)
    '[2]'

    Args:
        kind: its type; the literal is NULL if no value of the type is known.
        row: 1 to 9; columns of one type have the same value in the same row, so that joins match.
        text: the text of a row, for strings.
    """
    match kind:
        case dt.Array(value_type=inner, length=length):
            found = f"[{', '.join([literal(inner, row, text=text)] * (length or 1))}]"
        case dt.Map(key_type=key, value_type=value):
            found = f"MAP {{{literal(key, row, text=text)}: {literal(value, row, text=text)}}}"
        case dt.Struct():
            found = _struct(kind, row, text)
        case dt.String():
            found = quoted_text(text(row))
        case dt.Decimal(precision=precision, scale=scale) if precision is not None and precision == scale:
            found = f"0.{row}"
        case dt.Timestamp(timezone=str()):
            found = f"'2024-01-0{row} 12:00:00+00'"
        case dt.Unknown():
            found = DUCKDB_ONLY.get(to_duckdb(kind), _null)(row)
        case _:
            found = next((write for family, write in PLAIN.items() if isinstance(kind, family)), _null)(row)
    return found


def _null(_: int) -> str:
    return NULL


def _struct(kind: dt.Struct, row: int, text: Callable[[int], str]) -> str:
    fields = (f"{quoted_text(name)}: {literal(inner, row, text=text)}" for name, inner in kind.items())
    return f"{{{', '.join(fields)}}}"
