"""What a plan calculates, as hashes: one for its rows, and one for each of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.fingerprints.query_fingerprint import QueryFingerprint
from relspec_core.lineage.column_graph import InputColumn
from relspec_core.model.hashing import Token, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis

    from relspec_core.fingerprints.user_functions import UserFunction
    from relspec_core.lineage.canonical_query import CanonicalQuery
    from relspec_core.lineage.column_graph import Input


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFingerprint:
    """How a column, or the row set, of a plan comes to be.

    Attributes:
        hash: of its own calculation inside this plan; 32 hexadecimal digits.
        inputs: the columns and row sets that it is made from or decided by, as ``in_order`` gives them.
        volatile: why it may come out differently each time; None where it does not.
    """

    hash: str
    inputs: tuple[Input, ...]
    volatile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFingerprints:
    """What one plan calculates.

    Attributes:
        rows: which rows there are, and their order.
        columns: the value of each output column in those rows.
    """

    rows: ColumnFingerprint
    columns: Mapping[str, ColumnFingerprint]

    @property
    def token(self) -> Token:
        """All of it."""
        return (self.rows.hash, *((name, column.hash) for name, column in self.columns.items()))

    @property
    def volatile(self) -> str | None:
        """The first reason why the plan's table may come out differently each time."""
        return next((found.volatile for found in (self.rows, *self.columns.values()) if found.volatile), None)


def in_order(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """Inputs by evidence, the row set of each before its columns: the order in which versions name them."""
    return tuple(sorted(inputs, key=lambda found: (found.evidence, isinstance(found, InputColumn), str(found))))


def calculations(
    tree: CanonicalQuery, *, schema: ibis.Schema, functions: Mapping[str, UserFunction]
) -> ColumnFingerprints:
    """What a canonical tree calculates.

    Args:
        tree: pruned or not; what nothing reads leaves no trace.
        schema: of what the plan yields.
        functions: what stands behind the names of user-defined functions.
    """
    hashes = QueryFingerprint(tree, functions)

    def calculation(node: int, role: Token) -> ColumnFingerprint:
        made, below = digest((role, hashes.of(node))), tree.walk.flow.made_of(node)
        for other in below:
            hashes.of(other)
        return ColumnFingerprint(
            hash=made, inputs=in_order(tree.walk.flow.inputs(below)), volatile=hashes.doubts_of(below)
        )

    columns = {
        # Columns of one node are told apart by their names, and by nothing else.
        name: calculation(node, ("column", name if node == tree.root.anything else "", str(schema[name])))
        for name, node in tree.output_nodes(tuple(schema)).items()
    }
    return ColumnFingerprints(rows=calculation(tree.root.rows, ("rows",)), columns=columns)
