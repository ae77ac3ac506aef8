"""Inferred dependencies of a plan: its input tables, their required columns, and column lineage."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ibis.expr.datatypes as dt

from relspec_core.lineage.column_graph import InputColumn, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import ibis

    from relspec_core.lineage.canonical_query import CanonicalQuery


__all__ = ["ColumnUse", "InferredDeps", "Use", "infer_deps", "merge_deps"]


@dataclass(frozen=True, slots=True, order=True)
class ColumnUse:
    """A use of an evidence column."""

    evidence: str
    column: str
    use: Use

    def __str__(self) -> str:
        return f"{self.evidence}.{self.column} ({self.use})"


@dataclass(frozen=True, slots=True, kw_only=True)
class InferredDeps:
    """The dependencies of one plan.

    Attributes:
        inputs: the evidence read, sorted; also where no column but only rows are read.
        required_columns: for each input the columns that the plan must be able to read, sorted; empty: rows only.
        required_types: the type of each required column.
        required_fields: for each input with struct columns of which only fields are read, those fields' paths, sorted:
            ``address.city``.
        lineage: for each output column, in order, where its value comes from, and what decides this output alone.
        row_uses: what decides which rows there are, and their order: one list for the whole plan.
        unresolved: inputs of which all columns are required because lineage could not be resolved, with the reason.
    """

    inputs: tuple[str, ...]
    required_columns: Mapping[str, tuple[str, ...]]
    required_types: Mapping[str, Mapping[str, dt.DataType]]
    lineage: Mapping[str, tuple[ColumnUse, ...]]
    row_uses: tuple[ColumnUse, ...] = ()
    unresolved: Mapping[str, str] = field(default_factory=dict)
    required_fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def uses_of(self, evidence: str) -> Mapping[str, tuple[Use, ...]]:
        """All uses of each required column of an input, sorted."""
        found: dict[str, set[Use]] = {column: set() for column in self.required_columns[evidence]}
        for use in (*self.row_uses, *(use for uses in self.lineage.values() for use in uses)):
            if use.evidence == evidence and use.column in found:
                found[use.column].add(use.use)
        return {column: tuple(sorted(uses)) for column, uses in found.items()}


def infer_deps(tree: CanonicalQuery, *, outputs: Iterable[str], schemas: Mapping[str, ibis.Schema]) -> InferredDeps:
    """Infer the dependencies of a canonical tree.

    Args:
        tree: pruned.
        outputs: the plan's output columns, in order.
        schemas: of every evidence read; in-memory tables are not evidence.
    """
    columns: dict[str, list[str]] = defaultdict(list)
    for source in tree.walk.flow.inputs(tree.live):
        if source.evidence not in schemas:
            continue
        found = columns[source.evidence]
        if isinstance(source, InputColumn):
            found.append(source.column)
    required = {evidence: tuple(sorted(found)) for evidence, found in sorted(columns.items())}
    return InferredDeps(
        inputs=tuple(required),
        required_columns=required,
        required_types={
            evidence: {column: schemas[evidence][column] for column in found} for evidence, found in required.items()
        },
        lineage=_lineage(tree, tuple(outputs), required),
        row_uses=_uses(tree, tree.root.rows, required),
        unresolved={
            evidence: reason for evidence, reason in sorted(tree.walk.unresolved.items()) if evidence in required
        },
        required_fields=_required_fields(tree, required, schemas),
    )


def _required_fields(
    tree: CanonicalQuery, required: Mapping[str, tuple[str, ...]], schemas: Mapping[str, ibis.Schema]
) -> dict[str, tuple[str, ...]]:
    """The struct fields that are read, for columns that are never read as a whole."""
    paths: dict[str, list[str]] = {}
    for evidence, columns in required.items():
        for column in columns:
            kind = schemas[evidence][column]
            if isinstance(kind, dt.Struct):
                paths.setdefault(evidence, []).extend(_fields_of(tree, InputColumn(evidence, column), kind))
    return {evidence: tuple(sorted(found)) for evidence, found in paths.items() if found}


def _fields_of(tree: CanonicalQuery, source: InputColumn, kind: dt.Struct) -> set[str]:
    flow = tree.walk.flow
    node = flow.input(source)
    taken = [tree.walk.fields.get((reader, node), {()}) for reader in flow.readers(source, tree.live)]
    paths = {path for found in taken for path in found}
    if () in paths:
        return set()
    return {
        ".".join((source.column, *whole))
        for path in paths
        for whole in ([(*path[:-1], name) for name in kind] if path == ("*",) else [path])
    }


def _lineage(
    tree: CanonicalQuery, outputs: tuple[str, ...], evidence: Collection[str]
) -> dict[str, tuple[ColumnUse, ...]]:
    return {name: _uses(tree, node, evidence) for name, node in tree.output_nodes(outputs).items()}


def _uses(tree: CanonicalQuery, node: int, evidence: Collection[str]) -> tuple[ColumnUse, ...]:
    found = tree.walk.flow.uses(node)
    return tuple(
        sorted(ColumnUse(source.evidence, source.column, use) for source, use in found if source.evidence in evidence)
    )


def merge_deps(parts: Iterable[InferredDeps]) -> InferredDeps:
    """The merged dependencies of several plans, such as the outputs of one task, without column lineage."""
    parts = tuple(parts)
    types: dict[str, dict[str, dt.DataType]] = {}
    for deps in parts:
        for evidence, found in deps.required_types.items():
            types.setdefault(evidence, {}).update(found)
    required = {evidence: tuple(sorted(types[evidence])) for evidence in sorted(types)}
    uses = {use for deps in parts for use in (*deps.row_uses, *(u for uses in deps.lineage.values() for u in uses))}
    return InferredDeps(
        inputs=tuple(required),
        required_columns=required,
        required_types={
            evidence: {column: types[evidence][column] for column in found} for evidence, found in required.items()
        },
        lineage={},
        row_uses=tuple(sorted(uses)),
        unresolved={evidence: reason for deps in parts for evidence, reason in deps.unresolved.items()},
    )
