"""Dagster metadata of tables, edges and reasons."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping

import dagster as dg
import ibis

from relspec_core.errors import SourceLocation
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.inferred_deps import InferredDeps
from relspec_core.model.reasons import Reason
from relspec_dagster.access.storage import Storage

ALL_COLUMNS = "*"
NO_COLUMN = "(its rows)"
REASONS = "relspec/reasons"
REASON_CODES = "relspec/reason_codes"


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
    """The metadata that Dagster displays by itself: columns and, unless the data are files, full name and engine."""
    place = (
        {}
        if storage is None
        else {"dagster/table_name": storage.table_name(name), "dagster/storage_kind": storage.kind}
    )
    return {"dagster/column_schema": table_schema(schema), **place}


def column_lineage(deps: InferredDeps, keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    """For each output column the input columns that its values are computed from.

    Columns that only decide which rows there are (filters, joins, groups) are not in it, as Dagster's lineage has no
    kinds; they are among the required columns.

    Args:
        deps: of the plan that writes the table.
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
    """The requirements of one task: a row (evidence, column, type, use) for each required column.

    An edge that reads no column has one row that says so; one that could not be resolved has a row for all columns
    with the reason.
    """
    return _table(("evidence", "column", "type", "use"), edges)


def columns_required_of(edges: Iterable[EdgeRequirement]) -> dg.TableMetadataValue:
    """The requirements on one evidence: the same rows, with the reading task instead of the evidence."""
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


def reasons_metadata(reasons: Iterable[Reason]) -> dict[str, dg.MetadataValue]:
    """The reasons as a Markdown list, in their own order, and their codes, to group by; empty without reasons."""
    reasons = tuple(reasons)
    if not reasons:
        return {}
    return {
        REASONS: dg.MetadataValue.md("\n".join(f"- {reason}" for reason in reasons)),
        REASON_CODES: dg.MetadataValue.json(sorted({reason.code for reason in reasons})),
    }


def coded(reason: Reason) -> str:
    """A reason with its code, for logs and skip reasons."""
    return f"{reason} [{reason.code}]"


def code_reference(location: SourceLocation) -> dg.CodeReferencesMetadataValue:
    """A link to the line where a builder is defined; Dagster opens it in the user's editor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.CodeReferencesMetadataValue(
            code_references=[dg.LocalFileCodeReference(file_path=location.file, line_number=location.line)]
        )
