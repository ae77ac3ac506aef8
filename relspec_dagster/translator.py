"""How evidence looks in Dagster: the one place to change keys, groups, descriptions, tags and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import dagster as dg
import ibis
import ibis.expr.operations as ops

from relspec_core.graph_inference import EdgeRequirement
from relspec_core.plan_catalog import PlanArtifact
from relspec_core.source_files import READERS
from relspec_core.task_catalog import SourceSpec
from relspec_dagster.metadata import (
    code_reference,
    columns_required_by,
    columns_required_of,
    sql_markdown,
    table_schema,
)
from relspec_dagster.names import default_asset_key

STORAGE_KIND = "duckdb"
DEFAULT_SCHEMA = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutput:
    """A table or view that a task writes.

    Attributes:
        artifact: its plan, with the task, the inferred dependencies and the fingerprint.
        edges: what its plan requires of each evidence it reads, in name order.
        database: the DuckDB file that it is written to.
    """

    artifact: PlanArtifact
    edges: tuple[EdgeRequirement, ...]
    database: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that tasks read and no task writes.

    Attributes:
        spec: its declaration; only a name where it was not declared.
        schema: its columns when the code location was loaded.
        readers: what each task that reads it requires of it, in task-name order.
        database: the DuckDB file that it is in, unless its data are files.
    """

    spec: SourceSpec
    schema: ibis.Schema
    readers: tuple[EdgeRequirement, ...]
    database: Path


class RelspecTranslator:
    """Gives each evidence table its Dagster asset.

    To change what assets look like, derive from it and change what it returns:

        class Prefixed(RelspecTranslator):
            def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
                spec = super().get_asset_spec(evidence)
                return spec.replace_attributes(key=spec.key.with_prefix("warehouse"))

    To outputs ``build_definitions`` then adds what is inferred and not for customizing: the dependencies, the column
    lineage, which names the keys that this class chose, and that they may be skipped.
    """

    def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
        """The asset of a table, without its dependencies.

        Returns:
            For an output: its task's description, owners, tags and group, the plan fingerprint as code version, and as
            metadata its column schema, table name, required columns, SQL and the builder's file and line. For a source:
            what is declared, its column schema, and who reads which of its columns.

        Raises:
            DagsterInvalidDefinitionError: where Dagster does not take an owner, a tag or a group. ``build_definitions``
                turns it into RS501 with the task.
        """
        match evidence:
            case TaskOutput():
                return _output_spec(evidence)
            case Source():
                return _source_spec(evidence)
            case _:
                assert_never(evidence)


def _output_spec(output: TaskOutput) -> dg.AssetSpec:
    artifact, task = output.artifact, output.artifact.task
    return dg.AssetSpec(
        default_asset_key(artifact.name),
        description=task.description or None,
        owners=task.owners,
        tags=task.tags,
        group_name=task.group,
        kinds={STORAGE_KIND, language(artifact.expr), *({"view"} if task.kind == "view" else ())},
        code_version=artifact.fingerprint,
        metadata={
            "dagster/column_schema": table_schema(artifact.schema),
            "dagster/table_name": table_name(artifact.name, output.database),
            "dagster/storage_kind": STORAGE_KIND,
            **({"dagster/code_references": code_reference(task.location)} if task.location else {}),
            "relspec/task": task.name,
            "relspec/fingerprint": artifact.fingerprint,
            "relspec/required_columns": columns_required_by(output.edges),
            "relspec/sql": sql_markdown(artifact.sql),
        },
    )


def _source_spec(source: Source) -> dg.AssetSpec:
    spec = source.spec
    place = (
        {"relspec/path": "\n".join(spec.paths)}
        if spec.paths
        else {"dagster/table_name": table_name(spec.name, source.database), "dagster/storage_kind": STORAGE_KIND}
    )
    return dg.AssetSpec(
        default_asset_key(spec.name),
        description=spec.description or None,
        owners=spec.owners,
        tags=spec.tags,
        group_name=spec.group,
        kinds=_source_kinds(spec),
        metadata={
            **place,
            "dagster/column_schema": table_schema(source.schema),
            "relspec/required_columns": columns_required_of(source.readers),
        },
    )


def language(expr: ibis.Table) -> str:
    """``sql`` where any part of a plan was written as SQL, else ``ibis``."""
    return "sql" if expr.op().find(ops.SQLQueryResult) else "ibis"


def _source_kinds(spec: SourceSpec) -> set[str]:
    """The formats of its files (``csv`` also for ``.tsv.gz``), or DuckDB for a table."""
    readers = {READERS[suffix] for path in spec.paths for suffix in Path(path).suffixes if suffix in READERS}
    return {reader.removeprefix("read_") for reader in readers} if spec.paths else {STORAGE_KIND}


def table_name(evidence: str, database: Path) -> str:
    """The full name of a table in a DuckDB file, by which other Dagster integrations find the same asset.

    >>> table_name("orders", Path("data/shop.duckdb")), table_name("staging.orders", Path("data/shop.duckdb"))
    ('shop.main.orders', 'shop.staging.orders')
    """
    match evidence.split("."):
        case [_]:
            return f"{database.stem}.{DEFAULT_SCHEMA}.{evidence}"
        case [_, _]:
            return f"{database.stem}.{evidence}"
        case _:
            return evidence
