"""Projections that name columns by a star or a pattern, as DuckDB has them, spelled out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relspec_core.query_scope import Relation

WILDCARDS: Mapping[str, str] = {"%": ".*", "_": "."}


def spelled_out(projection: exp.Expr, sources: Mapping[str, Relation]) -> list[exp.Expr]:
    """The columns that a star or a pattern stands for; the projection itself where that can't be known.

    Args:
        projection: of a SELECT.
        sources: its FROM items by alias, in order.
    """
    inner = projection.unalias()
    chosen = _choice(inner)
    table = next((column.table for column in inner.find_all(exp.Column) if isinstance(column.this, exp.Star)), None)
    read = sources if table is None else {table: sources.get(table)}
    if chosen is None or any(relation is None or relation.anything is not None for relation in read.values()):
        return [projection]
    return [
        exp.alias_(exp.column(_quoted(name), _quoted(alias)), name, quoted=True)
        for alias, relation in read.items()
        if relation is not None
        for name in relation.names
        if chosen(name)
    ]


def _quoted(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _choice(inner: exp.Expr) -> Callable[[str], bool] | None:  # noqa: PLR0911 - one case for each form
    """Which columns are meant; None for what is no such projection, or is one with EXCLUDE, REPLACE or RENAME."""
    match inner:
        case exp.Star() if not inner.args:
            return lambda _: True
        case exp.Column(this=exp.Star() as star) if not star.args:
            return lambda _: True
        case exp.Columns(this=exp.Star() as star) if not star.args:
            return lambda _: True
        case exp.Columns(this=exp.Literal() as pattern) if pattern.is_string:
            regex = re.compile(pattern.name)
            return lambda name: regex.search(name) is not None
        case exp.Columns(this=exp.Column(this=exp.Star() as star)) if not star.args:
            return lambda _: True
        case exp.Like(this=exp.Star(), expression=exp.Literal() as pattern):
            matches, negated = _like(pattern.name), bool(inner.args.get("negate"))
            return lambda name: matches(name) != negated
        case exp.Not(this=exp.Like() as like):
            chosen = _choice(like)
            return None if chosen is None else lambda name: not chosen(name)
        case _:
            return None


def _like(pattern: str) -> Callable[[str], bool]:
    regex = re.compile("".join(WILDCARDS.get(char) or re.escape(char) for char in pattern), re.DOTALL)
    return lambda name: regex.fullmatch(name) is not None
