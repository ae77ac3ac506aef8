"""What a plan calculates, as hashes: one for its rows, and one for each of its columns.

Every scope of the plan has a hash for the rows that it yields and one for each column, made from the hashes of the
scopes that it reads. So a hash knows nothing of aliases, of names inside, of what nothing reads, or of whether a
subquery stands in a common table expression; and what does not matter to the outcome, such as the order of a filter's
terms, is put in order first.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.column_flow import Input, InputColumn
from relspec_core.expression_walk import has_aggregate, has_set_returning
from relspec_core.fingerprint import Token, digest
from relspec_core.volatility import unordered_limit, volatile

if TYPE_CHECKING:
    import ibis

    from relspec_core.plan_tree import PlanTree
    from relspec_core.query_flow import Origin
    from relspec_core.query_scope import Relation, Scope

NAMES = frozenset({"alias", "with", "with_", "quoted", "comments"})
GROUPINGS = (exp.Rollup, exp.Cube, exp.GroupingSets)
SELECT_PARTS = frozenset(
    {"expressions", "from", "from_", "joins", "laterals", "windows", "where", "group", "having", "qualify", "distinct"}
)
ITEM_PARTS = frozenset({"this", "db", "catalog", "joins", "expression"})
FOLDED: Mapping[str, Callable[[int, int], int]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}
LARGEST = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculation:
    """How a column, or the row set, of a plan comes to be.

    Attributes:
        hash: of its own calculation inside this plan; 32 hexadecimal digits.
        inputs: the columns and row sets that it is made from or decided by.
        volatile: why it may come out differently each time; None where it does not.
    """

    hash: str
    inputs: frozenset[Input]
    volatile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calculations:
    """What one plan calculates.

    Attributes:
        rows: which rows there are, and their order.
        columns: the value of each output column in those rows.
    """

    rows: Calculation
    columns: Mapping[str, Calculation]

    @property
    def token(self) -> Token:
        """All of it."""
        return (self.rows.hash, *((name, column.hash) for name, column in self.columns.items()))

    @property
    def volatile(self) -> str | None:
        """The first reason why the plan's table may come out differently each time."""
        return next((found.volatile for found in (self.rows, *self.columns.values()) if found.volatile), None)


def calculations(tree: PlanTree, *, schema: ibis.Schema, functions: Mapping[str, Token]) -> Calculations:
    """What a canonical tree calculates.

    Args:
        tree: pruned or not; what nothing reads leaves no trace.
        schema: of what the plan yields.
        functions: what stands behind the names of user-defined functions.
    """
    hashes = _Hashes(tree, functions)
    nodes = list(tree.root.nodes) if tree.root.anything is None else []
    whole = tree.root.anything if tree.root.anything is not None else tree.root.rows
    columns = {
        name: hashes.calculation(node, ("column", name if node is whole else "", str(schema[name])))
        for name, node in zip(schema, nodes or [whole] * len(schema), strict=True)
    }
    return Calculations(rows=hashes.calculation(tree.root.rows, ("rows",)), columns=columns)


class _Hashes:
    """The hashes of a tree's flow nodes, each made once."""

    def __init__(self, tree: PlanTree, functions: Mapping[str, Token]) -> None:
        self._walk = tree.walk
        self._functions = functions
        self._made: dict[int, str] = {}
        self._inside: list[int] = []
        self._volatile: dict[int, str] = {}
        selects = [
            origin for origin in tree.walk.origins.values() if isinstance(origin.node, exp.Select) and not origin.opaque
        ]
        self._selects = {id(origin.scope): origin.node for origin in selects}
        self._labels: dict[int, str] = {}
        self._numbers: dict[int, dict[int, int]] = {}
        self._passing = {id(origin.scope) for origin in selects if self._passes(origin)}

    def calculation(self, node: int, role: Token) -> Calculation:
        """A flow node's hash in a role, with what it is made from."""
        made = digest((role, self.of(node)))
        below = self._walk.flow.made_of(node)
        for other in below:
            self.of(other)
        reasons = [self._volatile[other] for other in sorted(below) if other in self._volatile]
        return Calculation(hash=made, inputs=self._walk.flow.inputs(below), volatile=next(iter(reasons), None))

    def of(self, node: int) -> str:
        """The hash of a flow node."""
        if node in self._inside:
            return f"recursion {len(self._inside) - self._inside.index(node)}"
        if node not in self._made:
            self._inside.append(node)
            same = self._same_as(node)
            self._made[node] = digest(self._token(node)) if same is None else self.of(same)
            self._inside.pop()
        return self._made[node]

    def _same_as(self, node: int) -> int | None:
        """The node that a node passes on as it is: a column of the one thing that its SELECT reads, or all its rows."""
        origin = self._walk.origins.get(node)
        if origin is None or len(origin.scope.sources) != 1:
            return None
        (source,) = origin.scope.sources.values()
        if isinstance(origin.node, exp.Select):
            return source.rows if id(origin.scope) in self._passing else None
        inner = origin.node.unalias()
        relation, _ = self._walk.columns.get(id(inner), (None, ""))
        target = self._walk.targets.get(id(inner))
        return target if relation is source and target != source.anything else None

    def _passes(self, origin: Origin) -> bool:
        """Whether a SELECT has one row for each row of the one thing that it reads."""
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
            return self._as_written(origin.node)
        self._doubt(unordered_limit(origin.node))
        match origin.node:
            case exp.Select() as select:
                return self._select(select, origin)
            case exp.SetOperation() as operation:
                return self._set_operation(operation, origin)
            case exp.CTE() | exp.Subquery() | exp.Table() if origin.parts:
                rest = self._args(origin.node, origin.scope, leave=ITEM_PARTS)
                return (origin.node.key, *map(self.of, origin.parts), *rest)
            case _:
                return self.expression(origin.node, origin.scope)

    def _doubt(self, reason: str | None) -> None:
        if reason is not None and self._inside:
            self._volatile.setdefault(self._inside[-1], reason)

    # -- queries -------------------------------------------------------------------------------------------------------

    def _select(self, node: exp.Select, origin: Origin) -> Token:
        """The row set of a SELECT."""
        scope = origin.scope
        projections = [(part, self._walk.origins[part].node) for part in origin.parts]
        joins = node.args.get("joins") or []
        unordered = _is_plain(node)
        sources = [self.of(relation.rows) for relation in scope.sources.values()]
        filters = self._terms(node.args.get("where"), scope)
        joined: list[Token] = []
        for join in joins:
            conditions = self._terms(join.args.get("on"), scope)
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
            *(tuple(sorted(self._terms(node.args.get(clause), scope), key=digest)) for clause in ("having", "qualify")),
            self._distinct(node, scope, origin.parts),
            str(any(has_aggregate(projection) for _, projection in projections)),
            tuple(self.of(part) for part, projection in projections if has_set_returning(projection)),
            *self._args(node, scope, leave=SELECT_PARTS),
        )

    def _items(self, node: exp.Expr, scope: Scope) -> list[Token]:
        """What FROM items have besides what they read, such as a sample."""
        clause = node.args.get("from_") or node.args.get("from")
        items = [*([clause.this] if clause is not None else []), *(join.this for join in node.args.get("joins") or [])]
        rest = [
            self._args(item, scope, leave=ITEM_PARTS) for item in items if isinstance(item, (exp.Table, exp.Subquery))
        ]
        nested = [self._as_written(join) for item in items for join in item.args.get("joins") or []]
        return [*filter(None, rest), *nested]

    def _grouping(self, node: exp.Select, scope: Scope, projections: list[tuple[int, exp.Expr]]) -> Token:
        group = node.args.get("group")
        if group is None:
            return ""
        plain = [key for key in group.expressions if not isinstance(key, GROUPINGS)]
        # Older releases of SQLGlot keep these apart from the other keys.
        sets = [key for key in group.expressions if isinstance(key, GROUPINGS)]
        sets += [key for name in ("rollup", "cube", "grouping_sets") for key in group.args.get(name) or []]
        keys: list[Token] = sorted((self.expression(key, scope) for key in plain), key=digest)
        if group.args.get("all"):
            keys = sorted(self.of(part) for part, projection in projections if not has_aggregate(projection))
        rest = self._args(group, scope, leave=frozenset({"expressions", "rollup", "cube", "grouping_sets"}))
        return ("group", tuple(keys), tuple(self.expression(key, scope) for key in sets), *rest)

    def _distinct(self, node: exp.Select, scope: Scope, outputs: tuple[int, ...]) -> Token:
        distinct = node.args.get("distinct")
        if distinct is None:
            return ""
        on = distinct.args.get("on")
        return (
            ("on", self.expression(on, scope)) if on is not None else ("distinct", tuple(sorted(map(self.of, outputs))))
        )

    def _set_operation(self, node: exp.SetOperation, origin: Origin) -> Token:
        """The row set of a set operation, or one of its columns."""
        kind = (
            node.key,
            str(bool(node.args.get("distinct"))),
            str(bool(node.args.get("by_name"))),
            node.side,
            node.kind,
        )
        rest = self._args(
            node, origin.scope, leave=frozenset({"this", "expression", "distinct", "by_name", "side", "kind"})
        )
        return (*kind, *map(self.of, origin.parts), *rest)

    # -- expressions ---------------------------------------------------------------------------------------------------

    def expression(self, node: exp.Expr, scope: Scope) -> Token:  # noqa: C901, PLR0911, PLR0912 - one case for each kind
        """An expression, in a form that ways of writing it share."""
        self._doubt(volatile(node))
        match node:
            case exp.Alias() if not isinstance(node.parent, exp.Select):  # the field of a struct
                return ("alias", node.alias, self.expression(node.this, scope))
            case exp.Alias() | exp.Paren():
                return self.expression(node.this, scope)
            case exp.Div():  # older releases of SQLGlot mark DuckDB's as safe
                return (node.key, *self._args(node, scope, leave=frozenset({"safe"})))
            case exp.Identifier():
                return node.name
            case exp.Column():
                return self._column(node, scope)
            case exp.And() | exp.Or() | exp.Between():
                kind = exp.Or if isinstance(node, exp.Or) else exp.And
                return (kind.key, *sorted(self._terms(node, scope, kind), key=digest))
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
                return ("exists", self._rows_of(node.this))
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                return self._query(node)
            case exp.Window():
                return self._window(node, scope)
            case exp.Anonymous() if node.name.casefold() in self._functions:
                rest = self._args(node, scope, leave=frozenset({"this"}))
                return ("function", self._functions[node.name.casefold()], *rest)
            case _:
                return (node.key, *self._args(node, scope))

    def _args(self, node: exp.Expr, scope: Scope, *, leave: frozenset[str] = frozenset()) -> tuple[Token, ...]:
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

    def _terms(self, node: exp.Expr | None, scope: Scope, kind: type[exp.Expr] = exp.And) -> list[Token]:
        """The terms of a condition."""
        match node:
            case None:
                return []
            case exp.Where() | exp.Having() | exp.Qualify() | exp.Paren():
                return self._terms(node.this, scope, kind)
            case exp.Between() if kind is exp.And and not node.args.get("symmetric"):
                value = self.expression(node.this, scope)
                low, high = (self.expression(node.args[side], scope) for side in ("low", "high"))
                return [("lte", low, value), ("lte", value, high)]
            case exp.And() | exp.Or() if isinstance(node, kind):
                return [*self._terms(node.this, scope, kind), *self._terms(node.expression, scope, kind)]
            case exp.Between():
                return [(node.key, *self._args(node, scope))]
            case _:
                return [self.expression(node, scope)]

    def _number(self, node: exp.Expr, scope: Scope) -> Token:
        """A number or a text; a sum, difference or product, of whole numbers as their result."""
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

    def _column(self, node: exp.Column, scope: Scope) -> Token:
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
        """Which FROM item a column belongs to: how far out, what it reads, and the how manieth that reads just this."""
        rows = self.of(relation.rows)
        if id(relation) in self._labels:
            return (self._labels[id(relation)], rows)
        for level, around in enumerate(scope.outwards()):
            if any(other is relation for other in around.sources.values()):
                return (str(level), rows, str(self._number_among_alike(relation, around)))
        return ("elsewhere", rows)

    def _number_among_alike(self, relation: Relation, scope: Scope) -> int:
        """Which one a FROM item is of those that read the same; told by the terms that name it, not by its place."""
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
        """The terms and outputs of a SELECT that name a FROM item, without the places of those that read the same."""
        select = self._selects.get(id(scope))
        if select is None or not _is_plain(select):
            return []
        terms = [term for term in _plain_terms(select) if self._names(term, relation)]
        for column in [column for term in terms for column in term.find_all(exp.Column)]:
            if id(column) in self._walk.targets:
                self.of(self._walk.targets[id(column)])  # made before there are labels, for it may name these items too
        before = self._labels
        self._labels = {id(other): "this" if other is relation else "other" for other in scope.sources.values()}
        found = [digest(self.expression(term, scope)) for term in terms]
        self._labels = before
        return sorted(found)

    def _names(self, term: exp.Expr, relation: Relation) -> bool:
        return any(self._walk.columns.get(id(column), (None,))[0] is relation for column in term.find_all(exp.Column))

    def _window(self, node: exp.Window, scope: Scope) -> Token:
        inherited = [self._args(named, scope, leave=frozenset({"this"})) for named in scope.inherited(node)]
        return ("window", *self._args(node, scope), *inherited)

    def _rows_of(self, query: exp.Expr) -> Token:
        relation = self._walk.relations.get(id(query))
        return self._as_written(query) if relation is None else self.of(relation.rows)

    def _query(self, query: exp.Expr) -> Token:
        relation = self._walk.relations.get(id(query))
        if relation is None:
            return self._as_written(query)
        return ("query", self.of(relation.rows), *map(self.of, relation.all_nodes))

    def _as_written(self, node: object) -> Token:
        """What was not analysed: with all of its names, for they are what tells its parts from one another."""
        match node:
            case exp.Identifier():
                return node.name
            case exp.Expr():
                self._doubt(volatile(node))
                kept = [
                    (name, value) for name, value in sorted(node.args.items()) if name not in ("quoted", "comments")
                ]
                return (node.key, *((name.rstrip("_"), self._as_written(value)) for name, value in kept if value))
            case list() | tuple():
                return tuple(map(self._as_written, node))
            case _:
                return str(node)


def _is_plain(select: exp.Expr) -> bool:
    """Whether the FROM items of a SELECT may stand in any order."""
    joins = select.args.get("joins") or []
    return not any(join.side or join.method or join.kind not in ("", "INNER", "CROSS") for join in joins)


def _plain_terms(select: exp.Expr) -> list[exp.Expr]:
    """The terms of a SELECT's conditions, its keys and its outputs; less those with a query of their own inside."""
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


def _whole(token: Token) -> int | None:
    """The whole number that a token is."""
    if isinstance(token, tuple) and token[0] == "number" and str(token[1]).lstrip("-").isdigit():
        return int(str(token[1]))
    return None
