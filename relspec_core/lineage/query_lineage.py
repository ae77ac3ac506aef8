"""Construction of the column graph in one walk over a qualified query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from relspec_core.lineage.column_graph import InputColumn, InputRows, Use
from relspec_core.lineage.expression_lineage import ExpressionLineage, has_aggregate, has_set_returning, spreads
from relspec_core.lineage.query_analysis import QueryAnalysis
from relspec_core.lineage.scopes import Relation, Scope
from relspec_core.model.names import from_table
from relspec_core.sql.clauses import part
from relspec_core.sql.star_expansion import is_pattern


def walk_query(
    query: exp.Expr, schemas: Mapping[str, Mapping[str, str]], *, dialect: str, hidden: bool
) -> tuple[Relation, QueryAnalysis]:
    """Analyse a query: the relation that it yields, and its column graph.

    Args:
        query: qualified; base tables' column aliases are replaced by true names, and whole rows by structs, in place.
        schemas: the columns of each input table, in order: spelling in the query to true names.
        dialect: the SQLGlot dialect of the query.
        hidden: whether it is not qualified because a pattern hides which columns it yields.
    """
    found = QueryAnalysis(schemas=schemas, dialect=dialect)
    walk = QueryLineage(found)
    if hidden:
        return walk.opaque(query, {}, "the query selects columns by a pattern"), found
    return walk.query(query, {}, None), found


class QueryLineage:
    """Walk over queries that builds the column graph.

    Args:
        found: the analysis so far; extended.
    """

    __slots__ = ("_expressions", "_found")

    def __init__(self, found: QueryAnalysis) -> None:
        self._found = found
        self._expressions = ExpressionLineage(found, query=self.query)

    def query(self, node: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """The relation that a query yields."""
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
                return self.opaque(node, ctes, f"{node.key.upper()} is not analysed")

    def _select(self, node: exp.Select, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        scope = Scope(ctes=self._with(node, ctes, outer), outer=outer)
        rows = self._found.flow.add()
        self._from(node, scope, rows)
        scope.windows = {window.name: window for window in node.args.get("windows") or []}
        outputs = [self._output(projection, scope, rows) for projection in node.expressions]
        names = [projection.alias_or_name for projection in node.expressions]
        relation = self._yield(node, names, outputs, scope, rows)
        self._rows(node, scope, rows, dict(reversed(list(zip(names, outputs, strict=True)))), outputs)
        self._found.selects.append((node, rows, outputs))
        self._found.set_origin(rows, node, scope, *outputs)
        for projection, output in zip(node.expressions, outputs, strict=True):
            self._found.set_origin(output, projection, scope)
        return relation

    def _yield(self, node: exp.Select, names: list[str], outputs: list[int], scope: Scope, rows: int) -> Relation:
        """The relation that a SELECT yields, with one node per column if its columns are known."""
        spread = [position for position, projection in enumerate(node.expressions) if spreads(projection)]
        if not any(is_pattern(projection) for projection in node.expressions) and len(spread) <= 1:
            at = spread[0] if spread else None
            anything = None if at is None else outputs[at]
            return Relation(names=names, nodes=outputs, rows=rows, anything=anything, spread=at)
        joint = self._found.flow.add()
        self._found.set_origin(joint, node, scope, *outputs)
        for output in outputs:
            self._found.flow.needs(joint, output, Use.IDENTITY)
        if any(is_pattern(projection) for projection in node.expressions):
            for relation in scope.sources.values():
                self._found.needs_all(joint, relation, Use.TRANSFORMATION, "the query selects columns by a pattern")
        return Relation(names=[], nodes=[], rows=rows, anything=joint)

    def _with(self, node: exp.Expr, ctes: Mapping[str, Relation], outer: Scope | None) -> Mapping[str, Relation]:
        clause = part(node, "with")
        if clause is None:
            return ctes
        seen = dict(ctes)
        for cte in clause.expressions:
            names = cte.alias_column_names
            recursive = clause.args.get("recursive") and any(
                table.name == cte.alias for table in cte.find_all(exp.Table)
            )
            relation = self._recursive(cte, seen, outer) if recursive else self.query(cte.this, seen, outer)
            seen[cte.alias] = relation.renamed(names) if names else relation
            self._found.ctes.append((cte, relation.rows))
        return seen

    def _recursive(self, cte: exp.CTE, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        """The relation of a recursive expression, which reads a placeholder of itself; nothing in it is pruned."""
        names = cte.alias_column_names or cte.this.named_selects
        own = Relation(names=names, nodes=[self._found.flow.add() for _ in names], rows=self._found.flow.add())
        body = self.query(cte.this, {**ctes, cte.alias: own}, outer)
        scope = Scope(ctes=ctes, outer=outer)
        for node, inner in zip(own.nodes, body.nodes, strict=False):
            self._found.flow.needs(node, inner, Use.IDENTITY)
            self._found.set_origin(node, cte, scope, inner)
        self._found.flow.needs(own.rows, body.rows, Use.IDENTITY)
        self._found.set_origin(own.rows, cte, scope, body.rows)
        for inner in body.all_nodes:
            self._found.flow.keeps(body.rows, inner)
        return own

    def _set_operation(self, node: exp.SetOperation, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        left, right = self.query(node.this, ctes, outer), self.query(node.expression, ctes, outer)
        rows = self._found.flow.add()
        scope = Scope(ctes=ctes, outer=outer)
        self._found.flow.needs(rows, left.rows, Use.IDENTITY)
        self._found.flow.needs(rows, right.rows, Use.IDENTITY)
        bag = isinstance(node, exp.Union) and not node.args.get("distinct")
        if left.anything is not None or right.anything is not None:
            joint = self._joined_open(rows, left, right, use=None if bag else Use.GROUP_BY)
            self._tail(node, scope, rows, dict.fromkeys(left.names, joint.all_nodes[0]), joint.all_nodes)
            for open_node in (rows, *joint.all_nodes):
                self._found.set_origin(open_node, node, scope, left.rows, right.rows, *left.all_nodes, *right.all_nodes)
            return joint
        by_name = bool(node.args.get("by_name"))
        names = list(dict.fromkeys([*left.names, *right.names])) if by_name else list(left.names)
        outputs = [self._found.flow.add() for _ in names]
        united = isinstance(node, exp.Union)
        self._found.set_origin(rows, node, scope, left.rows, right.rows, *(() if bag else outputs))
        for position, (name, output) in enumerate(zip(names, outputs, strict=True)):
            sides = [_column_at(side, position, name if by_name else None) for side in (left, right)]
            self._found.set_origin(output, node, scope, *(side for side in sides if side is not None))
            for side, inner in zip((left, right), sides, strict=True):
                if inner is None:
                    continue
                self._found.flow.keeps(output, inner)
                self._found.flow.keeps(inner, output)
                if united or side is left:
                    self._found.flow.needs(output, inner, Use.IDENTITY)
                if not united and side is right:
                    self._found.flow.needs(rows, inner, Use.FILTER)
                if not united or node.args.get("distinct"):
                    self._found.flow.needs(rows, output, Use.GROUP_BY)
        relation = Relation(names=names, nodes=outputs, rows=rows)
        self._tail(node, scope, rows, dict(zip(names, outputs, strict=True)), outputs)
        return relation

    def _joined_open(self, rows: int, *sides: Relation, use: Use | None) -> Relation:
        """The relation of a set operation with a side whose columns are unknown.

        Args:
            rows: its row set.
            sides: of the operation.
            use: how the values influence the rows; None if they do not.
        """
        node = self._found.flow.add()
        for side in sides:
            for inner in side.all_nodes:
                self._found.flow.needs(node, inner, Use.IDENTITY)
                self._found.flow.keeps(rows, inner)
        if use is not None:
            self._found.flow.needs(rows, node, use)
        return Relation(names=[], nodes=[], rows=rows, anything=node)

    def _wrapped(self, node: exp.Subquery, ctes: Mapping[str, Relation], outer: Scope | None) -> Relation:
        inner = self.query(node.this, self._with(node, ctes, outer), outer)
        if not any(node.args.get(clause) for clause in ("order", "limit", "offset")):
            return inner
        rows = self._found.flow.add()
        self._found.flow.needs(rows, inner.rows, Use.IDENTITY)
        named = dict(zip(inner.names, inner.nodes, strict=True))
        scope = Scope(ctes=ctes, outer=outer)
        self._found.set_origin(rows, node, scope, inner.rows)
        self._tail(node, scope, rows, named, inner.nodes)
        return Relation(names=inner.names, nodes=inner.nodes, rows=rows, anything=inner.anything)

    def _values(self, node: exp.Values, scope: Scope) -> Relation:
        column = self._found.flow.add()
        self._expressions.visit(node.expressions, column, Use.TRANSFORMATION, scope)
        rows = self._found.flow.add()
        self._found.set_origin(column, node, scope)
        self._found.set_origin(rows, node, scope)
        return Relation(names=[], nodes=[], rows=rows, anything=column)

    def opaque(self, node: exp.Expr, ctes: Mapping[str, Relation], reason: str) -> Relation:
        """The relation of a query that is not analysed: all columns of everything that it refers to are needed."""
        rows, column = self._found.flow.add(), self._found.flow.add()
        self._found.flow.needs(rows, column, Use.FILTER)
        for found in (rows, column):
            self._found.set_origin(found, node, Scope(ctes=ctes), opaque=True)
        for table in node.find_all(exp.Table):
            relation = ctes.get(table.name) if not table.db else None
            relation = relation or self._table(table)
            self._found.flow.needs(rows, relation.rows, Use.IDENTITY)
            self._found.needs_all(column, relation, Use.TRANSFORMATION, reason)
        return Relation(names=[], nodes=[], rows=rows, anything=column)

    def _from(self, node: exp.Expr, scope: Scope, rows: int) -> None:
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
        self._expressions.visit(join.args.get("on"), rows, use, scope)
        joined = list(scope.sources.values())[len(before) :]
        if join.method == "NATURAL":
            for relation in [*before, *joined]:
                self._found.needs_all(rows, relation, use, "a NATURAL JOIN could not be resolved")
        for identifier in join.args.get("using") or []:
            for relation in [*before, *joined]:
                found = relation.find(identifier.name)
                if found is not None:
                    self._found.flow.needs(rows, found, use)

    def _source(self, node: exp.Expr, scope: Scope, rows: int) -> None:
        """Add a FROM item to the scope, whose rows depend on the item's rows."""
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table) and not node.alias:
            self._source(node.this, scope, rows)
        else:
            pivots = node.args.get("pivots") or []
            relation = self._relation(node, scope)
            if pivots:
                relation = self._pivoted(node, relation, scope)
            self._found.flow.needs(rows, relation.rows, Use.IDENTITY)
            scope.add(pivots[-1].alias if pivots and pivots[-1].alias else node.alias_or_name, relation)
            self._found.relations[id(node)] = relation
        for join in node.args.get("joins") or []:
            self._join(join, scope, rows)

    def _relation(self, node: exp.Expr, scope: Scope) -> Relation:
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
                relation = self.opaque(node, scope.ctes, f"{node.key.upper()} is not analysed")
        names = node.alias_column_names
        if names and relation.evidence is not None:
            node.args["alias"].set("columns", None)  # its columns have their own names in the canonical tree
        return relation.renamed(names) if names else relation

    @staticmethod
    def _copy(relation: Relation) -> Relation:
        """A copy with a position of its own, as two readers of a common table expression are two FROM items."""
        return Relation(names=relation.names, nodes=relation.nodes, rows=relation.rows, anything=relation.anything)

    def _table(self, node: exp.Table) -> Relation:
        name = from_table(node)
        columns = self._found.schemas.get(name)
        if columns is None:
            return self._unknown(name)
        return Relation(
            names=tuple(columns),
            nodes=[self._found.flow.input(InputColumn(name, column)) for column in columns.values()],
            rows=self._found.flow.input(InputRows(name)),
            evidence=name,
        )

    def _unknown(self, name: str) -> Relation:
        """The relation of a table without a known schema, which can have any column."""
        column = self._found.flow.add()
        self._found.set_origin(column, exp.to_table(name), Scope(ctes={}), opaque=True)
        return Relation(names=[], nodes=[], rows=self._found.flow.input(InputRows(name)), anything=column)

    def _table_function(self, node: exp.Expr, scope: Scope) -> Relation:
        column, rows = self._found.flow.add(), self._found.flow.add()
        for child in node.iter_expressions():
            if not isinstance(child, exp.TableAlias):
                self._expressions.visit(child, column, Use.TRANSFORMATION, scope)
        self._found.flow.needs(rows, column, Use.JOIN)
        for found in (rows, column):
            self._found.set_origin(found, node, scope)
        names = node.alias_column_names if isinstance(node, exp.UDTF) else []
        return Relation(names=names, nodes=[column] * len(names), rows=rows, anything=column)

    def _pivoted(self, item: exp.Expr, relation: Relation, scope: Scope) -> Relation:
        node = self._found.flow.add()
        self._found.needs_all(node, relation, Use.TRANSFORMATION, "the query pivots it")
        rows = self._found.flow.add()
        for found in (rows, node):
            self._found.set_origin(found, item, scope, relation.rows, *relation.all_nodes)
        self._found.flow.needs(rows, relation.rows, Use.IDENTITY)
        for inner in relation.all_nodes:
            self._found.flow.needs(rows, inner, Use.GROUP_BY)
        return Relation(names=[], nodes=[], rows=rows, anything=node)

    def _output(self, projection: exp.Expr, scope: Scope, rows: int) -> int:
        output = self._found.flow.add()
        self._expressions.visit(projection, output, Use.IDENTITY, scope)
        if has_set_returning(projection):
            self._found.flow.needs(rows, output, Use.JOIN)
        return output

    def _rows(self, node: exp.Select, scope: Scope, rows: int, aliases: Mapping[str, int], outputs: list[int]) -> None:
        """Add edges for the clauses that determine the rows of a SELECT and their order."""
        for clause, use in (
            ("where", Use.FILTER),
            ("group", Use.GROUP_BY),
            ("having", Use.FILTER),
            ("qualify", Use.FILTER),
        ):
            self._expressions.visit(node.args.get(clause), rows, use, scope)
        group = node.args.get("group")
        if group is not None and group.args.get("all"):
            for projection, output in zip(node.expressions, outputs, strict=True):
                if not has_aggregate(projection):
                    self._found.flow.needs(rows, output, Use.GROUP_BY)
        distinct = node.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            self._expressions.visit(distinct.args["on"], rows, Use.GROUP_BY, scope, aliases)
        elif distinct is not None:
            for output in outputs:
                self._found.flow.needs(rows, output, Use.GROUP_BY)
        if node.args.get("match"):
            for relation in scope.sources.values():
                self._found.needs_all(rows, relation, Use.FILTER, "MATCH_RECOGNIZE is not analysed")
        self._tail(node, scope, rows, aliases, outputs)

    def _tail(
        self, node: exp.Expr, scope: Scope, rows: int, aliases: Mapping[str, int], outputs: Sequence[int]
    ) -> None:
        order = node.args.get("order")
        if order is not None and any(isinstance(ordered.this, exp.Var) for ordered in order.expressions):  # BY ALL
            for output in outputs:
                self._found.flow.needs(rows, output, Use.SORT)
        for clause, use in (
            ("order", Use.SORT),
            ("sort", Use.SORT),
            ("cluster", Use.SORT),
            ("distribute", Use.SORT),
            ("limit", Use.FILTER),
            ("offset", Use.FILTER),
        ):
            self._expressions.visit(node.args.get(clause), rows, use, scope, aliases)


def _column_at(side: Relation, position: int, name: str | None) -> int | None:
    """A column of one side of a set operation, by name if given, else by position."""
    if name is not None:
        return side.find(name)
    return side.nodes[position] if position < len(side.nodes) else None
