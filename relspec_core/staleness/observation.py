"""The state of all sources and tables, read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.evidence import FILES, BuildRecord, Evidence, EvidenceCatalog
from relspec_core.evidence_store import EvidenceStore
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import source_files
from relspec_core.staleness.external_changes import foreign_changes
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis


def observe(
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    *,
    records: Mapping[str, BuildRecord] | None = None,
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
    there = (name for name in outputs if name in live)
    found += [observed_table(name, live[name], record=records.get(name), rows=counts.get(name)) for name in there]
    return EvidenceCatalog(found)


def observed_table(name: str, schema: ibis.Schema, *, record: BuildRecord | None, rows: int | None) -> Evidence:
    """A table, which is changed outside relspec where its columns or row count are not the recorded ones."""
    if record is None:
        return Evidence(name=name, schema=schema)
    is_same = list(record.schema.items()) == list(schema.items()) and record.rows == rows
    return Evidence.of(record) if is_same else Evidence.of(record).changed(schema=schema)


def current_evidence(plans: PlanCatalog, warehouse: Warehouse, records: Mapping[str, BuildRecord]) -> EvidenceCatalog:
    """What there is; a table that somebody else has changed is not as it was recorded."""
    evidence = observe(plans, warehouse, records=records)
    changed = foreign_changes(evidence, warehouse, plans.cache)
    return evidence.with_evidence(*(evidence[name].changed() for name in sorted(changed)))
