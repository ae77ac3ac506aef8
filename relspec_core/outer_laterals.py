"""Outer lateral joins as other dialects write them: ``OUTER APPLY`` and ``LATERAL VIEW OUTER``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator

SPREADING = (exp.Explode, exp.ExplodeOuter)


def join_laterals(query: exp.Expr) -> None:
    """Write, in place, ``APPLY`` and outer lateral views as joins, which keep rows without a match.

    The DuckDB generator of SQLGlot leaves out the conditions of the former and takes the latter for inner joins.

    Raises:
        ValueError: where it can't be done; the message says for what.
    """
    for join in query.find_all(exp.Join):
        lateral = join.this
        if isinstance(lateral, exp.Lateral) and lateral.args.get("cross_apply") is not None:
            if lateral.args["cross_apply"]:
                join.set("kind", "CROSS")
            else:
                join.set("side", "LEFT")
                join.set("on", exp.true())
            lateral.set("cross_apply", None)
    for select in query.find_all(exp.Select):
        views = select.args.get("laterals") or []
        if any(map(_is_outer, views)):
            select.set("laterals", None)  # all of them, as each may name columns of those before it
            select.set("joins", [*(select.args.get("joins") or []), *_joined(views)])
    for lateral in query.find_all(exp.Lateral):
        if _is_outer(lateral):
            raise ValueError("an outer LATERAL VIEW in this place")


def _is_outer(lateral: exp.Expr) -> bool:
    return bool(lateral.args.get("outer")) or isinstance(lateral.this, exp.ExplodeOuter)


def _joined(views: list[exp.Expr]) -> Iterator[exp.Join]:
    for view in views:
        alias = view.args.get("alias")
        spreads = isinstance(view.this, SPREADING) and not isinstance(view.this, exp.Posexplode)
        if not spreads or alias is None or len(alias.columns) != 1:
            raise ValueError(
                f"LATERAL VIEW OUTER {view.this.sql_name()}, which is not explode(...) with the name of one column"
            )
        values = exp.Unnest(expressions=[view.this.this.copy()], alias=alias.copy())
        if _is_outer(view):
            yield exp.Join(this=values, side="LEFT", on=exp.true())
        else:
            yield exp.Join(this=values, kind="CROSS")
