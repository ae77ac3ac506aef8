"""Calls that are written behind their first argument, ``note.upper()``, as calls that SQLGlot can see into."""

from __future__ import annotations

from sqlglot import exp

SCHEMAS = frozenset({"main", "system", "pg_catalog", "information_schema", "temp"})


def spell_out_calls(query: exp.Expr) -> None:
    """Write ``a.f(b)`` as ``f(a, b)``, in place; SQLGlot takes the ``a`` in it for a name, not for a column."""
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
    """Turn the names below a node that stand for columns into columns, in place."""
    for name in reversed(list(holder.find_all(exp.Dot, exp.Identifier))):
        if isinstance(name.parent, (exp.Column, exp.Dot, exp.Lambda)) and not _is_body(name):
            continue
        parts = _parts(name)
        if parts is not None and not _is_parameter(parts[0]):
            name.replace(_column(parts))


def _is_body(name: exp.Expr) -> bool:
    return isinstance(name.parent, exp.Lambda) and name.arg_key == "this"


def _parts(node: exp.Expr) -> list[exp.Identifier] | None:
    """The names of a chain of dots; None for anything else."""
    if isinstance(node, exp.Identifier):
        return [node]
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Identifier):
        before = _parts(node.this)
        return None if before is None else [*before, node.expression]
    return None


def _is_parameter(name: exp.Identifier) -> bool:
    """Whether a name is a parameter of a lambda around it."""
    node = name.parent
    while node is not None:
        if isinstance(node, exp.Lambda) and name.name in [parameter.name for parameter in node.expressions]:
            return True
        node = node.parent
    return False


def _column(parts: list[exp.Identifier]) -> exp.Expr:
    """The column that up to four names stand for; more are fields of a struct."""
    names = [part.copy() for part in parts]
    column: exp.Expr = exp.column(*reversed(names[:4]))
    for field in names[4:]:
        column = exp.Dot(this=column, expression=field)
    return column
