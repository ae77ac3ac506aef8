"""The result of analysing a query: its column graph, and the meaning of its nodes."""

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
    """The part of the tree that a graph node represents.

    Attributes:
        node: an expression for a value; else the query or the FROM item that it belongs to.
        scope: the scope of that part.
        parts: the graph nodes that it consists of: outputs, or both sides of a set operation.
        opaque: whether it was not analysed.
    """

    node: exp.Expr
    scope: Scope
    parts: tuple[int, ...] = ()
    opaque: bool = False


@dataclass(slots=True, kw_only=True)
class QueryAnalysis:
    """The column graph of a query, and facts about its tree.

    Attributes:
        schemas: the columns of each input table, in order: spelling in the query to true names; a table that is not
            in here can have any column.
        dialect: the SQLGlot dialect of the query.
        flow: the column graph.
        selects: every SELECT with its row set and its outputs, for pruning.
        ctes: every common table expression with its row set.
        origins: the origin of each graph node that is not an input.
        columns: the relation and the column name that each column node of the tree refers to.
        targets: the graph node of each column node of the tree.
        relations: the relation of each FROM item of the tree, and of each subquery in an expression.
        fields: the struct fields that a graph node accesses, by that node and the column's node.
        problems: unresolved columns.
        unresolved: evidence whose columns are all needed, with the reason.
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

    def set_origin(self, node: int, origin: exp.Expr, scope: Scope, *parts: int, opaque: bool = False) -> None:
        """Record the origin of a graph node."""
        self.origins[node] = Origin(node=origin, scope=scope, parts=parts, opaque=opaque)

    def needs_all(self, node: int, relation: Relation, use: Use, reason: str) -> None:
        """Add edges from a node to every column of a relation whose use can't be resolved."""
        for inner in relation.all_nodes:
            self.flow.needs(node, inner, use)
        if relation.evidence is not None:
            self.unresolved.setdefault(relation.evidence, reason)
