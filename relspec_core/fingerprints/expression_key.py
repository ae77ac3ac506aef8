"""Cache keys of Ibis expressions: equal keys mean that expressions compile to the same query."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
from ibis.common.graph import Graph
from ibis.common.graph import Node as GraphNode
from ibis.expr.schema import Schema

from relspec_core.fingerprints.user_functions import user_function
from relspec_core.model.hashing import schema_token, type_token

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from relspec_core.model.hashing import Token


RANDOM_NAME = re.compile(r"ibis_\w+_[a-z2-7]{26}")
PLAIN = (bool, int, float, str, bytes, Decimal, date, time, timedelta, type(None))


def ibis_token(
    expr: ir.Table, *, texts: Mapping[ops.Node, Token | None], memory: Mapping[ops.Node, str]
) -> Token | None:
    """The token of an expression; None if it contains something that has no token.

    Args:
        expr: any expression.
        texts: the token of every SQL text by its operation.
        memory: the name of every in-memory table, a digest of its contents.
    """
    numbers = {node: str(number) for number, node in enumerate(Graph.from_bfs(expr.op()))}
    tokens = _Tokens(numbers=numbers, texts=texts, memory=memory)
    try:
        return tuple(map(tokens.of_node, numbers))
    except _NoToken:
        return None


class _NoToken(Exception):  # noqa: N818 - a signal, not an error
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    """Creates the tokens of one expression.

    Attributes:
        numbers: of its nodes.
        texts: the token of every SQL text.
        memory: the name of every in-memory table.
        made_up: numbers of names and identifiers that Ibis generates, different each time.
    """

    numbers: Mapping[GraphNode, str]
    texts: Mapping[ops.Node, Token | None]
    memory: Mapping[ops.Node, str]
    made_up: dict[object, str] = field(default_factory=dict)

    def of_node(self, node: Any) -> Token:  # noqa: ANN401, PLR0911 - operations have arguments of their own, and a case each
        match node:
            case ops.SQLQueryResult():
                token = self.texts.get(node)
                if token is None:
                    raise _NoToken
                return ("text", token)
            case ops.InMemoryTable():
                return ("memory", self.memory[node], schema_token(node.schema))
            case ops.ScalarUDF() | ops.AggUDF():
                return ("function", type(node).__name__, user_function(node).token, *map(self.of_value, node.__args__))
            case ops.UnboundTable() | ops.DatabaseTable():
                place = (node.namespace.catalog or "", node.namespace.database or "")
                return (type(node).__name__, node.name, *place, schema_token(node.schema))
            case ops.Literal():  # a text can look like a name that Ibis generated
                return ("literal", _literal(node.value), type_token(node.dtype))
            case ops.SelfReference():  # Ibis numbers them by process
                return ("view", self.of_value(node.parent), self._number(node.identifier))
            case _ if type(node).__module__.startswith("ibis."):
                return (type(node).__name__, *map(self.of_value, node.__args__))
            case _:
                raise _NoToken

    def of_value(self, value: Any) -> Token:  # noqa: ANN401 - any argument of an operation
        match value:
            case GraphNode():
                found: Token = self.numbers[value]
            case enum.Enum():
                found = value.name
            case dt.DataType():
                found = type_token(value)
            case Schema():
                found = schema_token(value)
            case Mapping():
                found = tuple((self.of_value(key), self.of_value(item)) for key, item in value.items())
            case tuple() | list():
                found = tuple(map(self.of_value, value))
            case str() if RANDOM_NAME.fullmatch(value):
                return ("random", self._number(value))
            case _ if isinstance(value, PLAIN):
                found = repr(value)
            case _:
                raise _NoToken
        return (type(value).__name__, found)

    def _number(self, name: object) -> str:
        return self.made_up.setdefault(name, str(len(self.made_up)))


def _literal(value: Any) -> Token:  # noqa: ANN401 - of any type
    match value:
        case Mapping():
            return tuple((_literal(key), _literal(item)) for key, item in value.items())
        case tuple() | list():
            return tuple(map(_literal, value))
        case _ if isinstance(value, PLAIN):
            return (type(value).__name__, repr(value))
        case _:
            raise _NoToken
