"""The state of all sources and tables, read once per command, run or tick, and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relspec_core.engines.catalog_snapshot import CatalogSnapshot
from relspec_core.evidence import FILES, BuildRecord, Evidence, EvidenceCatalog, TableState
from relspec_core.evidence_store import EvidenceStore
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import SourceFiles, SourceListings
from relspec_core.staleness.external_changes import changed_outside
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that was read of the outside world at one moment.

    Attributes:
        evidence: the sources and tables that exist, each table with its state and record.
        records: of every recorded table, whether it exists or not.
        files: of each source that is files.
        snapshot: where the database could not be opened, its metadata snapshot, which this was read from.
    """

    evidence: Mapping[str, Evidence]
    records: Mapping[str, BuildRecord] = field(default_factory=dict)
    files: Mapping[str, SourceFiles] = field(default_factory=dict)
    snapshot: CatalogSnapshot | None = None

    def state_of(self, name: str) -> TableState:
        """How a table compares with its record."""
        return self.evidence[name].state if name in self.evidence else TableState.MISSING


def observe(
    plans: PlanCatalog,
    warehouse: Warehouse,
    *,
    records: Mapping[str, BuildRecord] | None = None,
    listings: SourceListings | None = None,
    compare: bool = False,
) -> Observation:
    """Read the state of the sources and tables of these plans; nothing is written.

    Args:
        plans: whose sources are read and whose tables are written.
        warehouse: where the tables are.
        records: all build records, where they were loaded already.
        listings: the files of sources, where they were listed already; what is missing is listed.
        compare: whether to compare the contents of tables with what was recorded. Without it, changes outside relspec
            are found by columns and row counts only.

    Raises:
        SourceError: RS106, where a source's files can't be read.
    """
    listings = listings or SourceListings()
    outputs = [plan.name for plan in plans]
    if records is None:
        records = EvidenceStore(warehouse).load(outputs)
    listed = {name: listings.files(source) for name, source in plans.sources.items()}
    files = {name: found for name, found in listed.items() if found is not None}
    live = warehouse.schemas([*outputs, *plans.sources])
    found = [observed_files(source, warehouse, plans) for source in files.values()]
    tables = (name for name, source in plans.sources.items() if not source.paths and name in live)
    found += [Evidence(name=name, schema=live[name]) for name in tables]
    counts = _counts({name: records[name] for name in outputs if name in live and name in records}, warehouse)
    written = (name for name in outputs if name in live)
    found += [observed_table(name, live[name], record=records.get(name), rows=counts.get(name)) for name in written]
    evidence = EvidenceCatalog(found)
    if compare:
        changed = changed_outside(evidence, warehouse, plans.cache)
        evidence = evidence.with_evidence(*(evidence[name].changed() for name in sorted(changed)))
    return Observation(evidence=evidence, records=records, files=files, snapshot=warehouse.recorded)


def _counts(records: Mapping[str, BuildRecord], warehouse: Warehouse) -> Mapping[str, int]:
    """The row counts of recorded tables."""
    recorded = {name: record.rows for name, record in records.items() if record.rows is not None}
    return recorded if warehouse.recorded is not None else warehouse.counts(recorded)


def observed_files(files: SourceFiles, warehouse: Warehouse, plans: PlanCatalog) -> Evidence:
    """A source whose data are files.

    Raises:
        SourceError: RS106, where they can't be read.
    """
    schema = files.schema(warehouse.connection, cache=plans.cache)
    return Evidence(name=files.name, schema=schema, version=files.version() if files.is_told else None, kind=FILES)


def observed_table(name: str, schema: ibis.Schema, *, record: BuildRecord | None, rows: int | None) -> Evidence:
    """A task's table, which is changed outside relspec where its columns or row count are not the recorded ones."""
    if record is None:
        return Evidence(name=name, schema=schema)
    is_same = list(record.schema.items()) == list(schema.items()) and record.rows == rows
    return Evidence.of(record) if is_same else Evidence.of(record).changed(schema=schema)
