r"""Expansion of DuckDB projections that select columns by a pattern.

``COLUMNS`` expands to one expression for each matching column: ``min(COLUMNS('a|b')) AS 'm_\0'`` yields two columns,
``m_a`` and ``m_b``. Plain stars are expanded later, when the query is qualified, except those over tables that are
joined by common columns.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

from sqlglot import exp

from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError
from relspec_core.model.names import from_table, quoted_text
from relspec_core.sql.clauses import from_items, part, quoted
from relspec_core.sql.using_joins import UNSEEN, FromItem, is_by_columns, join_groups, name_joined_columns, spelled_star

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


WILDCARDS: Mapping[str, str] = {"%": ".*", "_": "."}
VARIADIC = (exp.Coalesce, exp.Greatest, exp.Least)
TESTS = (exp.Like, exp.ILike, exp.SimilarTo, exp.Glob)
QUERIES = (exp.Select, exp.SetOperation)


def is_pattern(projection: exp.Expr) -> bool:
    """Whether a projection expands to columns that its SELECT reads."""
    return any(
        isinstance(node, exp.Columns)
        or (isinstance(node, exp.Star) and not isinstance(node.parent, (exp.Count, exp.Dot)))
        for node in projection.walk(prune=lambda node: isinstance(node, QUERIES))
    )


def spell_out_patterns(query: exp.Expr, schemas: Mapping[str, Iterable[str]]) -> None:
    """Expand every pattern in a SELECT list whose columns are known, in place.

    Also marks joins by common columns with the tables that they compare.

    Args:
        query: not qualified yet.
        schemas: the columns of each table, as spelled in the query.
    """
    _Spelling(schemas).query(query, {})


def hides_columns(query: exp.Expr) -> bool:
    """Whether a SELECT list still has a pattern, so that its columns and their names are unknown."""
    return any(_in_select_list(node) for node in query.find_all(exp.Columns, exp.Star, *TESTS) if names_columns(node))


def names_columns(node: exp.Expr) -> bool:
    """Whether a node selects columns by a pattern; a plain star does not."""
    if isinstance(node, exp.Star):
        return node.args.get("ilike") is not None
    return isinstance(node, exp.Columns) or (isinstance(node, TESTS) and isinstance(node.this, exp.Star))


def _in_select_list(node: exp.Expr) -> bool:
    while node.parent is not None and not isinstance(node.parent, exp.Select):
        node = node.parent
    return node.arg_key == "expressions"


Columns: TypeAlias = "Sequence[str] | None"
"""Names, in order; None where they can't be known."""


class _Spelling:
    """Walk over a query that is not qualified yet, inner queries first."""

    def __init__(self, schemas: Mapping[str, Iterable[str]]) -> None:
        self._schemas = schemas

    def query(self, node: exp.Expr, ctes: Mapping[str, Columns]) -> Columns:
        """The names of a query's columns; None if unknown."""
        match node:
            case exp.Select():
                return self._select(node, self._with(node, ctes))
            case exp.SetOperation():
                seen = self._with(node, ctes)
                left, right = self.query(node.this, seen), self.query(node.expression, seen)
                if not node.args.get("by_name") or left is None or right is None:
                    return left
                return list(dict.fromkeys([*left, *right]))
            case exp.Subquery() if not node.args.get("pivots"):
                return self.query(node.this, self._with(node, ctes))
            case _:
                return None

    def _with(self, node: exp.Expr, ctes: Mapping[str, Columns]) -> Mapping[str, Columns]:
        clause = part(node, "with")
        seen = dict(ctes)
        for cte in clause.expressions if clause is not None else ():
            seen[cte.alias] = None  # a recursive one reads itself
            seen[cte.alias] = _renamed_columns(self.query(cte.this, seen), cte.alias_column_names)
        return seen

    def _select(self, node: exp.Select, ctes: Mapping[str, Columns]) -> Columns:
        sources = self._sources(node, ctes)
        for name, value in node.args.items():
            if name not in ("with", "with_", "from", "from_", "joins"):
                for item in value if isinstance(value, list) else [value]:
                    self._subqueries(item, ctes)
        projections = [out for item in node.expressions for out in spelled_out(item, sources)]
        node.set("expressions", projections)
        names = [_names_of(projection, sources) for projection in projections]
        return None if any(found is None for found in names) else [name for found in names for name in found or ()]

    def _subqueries(self, item: object, ctes: Mapping[str, Columns]) -> None:
        if isinstance(item, exp.Expr):
            for found in item.walk(prune=lambda inner: isinstance(inner, QUERIES)):
                if isinstance(found, QUERIES):
                    self.query(found, ctes)

    def _sources(self, node: exp.Select, ctes: Mapping[str, Columns]) -> dict[str, Columns]:
        """The columns of each FROM item that a star expands to, by alias; unknown if joins merge columns."""
        joins, items = node.args.get("joins") or [], from_items(node)
        merged = any(is_by_columns(join) for join in joins)
        if merged:
            _name_items(items)
        found = {item.alias_or_name or f"#{at}": self._columns(item, ctes) for at, item in enumerate(items)}
        for join in joins:
            self._subqueries(join.args.get("on"), ctes)
        if merged:
            _spell_merged(node, items, found)
            return dict.fromkeys(found)
        for join in joins:
            if join.kind in UNSEEN:
                del found[join.this.alias_or_name]
        if node.args.get("laterals") or any(item.args.get("joins") for item in items):
            return dict.fromkeys(found)
        return found

    def _columns(self, item: exp.Expr, ctes: Mapping[str, Columns]) -> Columns:
        match item:
            case exp.Table() if not item.args.get("pivots") and isinstance(item.this, exp.Identifier):
                if not item.db and item.name in ctes:
                    columns = ctes[item.name]
                else:
                    known = self._schemas.get(from_table(item))
                    columns = None if known is None else list(known)
            case exp.Subquery():
                columns = self.query(item, ctes)
            case _:
                self._subqueries(item, ctes)
                return None
        return _renamed_columns(columns, item.alias_column_names)


def _name_items(items: Sequence[exp.Expr]) -> None:
    """Give each FROM item without an alias one, in place, to qualify its columns."""
    for at, item in enumerate(items):
        if not item.alias_or_name and (not isinstance(item, exp.Subquery) or not isinstance(item.this, exp.Table)):
            item.set("alias", exp.TableAlias(this=quoted(f"relspec_{at}")))


def _spell_merged(node: exp.Select, items: Sequence[exp.Expr], found: Mapping[str, Columns]) -> None:
    """Expand the stars over items that are joined by common columns, and these columns, in place."""
    groups = join_groups(
        [
            FromItem(
                alias=item.alias_or_name,
                columns=None if item.args.get("joins") else found.get(item.alias_or_name),
                join=item.parent if isinstance(item.parent, exp.Join) else None,
            )
            for item in items
        ]
    )
    if not node.args.get("laterals"):
        node.set("expressions", [out for item in node.expressions for out in spelled_star(item, groups)])
    name_joined_columns(node, groups)


def _renamed_columns(columns: Columns, names: Sequence[str]) -> Columns:
    return None if columns is None else [*names, *columns[len(names) :]]


def _names_of(projection: exp.Expr, sources: Mapping[str, Columns]) -> Columns:
    """The names of the columns that a projection yields."""
    match projection:
        case exp.Alias():
            return [projection.alias]
        case exp.Star() | exp.Column(this=exp.Star()):
            chosen = _chosen(projection, sources)
            return None if chosen is None else [name for _, name in chosen]
        case exp.Column():
            return [projection.name]
        case _:
            return None


def spelled_out(projection: exp.Expr, sources: Mapping[str, Columns]) -> list[exp.Expr]:
    """The columns that a pattern expands to; the projection itself if they are unknown.

    Args:
        projection: of a SELECT.
        sources: the columns of its FROM items by alias, in order.
    """
    patterns = _patterns(projection.unalias())
    choices = [_chosen(pattern, sources) for pattern in patterns]
    if not choices or not choices[0] or any(choice != choices[0] for choice in choices):
        return [projection]
    if any(pattern.args.get("unpack") for pattern in patterns):
        return [_unpacked(projection, choices[0])]
    return [_with_column(projection, alias, name) for alias, name in choices[0]]


def _patterns(inner: exp.Expr) -> list[exp.Expr]:
    """The patterns in a projection: the whole projection, or every COLUMNS in it."""
    star = inner.this if isinstance(inner, exp.Column) else inner
    if isinstance(star, (*TESTS, exp.Not)) or (isinstance(star, exp.Star) and star.args.get("ilike")):
        return [inner] if _test(inner) is not None else []
    return [
        node
        for node in inner.walk(prune=lambda node: isinstance(node, (exp.Columns, *QUERIES)))
        if isinstance(node, exp.Columns)
    ]


def _chosen(pattern: exp.Expr, sources: Mapping[str, Columns]) -> list[tuple[str, str]] | None:
    """The columns that a pattern expands to, each with its FROM item's alias; None if they are unknown."""
    core = pattern.this if isinstance(pattern, exp.Columns) else pattern
    table = next((column.table for column in core.find_all(exp.Column) if isinstance(column.this, exp.Star)), None)
    read = sources if table is None else {table: sources.get(table)}
    if any(columns is None for columns in read.values()):
        return None
    names = [(alias, name) for alias, columns in read.items() for name in columns or ()]
    test = _test(core)
    try:
        return None if test is None else [(alias, name) for alias, name in names if test(name)]
    except (EngineError, re.error):
        return None


def _with_column(projection: exp.Expr, alias: str, name: str) -> exp.Expr:
    """The projection for one of the columns of its pattern."""
    holder = exp.Paren(this=projection.unalias().copy())
    for pattern in _patterns(holder.this):
        pattern.replace(_column(alias, name))
    output = name
    if isinstance(projection, exp.Alias):
        output = _renamed(projection.alias, name, _patterns(projection.this)[0])
    return exp.alias_(holder.this, quoted(output))


def _renamed(template: str, name: str, pattern: exp.Expr) -> str:
    r"""An alias with ``\1`` replaced by the group that the pattern matches in a column's name."""
    regex = pattern.this if isinstance(pattern, exp.Columns) else None
    if not isinstance(regex, exp.Literal):
        return template.replace("\\0", name)
    found = re.search(regex.name, name)
    return re.sub(r"\\(\d)", lambda group: (found[int(group[1])] if found else None) or "", template)


def _unpacked(projection: exp.Expr, chosen: list[tuple[str, str]]) -> exp.Expr:
    """The projection with all columns as arguments of a function that accepts several, if it is known to."""
    spelled = projection.copy()
    for pattern in list(spelled.find_all(exp.Columns)):
        call = pattern.parent
        columns = [_column(alias, name) for alias, name in chosen]
        if not isinstance(call, VARIADIC):
            return projection
        if pattern.arg_key == "this":
            call.set("this", columns[0])
            call.set("expressions", [*columns[1:], *call.expressions])
        else:
            call.set(
                "expressions",
                [item for other in call.expressions for item in (columns if other is pattern else [other])],
            )
    return spelled


def _column(alias: str, name: str) -> exp.Column:
    return exp.column(quoted(name), None if alias.startswith("#") else quoted(alias))


def _test(core: exp.Expr) -> Callable[[str], bool] | None:  # noqa: C901, PLR0911, PLR0912 - one case for each form
    """A test of column names for a pattern; None for other nodes, and for patterns that change or rename columns."""
    match core:
        case exp.Star() if core.args.get("replace") or core.args.get("rename"):
            return None
        case exp.Star():
            gone = {column.name for column in core.args.get("except_") or core.args.get("except") or []}
            like = core.args.get("ilike")
            wanted = _like(like.name, re.IGNORECASE) if isinstance(like, exp.Literal) else lambda _: True
            return lambda name: name not in gone and wanted(name)
        case exp.Column(this=exp.Star() as star):
            return _test(star)
        case exp.Columns(this=inner):
            return _test(inner)
        case exp.Literal() if core.is_string:
            regex = re.compile(core.name)
            return lambda name: regex.search(name) is not None
        case exp.Array() if all(isinstance(item, exp.Literal) for item in core.expressions):
            listed = {item.name.casefold() for item in core.expressions}
            return lambda name: name.casefold() in listed
        case exp.Lambda() if not any(core.find_all(exp.Column, exp.Subquery)):
            text = core.sql("duckdb")
            return lambda name: _holds(text, name)
        case exp.Like(this=exp.Star(), expression=exp.Literal() as pattern):
            matches, negated = _like(pattern.name), bool(core.args.get("negate"))
            return lambda name: matches(name) != negated
        case exp.ILike(this=exp.Star(), expression=exp.Literal() as pattern):  # of older releases of SQLGlot
            return _like(pattern.name, re.IGNORECASE)
        case exp.SimilarTo(this=exp.Star(), expression=exp.Literal() as pattern):
            regex = re.compile(pattern.name)
            return lambda name: regex.fullmatch(name) is not None
        case exp.Glob(this=exp.Star(), expression=exp.Literal() as pattern):
            return lambda name: fnmatchcase(name, pattern.name)
        case exp.Not(this=exp.Like() | exp.SimilarTo() | exp.Glob() as test):
            chosen = _test(test)
            return None if chosen is None else lambda name: not chosen(name)
        case _:
            return None


def _like(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    regex = re.compile("".join(WILDCARDS.get(char) or re.escape(char) for char in pattern), re.DOTALL | flags)
    return lambda name: regex.fullmatch(name) is not None


def _holds(text: str, name: str) -> bool:
    """Whether a lambda returns true for a name."""
    ((kept,),) = _calculator().cursor().rows(f"SELECT list_filter([{quoted_text(name)}]::VARCHAR[], {text})")
    return bool(kept)


@cache
def _calculator() -> DuckDBConnection:
    """An empty database that evaluates the functions in a lambda."""
    return DuckDBConnection.scratch(config={"threads": 1})
