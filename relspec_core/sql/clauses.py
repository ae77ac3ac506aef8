"""Access to the clauses of a query."""

from __future__ import annotations

from sqlglot import exp


def part(node: exp.Expr, name: str) -> exp.Expr | None:
    """A clause by its SQLGlot name, which in some versions ends in an underscore if it is a Python keyword."""
    return node.args.get(f"{name}_") or node.args.get(name)


def from_items(select: exp.Expr) -> list[exp.Expr]:
    """The tables and subqueries that a SELECT reads, in order, without lateral views."""
    clause = part(select, "from")
    return [*([] if clause is None else [clause.this]), *(join.this for join in select.args.get("joins") or [])]


def quoted(name: str) -> exp.Identifier:
    """A quoted identifier."""
    return exp.to_identifier(name, quoted=True)
