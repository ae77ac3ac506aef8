"""Fingerprints of user-defined functions, and whether all their dependencies can be inspected."""

from __future__ import annotations

import builtins
import datetime as dt
import decimal
import dis
import functools
import inspect
import re
import types
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
from ibis.expr.operations.udf import InputType

from relspec_core.model.hashing import Token, digest, type_token
from relspec_core.sql.function_catalog import is_known

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import ibis
    from ibis.common.graph import Node


PLAIN = (
    type(None), type(...), bool, int, float, complex, str, bytes, decimal.Decimal, dt.date, dt.time,
    dt.timedelta, dt.timezone, uuid.UUID,
)  # fmt: skip
# Modules whose functions depend on their arguments only, except for the names below.
PURE_MODULES = frozenset(
    {
        "_operator", "base64", "binascii", "bisect", "builtins", "calendar", "cmath", "collections", "dataclasses",
        "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "html", "itertools",
        "json", "math", "numbers", "numpy", "operator", "pandas", "pyarrow", "re", "statistics", "string", "textwrap",
        "typing", "unicodedata", "urllib", "zlib", "zoneinfo",
    }
)  # fmt: skip
CHANGING_NAMES = frozenset({"choice", "now", "rand", "randn", "random", "request", "today", "urlopen", "utcnow"})
CHANGING_BUILTINS = frozenset(
    {"__import__", "eval", "exec", "globals", "hash", "id", "input", "locals", "open", "vars"}
)
GLOBAL_NAMES, ATTRIBUTES, IMPORTS = ({"LOAD_GLOBAL", "LOAD_NAME"}, {"LOAD_ATTR", "LOAD_METHOD"}, {"IMPORT_NAME"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFunction:
    """The fingerprint of a user-defined function.

    Attributes:
        token: its name, its types and its body with everything that the body uses.
        unseen: the reason why equal tokens do not imply equal behaviour; None if they do. It is part of the token, so
            another wording would change stored fingerprints.
    """

    token: Token
    unseen: str | None


def user_functions(expr: ibis.Expr) -> Mapping[str, UserFunction]:
    """Every user-defined function of an expression, by its SQL name in lower case."""
    return {type(node).__name__.casefold(): user_function(node) for node in _nodes(expr)}


def has_python_functions(expr: ibis.Expr) -> bool:
    """Whether an expression calls Python functions, which exist in this process only."""
    return any(getattr(node, "__input_type__", None) is not InputType.BUILTIN for node in _nodes(expr))


def user_function(node: Node) -> UserFunction:
    """The fingerprint of a called user-defined function."""
    # Ibis stores the function in a property of the node's class, so only the node itself returns it.
    found: Any = node
    name = str(found.__func_name__)
    facts = tuple(str(getattr(found, key)) for key in ("__udf_namespace__", "__config__", "__input_type__"))
    takes = tuple(type_token(item.dtype) for item in node.__args__ if hasattr(item, "dtype"))
    body = _Body()
    if found.__input_type__ is InputType.BUILTIN:
        token: Token = ()
        if not is_known(name):
            body.unseen = "DuckDB does not have by itself"
    else:
        token = body.of_function(found.__func__)
    return UserFunction(
        token=(name, *facts, type_token(found.dtype), takes, _parameters(found), token, body.unseen or ""),
        unseen=None if body.unseen is None else f"calls {name}, which {body.unseen}",
    )


def _parameters(node: Any) -> Token:  # noqa: ANN401 - a class that Ibis makes for each function
    """The declared parameter types, which arguments are cast to."""
    patterns = [getattr(found.annotation, "pattern", None) for found in type(node).__signature__.parameters.values()]
    return tuple(str(getattr(pattern, "dtype", "")) for pattern in patterns)


def _nodes(expr: ibis.Expr) -> list[Node]:
    return expr.op().find((ops.ScalarUDF, ops.AggUDF))


@dataclass(slots=True, kw_only=True)
class _Body:
    """Collects the source of Python functions and the outer values that they use.

    Attributes:
        unseen: the first dependency that can't be inspected.
    """

    unseen: str | None = None
    inside: list[object] = field(default_factory=list)

    def of_function(self, function: object) -> Token:
        """The token of a function: its source, and the values that it uses."""
        inner = inspect.unwrap(function) if callable(function) else function
        if not isinstance(inner, types.FunctionType):
            return self.of_value(inner, "what is called")
        if inner in self.inside:
            return ("recursion", str(self.inside.index(inner)))
        self.inside.append(inner)
        closed = zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True)
        parts = (
            _text_of(inner),
            self.of_value(inner.__defaults__, "a default"),
            self.of_value(inner.__kwdefaults__, "a default"),
            tuple((name, self._of_cell(name, cell)) for name, cell in closed),
            tuple((name, self._of_global(name, inner)) for name in sorted(set(_names(inner, GLOBAL_NAMES)))),
        )
        for name in _names(inner, IMPORTS):
            self._of_module(name, f"module {name}")
        for name in _names(inner, ATTRIBUTES):
            if name in CHANGING_NAMES:
                self._mark_unseen(f"uses {name}, which gives something else each time")
        self.inside.pop()
        return parts

    def of_value(self, value: object, name: str) -> Token:  # noqa: PLR0911 - one case for each type
        """The token of a value: its type and contents."""
        kind = type(value).__name__
        match value:
            case _ if type(value) in PLAIN or isinstance(value, dt.datetime):
                return (kind, repr(value))
            case tuple() | list() if type(value) in (tuple, list):
                return (kind, tuple(self.of_value(item, name) for item in value))
            case set() | frozenset():
                return (kind, tuple(sorted((self.of_value(item, name) for item in value), key=digest)))
            case dict() if type(value) is dict:
                items = value.items()
                return (kind, tuple((self.of_value(key, name), self.of_value(item, name)) for key, item in items))
            case re.Pattern():
                return (kind, repr(value.pattern), str(value.flags))
            case functools.partial():
                return (kind, self.of_function(value.func), self.of_value((value.args, value.keywords), name))
            case types.FunctionType():
                return (kind, self.of_function(value))
            case types.ModuleType():
                return self._of_module(value.__name__, name)
            case type() | types.BuiltinFunctionType() | types.BuiltinMethodType():
                return (kind, self._of_module(value.__module__ or "builtins", name), value.__qualname__)
            case _:
                self._mark_unseen(f"uses {name}, a {kind} that relspec can't look into")
                return (kind,)

    def _of_cell(self, name: str, cell: types.CellType) -> Token:
        try:
            return self.of_value(cell.cell_contents, name)
        except ValueError:
            return "empty"

    def _of_global(self, name: str, function: types.FunctionType) -> Token:
        if name in function.__globals__:
            return self.of_value(function.__globals__[name], name)
        if name in CHANGING_BUILTINS or not hasattr(builtins, name):
            self._mark_unseen(f"uses {name}, which relspec can't look into")
        return "builtin"

    def _of_module(self, module: str, name: str) -> Token:
        top = module.partition(".")[0]
        if top not in PURE_MODULES or CHANGING_NAMES & set(module.split(".")):
            self._mark_unseen(f"uses {name} of {module}, which relspec can't look into")
        return module

    def _mark_unseen(self, reason: str) -> None:
        self.unseen = self.unseen or reason


def _names(function: types.FunctionType, kinds: set[str]) -> Iterator[str]:
    """The names that a function and its inner functions look up by these kinds of instructions."""
    for code in _codes(function.__code__):
        for found in dis.get_instructions(code):
            if found.opname in kinds and isinstance(found.argval, str):
                yield found.argval


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for found in code.co_consts:
        if isinstance(found, types.CodeType):
            yield from _codes(found)


def _text_of(function: types.FunctionType) -> Token:
    """A function's source, or its instructions if there is none, as on a console."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return tuple(
            (found.opname, _operand(found.argval))
            for code in _codes(function.__code__)
            for found in dis.get_instructions(code)
        )


def _operand(value: object) -> Token:
    match value:
        case types.CodeType():
            return value.co_name
        case frozenset():
            return tuple(sorted(map(_operand, value), key=digest))
        case tuple():
            return tuple(map(_operand, value))
        case _:
            return repr(value)
