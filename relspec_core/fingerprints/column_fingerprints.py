"""Fingerprints of a plan: one for its rows, and one for each of its columns."""

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
    """The fingerprint of a column or of the row set of a plan.

    Attributes:
        hash: of its calculation in this plan; 32 hexadecimal digits.
        inputs: the columns and row sets that it is computed from or influenced by, sorted by ``in_order``.
        volatile: the reason why it is nondeterministic; None if it is deterministic.
    """

    hash: str
    inputs: tuple[Input, ...]
    volatile: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFingerprints:
    """The fingerprints of one plan.

    Attributes:
        rows: of the set of rows and their order.
        columns: of the values of each output column.
    """

    rows: ColumnFingerprint
    columns: Mapping[str, ColumnFingerprint]

    @property
    def token(self) -> Token:
        """All hashes of the plan."""
        return (self.rows.hash, *((name, column.hash) for name, column in self.columns.items()))

    @property
    def volatile(self) -> str | None:
        """The first reason why the plan's result is nondeterministic."""
        return next((found.volatile for found in (self.rows, *self.columns.values()) if found.volatile), None)


def in_order(inputs: Iterable[Input]) -> tuple[Input, ...]:
    """Inputs sorted by evidence, each row set before its columns: the order of inputs in versions."""
    return tuple(sorted(inputs, key=lambda found: (found.evidence, isinstance(found, InputColumn), str(found))))


def calculations(
    tree: CanonicalQuery, *, schema: ibis.Schema, functions: Mapping[str, UserFunction]
) -> ColumnFingerprints:
    """The fingerprints of a canonical tree.

    Args:
        tree: pruned or not; unread parts do not affect the result.
        schema: of the plan's result.
        functions: the user-defined functions by name.
    """
    hashes = QueryFingerprint(tree, functions)

    def calculation(node: int, role: Token) -> ColumnFingerprint:
        made, below = digest((role, hashes.of(node))), tree.walk.flow.made_of(node)
        for other in below:
            hashes.of(other)
        return ColumnFingerprint(
            hash=made, inputs=in_order(tree.walk.flow.inputs(below)), volatile=hashes.volatile_reason(below)
        )

    columns = {
        # Columns that share a node differ by name only.
        name: calculation(node, ("column", name if node == tree.root.anything else "", str(schema[name])))
        for name, node in tree.output_nodes(tuple(schema)).items()
    }
    return ColumnFingerprints(rows=calculation(tree.root.rows, ("rows",)), columns=columns)
