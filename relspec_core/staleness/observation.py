"""The state of all sources and tables, read once per command, run or tick, and passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from relspec_core.engines.catalog_snapshot import ObservedContents
from relspec_core.errors import SourceError
from relspec_core.evidence import FILES, BuildRecord, Evidence, EvidenceCatalog, TableState
from relspec_core.evidence_store import EvidenceStore
from relspec_core.model.duckdb_types import schema_from_duckdb
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import SourceFiles, SourceListings
from relspec_core.staleness.external_changes import changed_outside
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    import ibis

    from relspec_core.engines.duckdb_connection import DuckDBConnection
    from relspec_core.system.compile_cache import CompileCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that was read of the outside world at one moment.

    Attributes:
        evidence: the sources and tables that exist and can be read, each table with its state and record.
        records: of every recorded table, whether it exists or not.
        files: of each source that is files.
        unreadable: the sources that exist and can't be read, with the reason.
        snapshot: where only the metadata snapshot could be read, what it has of contents.
        column_types: of the tables, in DuckDB's names; those that the next observation finds again are not parsed.
    """

    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    records: Mapping[str, BuildRecord] = field(default_factory=dict)
    files: Mapping[str, SourceFiles] = field(default_factory=dict)
    unreadable: Mapping[str, SourceError] = field(default_factory=dict)
    snapshot: ObservedContents | None = None
    column_types: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def state_of(self, name: str) -> TableState:
        """How a table compares with its record."""
        return self.evidence[name].state if name in self.evidence else TableState.MISSING

    def changed_since(self, before: Observation) -> set[str]:
        """The evidence that appeared, disappeared or changed, where this observation was made from that one."""
        now, then = self.evidence, before.evidence
        changed = {name for name in {*now, *then} if now.get(name) is not then.get(name)}
        errors = {name for name, error in self.unreadable.items() if error.what != _what(before.unreadable.get(name))}
        return changed | errors


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
    if records is None:
        records = EvidenceStore(warehouse).load([plan.name for plan in plans])
    listed = {name: listings.files(source) for name, source in plans.sources.items() if source.paths}
    found = observe_files(Observation(), listed, connection=warehouse.connection, cache=plans.cache)
    for error in found.unreadable.values():
        raise error
    live = warehouse.schemas(_tables(plans))
    found = _with_tables(found, plans, warehouse, live=live, records=records)
    if compare:
        changed = changed_outside(EvidenceCatalog(found.evidence.values()), warehouse, plans.cache)
        found = replace(
            found, evidence={**found.evidence, **{name: found.evidence[name].changed() for name in changed}}
        )
    return replace(found, evidence=EvidenceCatalog(found.evidence.values()))


def observe_files(
    before: Observation,
    listed: Mapping[str, SourceFiles | SourceError | None],
    *,
    connection: DuckDBConnection,
    cache: CompileCache,
) -> Observation:
    """An observation brought up to date for these sources: files in the same state as before are not read again.

    Args:
        before: the last one, or an empty one.
        listed: of each source that is files what was listed: None where there are none, an error where that failed.
        connection: any, which DuckDB reads files with.
        cache: of earlier readings.

    Returns:
        The sources that can't be read are in ``unreadable``; they are tried again each time.
    """
    evidence, files, unreadable = dict(before.evidence), dict(before.files), dict(before.unreadable)
    for name, found in listed.items():
        if isinstance(found, SourceFiles) and name in files and found == files[name]:
            continue
        for kept in (evidence, files, unreadable):
            kept.pop(name, None)
        if isinstance(found, SourceError):
            unreadable[name] = found
        elif found is not None:
            try:
                evidence[name] = observed_files(found, connection, cache)
                files[name] = found
            except SourceError as error:
                unreadable[name] = error
    return replace(before, evidence=evidence, files=files, unreadable=unreadable)


def observe_tables(
    before: Observation, plans: PlanCatalog, warehouse: Warehouse, records: Mapping[str, BuildRecord]
) -> Observation:
    """An observation brought up to date for the tables of a warehouse, which are parsed only where they changed.

    Args:
        before: the last one, or an empty one.
        plans: whose tables and sources these are.
        warehouse: open.
        records: all build records; the same objects for those that did not change.
    """
    types = warehouse.column_types(_tables(plans))
    live = {
        name: before.evidence[name].schema
        if name in before.evidence and before.column_types.get(name) == found
        else schema_from_duckdb(found)
        for name, found in types.items()
    }
    return replace(_with_tables(before, plans, warehouse, live=live, records=records), column_types=types)


def _tables(plans: PlanCatalog) -> list[str]:
    """The tables of tasks, then the sources that are tables."""
    return [*(plan.name for plan in plans), *(name for name, source in plans.sources.items() if not source.paths)]


def _with_tables(
    before: Observation,
    plans: PlanCatalog,
    warehouse: Warehouse,
    *,
    live: Mapping[str, ibis.Schema],
    records: Mapping[str, BuildRecord],
) -> Observation:
    """An observation with these live tables; evidence that did not change stays the same object."""
    counts = _counts(
        {plan.name: records[plan.name] for plan in plans if plan.name in live and plan.name in records}, warehouse
    )
    evidence = dict(before.evidence)
    for name in _tables(plans):
        then = evidence.pop(name, None)
        if name in live:
            record, rows = (records.get(name), counts.get(name)) if name in plans else (None, None)
            now = observed_table(name, live[name], record=record, rows=rows)
            evidence[name] = then if then == now else now
    snapshot = None if warehouse.has_rows else warehouse.observed
    return replace(before, evidence=evidence, records=records, snapshot=snapshot)


def _counts(records: Mapping[str, BuildRecord], warehouse: Warehouse) -> Mapping[str, int]:
    """The row counts of recorded tables."""
    return warehouse.counts(name for name, record in records.items() if record.rows is not None)


def _what(error: SourceError | None) -> str | None:
    return None if error is None else error.what


def observed_files(files: SourceFiles, connection: DuckDBConnection, cache: CompileCache) -> Evidence:
    """A source whose data are files.

    Raises:
        SourceError: RS106, where they can't be read.
    """
    schema = files.schema(connection, cache=cache)
    return Evidence(name=files.name, schema=schema, version=files.version() if files.is_told else None, kind=FILES)


def observed_table(name: str, schema: ibis.Schema, *, record: BuildRecord | None, rows: int | None) -> Evidence:
    """A task's table, which is changed outside relspec where its columns or row count are not the recorded ones."""
    if record is None:
        return Evidence(name=name, schema=schema)
    is_same = list(record.schema.items()) == list(schema.items()) and record.rows == rows
    return Evidence.of(record) if is_same else Evidence.of(record).changed(schema=schema)
