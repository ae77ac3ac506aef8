"""The state of all sources and tables, read once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relspec_core.evidence import FILES, Evidence, EvidenceCatalog
from relspec_core.evidence_store import EvidenceStore
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import source_files
from relspec_core.staleness.external_changes import foreign_changes
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    import ibis


def observe(
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    *,
    records: EvidenceCatalog | None = None,
) -> EvidenceCatalog:
    """What evidence there is now, as far as these plans are concerned; nothing is written.

    Sources have their live schema, and a version where they are files. Tables of tasks have their live schema and their
    record; ``version`` is None where a table is not as it was recorded, so that somebody else must have changed it.

    Raises:
        SourceError: RS106, where a source's files can't be read.
    """
    outputs = [plan.name for plan in plan_catalog]
    if records is None:
        records = EvidenceStore(warehouse).load(outputs)
    live = warehouse.schemas([*outputs, *plan_catalog.sources])
    found: list[Evidence] = []
    for name, source in plan_catalog.sources.items():
        files = source_files(source)
        if files is not None:
            found.append(
                Evidence(
                    name=name,
                    schema=files.schema(warehouse.connection, cache=plan_catalog.cache),
                    version=files.version() if files.is_told else None,
                    kind=FILES,
                )
            )
        elif name in live and not source.paths:
            found.append(Evidence(name=name, schema=live[name]))
    rows = {name: records[name].rows for name in outputs if name in live and name in records}
    counted = {name: count for name, count in rows.items() if count is not None}
    counts = counted if warehouse.recorded is not None else warehouse.counts(counted)
    for name in outputs:
        if name in live:
            recorded = records.get(name) or Evidence(name=name, schema=live[name])
            if list(recorded.schema.items()) != list(live[name].items()) or recorded.rows != counts.get(name):
                recorded = _unrecorded(recorded, live[name])
            found.append(recorded)
    return EvidenceCatalog(found)


def _unrecorded(evidence: Evidence, schema: ibis.Schema) -> Evidence:
    """A table that is not as it was recorded."""
    return replace(evidence, schema=schema, version=None, versions=None, digests={})


def current_evidence(plans: PlanCatalog, warehouse: Warehouse, records: EvidenceCatalog) -> EvidenceCatalog:
    """What there is; a table that somebody else has changed is not as it was recorded."""
    evidence = observe(plans, warehouse, records=records)
    changed = foreign_changes(evidence, warehouse, plans.cache)
    return evidence.with_evidence(*(_unrecorded(evidence[name], evidence[name].schema) for name in sorted(changed)))
