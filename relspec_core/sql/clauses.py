"""Access to the clauses of a query."""

from __future__ import annotations

from sqlglot import exp


def part(node: exp.Expr, name: str) -> exp.Expr | None:
    """A clause by its SQLGlot name, which in some versions ends in an underscore if it is a Python keyword."""
    return node.args.get(f"{name}_") or node.args.get(name)
