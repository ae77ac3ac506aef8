"""Stars over tables that were joined by common columns, spelled out: a joined column is there once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from relspec_core.using_joins import JoinGroup


def spelled_star(projection: exp.Expr, groups: Sequence[JoinGroup]) -> list[exp.Expr]:
    """The columns that a star stands for; the projection itself for what is no plain star, or can't be known.

    Args:
        projection: of a SELECT that is not qualified yet.
        groups: the items of its FROM clause.
    """
    star = projection.this if isinstance(projection, exp.Column) else projection
    items = [item for group in groups for item in group.items]
    table = projection.table if isinstance(projection, exp.Column) else None
    read = [item for item in items if table is None or item.alias == table]
    known = all(item.alias and item.columns is not None for item in read if item.is_seen)
    if not isinstance(star, exp.Star) or star.args.get("ilike") is not None or not read or not known:
        return [projection]
    gone = {_place(column) for column in star.args.get("except_") or star.args.get("except") or []}
    if table is None:
        columns = _all_columns(groups, gone)
    else:
        columns = (
            (table, name, _column(table, name))
            for name in read[0].columns or ()
            if not gone & {("", name), (table, name)}
        )
    return list(_changed(columns, star))


def _all_columns(groups: Sequence[JoinGroup], gone: set[tuple[str, str]]) -> Iterator[tuple[str, str, exp.Expr]]:
    """Each column with its item's alias, its name and its value: a joined one where the first item has it."""
    for group in groups:
        shown: set[str] = set()
        for item in group.items:
            for name in item.columns or () if item.is_seen else ():
                joined = group.joined.get(name)
                if gone & {("", name), (item.alias, name)}:
                    continue
                if joined is None or item.alias not in joined.owners:
                    yield item.alias, name, _column(item.alias, name)
                elif name not in shown:
                    shown.add(name)
                    yield item.alias, name, joined.value(name)


def _changed(columns: Iterator[tuple[str, str, exp.Expr]], star: exp.Star) -> Iterator[exp.Expr]:
    """The projections under a star's REPLACE and RENAME; of several columns of a name, DuckDB replaces one."""
    replaced = {alias.alias: alias.this for alias in star.args.get("replace") or []}
    renamed = {_place(alias.this): alias.alias for alias in star.args.get("rename") or []}
    done: set[str] = set()
    for alias, name, value in columns:
        if name in done:
            continue
        if name in replaced:
            done.add(name)
        new = renamed.get((alias, name), renamed.get(("", name), name))
        yield exp.alias_(replaced[name].copy() if name in replaced else value, exp.to_identifier(new, quoted=True))


def _place(column: exp.Expr) -> tuple[str, str]:
    return (column.table if isinstance(column, exp.Column) else "", column.name)


def _column(alias: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), exp.to_identifier(alias, quoted=True))
