"""The flow of a query as a walk over it builds it, with what the walk learned on its way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from relspec_core.lineage.column_graph import ColumnGraph, Use
from relspec_core.lineage.scopes import ColumnProblem, Relation, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a flow node stands for in the tree.

    Attributes:
        node: an expression, for a value; else the query, or the FROM item, that it belongs to.
        scope: where that stands.
        parts: the flow nodes that it is put together from: outputs, or both sides of a set operation.
        opaque: whether it was not looked into.
    """

    node: exp.Expr
    scope: Scope
    parts: tuple[int, ...] = ()
    opaque: bool = False


@dataclass(slots=True, kw_only=True)
class QueryAnalysis:
    """The flow of a query, and what the walk learned on its way.

    Attributes:
        schemas: the columns of each input table, in order: as the query spells them, to their true names; a table that
            is not here may have any column.
        dialect: SQLGlot's name of the query's dialect.
        flow: the graph.
        selects: every SELECT with its row set and its outputs, for pruning.
        ctes: every common table expression with its row set.
        origins: what each flow node that is no input stands for.
        columns: what each column node of the tree stands for: its relation and the column's name there.
        targets: the flow node of each column node of the tree.
        relations: the relation behind each FROM item of the tree, and behind each subquery in an expression.
        fields: for a flow node and a column's node that it needs, the struct fields that it takes of it.
        problems: columns that can't be resolved.
        unresolved: evidence whose columns are all needed, and why.
    """

    schemas: Mapping[str, Mapping[str, str]]
    dialect: str
    flow: ColumnGraph = field(default_factory=ColumnGraph)
    selects: list[tuple[exp.Select, int, list[int]]] = field(default_factory=list)
    ctes: list[tuple[exp.CTE, int]] = field(default_factory=list)
    origins: dict[int, Origin] = field(default_factory=dict)
    columns: dict[int, tuple[Relation, str]] = field(default_factory=dict)
    targets: dict[int, int] = field(default_factory=dict)
    relations: dict[int, Relation] = field(default_factory=dict)
    fields: dict[tuple[int, int], set[tuple[str, ...]]] = field(default_factory=dict)
    problems: list[ColumnProblem] = field(default_factory=list)
    unresolved: dict[str, str] = field(default_factory=dict)

    def stands_for(self, node: int, origin: exp.Expr, scope: Scope, *parts: int, opaque: bool = False) -> None:
        """State what a flow node stands for."""
        self.origins[node] = Origin(node=origin, scope=scope, parts=parts, opaque=opaque)

    def needs_all(self, node: int, relation: Relation, use: Use, reason: str) -> None:
        """State that a node needs every column of a relation, because the truth can't be known."""
        for inner in relation.all_nodes:
            self.flow.needs(node, inner, use)
        if relation.evidence is not None:
            self.unresolved.setdefault(relation.evidence, reason)
