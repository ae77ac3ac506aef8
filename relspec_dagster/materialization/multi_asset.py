"""One multi-asset for each task, whose op checks the inferred edges and then builds."""

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import RelspecError
from relspec_core.evidence import Evidence
from relspec_core.execution import build_task
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.observation import Observation, observe
from relspec_core.staleness.reasons import UNCHANGED
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.access.warehouse_access import open_warehouse
from relspec_dagster.freshness.carry_forward import (
    CARRIED_CODES,
    CARRIED_FORWARD,
    KEEP_UNCHANGED,
    built_at,
    carry_forward,
    keep_unchanged,
    kept_version,
)
from relspec_dagster.freshness.data_versions import Recorded, last_recorded
from relspec_dagster.materialization.retries import retried_where_it_helps, retry_policy
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.metadata import REASON_CODES, coded, table_schema
from relspec_dagster.translation.projection import OutputAsset, TaskAssets

BECAUSE = "materialized in Dagster"


def multi_asset_of(
    assets: TaskAssets, *, readers: Consumers, resource_key: str, pool: str | None, own_ops: frozenset[str]
) -> dg.AssetsDefinition:
    """The multi-asset of a task.

    Its op observes the evidence when it runs, reports the selected checks, and builds the selected outputs if
    all of their edges are satisfied. If one is not, it materializes none of them: Dagster then skips what is
    downstream, and the run goes on with everything else. Where an upstream asset was skipped, Dagster skips the
    op as a whole, too.

    What is selected is built, also if nothing that it reads has changed. Only in a run with the tag of
    ``KEEP_UNCHANGED``, as those of sensors and schedules, a task whose tables are what its plan would write now is not
    built, and its assets are materialized with the data versions that they have.

    Args:
        assets: the task with its outputs.
        readers: of the whole catalog, which has the plans.
        resource_key: of the database.
        pool: which ops run one at a time, also across runs; a task's own goes before it.
        own_ops: the names of relspec's own ops. In a run of no others the file may stay open from one to the next.

    Raises:
        TaskFailedError: RS401, in a run, where the engine refuses a plan.
        DatabaseHeldError: RS402, in a run, where another process holds the file for too long.
    """

    @dg.multi_asset(
        name=assets.op_name,
        description=assets.task.description or None,
        specs=[output.spec for output in assets.outputs],
        check_specs=[check.spec for check in assets.checks],
        can_subset=True,
        required_resource_keys={resource_key},
        pool=assets.task.pool or pool,
        retry_policy=retry_policy(assets.task),
    )
    def run_task(context: dg.AssetExecutionContext) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        def may_stay() -> bool:
            return own_ops.issuperset(op.name for op in context.job_def.top_level_node_defs)

        with (
            retried_where_it_helps(assets),
            open_warehouse(getattr(context.resources, resource_key), may_stay=may_stay) as warehouse,
        ):
            yield from _run(context, assets, readers, warehouse)

    return run_task


def _run(
    context: dg.AssetExecutionContext, assets: TaskAssets, readers: Consumers, warehouse: Warehouse
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """The results of the selected checks and then, if they pass, of the selected outputs."""
    selected_checks = context.selected_asset_check_keys
    selected = tuple(output for output in assets.outputs if output.spec.key in context.selected_asset_keys)
    concerned = [
        output
        for output in assets.outputs
        if output in selected or any(check.key in selected_checks for check in output.checks)
    ]
    observation = observe(readers.plan_catalog.around(_names(concerned)), warehouse)
    verdicts = {check.key: check.evaluate(observation.evidence) for output in concerned for check in output.checks}
    yield from (verdict.result for key, verdict in verdicts.items() if key in selected_checks)
    gates = [verdicts[check.key] for output in selected for check in output.checks]
    reasons = dict.fromkeys(coded(reason) for verdict in gates for reason in verdict.reasons)
    if reasons:
        context.log.warning("nothing is materialized: %s", "; ".join(reasons))
    elif selected:
        yield from _materialize(context, selected, readers, warehouse, observation)


def _names(outputs: Iterable[OutputAsset]) -> list[str]:
    return [output.artifact.name for output in outputs]


def _materialize(
    context: dg.AssetExecutionContext,
    selected: tuple[OutputAsset, ...],
    readers: Consumers,
    warehouse: Warehouse,
    observation: Observation,
) -> Iterator[dg.MaterializeResult]:
    """Build outputs of one task together, report each, and carry forward what reads nothing new of them."""
    plans = readers.plan_catalog.around(_names(selected))
    if context.run.tags.items() >= KEEP_UNCHANGED.items():
        kept = keep_unchanged(plans, _names(selected), warehouse, observation)
        if kept:
            recorded = last_recorded(context.instance, [output.spec.key for output in selected])
            for output in selected:
                yield _left(output, kept[output.artifact.name], recorded.get(output.spec.key))
            return
    published = _build(selected, plans, readers, warehouse, observation)
    for output in selected:
        yield _materialization(output, published[output.artifact.name])
    versions = {name: found.version for name, found in observation.evidence.items()}
    changed = [name for name, found in published.items() if found.version != versions.get(name)]
    try:
        carry_forward(context.instance, readers, warehouse, changed=changed, writing=True)
    except (RelspecError, EngineError) as error:  # of what others read: these tables are published
        context.log.warning("downstream assets are not carried forward now: %s", error)


def _build(
    selected: tuple[OutputAsset, ...],
    plans: PlanCatalog,
    readers: Consumers,
    warehouse: Warehouse,
    observation: Observation,
) -> dict[str, Evidence]:
    """Build outputs of one task together."""
    built = build_task(
        selected[0].artifact.task.name,
        plan_catalog=plans,
        warehouse=warehouse,
        observation=observation,
        because=BECAUSE,
        digests={name: sorted({edge.columns for edge in readers.edges_from(name)}) for name in _names(selected)},
    )
    return {output.name: output for output in built.outputs}


def _materialization(output: OutputAsset, evidence: Evidence) -> dg.MaterializeResult:
    """The result for a table that was built: its size, schema, lineage and data version."""
    return _result(output, evidence, version=evidence.version)


def _left(output: OutputAsset, evidence: Evidence, last: Recorded | None) -> dg.MaterializeResult:
    """The result for a table that is unchanged."""
    return _result(
        output,
        evidence,
        version=kept_version(last, evidence),
        more={CARRIED_FORWARD: UNCHANGED, REASON_CODES: CARRIED_CODES},
    )


def _result(
    output: OutputAsset,
    evidence: Evidence,
    *,
    version: str | None,
    more: Mapping[str, str | dg.JsonMetadataValue] | None = None,
) -> dg.MaterializeResult:
    record = evidence.record
    metadata = {
        "dagster/column_schema": table_schema(evidence.schema),
        "dagster/column_lineage": output.spec.metadata["dagster/column_lineage"],
        "dagster/row_count": evidence.rows,
        "relspec/fingerprint": None if record is None else record.fingerprint,
        "relspec/seconds": None if record is None else round(record.seconds, 3),
        **built_at(evidence),
        **(more or {}),
    }
    return dg.MaterializeResult(
        asset_key=output.spec.key,
        data_version=None if version is None else dg.DataVersion(version),
        metadata={key: value for key, value in metadata.items() if value is not None},
    )
