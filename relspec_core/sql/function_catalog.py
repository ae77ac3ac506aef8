"""Kinds of functions from DuckDB's own list, as SQLGlot knows many functions only by name."""

from __future__ import annotations

import re
from functools import cache

from sqlglot import exp

from relspec_core.engines.duckdb_connection import DuckDBConnection

NAVIGATION = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
SET_RETURNING = (exp.UDTF, exp.Explode)
# Of these the rows are those of the query or the values inside.
DERIVED_TABLES = (exp.Lateral, exp.Values)
SERIES = (exp.GenerateSeries, exp.GenerateDateArray, exp.GenerateTimestampArray, exp.Repeat)


def is_aggregate(node: exp.Expr) -> bool:
    """Whether a node calls an aggregate function."""
    if isinstance(node, exp.Anonymous):
        return node.name.casefold() in _functions()[0]
    return isinstance(node, exp.AggFunc) and not isinstance(node, NAVIGATION)


def is_set_returning(node: exp.Expr) -> bool:
    """Whether a node calls a set-returning function."""
    if isinstance(node, exp.Anonymous):
        return node.name.casefold() in _functions()[1]
    return isinstance(node, SET_RETURNING)


def generates_rows(query: exp.Query) -> bool:
    """Whether a query may process more rows than its tables have: by recursion, table functions, or unnesting."""
    return any(map(_generates_rows, query.walk()))


def _generates_rows(node: exp.Expr) -> bool:
    match node:
        case exp.With():
            return bool(node.args.get("recursive"))
        case exp.Table():
            return isinstance(node.this, exp.Func)
        case _:
            return isinstance(node, SERIES) or (is_set_returning(node) and not isinstance(node, DERIVED_TABLES))


def is_known(name: str) -> bool:
    """Whether DuckDB has a built-in function of that name, without extensions and user macros."""
    return name.casefold() in _functions()[2]


@cache
def _functions() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Names of DuckDB's aggregates, of its unnesting functions, macros included, and of all its functions."""
    with DuckDBConnection.scratch(config={"threads": 1}) as scratch:
        rows = scratch.rows(
            "SELECT lower(function_name), function_type, lower(macro_definition) FROM duckdb_functions()"
        )
    macros = {name: body for name, kind, body in rows if kind == "macro" and body}
    aggregates = {name for name, kind, _ in rows if kind == "aggregate"}
    return _closed(aggregates, macros), _closed({"unnest"}, macros), frozenset(name for name, _, _ in rows)


def _closed(names: set[str], macros: dict[str, str]) -> frozenset[str]:
    """The names, and the macros that call one of them directly or indirectly."""
    while True:
        calls = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\(")
        more = {name for name, body in macros.items() if calls.search(body)} - names
        if not more:
            return frozenset(names)
        names = names | more
