"""Walks a qualified query once and builds its column flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.column_flow import ColumnFlow, InputColumn, InputRows, Use
from relspec_core.names import from_table
from relspec_core.query_scope import ColumnProblem, Relation, Scope, part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VALUE_ORDER_AGGREGATES = (exp.PercentileCont, exp.PercentileDisc, exp.Quantile, exp.Mode)
NAVIGATION = (exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue)
SET_RETURNING = (exp.UDTF, exp.Explode)
SUBQUERIES = (exp.Select, exp.SetOperation)


@dataclass(slots=True, kw_only=True)
class QueryFlow:
    """The flow of a query, and what the walk learned on its way.

    Attributes:
        schemas: the columns of each input table, in order; a table that is not here may have any column.
        flow: the graph.
        selects: every SELECT with its row set and its outputs, for pruning.
        ctes: every common table expression with its row set.
        columns: what each column node of the tree stands for: its relation and the column's name there.
        relations: the relation behind each FROM item of the tree.
        problems: columns that can't be resolved.
        unresolved: evidence whose columns are all needed, and why.
    """

    schemas: Mapping[str, Sequence[str]]
    flow: ColumnFlow = field(default_factory=ColumnFlow)
    selects: list[tuple[exp.Select, int, list[int]]] = field(default_factory=list)
    ctes: list[tuple[exp.CTE, int]] = field(default_factory=list)
    columns: dict[int, tuple[Relation, str]] = field(default_factory=dict)
    relations: dict[int, Relation] = field(default_factory=dict)
    problems: list[ColumnProblem] = field(default_factory=list)
    unresolved: dict[str, str] = field(default_factory=dict)

    # -- queries ---------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expression, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """What a query yields to whoever reads it."""
        match node:
            case exp.Select():
                return self._select(node, ctes, outer)
            case exp.SetOperation():
                return self._set_operation(node, self._with(node, ctes, outer), outer)
            case exp.Subquery() if not node.args.get("pivots") and not isinstance(node.this, exp.Table):
                return self._wrapped(node, ctes, outer)
            case exp.Values():
                return self._values(node, Scope(ctes=ctes, outer=outer))
            case _:
                return self._opaque(node, ctes, f"{node.key.upper()} is not analysed")

    def _select(self, node: exp.Select, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        scope = Scope(ctes=self._with(node, ctes, outer), outer=outer)
        rows = self.flow.add()
        self._from(node, scope, rows)
        scope.windows = {window.name: window for window in node.args.get("windows") or []}
        outputs = [self._output(projection, scope, rows) for projection in node.expressions]
        names = [projection.alias_or_name for projection in node.expressions]
        open_ended = any(_is_open_ended(projection) for projection in node.expressions)
        relation = Relation(
            names=[] if open_ended else names,
            nodes=[] if open_ended else outputs,
            rows=rows,
            anything=self._joint(outputs, scope) if open_ended else None,
        )
        self._rows(node, scope, rows, dict(reversed(list(zip(names, outputs, strict=True)))), outputs)
        self.selects.append((node, rows, outputs))
        return relation

    def _joint(self, outputs: Iterable[int], scope: Scope) -> int:
        """A node for any column of an open-ended SELECT, which needs all columns of all that it reads."""
        node = self.flow.add()
        for output in outputs:
            self.flow.needs(node, output, Use.IDENTITY)
        for relation in scope.sources.values():
            self._needs_all(node, relation, Use.TRANSFORMATION, "the query selects columns by a pattern")
        return node

    def _with(self, node: exp.Expression, ctes: Mapping[str, Relation], outer: Scope | None) -> Mapping[str, Relation]:
        clause = part(node, "with")
        if clause is None:
            return ctes
        seen = dict(ctes)
        for cte in clause.expressions:
            names = cte.alias_column_names
            recursive = clause.args.get("recursive") and any(table.name == cte.alias for table in cte.find_all(exp.Table))
            relation = self._recursive(cte, seen, outer) if recursive else self.query(cte.this, seen, outer)
            seen[cte.alias] = relation.renamed(names) if names else relation
            self.ctes.append((cte, relation.rows))
        return seen

    def _recursive(self, cte: exp.CTE, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """A recursive expression reads itself: a relation stands in for it while its body is walked; nothing is pruned."""
        names = cte.alias_column_names or cte.this.named_selects
        own = Relation(names=names, nodes=[self.flow.add() for _ in names], rows=self.flow.add())
        body = self.query(cte.this, {**ctes, cte.alias: own}, outer)
        for node, inner in zip(own.nodes, body.nodes, strict=False):
            self.flow.needs(node, inner, Use.IDENTITY)
        self.flow.needs(own.rows, body.rows, Use.IDENTITY)
        for inner in body.all_nodes:
            self.flow.keeps(body.rows, inner)
        return own

    def _set_operation(self, node: exp.SetOperation, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        left, right = self.query(node.this, ctes, outer), self.query(node.expression, ctes, outer)
        rows = self.flow.add()
        self.flow.needs(rows, left.rows, Use.IDENTITY)
        self.flow.needs(rows, right.rows, Use.IDENTITY)
        if left.anything is not None or right.anything is not None:
            return self._joined_open(rows, left, right)
        by_name = bool(node.args.get("by_name"))
        names = list(dict.fromkeys([*left.names, *right.names])) if by_name else list(left.names)
        outputs = [self.flow.add() for _ in names]
        united = isinstance(node, exp.Union)
        for position, (name, output) in enumerate(zip(names, outputs, strict=True)):
            for side in (left, right):
                inner = side.find(name) if by_name else (side.nodes[position] if position < len(side.nodes) else None)
                if inner is None:
                    continue
                self.flow.keeps(output, inner)
                self.flow.keeps(inner, output)
                if united or side is left:
                    self.flow.needs(output, inner, Use.IDENTITY)
                if not united and side is right:
                    self.flow.needs(rows, inner, Use.FILTER)
                if not united or node.args.get("distinct"):
                    self.flow.needs(rows, output, Use.GROUP_BY)
        relation = Relation(names=names, nodes=outputs, rows=rows)
        self._tail(node, Scope(ctes=ctes, outer=outer), rows, dict(zip(names, outputs, strict=True)))
        return relation

    def _joined_open(self, rows: int, *sides: Relation) -> Relation:
        node = self.flow.add()
        for side in sides:
            for inner in side.all_nodes:
                self.flow.needs(node, inner, Use.IDENTITY)
                self.flow.keeps(rows, inner)
        return Relation(names=[], nodes=[], rows=rows, anything=node)

    def _wrapped(self, node: exp.Subquery, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        inner = self.query(node.this, self._with(node, ctes, outer), outer)
        if not any(node.args.get(clause) for clause in ("order", "limit", "offset")):
            return inner
        rows = self.flow.add()
        self.flow.needs(rows, inner.rows, Use.IDENTITY)
        self._tail(node, Scope(ctes=ctes, outer=outer), rows, dict(zip(inner.names, inner.nodes, strict=True)))
        return Relation(names=inner.names, nodes=inner.nodes, rows=rows, anything=inner.anything)

    def _values(self, node: exp.Values, scope: Scope) -> Relation:
        column = self.flow.add()
        self._expression(node.expressions, column, Use.TRANSFORMATION, scope)
        return Relation(names=[], nodes=[], rows=self.flow.add(), anything=column)

    def _opaque(self, node: exp.Expression, ctes: Mapping[str, Relation], reason: str) -> Relation:
        """What can't be looked into: everything that it names is needed whole."""
        rows, column = self.flow.add(), self.flow.add()
        self.flow.keeps(rows, column)
        for table in node.find_all(exp.Table):
            relation = ctes.get(table.name) if not table.db else None
            relation = relation or self._table(table)
            self.flow.needs(rows, relation.rows, Use.IDENTITY)
            self._needs_all(column, relation, Use.TRANSFORMATION, reason)
        return Relation(names=[], nodes=[], rows=rows, anything=column)

    def _needs_all(self, node: int, relation: Relation, use: Use, reason: str) -> None:
        for inner in relation.all_nodes:
            self.flow.needs(node, inner, use)
        if relation.evidence is not None:
            self.unresolved.setdefault(relation.evidence, reason)

    # -- FROM ------------------------------------------------------------------------------------------------------

    def _from(self, node: exp.Expression, scope: Scope, rows: int) -> None:
        clause = part(node, "from")
        if clause is not None:
            self._source(clause.this, scope, rows)
        for join in node.args.get("joins") or []:
            self._join(join, scope, rows)
        for lateral in node.args.get("laterals") or []:
            self._source(lateral, scope, rows)

    def _join(self, join: exp.Join, scope: Scope, rows: int) -> None:
        before = list(scope.sources.values())
        self._source(join.this, scope, rows)
        use = Use.FILTER if join.kind in ("SEMI", "ANTI") else Use.JOIN
        self._expression(join.args.get("on"), rows, use, scope)
        joined = list(scope.sources.values())[len(before) :]
        if join.method == "NATURAL":
            for relation in [*before, *joined]:
                self._needs_all(rows, relation, use, "a NATURAL JOIN could not be resolved")
        for identifier in join.args.get("using") or []:
            for relation in [*before, *joined]:
                found = relation.find(identifier.name)
                if found is not None:
                    self.flow.needs(rows, found, use)

    def _source(self, node: exp.Expression, scope: Scope, rows: int) -> None:
        """Take a FROM item into the scope; the scope's rows come from its rows."""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and not node.alias:
            self._source(node.this, scope, rows)
        else:
            pivots = node.args.get("pivots") or []
            relation = self._relation(node, scope)
            if pivots:
                relation = self._pivoted(relation)
            self.flow.needs(rows, relation.rows, Use.IDENTITY)
            scope.add(pivots[-1].alias if pivots and pivots[-1].alias else node.alias_or_name, relation)
            self.relations[id(node)] = relation
        for join in node.args.get("joins") or []:
            self._join(join, scope, rows)

    def _relation(self, node: exp.Expression, scope: Scope) -> Relation:
        match node:
            case exp.Table() if isinstance(node.this, exp.Func):
                return self._table_function(node.this, scope)
            case exp.Table():
                found = scope.ctes.get(node.name) if not node.db else None
                relation = self._copy(found) if found else self._table(node)
            case exp.Subquery():
                relation = self._copy(self.query(node, scope.ctes, scope))
            case exp.Lateral() if isinstance(node.this, exp.Subquery):
                relation = self.query(node.this, scope.ctes, scope)
            case exp.Values():
                relation = self._values(node, scope)
            case exp.Unnest() | exp.Lateral() | exp.UDTF():
                return self._table_function(node, scope)
            case _:
                relation = self._opaque(node, scope.ctes, f"{node.key.upper()} is not analysed")
        names = node.alias_column_names
        return relation.renamed(names) if names else relation

    @staticmethod
    def _copy(relation: Relation) -> Relation:
        """The same nodes under a place of their own: two readers of one expression are two FROM items."""
        return Relation(
            names=relation.names, nodes=relation.nodes, rows=relation.rows, anything=relation.anything
        )

    def _table(self, node: exp.Table) -> Relation:
        name = from_table(node)
        columns = self.schemas.get(name)
        if columns is None:
            return self._unknown(name)
        return Relation(
            names=columns,
            nodes=[self.flow.input(InputColumn(name, column)) for column in columns],
            rows=self.flow.input(InputRows(name)),
            evidence=name,
        )

    def _unknown(self, name: str) -> Relation:
        """A table that whoever asked for this walk knows nothing of: any column may be in it."""
        return Relation(names=[], nodes=[], rows=self.flow.input(InputRows(name)), anything=self.flow.add())

    def _table_function(self, node: exp.Expression, scope: Scope) -> Relation:
        column, rows = self.flow.add(), self.flow.add()
        for child in node.iter_expressions():
            if not isinstance(child, exp.TableAlias):
                self._expression(child, column, Use.TRANSFORMATION, scope)
        self.flow.needs(rows, column, Use.JOIN)
        return Relation(names=[], nodes=[], rows=rows, anything=column)

    def _pivoted(self, relation: Relation) -> Relation:
        node = self.flow.add()
        self._needs_all(node, relation, Use.TRANSFORMATION, "the query pivots it")
        rows = self.flow.add()
        self.flow.needs(rows, relation.rows, Use.IDENTITY)
        for inner in relation.all_nodes:
            self.flow.needs(rows, inner, Use.GROUP_BY)
        return Relation(names=[], nodes=[], rows=rows, anything=node)

    # -- clauses ---------------------------------------------------------------------------------------------------

    def _output(self, projection: exp.Expression, scope: Scope, rows: int) -> int:
        output = self.flow.add()
        self._expression(projection, output, Use.IDENTITY, scope)
        if any(isinstance(node, SET_RETURNING) for node in projection.walk(prune=_is_query)):
            self.flow.needs(rows, output, Use.JOIN)
        return output

    def _rows(self, node: exp.Select, scope: Scope, rows: int, aliases: Mapping[str, int], outputs: list[int]) -> None:
        """What decides which rows a SELECT has, and in which order."""
        for clause, use in (("where", Use.FILTER), ("group", Use.GROUP_BY), ("having", Use.FILTER), ("qualify", Use.FILTER)):
            self._expression(node.args.get(clause), rows, use, scope)
        group = node.args.get("group")
        if group is not None and group.args.get("all"):
            for projection, output in zip(node.expressions, outputs, strict=True):
                if not has_aggregate(projection):
                    self.flow.needs(rows, output, Use.GROUP_BY)
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            self._expression(distinct.args["on"], rows, Use.GROUP_BY, scope, aliases)
        elif distinct is not None:
            for output in outputs:
                self.flow.needs(rows, output, Use.GROUP_BY)
        if node.args.get("match"):
            for relation in scope.sources.values():
                self._needs_all(rows, relation, Use.FILTER, "MATCH_RECOGNIZE is not analysed")
        self._tail(node, scope, rows, aliases)

    def _tail(self, node: exp.Expression, scope: Scope, rows: int, aliases: Mapping[str, int]) -> None:
        for clause, use in (
            ("order", Use.SORT),
            ("sort", Use.SORT),
            ("cluster", Use.SORT),
            ("distribute", Use.SORT),
            ("limit", Use.FILTER),
            ("offset", Use.FILTER),
        ):
            self._expression(node.args.get(clause), rows, use, scope, aliases)

    # -- expressions -----------------------------------------------------------------------------------------------

    def _expression(
        self,
        node: exp.Expression | Iterable[exp.Expression] | None,
        owner: int,
        use: Use,
        scope: Scope,
        aliases: Mapping[str, int] | None = None,
    ) -> None:
        """State what an expression makes its owner need.

        Args:
            node: an expression, several, or none.
            owner: the flow node that the expression belongs to.
            use: how the owner uses the expression's value.
            scope: where the expression stands.
            aliases: outputs that it may name, as ORDER BY may.
        """

        def go(inner: exp.Expression | Iterable[exp.Expression] | None, how: Use) -> None:
            self._expression(inner, owner, how, scope, aliases)

        made = use.through(Use.TRANSFORMATION)
        match node:
            case None | exp.Identifier() | exp.Literal():
                pass
            case exp.TableColumn():
                self._whole_row(node.name, owner, made, scope)
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
            case exp.Order():
                go(node.this, use)
                go(node.expressions, use.through(Use.SORT))
            case exp.WithinGroup():
                by_value = isinstance(node.this, VALUE_ORDER_AGGREGATES)
                go(node.this, use)
                go(node.expression.expressions, use.through(Use.AGGREGATION if by_value else Use.SORT))
            case exp.Count() if isinstance(node.this, exp.Star):
                pass
            case exp.AggFunc() if not isinstance(node, NAVIGATION):
                go(node.iter_expressions(), use.through(Use.AGGREGATION))
            case exp.Lambda() | exp.Comprehension():
                bound = _bound_names(node)
                hidden = {name: -1 for name in bound}
                for child in node.iter_expressions():
                    self._expression(child, owner, made, scope, {**(aliases or {}), **hidden})
            case exp.Star():
                for relation in scope.sources.values():
                    self._needs_all(owner, relation, made, "the query selects columns by a pattern")
            case exp.Expression():
                go(node.iter_expressions(), made)
            case _:
                for inner in node:
                    go(inner, use)

    def _window(self, node: exp.Window, owner: int, use: Use, scope: Scope) -> None:
        self._expression(node.this, owner, use, scope)
        name = node.args.get("alias")
        named = scope.window(name.name) if isinstance(name, exp.Identifier) else None
        keys = use.through(Use.WINDOW)
        for window in (node, named):
            if window is not None:
                self._expression(window.args.get("partition_by"), owner, keys, scope)
                self._expression(window.args.get("order"), owner, keys, scope)
                self._expression(window.args.get("spec"), owner, keys, scope)

    def _subquery(self, node: exp.Expression, owner: int, use: Use, scope: Scope, *, values: bool = True) -> None:
        relation = self.query(node, scope.ctes, scope)
        self.flow.needs(owner, relation.rows, use)
        for inner in relation.all_nodes:
            if values:
                self.flow.needs(owner, inner, use)
            else:
                self.flow.keeps(owner, inner)

    def _whole_row(self, alias: str, owner: int, use: Use, scope: Scope) -> None:
        relation = scope.source(alias)
        if relation is not None:
            for inner in relation.all_nodes:
                self.flow.needs(owner, inner, use)

    def _column(self, node: exp.Column, owner: int, use: Use, scope: Scope, aliases: Mapping[str, int]) -> None:
        if isinstance(node.this, exp.Star):
            relation = scope.source(node.table)
            if relation is not None:
                self._needs_all(owner, relation, use, "the query selects columns by a pattern")
        elif not node.table and node.name in aliases:
            if aliases[node.name] >= 0:
                self.flow.needs(owner, aliases[node.name], use)
        elif not node.table and scope.source(node.name) is not None:
            self._whole_row(node.name, owner, use, scope)
        else:
            found = self._resolve(node, scope)
            if found is not None:
                self.flow.needs(owner, found, use)

    def _resolve(self, node: exp.Column, scope: Scope) -> int | None:
        if node.table:
            relation = scope.source(node.table)
            owners = [relation] if relation else []
        else:
            owners = next(
                (found for level in scope.outwards() if (found := [
                    relation for relation in level.sources.values() if relation.find(node.name) is not None
                ])),
                [],
            )
        found = owners[0].find(node.name) if len(owners) == 1 else None
        if found is None:
            self.problems.append(_problem(node, scope, owners))
            return None
        relation = owners[0]
        name = relation.true_names.get(node.name, node.name)
        if name != node.name:
            node.this.set("this", name)
        self.columns[id(node)] = (relation, name)
        return found


def has_aggregate(node: exp.Expression) -> bool:
    """Whether an expression aggregates rows, in itself and not over a window or in a subquery."""
    return any(
        isinstance(found, exp.AggFunc) and not _is_windowed(found)
        for found in node.walk(prune=_is_query)
        if not _is_query(found)
    )


def _is_windowed(node: exp.Expression) -> bool:
    parent = node.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Order, exp.WithinGroup)):
        node, parent = parent, parent.parent
    return isinstance(parent, exp.Window) and parent.this is node


def _is_query(node: exp.Expression) -> bool:
    return isinstance(node, SUBQUERIES)


def _is_open_ended(projection: exp.Expression) -> bool:
    """Whether a projection may yield any number of columns."""
    inner = projection.unalias()
    if inner.is_star or isinstance(inner, exp.Columns):
        return True
    if any(isinstance(node, exp.Columns) for node in inner.walk(prune=_is_query)):
        return True
    stars = (node for node in inner.walk(prune=_is_query) if isinstance(node, exp.Star))
    return any(not isinstance(node.parent, exp.Count) for node in stars)


def _bound_names(node: exp.Expression) -> list[str]:
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
