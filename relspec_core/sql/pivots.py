"""Rewriting of DuckDB's PIVOT and UNPIVOT into equivalent plain queries.

A pivot with listed values is an aggregation with one filtered aggregate per cell; an unpivot is an unnesting of the
named columns. Rewritten, they are analysed, pruned and fingerprinted like any other query. Other pivots are kept
unchanged and require all columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.sql.clauses import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


CATEGORY_MARK = "relspec_pivot_category"
"""Set on the filter of a pivot's cell: its category decides the cell's value, and is read for it."""


def rewrite_pivots(query: exp.Expr) -> None:
    """Replace, in place, every PIVOT and UNPIVOT that can be written as a plain query."""
    for item in [*query.find_all(exp.Table, exp.Subquery, exp.CTE)]:
        pivots = item.args.get("pivots") or []
        if len(pivots) == 1:
            _rewrite_clause(item, pivots[0])
        elif isinstance(item, (exp.Subquery, exp.CTE)) and isinstance(item.this, exp.Pivot):
            _rewrite_statement(item, item.this)


def _rewrite_clause(item: exp.Expr, pivot: exp.Pivot) -> None:
    """``source PIVOT (...)``."""
    source = item.copy()
    source.set("pivots", None)
    joins = source.args.get("joins")
    source.set("joins", None)
    plain = (
        _unpivoted(source, pivot)
        if pivot.args.get("unpivot")
        else _pivoted(source, pivot.expressions, pivot.args.get("fields") or [], pivot.args.get("group"))
    )
    if plain is not None:
        subquery = exp.Subquery(
            this=plain, alias=exp.TableAlias(this=quoted(pivot.alias or item.alias_or_name or "pivoted"))
        )
        subquery.set("joins", joins)
        item.replace(subquery)


def has_columns_by_data(query: exp.Expr) -> bool:
    """Whether a PIVOT's columns depend on the data, and the query selects all of them."""
    by_data = any(
        pivot.args.get("using") and not all(isinstance(on, exp.In) for on in pivot.expressions)
        for pivot in query.find_all(exp.Pivot)
    )
    return by_data and any(select.is_star for select in query.find_all(exp.Select))


def _rewrite_statement(item: exp.Expr, pivot: exp.Pivot) -> None:
    """``(PIVOT source ON ...)`` and ``(UNPIVOT source ON ...)``."""
    if pivot.args.get("unpivot"):
        into = pivot.args.get("into")
        name, value = (into.this.name, into.expressions[0].name) if into is not None else ("name", "value")
        clause = exp.Pivot(
            expressions=[exp.to_identifier(value)],
            fields=[exp.In(this=exp.to_identifier(name), expressions=pivot.expressions)],
            include_nulls=pivot.args.get("include_nulls"),
        )
        plain = _unpivoted(pivot.this.copy(), clause) if into is None or len(into.expressions) == 1 else None
    else:
        plain = _pivoted(pivot.this.copy(), pivot.args.get("using") or [], pivot.expressions, pivot.args.get("group"))
    if plain is not None:
        item.set("this", plain)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Category:
    """A listed value of a pivoted column, with the name of its cells."""

    column: exp.Column
    value: exp.Literal | exp.Null
    name: str


def _pivoted(
    source: exp.Expr, aggregates: Sequence[exp.Expr], fields: Sequence[exp.Expr], group: exp.Group | None
) -> exp.Select | None:
    """The aggregation equivalent to a pivot; None if the names or values of its cells are not in its text."""
    categories = [_categories(field) for field in fields]
    aliased = [isinstance(aggregate, exp.Alias) for aggregate in aggregates]
    if not aggregates or not fields or any(found is None for found in categories):
        return None
    if not all(_aggregates_in(aggregate.unalias()) for aggregate in aggregates):
        return None
    if not all(aliased) and len(aggregates) > 1:
        return None
    cells = [
        _cell(aggregate, cell, multiple=isinstance(aggregate, exp.Alias))
        for cell in product(*(found or [] for found in categories))
        for aggregate in aggregates
    ]
    if group is not None:
        keys = [key.copy() for key in group.expressions]
        if not keys or not all(isinstance(key, exp.Column) for key in keys):
            return None
        return exp.Select(expressions=[*keys, *cells], group=exp.Group(expressions=[key.copy() for key in keys])).from_(
            source
        )
    read = [column for node in (*aggregates, *fields) for column in node.find_all(exp.Column)]
    star = exp.Star(except_=_identifiers(column.name for column in read))
    return exp.Select(expressions=[star, *cells], group=exp.Group(all=True)).from_(source)


def _categories(field: exp.Expr) -> list[_Category] | None:
    """The listed values of a pivoted column."""
    if not isinstance(field, exp.In) or not isinstance(field.this, exp.Column):
        return None
    found = []
    for item in field.expressions:
        value = item.this if isinstance(item, (exp.Alias, exp.PivotAlias)) else item
        if not isinstance(value, (exp.Literal, exp.Null)):
            return None
        name = item.args["alias"].name if value is not item else value.name or "NULL"
        found.append(_Category(column=field.this, value=value, name=name))
    return found or None


def _cell(aggregate: exp.Expr, cell: Iterable[_Category], *, multiple: bool) -> exp.Expr:
    cell = tuple(cell)
    tests = [
        (exp.Is if isinstance(category.value, exp.Null) else exp.EQ)(
            this=category.column.copy(), expression=category.value.copy()
        )
        for category in cell
    ]
    # In parentheses, which are removed again, because a replaced node needs a parent.
    value = exp.Paren(this=aggregate.unalias().copy())
    for found in _aggregates_in(value.this):
        filtered = exp.Filter(this=found.copy(), expression=exp.Where(this=exp.and_(*tests)))
        filtered.meta[CATEGORY_MARK] = True
        found.replace(filtered)
    name = "_".join([*(category.name for category in cell), *([aggregate.alias] if multiple else [])])
    return exp.alias_(value.this, name, quoted=True)


def _aggregates_in(value: exp.Expr) -> list[exp.Expr]:
    """The aggregates in a cell's expression; the call itself if SQLGlot does not know the function."""
    if any(isinstance(node, (exp.Filter, exp.Window, exp.Query)) for node in value.walk()):
        return []
    if isinstance(value, exp.Anonymous):
        return [value]
    found = (exp.AggFunc, exp.WithinGroup)
    return [node for node in value.walk(prune=lambda node: isinstance(node, found)) if isinstance(node, found)]


def _unpivoted(source: exp.Expr, pivot: exp.Pivot) -> exp.Select | None:
    """The unnesting equivalent to an unpivot; None if it has several value columns."""
    fields = pivot.args.get("fields") or []
    if len(fields) != 1 or not isinstance(fields[0], exp.In) or len(pivot.expressions) != 1:
        return None
    found = [
        (item.this, item.args["alias"].name) if isinstance(item, exp.PivotAlias) else (item, item.name)
        for item in fields[0].expressions
    ]
    if not found or not all(isinstance(column, exp.Column) for column, _ in found):
        return None
    names = exp.Array(expressions=[exp.Literal.string(name) for _, name in found])
    values = exp.Array(expressions=[column.copy() for column, _ in found])
    value = pivot.expressions[0].name
    inner = exp.Select(
        expressions=[
            exp.Star(except_=_identifiers(column.name for column, _ in found)),
            exp.alias_(exp.Explode(this=names), fields[0].this.name, quoted=True),
            exp.alias_(exp.Explode(this=values), value, quoted=True),
        ]
    ).from_(source)
    outer = exp.Select(expressions=[exp.Star()]).from_(
        exp.Subquery(this=inner, alias=exp.TableAlias(this=quoted("unpivoted")))
    )
    if pivot.args.get("include_nulls"):
        return outer
    return outer.where(exp.column(quoted(value)).is_(exp.Null()).not_())


def _identifiers(names: Iterable[str]) -> list[exp.Expr]:
    return [exp.column(quoted(name)) for name in dict.fromkeys(names)]
