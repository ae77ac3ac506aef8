"""Normalized tokens of expressions, so that equivalent spellings have equal tokens."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from relspec_core.model.hashing import Token, digest
from relspec_core.sql.volatility import volatile

if TYPE_CHECKING:
    from relspec_core.fingerprints.user_functions import UserFunction
    from relspec_core.lineage.scopes import Scope


NAMES = frozenset({"alias", "with", "with_", "quoted", "comments"})
FOLDED: Mapping[str, Callable[[int, int], int]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
LARGEST = 2**31


class Query(Protocol):
    """Tokens of the query that contains an expression."""

    def column(self, node: exp.Column, scope: Scope) -> Token:
        """The token of a column: its FROM item and its calculation."""
        ...

    def rows_of(self, query: exp.Expr) -> Token | None:
        """The token of a subquery's rows; None if it was not analysed."""
        ...

    def values_of(self, query: exp.Expr) -> Token | None:
        """The token of a subquery's rows and columns; None if it was not analysed."""
        ...

    def mark_volatile(self, reason: str | None) -> None:
        """Record why the current token is nondeterministic; nothing for None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpressionTokens:
    """Creates tokens of expressions.

    Attributes:
        query: the query that contains the expressions.
        functions: the user-defined functions by name.
    """

    query: Query
    functions: Mapping[str, UserFunction]

    def expression(self, node: exp.Expr, scope: Scope) -> Token:  # noqa: C901, PLR0911, PLR0912 - one case for each kind
        """The normalized token of an expression."""
        self.query.mark_volatile(volatile(node))
        match node:
            case exp.Alias() if not isinstance(node.parent, exp.Select):  # the field of a struct
                return ("alias", node.alias, self.expression(node.this, scope))
            case exp.Alias() | exp.Paren():
                return self.expression(node.this, scope)
            case exp.Div():  # older SQLGlot releases mark DuckDB's as safe
                return (node.key, *self.args(node, scope, leave=frozenset({"safe"})))
            case exp.Identifier():
                return node.name
            case exp.Column():
                return self.query.column(node, scope)
            case exp.And() | exp.Or() | exp.Between():
                kind = exp.Or if isinstance(node, exp.Or) else exp.And
                return (kind.key, *sorted(self.terms(node, scope, kind), key=digest))
            case exp.EQ() | exp.NEQ() | exp.NullSafeEQ():
                sides = (self.expression(side, scope) for side in (node.this, node.expression))
                return (node.key, *sorted(sides, key=digest))
            case exp.GT() | exp.GTE():
                return (
                    "lt" if isinstance(node, exp.GT) else "lte",
                    self.expression(node.expression, scope),
                    self.expression(node.this, scope),
                )
            case exp.LT() | exp.LTE():
                return (node.key, self.expression(node.this, scope), self.expression(node.expression, scope))
            case exp.In() if node.expressions:
                items = sorted((self.expression(item, scope) for item in node.expressions), key=digest)
                return ("in", self.expression(node.this, scope), tuple(items))
            case exp.Add() | exp.Sub() | exp.Mul() | exp.Neg() | exp.Literal():
                return self._number(node, scope)
            case exp.Exists():
                rows = self.query.rows_of(node.this)
                return ("exists", self.as_written(node.this) if rows is None else rows)
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                values = self.query.values_of(node)
                return self.as_written(node) if values is None else values
            case exp.Window():
                return self._window(node, scope)
            case exp.Anonymous() if node.name.casefold() in self.functions:
                return ("function", self._called(node), *self.args(node, scope, leave=frozenset({"this"})))
            case _:
                return (node.key, *self.args(node, scope))

    def args(self, node: exp.Expr, scope: Scope, *, leave: frozenset[str] = frozenset()) -> tuple[Token, ...]:
        """The tokens of an expression's arguments by name, without irrelevant ones and those to leave out."""
        return tuple(
            (name.rstrip("_"), self._value(value, scope))
            for name, value in sorted(node.args.items())
            if name not in NAMES and name not in leave and value is not None and value is not False and value != []
        )

    def _value(self, value: object, scope: Scope) -> Token:
        match value:
            case exp.Expr():
                return self.expression(value, scope)
            case list() | tuple():
                return tuple(self._value(item, scope) for item in value)
            case _:
                return str(value)

    def terms(self, node: exp.Expr | None, scope: Scope, kind: type[exp.Expr] = exp.And) -> list[Token]:
        """The sorted terms of a condition."""
        match node:
            case None:
                return []
            case exp.Where() | exp.Having() | exp.Qualify() | exp.Paren():
                return self.terms(node.this, scope, kind)
            case exp.Between() if kind is exp.And and not node.args.get("symmetric"):
                value = self.expression(node.this, scope)
                low, high = (self.expression(node.args[side], scope) for side in ("low", "high"))
                return [("lte", low, value), ("lte", value, high)]
            case exp.And() | exp.Or() if isinstance(node, kind):
                return [*self.terms(node.this, scope, kind), *self.terms(node.expression, scope, kind)]
            case exp.Between():
                return [(node.key, *self.args(node, scope))]
            case _:
                return [self.expression(node, scope)]

    def _number(self, node: exp.Expr, scope: Scope) -> Token:
        """The token of a literal; arithmetic on whole numbers is evaluated."""
        if isinstance(node, exp.Literal):
            return ("text" if node.is_string else "number", node.this)
        if isinstance(node, exp.Neg):
            inner = self.expression(node.this, scope)
            return ("number", str(-found)) if (found := _whole(inner)) is not None else ("neg", inner)
        sides = [self.expression(side, scope) for side in (node.this, node.expression)]
        numbers = [found for side in sides if (found := _whole(side)) is not None]
        if len(numbers) == len(sides):
            result = FOLDED[node.key](*numbers)
            if abs(result) < LARGEST:
                return ("number", str(result))
        return (node.key, *sides)

    def _window(self, node: exp.Window, scope: Scope) -> Token:
        inherited = [self.args(named, scope, leave=frozenset({"this"})) for named in scope.inherited(node)]
        return ("window", *self.args(node, scope), *inherited)

    def _called(self, node: exp.Expr) -> Token:
        """The token of a called user-defined function."""
        found = self.functions[node.name.casefold()]
        self.query.mark_volatile(found.unseen)
        return found.token

    def as_written(self, node: object) -> Token:
        """The token of a part that was not analysed, with all its names, as these distinguish its parts."""
        match node:
            case exp.Identifier():
                return node.name
            case exp.Expr():
                self.query.mark_volatile(volatile(node))
                kept = [
                    (name, value) for name, value in sorted(node.args.items()) if name not in ("quoted", "comments")
                ]
                known = isinstance(node, exp.Anonymous) and node.name.casefold() in self.functions
                called = self._called(node) if known else ()
                return (
                    node.key,
                    called,
                    *((name.rstrip("_"), self.as_written(value)) for name, value in kept if value),
                )
            case list() | tuple():
                return tuple(map(self.as_written, node))
            case _:
                return str(node)


def _whole(token: Token) -> int | None:
    """The whole number in a token; None if it is not one."""
    if isinstance(token, tuple) and token[0] == "number" and str(token[1]).lstrip("-").isdigit():
        return int(str(token[1]))
    return None
