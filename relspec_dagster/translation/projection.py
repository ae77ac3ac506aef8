"""What each part of the inferred graph is in Dagster: assets with exactly the inferred edges, and their checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import dagster as dg
from dagster import DagsterError

from relspec_core.errors import ProjectionError, raise_all
from relspec_core.graph_inference import TaskGraph, requirements
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
from relspec_core.task_catalog import TaskSpec
from relspec_dagster.access.storage import Storage
from relspec_dagster.translation.edge_checks import EdgeCheck, edge_checks
from relspec_dagster.translation.metadata import column_lineage
from relspec_dagster.translation.names import op_names
from relspec_dagster.translation.source_checks import SourceCheck, source_check
from relspec_dagster.translation.translator import RelspecTranslator, Source, TaskOutput
from relspec_dagster.translation.upstream_assets import attach


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAsset:
    """An output of a task as an asset.

    Attributes:
        artifact: its plan.
        spec: the asset, complete: what the translator gave, with dependencies and lineage.
        checks: one for each edge of its plan.
    """

    artifact: PlanArtifact
    spec: dg.AssetSpec
    checks: tuple[EdgeCheck, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAssets:
    """A task in Dagster's terms: one op that materializes the assets of its outputs.

    Attributes:
        task: the task.
        op_name: of the op; also the key of its step in a run.
        outputs: in the task's order.
    """

    task: TaskSpec
    op_name: str
    outputs: tuple[OutputAsset, ...]

    @property
    def checks(self) -> tuple[EdgeCheck, ...]:
        """The checks of all outputs."""
        return tuple(check for output in self.outputs for check in output.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A whole catalog in Dagster's terms.

    Attributes:
        sources: external assets, by evidence name; less those that are others' assets.
        tasks: by task name.
        keys: the asset of each evidence.
        source_checks: one for each source, by name, unless the settings want none.
    """

    sources: tuple[dg.AssetSpec, ...]
    tasks: tuple[TaskAssets, ...]
    keys: Mapping[str, dg.AssetKey]
    source_checks: tuple[SourceCheck, ...] = ()

    @property
    def outputs(self) -> tuple[OutputAsset, ...]:
        """The tables of all tasks, by task name."""
        return tuple(output for task in self.tasks for output in task.outputs)


def project(
    plan_catalog: PlanCatalog, task_graph: TaskGraph, *, translator: RelspecTranslator, storage: Storage
) -> Projection:
    """The assets of a catalog.

    An output of a task with several depends on what its own plan reads, not on what its siblings read.

    Args:
        plan_catalog: the plans.
        task_graph: their graph.
        translator: gives keys, and all that is for customizing.
        storage: where tables are written to.

    Raises:
        ProjectionError: RS501, where two tables get one asset key, Dagster does not take what a task declares, or the
            settings name a source that there isn't.
    """
    sources = {
        name: Source(spec=spec, schema=plan_catalog.schemas[name], readers=task_graph.edges_from(name), storage=storage)
        for name, spec in plan_catalog.sources.items()
    }
    outputs = {
        plan.name: TaskOutput(artifact=plan, edges=requirements(plan.task.name, plan.deps), storage=storage)
        for plan in plan_catalog
    }
    specs = {name: _translate(evidence, translator) for name, evidence in {**sources, **outputs}.items()}
    attached = attach(translator.settings, {name: specs[name] for name in sources})
    keys = {name: attached.keys.get(name, spec.key) for name, spec in specs.items()}
    raise_all([*_shared_keys(keys)])
    ops = op_names(task.name for task in plan_catalog.tasks)
    assets = {name: _output_asset(output, specs[name], keys) for name, output in outputs.items()}
    return Projection(
        sources=tuple(
            specs[name].merge_attributes(deps=[attached.beside[name]] if name in attached.beside else [])
            for name in sources
            if name not in attached.keys
        ),
        tasks=tuple(
            TaskAssets(
                task=task,
                op_name=ops[task.name],
                outputs=tuple(assets[plan.name] for plan in plan_catalog.of_task(task.name)),
            )
            for task in plan_catalog.tasks
        ),
        keys=keys,
        source_checks=tuple(source_check(name, keys[name], found.readers) for name, found in sources.items())
        if translator.settings.source_checks
        else (),
    )


def _translate(evidence: TaskOutput | Source, translator: RelspecTranslator) -> dg.AssetSpec:
    try:
        return translator.get_asset_spec(evidence)
    except DagsterError as error:
        where = evidence.artifact.task.where if isinstance(evidence, TaskOutput) else f"source '{evidence.spec.name}'"
        raise ProjectionError(
            f"Dagster does not take {where.split(' defined')[0]}: {error}",
            at=where,
            hint="fix its name, owners, tags or group, or give it others in RelspecTranslator.get_asset_spec.",
        ) from error


def _output_asset(output: TaskOutput, spec: dg.AssetSpec, keys: Mapping[str, dg.AssetKey]) -> OutputAsset:
    lineage = column_lineage(output.artifact.deps, keys)
    complete = spec.replace_attributes(
        deps=[dg.AssetDep(keys[edge.evidence]) for edge in output.edges],
        skippable=True,
        metadata={**spec.metadata, "dagster/column_lineage": lineage},
    )
    return OutputAsset(artifact=output.artifact, spec=complete, checks=edge_checks(output.edges, asset_key=spec.key))


def _shared_keys(keys: Mapping[str, dg.AssetKey]) -> Iterator[ProjectionError]:
    """An error for each asset key that more than one evidence has."""
    names: dict[dg.AssetKey, list[str]] = {}
    for name, key in keys.items():
        names.setdefault(key, []).append(name)
    for key, sharing in names.items():
        if len(sharing) > 1:
            quoted = " and ".join(f"'{name}'" for name in sharing)
            yield ProjectionError(
                f"{quoted} would be one asset in Dagster: '{key.to_user_string()}'",
                at=f"the asset key of {quoted}",
                hint="rename one of them, or give them different keys in RelspecTranslator.get_asset_spec.",
            )
