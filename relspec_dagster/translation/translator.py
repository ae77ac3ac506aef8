"""How evidence looks in Dagster: the one place to change keys, groups, descriptions, tags and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import dagster as dg
import ibis
import ibis.expr.operations as ops

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.declaration.source_urls import file_name
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.plan_catalog import PlanArtifact
from relspec_core.sources.source_files import READERS
from relspec_dagster.access.storage import Storage
from relspec_dagster.translation.metadata import (
    code_reference,
    columns_required_by,
    columns_required_of,
    sql_markdown,
    table_metadata,
)
from relspec_dagster.translation.names import default_asset_key, prefixed
from relspec_dagster.translation.settings import RelspecSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutput:
    """A table or view that a task writes.

    Attributes:
        artifact: its plan, with the task, the inferred dependencies and the fingerprint.
        edges: what its plan requires of each evidence it reads, in name order.
        storage: where it is written to.
    """

    artifact: PlanArtifact
    edges: tuple[EdgeRequirement, ...]
    storage: Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A table that tasks read and no task writes.

    Attributes:
        spec: its declaration; only a name where it was not declared.
        schema: its columns when the code location was loaded.
        readers: what each task that reads it requires of it, in task-name order.
        storage: where it is, unless its data are files.
    """

    spec: SourceSpec
    schema: ibis.Schema
    readers: tuple[EdgeRequirement, ...]
    storage: Storage


class RelspecTranslator:
    """Gives each evidence table its Dagster asset.

    Much of what assets look like is a setting. To change the rest, derive from this class and change what it returns:

        class Owned(RelspecTranslator):
            def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
                spec = super().get_asset_spec(evidence)
                return spec.replace_attributes(owners=["team:warehouse"])

    To outputs ``build_definitions`` then adds what is inferred and not for customizing: the dependencies, the column
    lineage, which names the keys that this class chose, and that they may be skipped.

    Args:
        settings: prefixes, groups, and the like.
    """

    def __init__(self, settings: RelspecSettings | None = None) -> None:
        self.settings = settings or RelspecSettings()

    def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
        """The asset of a table, without its dependencies.

        Returns:
            For an output: its task's description, owners, tags, group and kinds, the plan fingerprint as code version,
            and as metadata its column schema, table name, required columns, SQL and the builder's file and line. For a
            source: what is declared, its column schema, and who reads which of its columns.

        Raises:
            DagsterInvalidDefinitionError: where Dagster does not take an owner, a tag or a group. ``build_definitions``
                turns it into RS501 with the task.
        """
        match evidence:
            case TaskOutput():
                return _output_spec(evidence, self.settings)
            case Source():
                return _source_spec(evidence, self.settings)
            case _:
                assert_never(evidence)


def _output_spec(output: TaskOutput, settings: RelspecSettings) -> dg.AssetSpec:
    artifact, task, storage = output.artifact, output.artifact.task, output.storage
    return dg.AssetSpec(
        prefixed(default_asset_key(artifact.name), settings.key_prefix),
        description=task.description or None,
        owners=task.owners,
        tags=task.tags,
        group_name=task.group or settings.group,
        kinds={storage.kind, language(artifact.expr), *({"view"} if task.kind == "view" else ()), *task.kinds},
        code_version=artifact.fingerprint,
        metadata={
            **table_metadata(artifact.schema, artifact.name, storage),
            **({"dagster/code_references": code_reference(task.location)} if task.location else {}),
            "relspec/task": task.name,
            "relspec/fingerprint": artifact.fingerprint,
            "relspec/required_columns": columns_required_by(output.edges),
            **({"relspec/sql": sql_markdown(artifact.sql)} if settings.show_sql else {}),
        },
    )


def _source_spec(source: Source, settings: RelspecSettings) -> dg.AssetSpec:
    spec = source.spec
    place = {"relspec/path": "\n".join(spec.paths)} if spec.paths else {}
    return dg.AssetSpec(
        prefixed(default_asset_key(spec.name), settings.source_key_prefix),
        description=spec.description or None,
        owners=spec.owners,
        tags=spec.tags,
        group_name=spec.group or settings.source_group,
        kinds=_source_kinds(source),
        metadata={
            **table_metadata(source.schema, spec.name, None if spec.paths else source.storage),
            **place,
            "relspec/required_columns": columns_required_of(source.readers),
        },
    )


def language(expr: ibis.Table) -> str:
    """``sql`` where any part of a plan was written as SQL, else ``ibis``."""
    return "sql" if expr.op().find(ops.SQLQueryResult) else "ibis"


def _source_kinds(source: Source) -> set[str]:
    """The formats of its files (``csv`` also for ``.tsv.gz``), or the engine of a table."""
    paths = source.spec.paths
    readers = {READERS[suffix] for path in paths for suffix in Path(file_name(path)).suffixes if suffix in READERS}
    return {reader.removeprefix("read_") for reader in readers} if paths else {source.storage.kind}
