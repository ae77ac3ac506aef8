"""The schemas of sources, each read once per compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.backend_tables import BackendTables
from relspec_core.engines.duckdb_backend import connection_of
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import WarehouseError
from relspec_core.sources.source_files import SourceListings, no_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_catalog import CatalogTable
    from relspec_core.evidence import EvidenceCatalog
    from relspec_core.system.compile_cache import CompileCache


class SourceSchemas:
    """Sources by name with the schemas that plans are compiled against.

    Args:
        sources: declared sources; tables of the backend need no declaration.
        backend: where undeclared tables are looked up.
        cache: results of earlier compilations.
        listings: the files of sources, each listed once.
        known: evidence recorded earlier; if given, columns that a source has lost since are still included.
    """

    def __init__(
        self,
        sources: Iterable[SourceSpec],
        *,
        backend: Engine,
        cache: CompileCache,
        listings: SourceListings,
        known: EvidenceCatalog | None = None,
    ) -> None:
        self._declared: Mapping[str, SourceSpec] = {source.name: source for source in sources}
        self._backend = backend
        self._tables = BackendTables(backend)
        self._cache = cache
        self._listings = listings
        self._known = known
        self._found: dict[str, tuple[SourceSpec, ibis.Schema] | None] = {}

    @property
    def place(self) -> tuple[str, ...]:
        """The current catalog and schema of the backend, outermost first."""
        return self._tables.place

    @property
    def declared(self) -> tuple[str, ...]:
        """The names of the declared sources, sorted."""
        return tuple(sorted(self._declared))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sources, declared or in the backend, sorted."""
        return tuple(sorted({*self._declared, *self._tables.names}))

    def plain(self, name: str) -> str:
        """A name without the current catalog and schema of the backend."""
        return self._tables.plain(name)

    def live_spelling(self, name: str) -> str:
        """The backend's spelling of a table's name, ignoring case if the engine does; else the name itself."""
        found = self._table(name)
        return found.name if found is not None else name

    def find(self, name: str) -> tuple[SourceSpec, ibis.Schema] | None:
        """A source and its schema, declared or else live; None if neither exists.

        Raises:
            SourceError: RS106.
        """
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def _look_up(self, name: str) -> tuple[SourceSpec, ibis.Schema] | None:
        source = self._declared.get(name) or SourceSpec(name)
        if source.schema is not None:
            return source, source.schema
        live = self._live(source)
        lost = self._known.get(name) if self._known is not None else None
        if live is None and lost is None and source.paths:
            raise no_files(source)
        if live is None:
            return (source, lost.schema) if lost else None
        if lost is not None:
            live = ibis.schema({**dict(lost.schema.items()), **dict(live.items())})
        return source, live

    def _live(self, source: SourceSpec) -> ibis.Schema | None:
        """The current schema of a source's files or table; None if it does not exist."""
        files = self._listings.files(source)
        if files is not None:
            return files.schema(connection_of(self._backend) or DuckDBConnection.scratch(), cache=self._cache)
        found = None if source.paths else self._table(source.name)
        return found.schema if found is not None else None

    def _table(self, name: str) -> CatalogTable | None:
        try:
            return self._tables.find(name)
        except EngineError as error:
            raise WarehouseError(
                f"the columns of '{name}' can't be read: {error.first_line}",
                hint="check the connection to the database, and that you may read the table.",
            ) from error

    def lost_columns(self, known: EvidenceCatalog) -> bool:
        """Whether a recorded source has lost a column since, or does not exist any more."""
        return any(
            (found := self._found.get(name)) is None or set(item.columns) - set(found[1])
            for name, item in known.items()
        )
