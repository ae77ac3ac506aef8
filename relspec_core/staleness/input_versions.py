"""The versions of sources that can't be read now: those that somebody saw last."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from relspec_core.engines.engine_error import EngineError
from relspec_core.evidence import FILES, BuildRecord, Evidence, Versions
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.model.hashing import digest, schema_token
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import source_files
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import ibis

    from relspec_core.engines.catalog_snapshot import CatalogSnapshot
    from relspec_core.evidence import Evidence
    from relspec_core.graph_inference import EdgeRequirement
    from relspec_core.sources.source_files import SourceFiles
    from relspec_core.system.compile_cache import CompileCache


def content_versions(contents: str, edge: EdgeRequirement) -> Versions:
    """The versions that a reader gives to what it reads of a source, from that as a whole."""
    return Versions(rows=contents, columns={name: digest((contents, str(edge.types[name]))) for name in edge.columns})


def recorded_versions(
    edge: EdgeRequirement, recorded: CatalogSnapshot, records: Mapping[str, BuildRecord]
) -> Versions | None:
    """The versions of a source as a reader sees it: of what a run's plan or a build read last of these columns.

    None where nobody has read just these columns: nothing is known of them then.

    Args:
        edge: from the source to the reader.
        recorded: what the last run saw when it planned.
        records: what builds read.
    """
    columns = tuple(sorted(edge.columns))
    seen = [
        (record.built_at, read.rows)
        for record in records.values()
        if (read := record.inputs.get(edge.evidence)) is not None and tuple(sorted(read.columns)) == columns
    ]
    if recorded.seen is not None and columns in recorded.seen.sources.get(edge.evidence, {}):
        seen.append((recorded.seen.at, recorded.seen.sources[edge.evidence][columns]))
    return content_versions(max(seen)[1], edge) if seen else None


MOST_BYTES_COMPARED = 100_000_000


def input_versions(
    evidence: Mapping[str, Evidence],
    warehouse: Warehouse,
    plans: PlanCatalog,
    *,
    records: Mapping[str, Evidence] | None = None,
    taken: dict[tuple[str, tuple[str, ...]], str] | None = None,
    cache: CompileCache | None = None,
) -> Callable[[EdgeRequirement], Versions]:
    """How what a reader reads gets its versions: those recorded, else a digest of the columns that it reads.

    Args:
        evidence: what there is now.
        warehouse: where it is.
        plans: of the readers.
        records: of what the readers wrote. An internal table that was wider has read more columns of a source than it
            needs now: where their digest is as it was, these versions stay. None: it is to be built, and reads no more.
        taken: digests that were taken already, by evidence and columns; those that are taken now are added.
        cache: remembers the digests of files; that of the plans where left out.
    """
    taken = {} if taken is None else taken
    cache = plans.cache if cache is None else cache

    def versions(edge: EdgeRequirement) -> Versions:
        found = evidence[edge.evidence]
        if found.versions is not None:
            return found.versions.only(edge.columns)
        before = _read_by_wider_table(edge, plans, records or {}, there=found.schema)
        if before is not None:
            wider = content_versions(contents(edge.evidence, tuple(before.columns)), edge)
            if before.only(edge.columns) == wider:
                return before
        return content_versions(contents(edge.evidence, edge.columns), edge)

    def contents(name: str, columns: tuple[str, ...]) -> str:
        if (name, columns) not in taken:
            found = evidence[name]
            files = source_files(plans.sources[name]) if found.kind == FILES else None
            if files is None:
                (read,) = warehouse.contents(name, [columns])
            else:
                read = _contents_of_files(files, columns, found.schema, warehouse, cache)
            taken[name, columns] = digest(("content", read))
        return taken[name, columns]

    return versions


def _read_by_wider_table(
    edge: EdgeRequirement, plans: PlanCatalog, records: Mapping[str, Evidence], *, there: ibis.Schema
) -> Versions | None:
    """What was read of a source for internal tables that were wider than they would be now, if all of it is there."""
    narrowed = [plan.name for plan in plans.of_task(edge.task) if plan.needed is not None and plan.name in records]
    written = [record for name in narrowed if (record := records[name].record) is not None]
    found = [before for record in written if (before := record.inputs.get(edge.evidence)) is not None]
    alike = bool(found) and all(before == found[0] for before in found)
    return found[0] if alike and set(edge.columns) < set(found[0].columns) <= set(there) else None


def known_versions(
    evidence: Mapping[str, Evidence], warehouse: Warehouse, plans: PlanCatalog, records: Mapping[str, BuildRecord]
) -> Callable[[EdgeRequirement], Versions | None]:
    """The same; of tables that can't be read now those that were seen last.

    None where no version can be known: of files of untold states, of tables on an engine that has no hash, and of what
    can't be read, as a view that fails: whoever is built from it is told what is wrong with it.
    """
    known, recorded = input_versions(evidence, warehouse, plans, records=evidence), warehouse.recorded

    def now(edge: EdgeRequirement) -> Versions | None:
        try:
            return known(edge)
        except EngineError:
            return None

    def versions(edge: EdgeRequirement) -> Versions | None:
        found = evidence[edge.evidence]
        if found.kind == FILES:
            return None if found.version is None else now(edge)
        if found.versions is None and not warehouse.compares_contents:
            return None
        return now(edge) if recorded is None else recorded_versions(edge, recorded, records)

    return versions


def _contents_of_files(
    files: SourceFiles, columns: tuple[str, ...], schema: ibis.Schema, warehouse: Warehouse, cache: CompileCache
) -> str:
    """A digest of these columns, taken once for each state of the files; for large ones, their state itself.

    Where their store does not tell one state from another, it is another one each time.
    """
    version = files.version()
    if not files.is_told or files.size > MOST_BYTES_COMPARED:
        return version if files.is_told else uuid4().hex
    files.open_in(warehouse.connection)
    key = digest(("contents of files", version, schema_token(schema), columns))
    found = cache.find(key)
    if found is None:
        try:
            (found,) = warehouse.contents(files.name, [columns], query=files.select(schema))
        except EngineError:
            return version  # whoever builds from them is told what is wrong with them
        cache.keep(key, found)
    return found
