"""Columns that are written and kept although no task reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.warehouses.storage_sizes import column_sizes, size_text

if TYPE_CHECKING:
    import ibis.expr.datatypes as dt

    from relspec_core.graph_inference import TaskGraph
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.task_catalog import TaskCatalog
    from relspec_core.warehouses.warehouse import Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedColumn:
    """A column that no task reads; ``bytes`` is what it takes up on disk, where that is known."""

    name: str
    kind: dt.DataType
    bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartlyRead:
    """A table that is read, but not all of its columns.

    Attributes:
        evidence: its name.
        task: who writes it; None for a source.
        columns: those that nobody reads, in the table's order; at least one.
        estimated: whether their sizes are estimates.
    """

    evidence: str
    task: str | None
    columns: tuple[UnusedColumn, ...]
    estimated: bool

    def __str__(self) -> str:
        about = "about " if self.estimated else ""
        name = f"{self.evidence}, a source" if self.task is None else f"{self.evidence}, written by task '{self.task}'"
        columns = (
            f"    {column.name}  {column.kind}  "
            + ("size unknown" if column.bytes is None else f"{about}{size_text(column.bytes)}")
            for column in self.columns
        )
        return "\n".join([f"  {name}", *columns])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedReport:
    """What no task of a catalog reads.

    Attributes:
        tables: with columns that are not read, by name.
        final: tables that no task reads at all, by name: they are made for somebody else.
        sources: declared, and read by no task, by name.
    """

    tables: tuple[PartlyRead, ...]
    final: tuple[str, ...]
    sources: tuple[str, ...]

    @property
    def columns(self) -> int:
        """How many columns are unused."""
        return sum(len(table.columns) for table in self.tables)

    @property
    def bytes(self) -> int:
        """What they take up, as far as that is known."""
        return sum(column.bytes or 0 for table in self.tables for column in table.columns)

    def __str__(self) -> str:
        lines: list[str] = []
        if self.tables:
            lines += ["columns that no task reads", *map(str, self.tables)]
        if self.final:
            lines += ["final tables, which no task reads at all", f"  {', '.join(self.final)}"]
        if self.sources:
            lines += ["declared sources that no task reads", f"  {', '.join(self.sources)}"]
        return "\n".join([*lines, self._total])

    @property
    def _total(self) -> str:
        total = f"{self.columns} unused columns in {len(self.tables)} tables"
        if not self.columns:
            return total
        known = [column.bytes for table in self.tables for column in table.columns if column.bytes is not None]
        if not known:
            return f"{total}; their sizes are not known. {NEXT}"
        about = "about " if any(table.estimated for table in self.tables) else ""
        how = " (estimated where they lie in DuckDB's blocks)" if about else ""
        rest = f", and {self.columns - len(known)} of unknown size" if len(known) < self.columns else ""
        return f"{total}, {about}{size_text(self.bytes)}{how}{rest}. {NEXT}"

    def to_json(self) -> str:
        """The same as JSON; sizes in bytes."""
        data = {
            "tables": [
                {
                    "evidence": table.evidence,
                    "task": table.task,
                    "estimated": table.estimated,
                    "columns": [
                        {"column": column.name, "type": str(column.kind), "bytes": column.bytes}
                        for column in table.columns
                    ],
                }
                for table in self.tables
            ],
            "final": list(self.final),
            "sources": list(self.sources),
        }
        return json.dumps(data, indent=2)


NEXT = "Leave them out of their tasks, unless somebody outside of this catalog reads them."


def unused_columns(
    task_catalog: TaskCatalog, *, plans: PlanCatalog, graph: TaskGraph, warehouse: Warehouse
) -> UnusedReport:
    """Columns of tables and sources that no task reads, with their sizes; nothing is written.

    Args:
        task_catalog: for the declared sources.
        plans: of its tasks.
        graph: of these.
        warehouse: where the tables are, if they are built.
    """
    tables = (_partly_read(evidence, plans, graph, warehouse) for evidence in graph.evidence)
    return UnusedReport(
        tables=tuple(table for table in tables if table is not None),
        final=tuple(name for name in graph.evidence if not graph.readers(name)),
        sources=tuple(source.name for source in task_catalog.sources if source.name not in graph.evidence),
    )


def _partly_read(evidence: str, plans: PlanCatalog, graph: TaskGraph, warehouse: Warehouse) -> PartlyRead | None:
    edges, schema = graph.edges_from(evidence), graph.schema_of(evidence)
    read = {column for edge in edges for column in edge.columns}
    unused = [column for column in schema if column not in read]
    internal = (
        evidence in plans and plans[evidence].needed is not None
    )  # an unread column of it is written for its rows
    if not edges or not unused or internal:
        return None
    sizes = column_sizes(evidence, unused, warehouse, source=plans.sources.get(evidence))
    return PartlyRead(
        evidence=evidence,
        task=graph.producer(evidence),
        columns=tuple(
            UnusedColumn(name=column, kind=schema[column], bytes=sizes.bytes.get(column)) for column in unused
        ),
        estimated=sizes.estimated,
    )
