"""Fields of a struct column that goes by its table's name: ``t.f`` where table ``t`` has a column ``t``, no ``f``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.names import from_table
from relspec_core.query_scope import part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def spell_out_fields(query: exp.Expr, schemas: Mapping[str, Mapping[str, str]], dialect: str) -> None:
    """Write ``t.f`` as ``t.t.f``, in place, where table ``t`` has no column ``f`` but a struct ``t`` with such a field.

    Args:
        query: before it is qualified; its tables have aliases.
        schemas: the columns of each table, as the query spells them, with their types as the dialect writes them.
        dialect: SQLGlot's name of the dialect.
    """
    tables = list(query.find_all(exp.Table))
    if not any(table.alias in schemas.get(from_table(table), ()) for table in tables):
        return
    for column in list(query.find_all(exp.Column)):
        names = column.parts
        table = next((found for found in _tables_around(column) if found.alias == names[0].name), None)
        known = schemas.get(from_table(table), {}) if table is not None else {}
        if len(names) == 1 or isinstance(names[1], exp.Star) or names[1].name in known:
            continue
        if _has_field(known.get(names[0].name), names[1].name, dialect):
            whole: exp.Expr = exp.Column(this=names[0].copy(), table=names[0].copy())
            for field in names[1:]:
                whole = exp.Dot(this=whole, expression=field.copy())
            column.replace(whole)


def _has_field(type_text: str | None, name: str, dialect: str) -> bool:
    dtype = exp.DataType.build(type_text, dialect=dialect) if type_text else None
    fields = dtype.expressions if dtype is not None and dtype.is_type(exp.DType.STRUCT) else ()
    return any(field.name.casefold() == name.casefold() for field in fields)


def _tables_around(column: exp.Expr) -> Iterator[exp.Table]:
    """The tables that a column can see, those of the innermost SELECT first."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        clause = part(select, "from")
        items = [
            *([clause.this] if clause is not None else []),
            *(join.this for join in select.args.get("joins") or []),
        ]
        yield from (item for item in items if isinstance(item, exp.Table))
        select = select.find_ancestor(exp.Select)
