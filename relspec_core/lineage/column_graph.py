"""The column graph of a plan: the flow of columns and rows from its inputs to its outputs.

Nodes are the input columns, the row set of each input, and the outputs and the row set of each scope of the plan. An
edge states that one node needs another, and its use. Required columns are those reachable from the root.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Use(StrEnum):
    """The use of a column, in the terms of OpenLineage's column lineage facet."""

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
        """Whether a value is computed from the column, rather than influenced by it."""
        return self in DIRECT_ORDER

    def through(self, inner: Use) -> Use:
        """The combined use along two edges: this one, then the inner one.

        The outermost indirect use wins; among direct uses AGGREGATION beats TRANSFORMATION, which beats IDENTITY.
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
    """The column graph of a plan; nodes are integers.

    In addition to edges with a use there are plain ones, which keep a node alive but carry no lineage, such as those to
    a union's other branch or to the row set of a scope's input.
    """

    __slots__ = ("_edges", "_inputs", "_node_of")

    def __init__(self) -> None:
        self._edges: list[dict[tuple[int, Use | None], None]] = []
        self._inputs: dict[int, Input] = {}
        self._node_of: dict[Input, int] = {}

    def add(self) -> int:
        """Add a node without edges."""
        self._edges.append({})
        return len(self._edges) - 1

    def input(self, source: Input) -> int:
        """The node of an input column or row set, added if necessary."""
        if source not in self._node_of:
            self._node_of[source] = node = self.add()
            self._inputs[node] = source
        return self._node_of[source]

    def needs(self, node: int, other: int, use: Use) -> None:
        """Add an edge from a node to one that it is computed from or influenced by."""
        self._edges[node][other, use] = None

    def keeps(self, node: int, other: int) -> None:
        """Add an edge without lineage to a node that must be kept with this one."""
        self._edges[node][other, None] = None

    def live(self, roots: list[int]) -> frozenset[int]:
        """All nodes reachable from the roots."""
        seen = set(roots)
        pending = list(roots)
        while pending:
            for other, _ in self._edges[pending.pop()]:
                if other not in seen:
                    seen.add(other)
                    pending.append(other)
        return frozenset(seen)

    def made_of(self, root: int) -> frozenset[int]:
        """A node and all that it needs directly or indirectly, without nodes that are only kept."""
        seen = {root}
        pending = [root]
        while pending:
            for other, use in self._edges[pending.pop()]:
                if use is not None and other not in seen:
                    seen.add(other)
                    pending.append(other)
        return frozenset(seen)

    def source(self, node: int) -> Input | None:
        """The input that a node represents; None if it is not an input."""
        return self._inputs.get(node)

    def inputs(self, live: frozenset[int]) -> frozenset[Input]:
        """The inputs among the live nodes."""
        return frozenset(source for node, source in self._inputs.items() if node in live)

    def readers(self, source: Input, live: frozenset[int]) -> list[int]:
        """The live nodes that need an input directly."""
        wanted = self._node_of.get(source)
        return [node for node in sorted(live) if any(other == wanted for other, _ in self._edges[node])]

    def uses(self, root: int) -> frozenset[tuple[InputColumn, Use]]:
        """Each input column that a node is computed from or influenced by, with its use, also through row sets."""
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
