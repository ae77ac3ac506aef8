"""What ``evidence`` and ``evidence.column`` on a command line mean in a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.errors import UnknownColumnError, UnknownTargetError
from relspec_core.model.formatting import alternatives, did_you_mean, listed

if TYPE_CHECKING:
    import ibis

    from relspec_core.graph_inference import TaskGraph


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class EvidenceReference:
    """An evidence, or a column of one."""

    evidence: str
    column: str | None = None

    def __str__(self) -> str:
        return self.evidence if self.column is None else f"{self.evidence}.{self.column}"


def find_evidence(name: str, graph: TaskGraph) -> str:
    """An evidence of the graph by its name.

    Raises:
        UnknownTargetError: RS302, with the nearest name; of a task with other outputs, these.
    """
    if name in graph.evidence:
        return name
    if name in graph.tasks:
        hint = f"task '{name}' writes {listed(graph.outputs_of(name))}: name one of them."
    else:
        hint = alternatives(name, graph.evidence, most=40)
    raise UnknownTargetError(f"no task reads or writes evidence '{name}'", hint=hint)


def find_column(evidence: str, column: str, graph: TaskGraph) -> EvidenceReference:
    """A column of an evidence of the graph.

    Raises:
        UnknownColumnError: RS102, with the nearest name.
    """
    columns = tuple(columns_of(evidence, graph))
    if column not in columns:
        raise UnknownColumnError(
            f"evidence '{evidence}' has no column '{column}'",
            at=f"evidence '{evidence}' ({len(columns)} columns)",
            hint=f"{did_you_mean(column, columns)}It has {listed(columns, most=40)}.",
        )
    return EvidenceReference(evidence=evidence, column=column)


def find_reference(text: str, graph: TaskGraph) -> EvidenceReference:
    """The evidence, or the column, that a text names; of several readings the one with the longest evidence name.

    Raises:
        UnknownTargetError: RS302. UnknownColumnError: RS102.
    """
    if text in graph.evidence:
        return EvidenceReference(evidence=text)
    dots = [at for at, letter in enumerate(text) if letter == "."]
    for at in reversed(dots):
        if text[:at] in graph.evidence:
            return find_column(text[:at], text[at + 1 :], graph)
    if dots and text not in graph.tasks:
        return EvidenceReference(evidence=find_evidence(text[: dots[-1]], graph))
    return EvidenceReference(evidence=find_evidence(text, graph))


def find_column_reference(text: str, graph: TaskGraph) -> EvidenceReference:
    """The column that a text names.

    Raises:
        UnknownTargetError: RS302. UnknownColumnError: RS102, also where the text names an evidence only.
    """
    found = find_reference(text, graph)
    if found.column is None:
        columns = tuple(columns_of(found.evidence, graph))
        raise UnknownColumnError(
            f"'{text}' names an evidence, and none of its columns",
            hint=f"name one of {listed(columns, most=40)}: {found.evidence}.{columns[0] if columns else 'COLUMN'}",
        )
    return found


def columns_of(evidence: str, graph: TaskGraph) -> ibis.Schema:
    """The columns of an evidence of a compiled catalog that tasks may ask for."""
    return graph.whole_schema_of(evidence)
