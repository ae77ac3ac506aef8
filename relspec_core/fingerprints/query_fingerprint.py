"""Fingerprints of a query's rows and columns, scope by scope.

Every scope of the plan has a hash of its rows and one of each column, computed from the hashes of the scopes that it
reads (a Merkle tree). So a hash does not depend on aliases, inner names, unread parts, or on whether a subquery is a
common table expression; and irrelevant order, such as that of a filter's terms, is normalized.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.fingerprints.expression_tokens import ExpressionTokens
from relspec_core.lineage.column_graph import InputColumn
from relspec_core.lineage.expression_lineage import has_aggregate, has_set_returning
from relspec_core.model.hashing import Token, digest
from relspec_core.sql.clauses import from_items
from relspec_core.sql.volatility import unordered_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.fingerprints.user_functions import UserFunction
    from relspec_core.lineage.canonical_query import CanonicalQuery
    from relspec_core.lineage.query_analysis import Origin
    from relspec_core.lineage.scopes import Relation, Scope


GROUPINGS = (exp.Rollup, exp.Cube, exp.GroupingSets)
SELECT_PARTS = frozenset(
    {"expressions", "from", "from_", "joins", "laterals", "windows", "where", "group", "having", "qualify", "distinct"}
)
ITEM_PARTS = frozenset({"this", "db", "catalog", "joins", "expression"})


class QueryFingerprint:
    """The hashes of a tree's graph nodes, each computed once."""

    def __init__(self, tree: CanonicalQuery, functions: Mapping[str, UserFunction]) -> None:
        self._walk = tree.walk
        self._tokens = ExpressionTokens(query=self, functions=functions)
        self._made: dict[int, str] = {}
        self._inside: list[int] = []
        self._volatile: dict[int, str] = {}
        selects = [
            origin for origin in tree.walk.origins.values() if isinstance(origin.node, exp.Select) and not origin.opaque
        ]
        self._selects = {id(origin.scope): origin.node for origin in selects}
        self._labels: dict[int, str] = {}
        self._numbers: dict[int, dict[int, int]] = {}
        self._rows_of_selects = {rows for _, rows, _ in tree.walk.selects}
        self._passing = {id(origin.scope) for origin in selects if self._passes(origin)}

    def volatile_reason(self, nodes: Iterable[int]) -> str | None:
        """The first reason why one of these nodes is nondeterministic."""
        return next((self._volatile[node] for node in sorted(nodes) if node in self._volatile), None)

    def of(self, node: int) -> str:
        """The hash of a graph node."""
        if node in self._inside:
            return f"recursion {len(self._inside) - self._inside.index(node)}"
        if node not in self._made:
            self._inside.append(node)
            same = self._same_as(node)
            self._made[node] = digest(self._token(node)) if same is None else self.of(same)
            self._inside.pop()
        return self._made[node]

    def _same_as(self, node: int) -> int | None:
        """The node that a node is identical to: a column or all rows of the only FROM item of its SELECT."""
        origin = self._walk.origins.get(node)
        if origin is None or len(origin.scope.sources) != 1:
            return None
        (source,) = origin.scope.sources.values()
        if isinstance(origin.node, exp.Select):
            passes = node in self._rows_of_selects and id(origin.scope) in self._passing
            return source.rows if passes else None
        inner = origin.node.unalias()
        relation, _ = self._walk.columns.get(id(inner), (None, ""))
        target = self._walk.targets.get(id(inner))
        return target if relation is source and target != source.anything else None

    def _passes(self, origin: Origin) -> bool:
        """Whether a SELECT has exactly one row for each row of its only FROM item."""
        node, scope = origin.node, origin.scope
        clauses = {name for name, value in node.args.items() if value} - {
            "expressions",
            "from",
            "from_",
            "with",
            "with_",
        }
        if clauses or len(scope.sources) != 1 or self._items(node, scope):
            return False
        projections = [self._walk.origins[part].node for part in origin.parts]
        return not any(has_aggregate(projection) or has_set_returning(projection) for projection in projections)

    def _token(self, node: int) -> Token:
        source = self._walk.flow.source(node)
        if source is not None:
            return (
                ("input", source.evidence, source.column)
                if isinstance(source, InputColumn)
                else ("rows", source.evidence)
            )
        origin = self._walk.origins[node]
        if origin.opaque:
            return self._tokens.as_written(origin.node)
        self.mark_volatile(unordered_limit(origin.node))
        match origin.node:
            case exp.Select() as select:
                rows = self._select(select, origin)
                # Besides the row set there is a node for all columns together if they are unknown.
                return rows if node in self._rows_of_selects else ("columns", rows, *map(self.of, origin.parts))
            case exp.SetOperation() as operation:
                return self._set_operation(operation, origin)
            case exp.CTE() | exp.Subquery() | exp.Table() if origin.parts:
                rest = self._tokens.args(origin.node, origin.scope, leave=ITEM_PARTS)
                return (origin.node.key, *map(self.of, origin.parts), *rest)
            case _:
                return self._tokens.expression(origin.node, origin.scope)

    def rows_of(self, query: exp.Expr) -> Token | None:
        """The token of a subquery's rows; None if it was not analysed."""
        relation = self._walk.relations.get(id(query))
        return None if relation is None else self.of(relation.rows)

    def values_of(self, query: exp.Expr) -> Token | None:
        """The token of a subquery's rows and columns; None if it was not analysed."""
        relation = self._walk.relations.get(id(query))
        return None if relation is None else ("query", self.of(relation.rows), *map(self.of, relation.all_nodes))

    def mark_volatile(self, reason: str | None) -> None:
        """Record why the current node is nondeterministic; nothing for None."""
        if reason is not None and self._inside:
            self._volatile.setdefault(self._inside[-1], reason)

    def _select(self, node: exp.Select, origin: Origin) -> Token:
        """The token of a SELECT's row set."""
        scope = origin.scope
        projections = [(part, self._walk.origins[part].node) for part in origin.parts]
        joins = node.args.get("joins") or []
        unordered = _is_plain(node)
        sources = [self.of(relation.rows) for relation in scope.sources.values()]
        filters = self._tokens.terms(node.args.get("where"), scope)
        joined: list[Token] = []
        for join in joins:
            conditions = self._tokens.terms(join.args.get("on"), scope)
            if unordered:
                filters += conditions
            else:
                names = tuple(identifier.name for identifier in join.args.get("using") or [])
                joined.append((join.side, join.kind, join.method, names, tuple(sorted(conditions, key=digest))))
        return (
            "select",
            tuple(sorted(sources)) if unordered else tuple(sources),
            tuple(self._items(node, scope)),
            tuple(joined),
            tuple(sorted(filters, key=digest)),
            self._grouping(node, scope, projections),
            *(
                tuple(sorted(self._tokens.terms(node.args.get(clause), scope), key=digest))
                for clause in ("having", "qualify")
            ),
            self._distinct(node, scope, origin.parts),
            # With GROUP BY there is one row per group, with or without aggregates.
            str(node.args.get("group") is None and any(has_aggregate(projection) for _, projection in projections)),
            tuple(self.of(part) for part, projection in projections if has_set_returning(projection)),
            *self._tokens.args(node, scope, leave=SELECT_PARTS),
        )

    def _items(self, node: exp.Expr, scope: Scope) -> list[Token]:
        """The tokens of the FROM items' own clauses, such as a sample."""
        items = from_items(node)
        rest = [
            self._tokens.args(item, scope, leave=ITEM_PARTS)
            for item in items
            if isinstance(item, (exp.Table, exp.Subquery))
        ]
        nested = [self._tokens.as_written(join) for item in items for join in item.args.get("joins") or []]
        return [*filter(None, rest), *nested]

    def _grouping(self, node: exp.Select, scope: Scope, projections: list[tuple[int, exp.Expr]]) -> Token:
        group = node.args.get("group")
        if group is None:
            return ""
        plain = [key for key in group.expressions if not isinstance(key, GROUPINGS)]
        # Older SQLGlot releases store these separately from the other keys.
        sets = [key for key in group.expressions if isinstance(key, GROUPINGS)]
        sets += [key for name in ("rollup", "cube", "grouping_sets") for key in group.args.get(name) or []]
        keys: list[Token] = sorted((self._tokens.expression(key, scope) for key in plain), key=digest)
        if group.args.get("all"):
            keys = sorted(self.of(part) for part, projection in projections if not has_aggregate(projection))
        rest = self._tokens.args(group, scope, leave=frozenset({"expressions", "rollup", "cube", "grouping_sets"}))
        return ("group", tuple(keys), tuple(self._tokens.expression(key, scope) for key in sets), *rest)

    def _distinct(self, node: exp.Select, scope: Scope, outputs: tuple[int, ...]) -> Token:
        distinct = node.args.get("distinct")
        if distinct is None:
            return ""
        on = distinct.args.get("on")
        return (
            ("on", self._tokens.expression(on, scope))
            if on is not None
            else ("distinct", tuple(sorted(map(self.of, outputs))))
        )

    def _set_operation(self, node: exp.SetOperation, origin: Origin) -> Token:
        """The token of a set operation's row set, or of one of its columns."""
        kind = (
            node.key,
            str(bool(node.args.get("distinct"))),
            str(bool(node.args.get("by_name"))),
            node.side,
            node.kind,
        )
        rest = self._tokens.args(
            node, origin.scope, leave=frozenset({"this", "expression", "distinct", "by_name", "side", "kind"})
        )
        return (*kind, *map(self.of, origin.parts), *rest)

    def column(self, node: exp.Column, scope: Scope) -> Token:
        """The token of a column: its FROM item and its calculation."""
        target = self._walk.targets.get(id(node))
        if target is None:
            return ("name", node.table, node.name)
        found = self._walk.columns.get(id(node))
        if found is None:
            return ("output", self.of(target))
        relation, name = found
        which = ""
        if target == relation.anything:
            which = str(list(relation.names).index(name)) if name in relation.names else name
        return ("column", *self._place(relation, scope), self.of(target), which)

    def _place(self, relation: Relation, scope: Scope) -> tuple[str, ...]:
        """The token of a column's FROM item: scope level, rows, and its number among items with the same rows."""
        rows = self.of(relation.rows)
        if id(relation) in self._labels:
            return (self._labels[id(relation)], rows)
        for level, around in enumerate(scope.outwards()):
            if any(other is relation for other in around.sources.values()):
                return (str(level), rows, str(self._number_among_equals(relation, around)))
        return ("elsewhere", rows)

    def _number_among_equals(self, relation: Relation, scope: Scope) -> int:
        """The number of a FROM item among those with the same rows, determined by the terms that refer to it."""
        alike = [other for other in scope.sources.values() if self.of(other.rows) == self.of(relation.rows)]
        if len(alike) == 1:
            return 0
        if id(scope) not in self._numbers:
            self._numbers[id(scope)] = {}
        numbers = self._numbers[id(scope)]
        if id(relation) not in numbers:
            ordered = sorted(alike, key=lambda other: self._signature(other, scope))
            numbers.update({id(other): number for number, other in enumerate(ordered)})
        return numbers[id(relation)]

    def _signature(self, relation: Relation, scope: Scope) -> list[str]:
        """Hashes of the terms and outputs of a SELECT that refer to a FROM item, independent of its position."""
        select = self._selects.get(id(scope))
        if select is None or not _is_plain(select):
            return []
        terms = [term for term in _plain_terms(select) if self._names(term, relation)]
        for column in [column for term in terms for column in term.find_all(exp.Column)]:
            if id(column) in self._walk.targets:
                self.of(
                    self._walk.targets[id(column)]
                )  # computed before labels are set, as it can refer to these items too
        before = self._labels
        self._labels = {id(other): "this" if other is relation else "other" for other in scope.sources.values()}
        found = [digest(self._tokens.expression(term, scope)) for term in terms]
        self._labels = before
        return sorted(found)

    def _names(self, term: exp.Expr, relation: Relation) -> bool:
        return any(self._walk.columns.get(id(column), (None,))[0] is relation for column in term.find_all(exp.Column))


def _is_plain(select: exp.Expr) -> bool:
    """Whether the order of a SELECT's FROM items is irrelevant."""
    joins = select.args.get("joins") or []
    return not any(join.side or join.method or join.kind not in ("", "INNER", "CROSS") for join in joins)


def _plain_terms(select: exp.Expr) -> list[exp.Expr]:
    """The terms of a SELECT's conditions, its keys and its outputs, except those with subqueries."""
    conditions = [select.args.get("where"), *(join.args.get("on") for join in select.args.get("joins") or [])]
    terms = [term for condition in conditions if condition is not None for term in _conjuncts(condition)]
    group = select.args.get("group")
    terms += [*(group.expressions if group is not None else []), *select.expressions]
    return [term for term in terms if term.find(exp.Query) is None]


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, (exp.Where, exp.Paren)):
        return _conjuncts(node.this)
    if isinstance(node, exp.And):
        return [*_conjuncts(node.this), *_conjuncts(node.expression)]
    return [node]
