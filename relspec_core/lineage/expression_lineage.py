"""Lineage of expressions: the columns and rows that an expression makes its owner need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlglot import exp

from relspec_core.lineage.column_graph import Use
from relspec_core.lineage.query_analysis import QueryAnalysis
from relspec_core.lineage.scopes import ColumnProblem, Relation, Scope
from relspec_core.sql.clauses import from_items
from relspec_core.sql.function_catalog import is_aggregate, is_set_returning
from relspec_core.sql.pivots import CATEGORY_MARK

VALUE_ORDER_AGGREGATES = (exp.PercentileCont, exp.PercentileDisc, exp.Quantile, exp.Mode)
ALIAS_TERMS = (exp.Ordered, exp.Distinct, exp.Tuple)
SUBQUERIES = (exp.Select, exp.SetOperation)

QueryVisit: TypeAlias = Callable[[exp.Expr, Mapping[str, Relation], Scope | None], Relation]


class ExpressionLineage:
    """Walk over expressions that adds edges to the column graph.

    Args:
        found: the analysis of the query so far; extended.
        query: analyses a subquery.
    """

    __slots__ = ("_found", "_query")

    def __init__(self, found: QueryAnalysis, *, query: QueryVisit) -> None:
        self._found = found
        self._query = query

    def visit(  # noqa: C901, PLR0912, PLR0915 - one case for each kind of expression
        self,
        node: exp.Expr | Iterable[exp.Expr] | None,
        owner: int,
        use: Use,
        scope: Scope,
        aliases: Mapping[str, int] | None = None,
    ) -> None:
        """Add edges from an expression's owner to everything that it needs.

        Args:
            node: an expression, several, or none.
            owner: the graph node that the expression belongs to.
            use: the owner's use of the expression's value.
            scope: the scope of the expression.
            aliases: outputs that it can refer to, as in ORDER BY.
        """

        def go(inner: exp.Expr | Iterable[exp.Expr] | None, how: Use) -> None:
            self.visit(inner, owner, how, scope, aliases)

        made = use.through(Use.TRANSFORMATION)
        match node:
            case None | exp.Identifier() | exp.Literal():
                pass
            case exp.TableColumn():
                self._whole_row(node, owner, made, scope)
            case exp.Column():
                self._column(node, owner, use, scope, aliases or {})
            case exp.Alias() | exp.Paren():
                go(node.this, use)
            case exp.Exists():
                self._subquery(node.this, owner, Use.FILTER, scope, values=False)
            case exp.In() if node.args.get("query") is not None:
                go(node.this, made)
                self._subquery(node.args["query"], owner, Use.FILTER if use.is_direct else use, scope)
            case exp.Subquery() | exp.Select() | exp.SetOperation():
                self._subquery(node, owner, use, scope)
            case exp.Case():
                subject = node.this
                go(subject, use.through(Use.CONDITIONAL))
                for branch in node.args["ifs"]:
                    go(branch.this, use.through(Use.CONDITIONAL))
                    go(branch.args.get("true"), made)
                go(node.args.get("default"), made)
            case exp.If():
                go(node.this, use.through(Use.CONDITIONAL))
                go(node.args.get("true"), made)
                go(node.args.get("false"), made)
            case exp.Coalesce():
                go(node.iter_expressions(), made)
                go(node.iter_expressions(), use.through(Use.CONDITIONAL))
            case exp.Window():
                self._window(node, owner, use, scope)
            case exp.Filter():
                go(node.this, use)
                go(node.expression, use.through(Use.CONDITIONAL))
                if node.meta.get(CATEGORY_MARK):
                    go(node.expression, made)
            case exp.Order():
                by_value = isinstance(node.parent, VALUE_ORDER_AGGREGATES)
                go(node.this, use)
                go(node.expressions, use.through(Use.AGGREGATION if by_value else Use.SORT))
            case exp.WithinGroup():
                by_value = isinstance(node.this, VALUE_ORDER_AGGREGATES)
                go(node.this, use)
                go(node.expression.expressions, use.through(Use.AGGREGATION if by_value else Use.SORT))
            case exp.Count() if isinstance(node.this, exp.Star):
                pass
            case exp.Dot() if isinstance(node.expression, exp.Star):
                go(node.this, made)
            case exp.AggFunc() | exp.Anonymous() if is_aggregate(node):
                go(node.iter_expressions(), use.through(Use.AGGREGATION))
            case exp.Lambda() | exp.Comprehension():
                bound = _bound_names(node)
                hidden = dict.fromkeys(bound, -1)
                for child in node.iter_expressions():
                    self.visit(child, owner, made, scope, {**(aliases or {}), **hidden})
            case exp.Star() | exp.Columns():
                for relation in scope.sources.values():
                    self._found.needs_all(owner, relation, made, "the query selects columns by a pattern")
            case exp.Expr():
                go(node.iter_expressions(), made)
            case _:
                for inner in node:
                    go(inner, use)

    def _window(self, node: exp.Window, owner: int, use: Use, scope: Scope) -> None:
        self.visit(node.this, owner, use, scope)
        keys = use.through(Use.WINDOW)
        for window in (node, *scope.inherited(node)):
            self.visit(window.args.get("partition_by"), owner, keys, scope)
            self.visit(window.args.get("order"), owner, keys, scope)
            self.visit(window.args.get("spec"), owner, keys, scope)

    def _subquery(self, node: exp.Expr, owner: int, use: Use, scope: Scope, *, values: bool = True) -> None:
        relation = self._query(node, scope.ctes, scope)
        self._found.relations[id(node)] = relation
        self._found.flow.needs(owner, relation.rows, use)
        for inner in relation.all_nodes:
            if values:
                self._found.flow.needs(owner, inner, use)
            else:
                self._found.flow.keeps(owner, inner)

    def _whole_row(self, node: exp.Expr, owner: int, use: Use, scope: Scope) -> None:
        """A FROM item's alias used as a value, which DuckDB evaluates to a struct of its columns."""
        relation = scope.source(node.name)
        if relation is None:
            return
        if self._found.dialect != "duckdb" or relation.anything is not None:
            self._found.needs_all(owner, relation, use, "the query takes whole rows")
            return
        table = exp.to_identifier(node.name, quoted=True)
        fields = [exp.to_identifier(name, quoted=True) for name in relation.names]
        struct = exp.Struct(
            expressions=[
                exp.PropertyEQ(this=field, expression=exp.column(field.copy(), table.copy())) for field in fields
            ]
        )
        node.replace(struct)
        self.visit([pair.expression for pair in struct.expressions], owner, use.through(Use.TRANSFORMATION), scope)

    def _column(self, node: exp.Column, owner: int, use: Use, scope: Scope, aliases: Mapping[str, int]) -> None:
        if isinstance(node.this, exp.Star):
            relation = scope.source(node.table)
            if relation is not None:
                self._found.needs_all(owner, relation, use, "the query selects columns by a pattern")
        elif not node.table and node.name in aliases and self._refers_to_output(node, aliases, scope):
            if aliases[node.name] >= 0:
                self._found.flow.needs(owner, aliases[node.name], use)
                self._found.targets[id(node)] = aliases[node.name]
        elif not node.table and scope.source(node.name) is not None:
            self._whole_row(node, owner, use, scope)
        else:
            found = self._resolve(node, scope)
            if found is not None:
                self._found.flow.needs(owner, found, use)
                self._found.fields.setdefault((owner, found), set()).add(_field_path(node))

    def _refers_to_output(self, node: exp.Column, aliases: Mapping[str, int], scope: Scope) -> bool:
        """Whether a name refers to an output: always as a whole expression, else if no column has that name.

        If it refers to a column, it is qualified in place.
        """
        if aliases[node.name] < 0 or isinstance(node.parent, ALIAS_TERMS):
            return True
        owners = [alias for alias, relation in scope.sources.items() if node.name in relation.names]
        if len(owners) != 1:
            return True
        node.set("table", exp.to_identifier(owners[0], quoted=True))
        return False

    def _resolve(self, node: exp.Column, scope: Scope) -> int | None:
        if node.table:
            relation = scope.source(node.table)
            owners = [relation] if relation else []
        else:
            owners = next(
                (
                    found
                    for level in scope.outwards()
                    if (
                        found := [
                            relation for relation in level.sources.values() if relation.find(node.name) is not None
                        ]
                    )
                ),
                [],
            )
        found = owners[0].find(node.name) if len(owners) == 1 else None
        if found is None:
            self._found.problems.append(_problem(node, scope, owners))
            return None
        relation = owners[0]
        name = relation.true_names.get(node.name, node.name)
        if name != node.name:
            node.this.set("this", name)
        self._found.columns[id(node)] = (relation, name)
        self._found.targets[id(node)] = found
        return found


def _field_path(node: exp.Column) -> tuple[str, ...]:
    """The accessed struct fields of a column, outermost first; ``*`` for all; empty for the whole column."""
    path: list[str] = []
    inner: exp.Expr = node
    while isinstance(inner.parent, exp.Dot) and inner.parent.this is inner:
        inner = inner.parent
        path.append("*" if isinstance(inner.expression, exp.Star) else inner.expression.name)
    return tuple(path)


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an expression aggregates the rows of its SELECT, not those of a window or a subquery."""
    select = node.parent_select
    return any(
        is_aggregate(found) and not _is_windowed(found) and (found.parent_select is select or _is_of(found, select))
        for found in node.walk()
    )


def _is_of(aggregate: exp.Expr, select: exp.Expr | None) -> bool:
    """Whether an aggregate in a subquery belongs to an outer SELECT: the innermost with a table that it refers to."""
    owners = [id(_owner(column)) for column in aggregate.find_all(exp.Column)]
    inner = aggregate.parent_select
    while inner is not None and inner is not select:
        if id(inner) in owners:
            return False
        inner = inner.parent_select
    return id(select) in owners


def _owner(column: exp.Column) -> exp.Expr | None:
    """The innermost enclosing SELECT that has a column's table."""
    select = column.parent_select
    while select is not None:
        if any(item.alias_or_name == column.table for item in from_items(select)):
            break
        select = select.parent_select
    return select


def has_set_returning(node: exp.Expr) -> bool:
    """Whether an expression is set-returning, outside of its subqueries."""
    return any(is_set_returning(found) for found in node.walk(prune=is_query) if not is_query(found))


def _is_windowed(node: exp.Expr) -> bool:
    parent = node.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Order, exp.WithinGroup)):
        node, parent = parent, parent.parent
    return isinstance(parent, exp.Window) and parent.this is node


def is_query(node: exp.Expr) -> bool:
    """Whether a node is a query."""
    return isinstance(node, SUBQUERIES)


def spreads(projection: exp.Expr) -> bool:
    """Whether a projection can yield several columns: the fields of a struct."""
    inner = projection.unalias()
    if isinstance(inner, (exp.Unnest, exp.Explode)):
        return not isinstance(inner.this, exp.Array) or bool(inner.expressions)
    return isinstance(inner, exp.Dot) and inner.is_star


def _bound_names(node: exp.Expr) -> list[str]:
    if isinstance(node, exp.Comprehension):
        return [node.expression.name]
    return [parameter.name for parameter in node.expressions]


def _problem(node: exp.Column, scope: Scope, owners: Sequence[Relation]) -> ColumnProblem:
    seen = owners or [relation for level in scope.outwards() for relation in level.sources.values()]
    tables = tuple(dict.fromkeys(relation.evidence for relation in seen if relation.evidence))
    candidates = tuple(dict.fromkeys(name for relation in seen for name in relation.names))
    many = len(owners) > 1
    return ColumnProblem(
        column=node.name,
        evidence=tables[0] if len(tables) == 1 else None,
        candidates=candidates,
        owners=tuple(alias for alias, relation in scope.sources.items() if relation in owners) if many else (),
        line=node.this.meta.get("line"),
        position=node.this.meta.get("col"),
    )
