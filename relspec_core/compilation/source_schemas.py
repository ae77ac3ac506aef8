"""The live schemas of sources, each read once for a compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.backend_tables import BackendTables
from relspec_core.engines.duckdb_backend import connection_of
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.sources.source_files import no_files, source_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.evidence import EvidenceCatalog
    from relspec_core.system.compile_cache import CompileCache


class SourceSchemas:
    """Sources by name with the schemas that plans are compiled against.

    Args:
        sources: declared ones; the backend's own tables need no declaration.
        backend: where tables are looked up.
        cache: what earlier compilations worked out.
        known: what was recorded earlier; given, a column that a source has lost is shown as if it were still there.
    """

    def __init__(
        self,
        sources: Iterable[SourceSpec],
        *,
        backend: Engine,
        cache: CompileCache,
        known: EvidenceCatalog | None = None,
    ) -> None:
        self._declared: Mapping[str, SourceSpec] = {source.name: source for source in sources}
        self._backend = backend
        self._tables = BackendTables(backend)
        self._cache = cache
        self._known = known
        self._found: dict[str, tuple[SourceSpec, ibis.Schema] | None] = {}

    @property
    def place(self) -> tuple[str, ...]:
        """The catalog and schema, outermost first, that the backend means where a name has none."""
        return self._tables.place

    @property
    def declared(self) -> tuple[str, ...]:
        """The names of the declared sources, sorted."""
        return tuple(sorted(self._declared))

    @property
    def names(self) -> tuple[str, ...]:
        """Every source that there is, declared or in the backend, sorted."""
        return tuple(sorted({*self._declared, *self._tables.names}))

    def plain(self, name: str) -> str:
        """A name without the catalog and schema that the backend uses anyway."""
        return self._tables.plain(name)

    def live_spelling(self, name: str) -> str:
        """A name as the backend spells it, where it has a table that the engine takes for the same."""
        found = self._tables.find(name)
        return found.name if found is not None else name

    def find(self, name: str) -> tuple[SourceSpec, ibis.Schema] | None:
        """A source and its schema: as declared, else as it is live; None where neither exists.

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
        """The schema that a source has now, in its files or in the backend; None where it is not there."""
        files = source_files(source)
        if files is not None:
            return files.schema(connection_of(self._backend) or DuckDBConnection.scratch(), cache=self._cache)
        found = None if source.paths else self._tables.find(source.name)
        return found.schema if found is not None else None

    def lost_columns(self, known: EvidenceCatalog) -> bool:
        """Whether a source that was recorded earlier has lost a column since, or is gone altogether."""
        return any(
            (found := self._found.get(name)) is None or set(item.columns) - set(found[1])
            for name, item in known.items()
        )
