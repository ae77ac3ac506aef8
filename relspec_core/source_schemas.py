"""The live schemas of sources, each read once for a compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import ibis
from ibis.common.exceptions import TableNotFound
from sqlglot.dialects.dialect import Dialect

from relspec_core.duckdb_engine import NAME, connection_of, recorded_of
from relspec_core.live_tables import LiveTable, LiveTables
from relspec_core.names import table_parts
from relspec_core.source_files import no_files, source_files
from relspec_core.task_catalog import SourceSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.compile_cache import CompileCache
    from relspec_core.duckdb_engine import Engine
    from relspec_core.evidence import EvidenceCatalog


def dialect_of(backend: Engine) -> str:
    """SQLGlot's name of a backend's dialect."""
    return NAME if backend.name == NAME else type(Dialect.get_or_raise(backend.dialect)).__name__.lower()


OWN = "relspec_"  # of relspec's own tables and passing ones, on engines other than DuckDB


class BackendTables:
    """The tables of a backend, as they are at one moment.

    Attributes:
        place: the catalog and schema, outermost first, that the backend means where a name has none.
    """

    __slots__ = ("_backend", "_live", "place")

    def __init__(self, backend: Engine) -> None:
        self._backend = backend
        self.place = _place(backend)
        connection = connection_of(backend)
        self._live = LiveTables(connection, recorded=recorded_of(backend)) if connection is not None else None

    def plain(self, name: str) -> str:
        """A name without the catalog and schema that the backend uses anyway."""
        *outer, table = table_parts(name)
        return table if outer and tuple(outer) in (self.place, self.place[1:]) else name

    def find(self, name: str) -> LiveTable | None:
        """The table of that name, in the backend's spelling, with its schema."""
        if self._live is not None:
            return self._live.find(name)
        try:
            match table_parts(name):
                case (catalog, schema, table):
                    found = self._backend.table(table, database=(catalog, schema))
                case (schema, table):
                    found = self._backend.table(table, database=schema)
                case _:
                    found = self._backend.table(name)
        except TableNotFound:
            return None
        return LiveTable(name=name, schema=found.schema())

    @property
    def names(self) -> list[str]:
        """Every table, for suggestions."""
        if self._live is not None:
            return self._live.names
        return [name for name in self._backend.list_tables() if not name.startswith(OWN)]


def _place(backend: Engine) -> tuple[str, ...]:
    connection = connection_of(backend)
    if connection is not None:
        return connection.execute("SELECT current_database(), current_schema()").fetchall()[0]
    names = (getattr(backend, "current_catalog", None), getattr(backend, "current_database", None))
    return tuple(name for name in names if name is not None)


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
            return files.schema(connection_of(self._backend) or duckdb.connect(), cache=self._cache)
        found = None if source.paths else self._tables.find(source.name)
        return found.schema if found is not None else None

    def lost_columns(self, known: EvidenceCatalog) -> bool:
        """Whether a source that was recorded earlier has lost a column since, or is gone altogether."""
        return any(
            (found := self._found.get(name)) is None or set(item.columns) - set(found[1])
            for name, item in known.items()
        )
