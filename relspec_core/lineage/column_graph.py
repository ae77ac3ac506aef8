"""How columns and rows flow through one plan: a small graph, and what can be asked of it.

Nodes are the input columns, the row set of each input, the outputs and the row set of each scope of the plan. An edge
says that one node needs another and how it uses it. Needed columns are what the root reaches; lineage is how.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Use(StrEnum):
    """How a column is used, in the terms of OpenLineage's column lineage facet."""

    IDENTITY = "IDENTITY"
    TRANSFORMATION = "TRANSFORMATION"
    AGGREGATION = "AGGREGATION"
    JOIN = "JOIN"
    GROUP_BY = "GROUP_BY"
    FILTER = "FILTER"
    SORT = "SORT"
    WINDOW = "WINDOW"
    CONDITIONAL = "CONDITIONAL"

    @property
    def is_direct(self) -> bool:
        """Whether a value is made from the column, rather than decided by it."""
        return self in DIRECT_ORDER

    def through(self, inner: Use) -> Use:
        """The use of what lies behind a node that is used so.

        The outermost indirect use wins; of direct ones AGGREGATION beats TRANSFORMATION beats IDENTITY.
        """
        if not self.is_direct:
            return self
        if not inner.is_direct:
            return inner
        return max(self, inner, key=DIRECT_ORDER.index)


DIRECT_ORDER = (Use.IDENTITY, Use.TRANSFORMATION, Use.AGGREGATION)


@dataclass(frozen=True, slots=True, order=True)
class InputColumn:
    """A column of an evidence table."""

    evidence: str
    column: str


@dataclass(frozen=True, slots=True, order=True)
class InputRows:
    """The row set of an evidence table."""

    evidence: str


Input = InputColumn | InputRows


class ColumnGraph:
    """The graph of one plan while it is built; nodes are numbers.

    Besides edges with a use there are plain ones, which keep a node alive but carry no lineage: a union's other branch,
    the row set of a scope's input.
    """

    __slots__ = ("_edges", "_inputs", "_node_of")

    def __init__(self) -> None:
        self._edges: list[dict[tuple[int, Use | None], None]] = []
        self._inputs: dict[int, Input] = {}
        self._node_of: dict[Input, int] = {}

    def add(self) -> int:
        """A new node without edges."""
        self._edges.append({})
        return len(self._edges) - 1

    def input(self, source: Input) -> int:
        """The node of an input column or row set."""
        if source not in self._node_of:
            self._node_of[source] = node = self.add()
            self._inputs[node] = source
        return self._node_of[source]

    def needs(self, node: int, other: int, use: Use) -> None:
        """State that a node is made from, or decided by, another."""
        self._edges[node][other, use] = None

    def keeps(self, node: int, other: int) -> None:
        """State that another node has to stay while this one does."""
        self._edges[node][other, None] = None

    def live(self, roots: list[int]) -> frozenset[int]:
        """Every node that the roots need or keep."""
        seen = set(roots)
        pending = list(roots)
        while pending:
            for other, _ in self._edges[pending.pop()]:
                if other not in seen:
                    seen.add(other)
                    pending.append(other)
        return frozenset(seen)

    def made_of(self, root: int) -> frozenset[int]:
        """A node and all that it needs, directly or not; what only has to stay is left out."""
        seen = {root}
        pending = [root]
        while pending:
            for other, use in self._edges[pending.pop()]:
                if use is not None and other not in seen:
                    seen.add(other)
                    pending.append(other)
        return frozenset(seen)

    def source(self, node: int) -> Input | None:
        """The input that a node stands for, if it is one."""
        return self._inputs.get(node)

    def inputs(self, live: frozenset[int]) -> frozenset[Input]:
        """The inputs among live nodes."""
        return frozenset(source for node, source in self._inputs.items() if node in live)

    def readers(self, source: Input, live: frozenset[int]) -> list[int]:
        """The live nodes that need an input directly."""
        wanted = self._node_of.get(source)
        return [node for node in sorted(live) if any(other == wanted for other, _ in self._edges[node])]

    def uses(self, root: int) -> frozenset[tuple[InputColumn, Use]]:
        """Each input column that a node is made from or decided by, and how; row sets pass their own uses on."""
        found: set[tuple[InputColumn, Use]] = set()
        start = (root, Use.IDENTITY)
        seen = {start}
        pending = [start]
        while pending:
            node, use = pending.pop()
            source = self._inputs.get(node)
            if isinstance(source, InputColumn):
                found.add((source, use))
            for other, inner in self._edges[node]:
                if inner is None:
                    continue
                step = (other, use.through(inner))
                if step not in seen:
                    seen.add(step)
                    pending.append(step)
        return frozenset(found)
