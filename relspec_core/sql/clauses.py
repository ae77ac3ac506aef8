"""Clauses of a query by SQLGlot's names of them."""

from __future__ import annotations

from sqlglot import exp


def part(node: exp.Expr, name: str) -> exp.Expr | None:
    """A clause by SQLGlot's name of it, which in some versions ends in an underscore where it is a Python keyword."""
    return node.args.get(f"{name}_") or node.args.get(name)
