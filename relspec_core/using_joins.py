"""Joins by ``USING`` and natural joins: whose value a joined column has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.names import from_table
from relspec_core.query_scope import part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MARK = "relspec_using"


def mark_using_joins(query: exp.Expr, schemas: Mapping[str, Iterable[str]]) -> None:
    """Remember, in place, which joins are by common columns: qualifying a query turns them into conditions.

    Natural joins of tables are written with ``USING`` first, as older releases of SQLGlot leave them alone.

    Args:
        query: before it is qualified.
        schemas: the columns of each table, as the query spells them.
    """
    for select in query.find_all(exp.Select):
        _name_natural_keys(select, schemas)
    for join in query.find_all(exp.Join):
        if join.args.get("using") or join.method == "NATURAL":
            join.meta[MARK] = True


def _name_natural_keys(select: exp.Select, schemas: Mapping[str, Iterable[str]]) -> None:
    clause = part(select, "from")
    joins = select.args.get("joins") or []
    items = [clause.this if clause is not None else None, *(join.this for join in joins)]
    known = [schemas.get(from_table(item)) if isinstance(item, exp.Table) else None for item in items]
    for position, join in enumerate(joins, start=1):
        right, left = known[position], known[:position]
        if join.method != "NATURAL" or right is None or any(columns is None for columns in left):
            continue
        present = set(right)
        shared = [name for name in dict.fromkeys(name for columns in left for name in columns or ()) if name in present]
        if shared:
            join.set("method", None)
            join.set("using", [exp.to_identifier(name, quoted=True) for name in shared])


def settle_using_joins(query: exp.Expr) -> None:
    """Give, in place, each column that tables were joined by the value that it has in the engine.

    An inner or left join leaves the left side's value and a right join the right side's; a full join needs both.
    Qualifying writes COALESCE over all of them, and compares later joins with the first table, which a right or full
    join before them makes wrong.
    """
    for select in query.find_all(exp.Select):
        joins = select.args.get("joins") or []
        if any(join.meta.get(MARK) for join in joins):
            values = _joined_values(joins)
            for coalesce in [node for node in select.find_all(exp.Coalesce) if node.parent_select is select]:
                _settle(coalesce, values)


def _joined_values(joins: Sequence[exp.Join]) -> dict[str, tuple[set[str], list[str]]]:
    """For each joined column all tables that have it, and those whose value counts; mends conditions on the way."""
    values: dict[str, tuple[set[str], list[str]]] = {}
    for join in joins:
        on = join.args.get("on")
        if not join.meta.get(MARK) or on is None:
            continue
        for condition in on.flatten() if isinstance(on, exp.And) else [on]:
            name, right = condition.expression.name, condition.expression.table
            first = condition.this.find(exp.Column)
            tables, counting = values.setdefault(name, ({first.table}, [first.table]))
            condition.set("this", _value(name, counting))
            if join.kind in ("SEMI", "ANTI"):
                continue
            tables.add(right)
            if join.side == "RIGHT":
                counting[:] = [right]
            elif join.side == "FULL":
                counting.append(right)
    return values


def _value(name: str, tables: Sequence[str]) -> exp.Expr:
    columns = [
        exp.column(exp.to_identifier(name, quoted=True), exp.to_identifier(table, quoted=True)) for table in tables
    ]
    return columns[0] if len(columns) == 1 else exp.Coalesce(this=columns[0], expressions=columns[1:])


def _settle(coalesce: exp.Coalesce, values: dict[str, tuple[set[str], list[str]]]) -> None:
    columns = [coalesce.this, *coalesce.expressions]
    if not all(isinstance(column, exp.Column) for column in columns) or len({column.name for column in columns}) > 1:
        return
    tables, counting = values.get(columns[0].name, (set(), []))
    if {column.text("table") for column in columns} == tables:
        coalesce.replace(_value(columns[0].name, counting))
