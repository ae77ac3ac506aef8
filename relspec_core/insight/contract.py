"""What the readers of an evidence really need of it, in a form that its producer can keep and check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from relspec_core.sources.schema_files import name_of_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.graph_inference import TaskGraph
    from relspec_core.inferred_deps import Use


ONE_LINE = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractColumn:
    """A column that somebody reads.

    Attributes:
        name: of the column.
        kind: its type.
        readers: task to its uses of the column, by task.
    """

    name: str
    kind: dt.DataType
    readers: Mapping[str, tuple[Use, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The columns of an evidence that tasks read; prints itself as YAML.

    Attributes:
        evidence: its name.
        columns: in the evidence's order.
        row_readers: tasks that read its rows but none of its columns.
        unread: columns that nobody reads, in order.
    """

    evidence: str
    columns: tuple[ContractColumn, ...]
    row_readers: tuple[str, ...]
    unread: tuple[str, ...]

    def __str__(self) -> str:
        lines = [_comment(f"What tasks need of '{self.evidence}'. Check a new schema of it against them:")]
        lines.append(_comment(f"    relspec impact {self.evidence} --schema FILE"))
        if self.row_readers:
            lines.append(_comment(f"Rows, and no column, are read by {', '.join(self.row_readers)}."))
        if self.unread:
            lines.append(_comment(f"Nobody reads {', '.join(self.unread)}."))
        for column in self.columns:
            readers = (f"{task} ({', '.join(uses)})" if uses else task for task, uses in column.readers.items())
            lines.append(_comment(f"read by {', '.join(readers)}"))
            lines.append(yaml.safe_dump({column.name: name_of_type(column.kind)}, width=ONE_LINE).rstrip())
        return "\n".join(lines if self.columns else [*lines, "{}"])

    def to_json(self) -> str:
        """The columns with their types and readers; the same bytes for the same catalog."""
        data = {
            "evidence": self.evidence,
            "columns": {
                column.name: {
                    "type": name_of_type(column.kind),
                    "readers": {task: [str(use) for use in uses] for task, uses in column.readers.items()},
                }
                for column in self.columns
            },
            "row_readers": list(self.row_readers),
            "unread": list(self.unread),
        }
        return json.dumps(data, indent=2)


def contract_of(evidence: str, graph: TaskGraph) -> Contract:
    """What the readers of an evidence of the graph need of it, with the types that they are compiled for."""
    edges = graph.edges_from(evidence)
    columns = graph.schema_of(evidence)
    uses = {edge.task: edge.uses for edge in edges}
    read = {column: {task: found[column] for task, found in uses.items() if column in found} for column in columns}
    return Contract(
        evidence=evidence,
        columns=tuple(
            ContractColumn(name=column, kind=columns[column], readers=readers)
            for column, readers in read.items()
            if readers
        ),
        row_readers=tuple(edge.task for edge in edges if not edge.columns),
        unread=tuple(column for column, readers in read.items() if not readers),
    )


def _comment(text: str) -> str:
    return f"# {' '.join(text.splitlines())}"
