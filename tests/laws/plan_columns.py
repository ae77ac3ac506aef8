"""Columns of a table, as a pick says: what the steps and the texts of random plans are made of."""

from collections.abc import Callable, Sequence

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

MOST_COLUMNS = 8
INTS = dt.dtype("array<int64>")


def pick(names: Sequence[str], number: int) -> str:
    return names[number % len(names)]


def of_kind(table: ir.Table, test: Callable[[dt.DataType], bool]) -> list[str]:
    return [name for name, kind in table.schema().items() if test(kind)]


def ints(table: ir.Table) -> list[str]:
    return of_kind(table, lambda kind: kind == dt.int64)


def plain(table: ir.Table) -> list[str]:
    return of_kind(table, lambda kind: not kind.is_nested())


def lists(table: ir.Table) -> list[str]:
    return of_kind(table, lambda kind: kind == INTS)


def structs(table: ir.Table) -> list[str]:
    return of_kind(table, lambda kind: kind.is_struct())


def some(table: ir.Table, number: int) -> list[str]:
    """An integer column and whatever else the bits of a number say, in table order."""
    first = pick(ints(table), number)
    return [name for at, name in enumerate(table.columns) if name == first or number >> at & 1][:MOST_COLUMNS]


def fresh(table: ir.Table, stem: str) -> str:
    return next(name for at in range(100) if (name := f"{stem}{at}") not in table.columns)


def with_int(table: ir.Table) -> ir.Table:
    return table if ints(table) else table.mutate(one=ibis.literal(1, "int64"))
