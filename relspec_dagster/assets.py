"""One multi-asset for each task, whose op checks the inferred edges and then builds."""

from collections.abc import Iterable, Iterator

import dagster as dg

from relspec_core.evidence import Evidence, EvidenceCatalog
from relspec_core.execution import build_task
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.run_plan import observe
from relspec_core.warehouse import Warehouse
from relspec_dagster.database import open_warehouse
from relspec_dagster.metadata import table_schema
from relspec_dagster.plans import restricted
from relspec_dagster.projection import OutputAsset, TaskAssets
from relspec_dagster.retries import retried_where_it_helps, retry_policy

BECAUSE = "materialized in Dagster"


def multi_asset_of(
    assets: TaskAssets, *, plan_catalog: PlanCatalog, resource_key: str, pool: str | None
) -> dg.AssetsDefinition:
    """The multi-asset of a task.

    Its op looks at the evidence there is when it runs, reports the selected checks, and builds the selected outputs if
    every edge of theirs is met. If one is not, it materializes none of them: Dagster then skips what is downstream, and
    the run goes on with everything else. Where an upstream asset was skipped, Dagster skips the op as a whole, too.

    Args:
        assets: the task with its outputs.
        plan_catalog: where the plans are.
        resource_key: of the database.
        pool: which ops run one at a time, also across runs; a task's own goes before it.

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
        with (
            retried_where_it_helps(assets),
            open_warehouse(getattr(context.resources, resource_key)) as warehouse,
        ):
            yield from _run(context, assets, plan_catalog, warehouse)

    return run_task


def _run(
    context: dg.AssetExecutionContext, assets: TaskAssets, plan_catalog: PlanCatalog, warehouse: Warehouse
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
    """Of the selected checks and outputs, the results: checks first, then, if they let it, the materializations."""
    selected_checks = context.selected_asset_check_keys
    selected = tuple(output for output in assets.outputs if output.spec.key in context.selected_asset_keys)
    concerned = [
        output
        for output in assets.outputs
        if output in selected or any(check.key in selected_checks for check in output.checks)
    ]
    evidence = observe(restricted(plan_catalog, _names(concerned)), warehouse)
    verdicts = {check.key: check.evaluate(evidence) for output in concerned for check in output.checks}
    yield from (verdict.result for key, verdict in verdicts.items() if key in selected_checks)
    gates = [verdicts[check.key] for output in selected for check in output.checks]
    reasons = dict.fromkeys(str(reason) for verdict in gates for reason in verdict.reasons)
    if reasons:
        context.log.warning("Nothing is materialized: %s", "; ".join(reasons))
    elif selected:
        yield from _build(selected, restricted(plan_catalog, _names(selected)), warehouse, evidence)


def _names(outputs: Iterable[OutputAsset]) -> list[str]:
    return [output.artifact.name for output in outputs]


def _build(
    selected: tuple[OutputAsset, ...], plans: PlanCatalog, warehouse: Warehouse, evidence: EvidenceCatalog
) -> Iterator[dg.MaterializeResult]:
    """Build outputs of one task together, and say what became of each."""
    task = selected[0].artifact.task.name
    built = build_task(task, plan_catalog=plans, warehouse=warehouse, evidence=evidence, because=BECAUSE)
    published = {output.name: output for output in built.outputs}
    for output in selected:
        yield _materialization(output, published[output.artifact.name])


def _materialization(output: OutputAsset, evidence: Evidence) -> dg.MaterializeResult:
    """What Dagster records of a table that was built: its size, schema and lineage, and relspec's version of it."""
    metadata = {
        "dagster/column_schema": table_schema(evidence.schema),
        "dagster/column_lineage": output.spec.metadata["dagster/column_lineage"],
        "dagster/row_count": evidence.rows,
        "relspec/fingerprint": evidence.fingerprint,
        "relspec/seconds": evidence.seconds,
    }
    return dg.MaterializeResult(
        asset_key=output.spec.key,
        data_version=None if evidence.version is None else dg.DataVersion(evidence.version),
        metadata={key: value for key, value in metadata.items() if value is not None},
    )
