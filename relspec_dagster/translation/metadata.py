"""What relspec knows of a table, as Dagster metadata."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
import ibis

from relspec_core.errors import SourceLocation
from relspec_core.graph_edge_validation import ReadinessReason
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.inferred_deps import InferredDeps
from relspec_dagster.access.storage import Storage

ALL_COLUMNS = "*"
NO_COLUMN = "(its rows)"


def table_schema(schema: ibis.Schema) -> dg.TableSchema:
    """The columns in order, with Ibis's names of their types; a column that takes no null is constrained so."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=name,
                type=str(kind.copy(nullable=True)),
                constraints=dg.TableColumnConstraints(nullable=kind.nullable),
            )
            for name, kind in schema.items()
        ]
    )


def table_metadata(schema: ibis.Schema, name: str, storage: Storage | None) -> Mapping[str, dg.TableSchema | str]:
    """What Dagster itself shows of a table: its columns, and, unless it is made of files, its full name and engine."""
    place = (
        {}
        if storage is None
        else {"dagster/table_name": storage.table_name(name), "dagster/storage_kind": storage.kind}
    )
    return {"dagster/column_schema": table_schema(schema), **place}


def column_lineage(deps: InferredDeps, keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    """For each output column the input columns that its values are made from.

    Columns that only decide which rows there are (filters, joins, groups) are not in it, as Dagster's lineage has no
    kinds; they are among the required columns.

    Args:
        deps: of the plan that makes the table.
        keys: the asset key of each evidence it reads.
    """
    return dg.TableColumnLineage(
        deps_by_column={
            column: [
                dg.TableColumnDep(asset_key=keys[evidence], column_name=name)
                for evidence, name in sorted({(use.evidence, use.column) for use in uses if use.use.is_direct})
            ]
            for column, uses in deps.lineage.items()
        }
    )


def columns_required_by(edges: Iterable[EdgeRequirement]) -> dg.TableMetadataValue:
    """What one task requires: a row (evidence, column, type, use) for each column that has to be there.

    An edge that reads no column has one row that says so; one that could not be resolved has a row for all columns
    with the reason.
    """
    return _table(("evidence", "column", "type", "use"), edges)


def columns_required_of(edges: Iterable[EdgeRequirement]) -> dg.TableMetadataValue:
    """What is required of one evidence: the same rows, with the task that reads instead of the evidence."""
    return _table(("task", "column", "type", "use"), edges)


def _table(names: tuple[str, ...], edges: Iterable[EdgeRequirement]) -> dg.TableMetadataValue:
    rows = [row for edge in edges for row in _rows(edge)]
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: row[name] for name in names}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name, type="string") for name in names]),
    )


def _rows(edge: EdgeRequirement) -> Iterator[Mapping[str, str]]:
    ends = {"evidence": edge.evidence, "task": edge.task}
    for column, uses in edge.uses.items():
        use = ", ".join(found.value.lower() for found in uses)
        yield {**ends, "column": column, "type": str(edge.types.get(column, "")), "use": use}
    if edge.unresolved:
        yield {**ends, "column": ALL_COLUMNS, "type": "", "use": edge.unresolved}
    elif not edge.columns:
        yield {**ends, "column": NO_COLUMN, "type": "", "use": ""}


def sql_markdown(sql: str) -> dg.MarkdownMetadataValue:
    """The SQL as a Markdown code block; its fence is longer than any run of backticks in the text."""
    fence = "```"
    while fence in sql:
        fence += "`"
    return dg.MetadataValue.md(f"{fence}sql\n{sql}\n{fence}")


def reasons_markdown(reasons: Iterable[ReadinessReason]) -> dg.MarkdownMetadataValue:
    """The reasons as a Markdown list, in their own order."""
    return dg.MetadataValue.md("\n".join(f"- {reason}" for reason in reasons))


def code_reference(location: SourceLocation) -> dg.CodeReferencesMetadataValue:
    """A link to the line where a builder stands; Dagster opens it in the user's editor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=location.file, line_number=location.line)]
        )
