"""The versions of what tasks read: recorded ones of tables that relspec wrote, digests of the contents of sources."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from relspec_core.engines.engine_error import EngineError
from relspec_core.evidence import FILES, Versions
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.model.hashing import digest, schema_token
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.observation import Observation
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    import ibis

    from relspec_core.sources.source_files import SourceFiles
    from relspec_core.system.compile_cache import CompileCache

MOST_BYTES_COMPARED = 100_000_000


class InputVersions:
    """The versions of what each reader reads, on one observation.

    Args:
        observation: what exists.
        warehouse: where the tables are; only read.
        plans: of the readers.
        wider: whether a reader's own table counts as when written: an internal table that was wider has read more
            columns of a source than its plan needs now, and where their digest is unchanged, the recorded versions
            stay. Not where it is to be rebuilt.
        taken: digests that were taken already, by source and columns; those that are taken now are added.
        cache: remembers the digests of files; that of the plans where left out.
    """

    __slots__ = ("_cache", "_observed", "_plans", "_taken", "_warehouse", "_wider")

    def __init__(
        self,
        observation: Observation,
        warehouse: Warehouse,
        plans: PlanCatalog,
        *,
        wider: bool = True,
        taken: dict[tuple[str, tuple[str, ...]], str] | None = None,
        cache: CompileCache | None = None,
    ) -> None:
        self._observed, self._warehouse, self._plans, self._wider = observation, warehouse, plans, wider
        self._taken = {} if taken is None else taken
        self._cache = plans.cache if cache is None else cache

    def of(self, edge: EdgeRequirement) -> Versions | None:
        """The versions of what a satisfied edge reads.

        None where they can't be known: of files whose storage reports neither times nor checksums, on an engine without
        a hash, and of what can't be read, such as a view that fails.
        """
        found = self._observed.evidence[edge.evidence]
        if found.versions is not None:
            return found.versions.only(edge.columns)
        if found.kind == FILES and found.version is None:
            return None
        if found.kind != FILES and not self._warehouse.compares_contents:
            return None
        if found.kind != FILES and self._observed.snapshot is not None:
            return recorded_versions(edge, self._observed)
        try:
            return self._of_wider_table(edge, found.schema) or content_versions(self._digest(edge), edge)
        except EngineError:  # the task that reads it reports what is wrong with it
            return None

    def _of_wider_table(self, edge: EdgeRequirement, schema: ibis.Schema) -> Versions | None:
        """What was read of a source for internal tables that were wider than they would be now, if it is unchanged."""
        plans = [plan for plan in self._plans.of_task(edge.task) if plan.needed is not None] if self._wider else ()
        tables = [self._observed.evidence[plan.name] for plan in plans if plan.name in self._observed.evidence]
        records = [table.record for table in tables if table.record is not None]
        found = [before for record in records if (before := record.inputs.get(edge.evidence)) is not None]
        if not found or any(before != found[0] for before in found):
            return None
        before = found[0]
        if not set(edge.columns) < set(before.columns) <= set(schema):
            return None
        now = content_versions(self._digest(edge, tuple(before.columns)), edge)
        return before if before.only(edge.columns) == now else None

    def _digest(self, edge: EdgeRequirement, columns: tuple[str, ...] | None = None) -> str:
        """Of the contents of a source, in the columns of an edge or in others."""
        name, columns = edge.evidence, edge.columns if columns is None else columns
        if (name, columns) not in self._taken:
            files = self._observed.files.get(name)
            if files is None:
                (read,) = self._warehouse.contents(name, [columns])
            else:
                read = self._digest_of_files(files, columns, self._observed.evidence[name].schema)
            self._taken[name, columns] = digest(("content", read))
        return self._taken[name, columns]

    def _digest_of_files(self, files: SourceFiles, columns: tuple[str, ...], schema: ibis.Schema) -> str:
        """Taken once for each state of the files; for large ones, that state itself."""
        version = files.version()
        if not files.is_told or files.size > MOST_BYTES_COMPARED:
            return version if files.is_told else uuid4().hex
        files.open_in(self._warehouse.connection)
        key = digest(("contents of files", version, schema_token(schema), columns))
        found = self._cache.find(key)
        if found is None:
            try:
                (found,) = self._warehouse.contents(files.name, [columns], query=files.select(schema))
            except EngineError:
                return version  # the task that reads them reports what is wrong with them
            self._cache.keep(key, found)
        return found


def content_versions(contents: str, edge: EdgeRequirement) -> Versions:
    """The versions that a reader gives to what it reads of a source, from the digest of that."""
    return Versions(rows=contents, columns={name: digest((contents, str(edge.types[name]))) for name in edge.columns})


def recorded_versions(edge: EdgeRequirement, observed: Observation) -> Versions | None:
    """The versions of a source that only a snapshot describes: what a plan or a build read last of its columns.

    None where nothing has read exactly these columns.

    Args:
        edge: from the source to the reader.
        observed: from a snapshot.
    """
    columns = tuple(sorted(edge.columns))
    found = [
        (record.built_at, read.rows)
        for record in observed.records.values()
        if (read := record.inputs.get(edge.evidence)) is not None and tuple(sorted(read.columns)) == columns
    ]
    seen = observed.snapshot
    if seen is not None and columns in seen.sources.get(edge.evidence, {}):
        found.append((seen.at, seen.sources[edge.evidence][columns]))
    return content_versions(max(found)[1], edge) if found else None
