"""What a place in a query can see: the relations of its FROM clause, and those around it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(slots=True, kw_only=True)
class Relation:
    """A table, a subquery or a table function, as the scope around it sees it.

    Attributes:
        names: its columns in order; they may repeat.
        nodes: the flow node of each column.
        rows: the flow node of its row set.
        evidence: the table's evidence name, for a table.
        anything: the flow node that any other column name stands for, where the columns can't be listed.
        spread: which of the columns stands for any number of columns, where one does.
        true_names: for a table with column aliases, each alias's own column.
        place: depth and position in its scope; set when a scope takes it in.
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
        """The node of a column; of the first where several share the name."""
        for own, node in zip(self.names, self.nodes, strict=True):
            if own == name:
                return node
        return self.anything

    @property
    def all_nodes(self) -> list[int]:
        """Every column's node."""
        return [*self.nodes, *([] if self.anything is None else [self.anything])]

    def renamed(self, names: Sequence[str]) -> Relation:
        """The same relation seen through a list of column aliases, which may be shorter than its columns."""
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
    """The names that one SELECT sees.

    Attributes:
        ctes: common table expressions by name.
        outer: the scope around, for correlated columns.
        sources: FROM items by alias, in order.
        windows: named windows.
    """

    ctes: Mapping[str, Relation]
    outer: Scope | None = None
    sources: dict[str, Relation] = field(default_factory=dict)
    windows: dict[str, exp.Window] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many scopes lie around this one."""
        return 0 if self.outer is None else self.outer.depth + 1

    def add(self, alias: str, relation: Relation) -> None:
        """Take a FROM item in."""
        relation.place = (self.depth, len(self.sources))
        self.sources[alias or f"#{len(self.sources)}"] = relation

    def outwards(self) -> Iterator[Scope]:
        """This scope and those around it, inner first."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.outer

    def source(self, alias: str) -> Relation | None:
        """The nearest FROM item of that alias."""
        return next((scope.sources[alias] for scope in self.outwards() if alias in scope.sources), None)

    def inherited(self, window: exp.Window) -> list[exp.Window]:
        """The named windows that a window builds on, nearest first."""
        found: list[exp.Window] = []
        name = window.args.get("alias")
        while isinstance(name, exp.Identifier) and name.name in self.windows and len(found) < len(self.windows):
            found.append(self.windows[name.name])
            name = found[-1].args.get("alias")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProblem:
    """A column that can't be resolved.

    Attributes:
        column: as written.
        evidence: the table that should have it, where that is clear.
        candidates: the columns there are, in table order.
        owners: the tables that all have it, where it is ambiguous.
        line: of the text, from 1; None where unknown.
        position: in the line, from 1.
    """

    column: str
    evidence: str | None = None
    candidates: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    line: int | None = None
    position: int | None = None
