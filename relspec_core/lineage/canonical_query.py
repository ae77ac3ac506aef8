"""The canonical tree of a plan: parsed, spelled as declared, qualified with the true schemas, and pruned.

The same tree is analysed, fingerprinted and executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify_columns import qualify_columns, quote_identifiers
from sqlglot.optimizer.qualify_tables import qualify_tables
from sqlglot.schema import MappingSchema

from relspec_core.lineage.expression_lineage import has_aggregate, has_set_returning
from relspec_core.lineage.query_analysis import QueryAnalysis
from relspec_core.lineage.query_lineage import walk_query
from relspec_core.model.names import from_table, to_table
from relspec_core.sql.dot_notation import spell_out_calls, spell_out_fields
from relspec_core.sql.identifiers import spell
from relspec_core.sql.pivots import rewrite_pivots
from relspec_core.sql.star_expansion import hides_columns, names_columns, spell_out_patterns
from relspec_core.sql.using_joins import is_by_columns, mark_using_joins, settle_using_joins, unwrap_joins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relspec_core.lineage.scopes import ColumnProblem, Relation


GROUPINGS = (exp.Rollup, exp.Cube, exp.GroupingSets, exp.Tuple, exp.Paren)


class UnresolvedColumns(Exception):  # noqa: N818 - internal; callers that know the task turn it into RelspecErrors
    """The unresolved columns of a query."""

    def __init__(self, problems: Sequence[ColumnProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(", ".join(problem.column for problem in problems))


class UnqualifiableQuery(Exception):  # noqa: N818 - as above
    """A query that SQLGlot can't qualify, with SQLGlot's message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanonicalQuery:
    """A canonical query with its column graph.

    Attributes:
        ast: the pruned tree.
        root: the columns and the row set of the result.
        walk: the column graph, and the meaning of each column of the tree.
        live: the graph nodes that the root needs.
    """

    ast: exp.Query
    root: Relation
    walk: QueryAnalysis
    live: frozenset[int]

    def output_nodes(self, outputs: Sequence[str]) -> dict[str, int]:
        """The graph node of each output column; the first one if outputs share a name.

        Args:
            outputs: the names of all output columns; one projection can yield several.
        """
        root = self.root
        if root.anything is not None and root.spread is None:
            return dict.fromkeys(outputs, root.anything)
        found = list(root.nodes)
        if root.spread is not None:
            found[root.spread : root.spread + 1] = [found[root.spread]] * (len(outputs) - len(found) + 1)
        first = dict(reversed(list(zip(outputs, found, strict=True))))
        return {name: first[name] for name in outputs}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Contents:
    """The features of a query, found in one walk, as most queries need few of the passes below.

    Attributes:
        kinds: the types of its nodes.
        patterns: whether it selects columns by patterns.
        joins_by_columns: whether it has joins by ``USING`` or natural joins.
    """

    kinds: frozenset[type]
    patterns: bool
    joins_by_columns: bool

    @classmethod
    def of(cls, query: exp.Expr) -> _Contents:
        kinds: set[type] = set()
        patterns = joins_by_columns = False
        for node in query.walk():
            kinds.add(type(node))
            patterns = patterns or names_columns(node)
            joins_by_columns = joins_by_columns or (isinstance(node, exp.Join) and is_by_columns(node))
        return cls(kinds=frozenset(kinds), patterns=patterns, joins_by_columns=joins_by_columns)


def plan_tree(
    query: exp.Query, *, schemas: Mapping[str, Mapping[str, str]], dialect: str, names: Sequence[str] | None = None
) -> CanonicalQuery:
    """The canonical tree of a query.

    Args:
        query: modified in place.
        schemas: each input table's columns in order, with type names of the dialect.
        dialect: the SQLGlot dialect.
        names: the names of the output columns; default: those of the query.

    Raises:
        UnresolvedColumns: with every column that is unknown or ambiguous.
        UnqualifiableQuery: if SQLGlot can't qualify it.
    """
    contents = _Contents.of(query)
    if exp.Dot in contents.kinds:
        spell_out_calls(query)
    if exp.Pivot in contents.kinds:
        rewrite_pivots(query)
    columns = spell(query, schemas, dialect)
    spelled = {name: {column: schemas[name][true] for column, true in found.items()} for name, found in columns.items()}
    spell_out_fields(query, spelled, dialect)
    if exp.Subquery in contents.kinds:
        _drop_redundant_parentheses(query)
        unwrap_joins(query)
    if contents.patterns or contents.joins_by_columns:
        spell_out_patterns(query, columns)
    hidden = contents.patterns and hides_columns(query)
    if not hidden:
        query = _qualified(query, spelled, dialect, contents)
    if names is not None:
        _name_outputs(query, names)
    root, walk = walk_query(query, columns, dialect=dialect, hidden=hidden)
    if walk.problems:
        raise UnresolvedColumns(walk.problems)
    live = walk.flow.live([root.rows, *root.all_nodes])
    _prune(walk, live)
    if dialect == "duckdb":
        _unnest_structs(walk)
    return CanonicalQuery(ast=query, root=root, walk=walk, live=live)


def _drop_redundant_parentheses(query: exp.Expr) -> None:
    """Remove a pair of parentheses from ``FROM ((SELECT ...))``: SQLGlot would wrongly alias the inner one."""
    for subquery in list(query.find_all(exp.Subquery)):
        inner = subquery.this
        if isinstance(inner, exp.Subquery) and not any(inner.args[key] for key in inner.args if key != "this"):
            inner.replace(inner.this)


def _simplify_exists(query: exp.Expr) -> None:
    """Replace the projections of ``EXISTS`` subqueries by a constant, in place, if that does not affect their rows."""
    for exists in query.find_all(exp.Exists):
        select = exists.this.unnest() if isinstance(exists.this, exp.Subquery) else exists.this
        plain = isinstance(select, exp.Select) and not any(
            select.args.get(key) for key in ("distinct", "group", "having", "limit", "offset")
        )
        if (
            plain
            and not any(map(has_aggregate, select.expressions))
            and not any(map(has_set_returning, select.expressions))
        ):
            select.set("expressions", [exp.alias_(exp.Literal.number(1), "_", quoted=True)])
            select.set("order", None)


class EvidenceSchemas(MappingSchema):
    """Schemas by evidence name: SQLGlot's own class requires that all or no names are schema-qualified."""

    def table_parts(self, table: exp.Table) -> list[str]:
        """The evidence name as one part."""
        return [from_table(table)]


def _qualified(
    query: exp.Query, schemas: Mapping[str, Mapping[str, str]], dialect: str, contents: _Contents
) -> exp.Query:
    if contents.joins_by_columns:
        mark_using_joins(query)
    mapping = EvidenceSchemas(dialect=dialect, normalize=False)
    for name, columns in schemas.items():
        mapping.add_table(to_table(name), dict(columns), match_depth=False, normalize=False)
    try:
        qualified = qualify_columns(
            qualify_tables(query, dialect=dialect), schema=mapping, allow_partial_qualification=True
        )
        if contents.joins_by_columns:
            settle_using_joins(qualified)
    except SqlglotError as error:
        raise UnqualifiableQuery(str(error)) from error
    except AssertionError as error:  # for a number in ORDER BY if a set operation's columns are unknown
        raise UnqualifiableQuery(f"its columns are indistinguishable ({error})") from error
    if exp.Group in contents.kinds:
        _spell_out_grouping_sets(qualified)
    if exp.Exists in contents.kinds:
        _simplify_exists(qualified)
    return quote_identifiers(qualified, dialect=dialect)


def _spell_out_grouping_sets(query: exp.Expr) -> None:
    """Replace positions in ROLLUP, CUBE and GROUPING SETS, in place, which SQLGlot keeps and pruning would shift."""
    groups = list(query.find_all(exp.Group))
    for sets in [sets for group in groups for sets in group.find_all(exp.Rollup, exp.Cube, exp.GroupingSets)]:
        select = sets.find_ancestor(exp.Select)
        for number in list(sets.find_all(exp.Literal)):
            if select is not None and number.is_int and isinstance(number.parent, GROUPINGS):
                number.replace(select.expressions[int(number.this) - 1].unalias().copy())
    for group in groups:
        for number in [key for key in group.expressions if isinstance(key, exp.Literal) and key.is_int]:
            output = group.parent.expressions[int(number.this) - 1].unalias() if group.parent is not None else number
            # A bare constant would be a position again.
            kind = exp.DataType.build("VARCHAR" if isinstance(output, exp.Literal) and output.is_string else "INT")
            number.replace(exp.Cast(this=output.copy(), to=kind) if isinstance(output, exp.Literal) else output.copy())


def _name_outputs(query: exp.Query, names: Sequence[str]) -> None:
    """Rename the outputs of the outermost SELECT, in place, if their number matches."""
    select: exp.Expr = query
    while isinstance(select, (exp.Subquery, exp.SetOperation)):
        if isinstance(select, exp.SetOperation) and select.args.get("by_name"):
            return
        select = select.this
    if not isinstance(select, exp.Select) or len(select.expressions) != len(names):
        return
    order = query.args.get("order")
    referenced = {column.name for column in order.find_all(exp.Column) if not column.table} if order else set()
    for projection, name in zip(select.expressions, names, strict=True):
        if isinstance(projection, exp.Alias) and projection.alias != name and projection.alias not in referenced:
            projection.set("alias", exp.to_identifier(name, quoted=True))


def _unnest_structs(walk: QueryAnalysis) -> None:
    """Rewrite ``column.*`` as an unnesting, in place, as DuckDB does not accept it with a table qualifier."""
    for select, _, _ in walk.selects:
        for dot in [projection.unalias() for projection in select.expressions]:
            if (
                isinstance(dot, exp.Dot)
                and isinstance(dot.expression, exp.Star)
                and not any(dot.expression.args.values())
            ):
                dot.replace(exp.Explode(this=dot.this.copy()))


def _prune(walk: QueryAnalysis, live: frozenset[int]) -> None:
    """Drop unread outputs and unread common table expressions, in place."""
    for select, rows, outputs in walk.selects:
        if rows not in live:
            continue
        kept = [projection for projection, output in zip(select.expressions, outputs, strict=True) if output in live]
        if len(kept) == len(outputs):
            continue
        group = select.args.get("group")
        grouped = group is not None and not (group.args.get("all") and all(map(has_aggregate, select.expressions)))
        if not grouped and any(map(has_aggregate, select.expressions)) and not any(map(has_aggregate, kept)):
            kept.append(exp.alias_(exp.Count(this=exp.Star()), "_", quoted=True))
        select.set("expressions", kept or [exp.alias_(exp.Literal.number(1), "_", quoted=True)])
    for cte, rows in walk.ctes:
        if rows not in live:
            clause = cte.parent
            cte.pop()
            if clause is not None and not clause.expressions:
                clause.pop()
