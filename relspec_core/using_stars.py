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
    if not isinstance(star, exp.Star) or star.args.get("ilike") is not None:
        return [projection]
    gone = {_place(column) for column in star.args.get("except_") or star.args.get("except") or []}
    if isinstance(projection, exp.Column):
        return _of_table(projection.table, star, groups, gone) or [projection]
    is_plain = not any(star.args.get(key) for key in ("except_", "except", "replace", "rename"))
    for group in groups:
        for item in group.items:
            if item.columns is None and not (is_plain and item.alias and not group.joined):
                return [projection]
    return list(_changed(_all_columns(groups, gone), star))


def _of_table(table: str, star: exp.Star, groups: Sequence[JoinGroup], gone: set[tuple[str, str]]) -> list[exp.Expr]:
    columns = next((item.columns for group in groups for item in group.items if item.alias == table), None) or ()
    kept = [name for name in columns if not gone & {("", name), (table, name)}]
    return list(_changed(((table, name, _column(table, name)) for name in kept), star))


def _all_columns(groups: Sequence[JoinGroup], gone: set[tuple[str, str]]) -> Iterator[tuple[str, str, exp.Expr]]:
    """Each column with its item's alias, its name and its value: a joined one where the first item has it."""
    for group in groups:
        shown: set[str] = set()
        for item in group.items:
            if item.columns is None:
                yield item.alias, "*", exp.Column(this=exp.Star(), table=exp.to_identifier(item.alias, quoted=True))
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
        named = exp.to_identifier(new, quoted=True)
        yield value if name == "*" else exp.alias_(replaced[name].copy() if name in replaced else value, named)


def _place(column: exp.Expr) -> tuple[str, str]:
    return (column.table if isinstance(column, exp.Column) else "", column.name)


def _column(alias: str, name: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), exp.to_identifier(alias, quoted=True))
