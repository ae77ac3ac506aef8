"""Rewriting of method calls, and of fields of a struct column that shares its table's name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.model.names import from_table
from relspec_core.sql.clauses import from_items

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


SCHEMAS = frozenset({"main", "system", "pg_catalog", "information_schema", "temp"})


def spell_out_calls(query: exp.Expr) -> None:
    """Rewrite ``a.f(b)`` as ``f(a, b)``, in place; SQLGlot parses ``a`` as an identifier, not as a column."""
    for dot in reversed(list(query.find_all(exp.Dot))):
        call, receiver = dot.expression, dot.this
        if isinstance(call, exp.Func) and not (isinstance(receiver, exp.Identifier) and receiver.name in SCHEMAS):
            holder = exp.Paren(this=receiver.copy())
            _name_columns(holder)
            dot.replace(_called(call, holder.this))


def _called(call: exp.Func, first: exp.Expr) -> exp.Expr:
    if isinstance(call, exp.Anonymous):
        return exp.func(call.name, first, *(argument.copy() for argument in call.expressions), dialect="duckdb")
    arguments = [value for value in call.args.values() if isinstance(value, exp.Expr)] + list(call.expressions)
    return exp.func(call.sql_name(), first, *(argument.copy() for argument in arguments), dialect="duckdb")


def _name_columns(holder: exp.Expr) -> None:
    """Replace identifiers below a node that refer to columns by columns, in place."""
    for name in reversed(list(holder.find_all(exp.Dot, exp.Identifier))):
        if isinstance(name.parent, (exp.Column, exp.Dot, exp.Lambda)) and not _is_body(name):
            continue
        parts = _parts(name)
        if parts is not None and not _is_parameter(parts[0]):
            name.replace(_column(parts))


def _is_body(name: exp.Expr) -> bool:
    return isinstance(name.parent, exp.Lambda) and name.arg_key == "this"


def _parts(node: exp.Expr) -> list[exp.Identifier] | None:
    """The identifiers of a dotted name; None for anything else."""
    if isinstance(node, exp.Identifier):
        return [node]
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        before = _parts(node.this)
        return None if before is None else [*before, node.expression]
    return None


def _is_parameter(name: exp.Identifier) -> bool:
    """Whether a name is a parameter of an enclosing lambda."""
    node = name.parent
    while node is not None:
        if isinstance(node, exp.Lambda) and name.name in [parameter.name for parameter in node.expressions]:
            return True
        node = node.parent
    return False


def _column(parts: list[exp.Identifier]) -> exp.Expr:
    """The column of a dotted name: up to four parts qualify it, more are struct fields."""
    names = [part.copy() for part in parts]
    column: exp.Expr = exp.column(*reversed(names[:4]))
    for field in names[4:]:
        column = exp.Dot(this=column, expression=field)
    return column


def spell_out_fields(query: exp.Expr, schemas: Mapping[str, Mapping[str, str]], dialect: str) -> None:
    """Rewrite ``t.f`` as ``t.t.f``, in place, if table ``t`` has no column ``f`` but a struct ``t`` with such a field.

    Args:
        query: not qualified yet; its tables have aliases.
        schemas: the columns of each table, as spelled in the query, with type names of the dialect.
        dialect: the SQLGlot dialect.
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
    """The tables in scope of a column, those of the innermost SELECT first."""
    select = column.find_ancestor(exp.Select)
    while select is not None:
        yield from (item for item in from_items(select) if isinstance(item, exp.Table))
        select = select.find_ancestor(exp.Select)
