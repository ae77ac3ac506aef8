"""Stable hashes of what a plan computes.

A fingerprint is made from the canonical tree alone: columns by where they come from, not by alias; common table
expressions by what they hold, not by name. Formatting, comments, quoting and parentheses do not reach it. Only text of
our own making is hashed, never SQL text or pickles of a dependency.
"""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, TypeAlias

import ibis.expr.operations as ops
from ibis.expr.operations.udf import InputType
from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis
    import pyarrow as pa

    from relspec_core.plan_tree import PlanTree
    from relspec_core.query_scope import Relation

Token: TypeAlias = "str | tuple[Token, ...]"  # noqa: S105 - a token of a hash
DROPPED_ARGS = frozenset({"alias", "with", "with_", "quoted", "comments"})


def digest(token: Token) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of a token.

    >>> digest(("a", "b")) == digest(("a", ("b",)))
    False
    """
    sha = hashlib.sha256()
    _feed(sha, token)
    return sha.hexdigest()[:32]


def _feed(sha: hashlib._Hash, token: Token) -> None:
    """Lengths go before contents, so that no two tokens share their bytes."""
    if isinstance(token, str):
        data = token.encode()
        sha.update(b"s%d:" % len(data))
        sha.update(data)
    else:
        sha.update(b"t%d:" % len(token))
        for item in token:
            _feed(sha, item)


def schema_token(schema: ibis.Schema) -> Token:
    """Column names with their types, in order."""
    return tuple((name, str(kind)) for name, kind in schema.items())


def plan_token(tree: PlanTree, functions: Mapping[str, Token]) -> Token:
    """What a canonical tree computes, free of names that it gives to things inside.

    Args:
        tree: the canonical tree.
        functions: what stands behind the names of user-defined functions.
    """
    return _Tokens(tree, functions).query(tree.ast)


class _Tokens:
    """Writes a tree as a token."""

    def __init__(self, tree: PlanTree, functions: Mapping[str, Token]) -> None:
        self._functions = functions
        self._walk = tree.walk
        self._live = tree.live
        self._bodies = {rows: cte for cte, rows in tree.walk.ctes}
        self._inside: list[int] = []

    def query(self, node: exp.Expr) -> Token:
        """A query's own clauses and outputs."""
        names = node.named_selects if isinstance(node, exp.Query) else []
        outputs = {name: str(position) for position, name in reversed(list(enumerate(names)))}
        if isinstance(node, (exp.Select, exp.SetOperation)):
            return (node.key, *self._args(node, outputs))
        return self._node(node, outputs)

    def _node(self, node: exp.Expr, outputs: dict[str, str]) -> Token:  # noqa: PLR0911 - one case for each kind
        match node:
            case exp.Select() | exp.SetOperation():
                return self.query(node)
            case exp.Subquery():
                rest = self._args(node, outputs, leave="this")
                inner = self.query(node.this)
                return ("subquery", inner, *rest) if rest else inner
            case exp.Alias() | exp.Paren():
                return self._node(node.this, outputs)
            case exp.Identifier():
                return node.name
            case exp.Table():
                return self._table(node)
            case exp.Anonymous() if node.name.casefold() in self._functions:
                return ("function", self._functions[node.name.casefold()], *self._args(node, outputs, leave="this"))
            case exp.Column() if id(node) in self._walk.columns:
                return self._column(*self._walk.columns[id(node)])
            case exp.Column() if not node.table and node.name in outputs:
                return ("output", outputs[node.name])
            case _:
                return (node.key, *self._args(node, {} if isinstance(node, exp.Query) else outputs))

    def _args(self, node: exp.Expr, outputs: dict[str, str], *, leave: str = "") -> tuple[Token, ...]:
        found: list[Token] = []
        for name in sorted(node.args):
            value = node.args[name]
            if name in DROPPED_ARGS or name == leave or value is None or value is False or value == []:
                continue
            found.append((name.rstrip("_"), self._value(value, self._names_below(node, name, outputs))))
        return tuple(found)

    @staticmethod
    def _names_below(node: exp.Expr, clause: str, outputs: dict[str, str]) -> dict[str, str]:
        """Output names are visible in the clauses that follow the SELECT list only."""
        if isinstance(node, exp.Query) and clause not in {"order", "distinct", "limit", "offset", "sort"}:
            return {}
        return outputs

    def _value(self, value: object, outputs: dict[str, str]) -> Token:
        match value:
            case exp.Expr():
                return self._node(value, outputs)
            case list() | tuple():
                return tuple(self._value(item, outputs) for item in value)
            case _:
                return str(value)

    def _table(self, node: exp.Table) -> Token:
        relation = self._walk.relations.get(id(node))
        rest = self._args(node, {}, leave="this")
        if relation is not None and relation.rows in self._bodies and relation.evidence is None:
            return (
                "expression",
                self._body(relation.rows),
                *(item for item in rest if item[0] not in {"db", "catalog"}),
            )
        return ("table", self._node(node.this, {}), *rest)

    def _body(self, rows: int) -> Token:
        if rows in self._inside:
            return ("recursion", str(len(self._inside) - self._inside.index(rows)))
        self._inside.append(rows)
        token = self.query(self._bodies[rows].this)
        self._inside.pop()
        return token

    def _column(self, relation: Relation, name: str) -> Token:
        depth, position = relation.place
        if relation.evidence is not None or name not in relation.names:
            return ("column", str(depth), str(position), name)
        kept = [own for own, node in zip(relation.names, relation.nodes, strict=True) if node in self._live]
        return ("column", str(depth), str(position), str(kept.index(name)))


def table_token(table: pa.Table) -> Token:
    """The contents of an in-memory table: names, types and values, whatever its chunks."""
    columns = (
        tuple("null" if value is None else repr(value) for value in column.to_pylist()) for column in table.columns
    )
    return tuple((field.name, str(field.type), column) for field, column in zip(table.schema, columns, strict=True))


def function_tokens(expr: ibis.Expr) -> Mapping[str, Token]:
    """For every user-defined function, by its name in SQL in lower case: its own name, types and body."""
    nodes = expr.op().find((ops.ScalarUDF, ops.AggUDF))
    return {type(node).__name__.casefold(): _function_token(node) for node in nodes}


def has_python_functions(expr: ibis.Expr) -> bool:
    """Whether an expression calls functions that end with this process, unlike the engine's own."""
    nodes = expr.op().find((ops.ScalarUDF, ops.AggUDF))
    return any(getattr(node, "__input_type__", None) is not InputType.BUILTIN for node in nodes)


def _function_token(node: object) -> Token:
    # Ibis keeps the function behind a property of the node's class, so that only the node itself gives it.
    facts = tuple(str(getattr(node, name, "")) for name in ("__func_name__", "dtype", "__input_type__"))
    return (*facts, _body_of(getattr(node, "__func__", None)))


def _body_of(function: object) -> str:
    """A function's source, and the values that it closes over; its code where there is no source."""
    inner = inspect.unwrap(function) if callable(function) else None
    if inner is None:
        return ""
    closed = [repr(cell.cell_contents) for cell in getattr(inner, "__closure__", None) or ()]
    try:
        text = inspect.getsource(inner)
    except (OSError, TypeError):
        code = getattr(inner, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(inner)
    return "\n".join([text, repr(getattr(inner, "__defaults__", None)), *closed])
