"""Two states of a catalog compared: tasks and columns that were added, removed or changed, and who reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relspec_core.planning.plan_snapshot import ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """What is different about one table.

    Attributes:
        name: of the table.
        task: that writes it.
        status: ``added``, ``removed`` or ``changed``.
        rows: whether other rows are chosen.
        columns: the change of each changed column: ``added``, ``removed``, ``values``, or the types.
        readers: the tasks that read any of that, and what of it, by name.
    """

    name: str
    task: str
    status: str
    rows: bool
    columns: Mapping[str, str]
    readers: Mapping[str, tuple[str, ...]]

    def __str__(self) -> str:
        lines = [f"{self.status} {self.name} (task {self.task})"]
        lines += ["  other rows: a filter, join, group, order or limit"] if self.rows else []
        lines += [f"  {column}: {what}" for column, what in self.columns.items()]
        lines += [f"  read by {reader}: {', '.join(read)}" for reader, read in self.readers.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogDiff:
    """What is different between two states of a catalog; prints itself.

    Attributes:
        tables: by name, only those that are different.
    """

    tables: tuple[TableDiff, ...]

    def __str__(self) -> str:
        if not self.tables:
            return "no difference: every table is computed as before"
        counts = [
            f"{number} {status}"
            for status in ("added", "removed", "changed")
            if (number := sum(table.status == status for table in self.tables))
        ]
        return "\n".join([*map(str, self.tables), f"{', '.join(counts)}"])

    def to_json(self) -> str:
        """The same as JSON."""
        tables = [
            {
                "table": table.name,
                "task": table.task,
                "status": table.status,
                "rows": table.rows,
                "columns": dict(table.columns),
                "readers": {reader: list(read) for reader, read in table.readers.items()},
            }
            for table in self.tables
        ]
        return json.dumps({"tables": tables}, indent=2)


def catalog_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> CatalogDiff:
    """What is different between two snapshots."""
    return CatalogDiff(
        tables=tuple(
            found
            for name in sorted({*before, *after})
            if (found := _table_diff(name, before.get(name), after.get(name), before, after)) is not None
        )
    )


def _table_diff(
    name: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any] | None,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> TableDiff | None:
    if old is None or new is None:
        there = new or old or {}
        status, graph = ("added", after) if old is None else ("removed", before)
        readers = {reader: tuple(read) for reader, read in _readers(graph, name).items()}
        return TableDiff(name=name, task=there["task"], status=status, rows=False, columns={}, readers=readers)
    rows = old[ROWS] != new[ROWS] or old["kind"] != new["kind"]
    columns = {
        column: what
        for column in sorted({*old["columns"], *new["columns"]})
        if (what := _column_diff(column, old, new)) is not None
    }
    if not rows and not columns:
        return None
    hit = {
        reader: tuple(column for column in read if rows or column in columns)
        for graph in (before, after)
        for reader, read in _readers(graph, name).items()
        if rows or set(read) & set(columns)
    }
    readers = dict(sorted(hit.items()))
    return TableDiff(name=name, task=new["task"], status="changed", rows=rows, columns=columns, readers=readers)


def _column_diff(column: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    if column not in old["columns"]:
        return "added"
    if column not in new["columns"]:
        return "removed"
    if old["types"][column] != new["types"][column]:
        return f"{old['types'][column]} became {new['types'][column]}"
    return "values" if old["columns"][column] != new["columns"][column] else None


def _readers(graph: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    """The tasks that read a table, and which columns of it."""
    found: dict[str, set[str]] = {}
    for table in graph.values():
        if name in table["reads"]:
            found.setdefault(table["task"], set()).update(table["reads"][name])
    return {task: sorted(columns) for task, columns in sorted(found.items())}
