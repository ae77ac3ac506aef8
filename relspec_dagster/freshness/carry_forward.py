"""Carry forward: assets stay fresh where they read nothing of what changed in an upstream asset.

Dagster knows one data version for all of an asset. Where that is another one, it calls all that depend on the asset
stale. relspec knows a version of each column. A table that is what its plan would write now is carried forward: its
last materialization is reported again, with the data versions that its inputs have now, and with the reason. Dagster
counts no check of an earlier materialization, so the checks of the asset are evaluated again and reported too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_core.evidence import Evidence
from relspec_core.evidence_store import EvidenceStore
from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.runs.options import CUTOFF_ROWS
from relspec_core.staleness.freshness import FreshnessEngine
from relspec_core.staleness.input_digests import InputDigests
from relspec_core.staleness.input_versions import InputVersions
from relspec_core.staleness.observation import Observation, observe
from relspec_core.staleness.reasons import Unchanged
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.freshness.data_versions import OWN_TAGS, Recorded, version_tags
from relspec_dagster.freshness.stale_assets import StaleAsset, stale_assets
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.metadata import REASON_CODES

CARRIED_FORWARD = "relspec/carried_forward"
CARRIED_CODES = dg.MetadataValue.json([Unchanged.code])
BUILT_AT = "relspec/built_at"
# The tag of runs that build only what is stale when its turn comes, as `relspec run` does.
KEEP_UNCHANGED = {"relspec/unchanged": "keep"}


def carry_forward(
    instance: dg.DagsterInstance,
    readers: Consumers,
    warehouse: Warehouse,
    *,
    changed: Iterable[str] | None = None,
    writing: bool = False,
) -> tuple[dg.AssetKey, ...]:
    """Report again each asset that Dagster would call stale without need; return their keys, upstream first.

    Of these assets, which are materialized in Dagster, relspec's records say that what they read of each evidence with
    a new data version is what they read when they were built, by its column versions or by its contents. Their own data
    version stays, so that what depends on them stays fresh as well; one that was built again outside of Dagster since
    then gets its new one. Where nothing has a new data version, nothing is looked at but Dagster's own records, by one
    query.

    Args:
        instance: where assets are recorded.
        readers: of the whole catalog.
        warehouse: where the tables are. Of sources, what the readers of a new one require of it is read. Where that
            can't be done now because a run writes to it, nothing is carried.
        changed: the evidence that has a new data version, as its asset was materialized; all where left out.
        writing: whether relspec's own records may be brought forward too, where inputs have the same contents.
    """
    if not warehouse.has_rows:
        return ()
    carried: list[dg.AssetKey] = []
    waiting = frozenset(readers.by_evidence if changed is None else changed)
    while waiting:
        suspects = stale_assets(instance, readers, waiting)
        moved: set[str] = set()
        for found in _unchanged(readers, suspects, warehouse, writing=writing):
            for event in (found.event, *found.checks):
                instance.report_runless_asset_event(event)
            carried.append(found.event.asset_key)
            if found.has_new_version:
                moved.add(found.name)
        waiting = frozenset(moved)
    return tuple(dict.fromkeys(carried))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """An asset that is carried forward: the event that does it, and the results of its checks."""

    name: str
    event: dg.AssetMaterialization
    checks: tuple[dg.AssetCheckEvaluation, ...]
    has_new_version: bool


def _unchanged(
    readers: Consumers, suspects: Iterable[StaleAsset], warehouse: Warehouse, *, writing: bool
) -> Iterator[_Carried]:
    """Those of the suspects that are what their plans would write now."""
    by_name = {found.output.artifact.name: found for found in suspects if _is_of_this_plan(found)}
    if not by_name:
        return
    plans = readers.plan_catalog.around(by_name)
    observation = observe(plans, warehouse)
    evidence, engine = observation.evidence, freshness_engine(plans, observation, warehouse)
    for name, found in by_name.items():
        if engine.is_as_planned(name) and all(engine.reads_the_same(name, read) for read in found.moved):
            record = engine.kept(name) if writing else None
            if record is not None and record.version != evidence[name].version:
                with warehouse.transaction():
                    EvidenceStore(warehouse).record([record])
            yield _carried(found, evidence)


def _is_of_this_plan(found: StaleAsset) -> bool:
    """Whether its code version is not one that users have given it, and changed since."""
    return found.output.spec.code_version in (None, found.last.code_version, found.output.artifact.fingerprint)


def _carried(found: StaleAsset, evidence: Mapping[str, Evidence]) -> _Carried:
    """The event by which an asset is what its inputs make it now."""
    name, spec, last = found.output.artifact.name, found.output.spec, found.last
    recorded = evidence[name]
    version = kept_version(last, recorded) or last.data_version
    code_version = spec.code_version or last.code_version
    tags = version_tags(data_version=version, code_version=code_version, inputs=found.inputs)
    others = {tag: value for tag, value in last.tags.items() if not tag.startswith(OWN_TAGS)}
    kept = {CARRIED_FORWARD: found.reason, REASON_CODES: CARRIED_CODES}
    metadata = {**last.event.metadata, **kept, **built_at(recorded)}
    event = dg.AssetMaterialization(spec.key, description=found.reason, metadata=metadata, tags={**others, **tags})
    checks = tuple(check.evaluate(evidence).evaluation for check in found.output.checks)
    return _Carried(name=name, event=event, checks=checks, has_new_version=version != last.data_version)


def kept_version(last: Recorded | None, recorded: Evidence) -> str | None:
    """The data version of an unchanged table: the last one, unless it was built since."""
    at = None if last is None else last.event.metadata.get(BUILT_AT)
    is_known = at is None or at.value == built_at(recorded).get(BUILT_AT)
    return last.data_version if last is not None and is_known else recorded.version


def built_at(evidence: Evidence) -> dict[str, str]:
    """When a table was built, as metadata that identifies the build."""
    return {} if evidence.record is None else {BUILT_AT: evidence.record.built_at.isoformat()}


def keep_unchanged(
    plans: PlanCatalog, outputs: Iterable[str], warehouse: Warehouse, observation: Observation
) -> Mapping[str, Evidence]:
    """The records of tables that are all what their plans would write now, brought forward; none where one is not.

    Args:
        plans: of the tables.
        outputs: their names.
        warehouse: open for writing.
        observation: of these plans.
    """
    engine = freshness_engine(plans, observation, warehouse)
    found = {name: engine.kept(name) for name in outputs}
    records = {name: record for name, record in found.items() if record is not None}
    if len(records) < len(found):
        return {}
    with warehouse.transaction():
        EvidenceStore(warehouse).record(records.values())
    return {name: Evidence.of(record) for name, record in records.items()}


def freshness_engine(
    plans: PlanCatalog, observation: Observation, warehouse: Warehouse, *, graph: TaskGraph | None = None
) -> FreshnessEngine:
    """The freshness engine on one observation, which compares contents where versions differ."""
    contents = InputDigests(observation=observation, plans=plans, warehouse=warehouse, cutoff_rows=CUTOFF_ROWS)
    versions = InputVersions(observation, warehouse, plans)
    return FreshnessEngine(
        plans, graph=graph, evidence=observation.evidence, versions=versions.of, contents=contents.of
    )
