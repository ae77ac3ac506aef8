"""One check for each source: whether it has what its readers need.

One op observes all selected sources and compares them with the edges of their readers. It starts no reader, and needs
nothing from the writers of the sources.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from relspec_core.evidence import Evidence
from relspec_core.graph_edge_validation import ReadinessReason, check_edge
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.model.formatting import listed
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.observation import observe
from relspec_dagster.access.warehouse_access import no_warehouse, read_warehouse
from relspec_dagster.translation.metadata import columns_required_of, reasons_metadata

HAS_WHAT_READERS_NEED = "has_what_readers_need"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCheck:
    """The check of one source.

    Attributes:
        source: its name.
        key: of the check, on the source's asset.
        readers: what each task that reads it requires of it, in task-name order.
    """

    source: str
    key: dg.AssetCheckKey
    readers: tuple[EdgeRequirement, ...]

    @property
    def spec(self) -> dg.AssetCheckSpec:
        """Its declaration."""
        return dg.AssetCheckSpec(
            self.key.name,
            asset=self.key.asset_key,
            description=f"'{self.source}' has the columns that its readers need: {self._tasks}.",
            metadata={"relspec/required_columns": columns_required_of(self.readers)},
        )

    def evaluate(self, evidence: Mapping[str, Evidence]) -> dg.AssetCheckResult:
        """The result for Dagster to record; a failed one says which reader lacks which column."""
        reasons = [reason for edge in self.readers for reason in check_edge(edge, evidence)]
        return dg.AssetCheckResult(
            asset_key=self.key.asset_key,
            check_name=self.key.name,
            passed=not reasons,
            severity=dg.AssetCheckSeverity.ERROR,
            description="\n".join(str(reason) for reason in reasons) or f"has what its readers need: {self._tasks}",
            metadata={**reasons_metadata(reasons), **_waiting(reasons)},
        )

    @property
    def _tasks(self) -> str:
        return listed(edge.task for edge in self.readers)


def _waiting(reasons: Sequence[ReadinessReason]) -> dict[str, str]:
    return {"relspec/waiting": listed(dict.fromkeys(reason.task for reason in reasons))} if reasons else {}


def source_check(source: str, asset_key: dg.AssetKey, readers: tuple[EdgeRequirement, ...]) -> SourceCheck:
    """The check of a source, on its asset in Dagster."""
    return SourceCheck(source=source, key=dg.AssetCheckKey(asset_key, HAS_WHAT_READERS_NEED), readers=readers)


def checks_of_sources(
    checks: Sequence[SourceCheck], *, name: str, plan_catalog: PlanCatalog, resource_key: str
) -> dg.AssetChecksDefinition:
    """One op for all source checks. It only reads, and waits for no run: during one it reads the metadata snapshot.

    Args:
        checks: at least one.
        name: of the op.
        plan_catalog: where the sources are declared.
        resource_key: of the database.
    """

    @dg.multi_asset_check(
        name=name,
        specs=[check.spec for check in checks],
        can_subset=True,
        required_resource_keys={resource_key},
        description="Compares sources with what their readers need.",
    )
    def check_sources(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = [check for check in checks if check.key in context.selected_asset_check_keys]
        sources = plan_catalog.sources_alone(check.source for check in selected)
        resource = getattr(context.resources, resource_key)
        has_tables = not all(source.paths for source in sources.sources.values())
        with read_warehouse(resource, say=context.log.warning) if has_tables else no_warehouse() as warehouse:
            evidence = observe(sources, warehouse).evidence
        yield from (check.evaluate(evidence) for check in selected)

    return check_sources
