"""Scopes of a query: the relations that names in a SELECT can refer to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(slots=True, kw_only=True)
class Relation:
    """A table, a subquery or a table function in a scope.

    Attributes:
        names: its columns in order, possibly repeated.
        nodes: the graph node of each column.
        rows: the graph node of its row set.
        evidence: the evidence name of a table.
        anything: the graph node of all other column names, if the columns are unknown.
        spread: the index of a column that expands to any number of columns, if there is one.
        true_names: for a table with column aliases, the column of each alias.
        place: depth and position in its scope; set when it is added to a scope.
    """

    names: Sequence[str]
    nodes: Sequence[int]
    rows: int
    evidence: str | None = None
    anything: int | None = None
    spread: int | None = None
    true_names: Mapping[str, str] = field(default_factory=dict)
    place: tuple[int, int] = (0, 0)

    def find(self, name: str) -> int | None:
        """The node of a column; the first one if several share the name."""
        for own, node in zip(self.names, self.nodes, strict=True):
            if own == name:
                return node
        return self.anything

    @property
    def all_nodes(self) -> list[int]:
        """The nodes of all columns."""
        return [*self.nodes, *([] if self.anything is None else [self.anything])]

    def renamed(self, names: Sequence[str]) -> Relation:
        """The relation with column aliases, possibly for its first columns only."""
        return Relation(
            names=[*names, *self.names[len(names) :]] if self.names else [],
            nodes=self.nodes,
            rows=self.rows,
            evidence=self.evidence,
            anything=self.anything,
            spread=self.spread,
            true_names=dict(zip(names, self.names, strict=False)) if self.evidence else {},
        )


@dataclass(slots=True, kw_only=True)
class Scope:
    """The names that are visible in one SELECT.

    Attributes:
        ctes: common table expressions by name.
        outer: the enclosing scope, for correlated columns.
        sources: FROM items by alias, in order.
        windows: named windows.
    """

    ctes: Mapping[str, Relation]
    outer: Scope | None = None
    sources: dict[str, Relation] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """The number of enclosing scopes."""
        return 0 if self.outer is None else self.outer.depth + 1

    def add(self, alias: str, relation: Relation) -> None:
        """Add a FROM item."""
        relation.place = (self.depth, len(self.sources))
        self.sources[alias or f"#{len(self.sources)}"] = relation

    def outwards(self) -> Iterator[Scope]:
        """This scope and the enclosing ones, innermost first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def source(self, alias: str) -> Relation | None:
        """The FROM item of an alias, from the innermost scope that has it."""
        return next((scope.sources[alias] for scope in self.outwards() if alias in scope.sources), None)

    def inherited(self, window: exp.Window) -> list[exp.Window]:
        """The named windows that a window extends, nearest first."""
        found: list[exp.Window] = []
        name = window.args.get("alias")
        while isinstance(name, exp.Identifier) and name.name in self.windows and len(found) < len(self.windows):
            found.append(self.windows[name.name])
            name = found[-1].args.get("alias")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProblem:
    """An unknown or ambiguous column.

    Attributes:
        column: as written.
        evidence: the table that should have it, if known.
        candidates: the existing columns, in table order.
        owners: the tables that have it, if it is ambiguous.
        line: of the text, from 1; None if unknown.
        position: in the line, from 1.
    """

    column: str
    evidence: str | None = None
    candidates: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    line: int | None = None
    position: int | None = None
