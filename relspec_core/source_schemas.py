"""The live schemas of sources, each read once for a compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import ibis
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.common.exceptions import TableNotFound
from sqlglot.dialects.dialect import Dialect

from relspec_core.names import NameIndex, table_parts
from relspec_core.plan_tree import ignores_case
from relspec_core.source_files import no_files, source_files
from relspec_core.task_catalog import SourceSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ibis.backends.sql import SQLBackend

    from relspec_core.evidence import EvidenceCatalog


def dialect_of(backend: SQLBackend) -> str:
    """SQLGlot's name of a backend's dialect."""
    return type(Dialect.get_or_raise(backend.dialect)).__name__.lower()


def live_schema(source: SourceSpec, backend: SQLBackend) -> ibis.Schema | None:
    """The schema that a source has now, in its files or in the backend; None where it is not there.

    Raises:
        SourceError: RS106, where its files can't be read.
    """
    files = source_files(source)
    if files is not None:
        return files.schema(_reader(backend))
    return None if source.paths else table_schema(source.name, backend)


def _reader(backend: SQLBackend) -> duckdb.DuckDBPyConnection:
    """A connection that can read files: the backend's own where that is DuckDB."""
    return backend.con if isinstance(backend, DuckDBBackend) else duckdb.connect()


def table_schema(name: str, backend: SQLBackend) -> ibis.Schema | None:
    """The schema of a table or view of the backend; None where there is none."""
    try:
        match table_parts(name):
            case (catalog, schema, table):
                return backend.table(table, database=(catalog, schema)).schema()
            case (schema, table):
                return backend.table(table, database=schema).schema()
            case _:
                return backend.table(name).schema()
    except TableNotFound:
        return None


def current_place(backend: SQLBackend) -> tuple[str, ...]:
    """The catalog and schema, outermost first, that a backend means where a name has none."""
    names = (getattr(backend, "current_catalog", None), getattr(backend, "current_database", None))
    return tuple(name for name in names if name is not None)


def _schemas_in(backend: SQLBackend, catalog: str | None = None) -> list[str]:
    listing = getattr(backend, "list_databases", None)
    return listing(catalog=catalog) if listing is not None else []


def _tables_in(backend: SQLBackend, place: tuple[str, ...]) -> list[str]:
    match place:
        case (catalog, schema):
            return backend.list_tables(database=(catalog, schema))
        case (schema,):
            return backend.list_tables(database=schema)
        case _:
            return backend.list_tables()


class SourceSchemas:
    """Sources by name with the schemas that plans are compiled against.

    Args:
        sources: declared ones; the backend's own tables need no declaration.
        backend: where tables are looked up.
        known: what was recorded earlier; given, a column that a source has lost is shown as if it were still there.
    """

    def __init__(
        self, sources: Iterable[SourceSpec], *, backend: SQLBackend, known: EvidenceCatalog | None = None
    ) -> None:
        self._declared: Mapping[str, SourceSpec] = {source.name: source for source in sources}
        self._backend = backend
        self._known = known
        self._found: dict[str, tuple[SourceSpec, ibis.Schema] | None] = {}
        self._tables: dict[tuple[str, ...], NameIndex] = {}
        self._current = current_place(backend)

    @property
    def names(self) -> tuple[str, ...]:
        """Declared sources, and those found in the backend so far."""
        found = (source[0].name for source in self._found.values() if source)
        return tuple(sorted({*self._declared, *found}))

    def is_declared(self, name: str) -> bool:
        """Whether a source of that name is declared."""
        return name in self._declared

    def plain(self, name: str) -> str:
        """A name without the catalog and schema that the backend uses anyway."""
        *outer, table = table_parts(name)
        current = self._current
        return table if outer and tuple(outer) in (current, current[1:]) else name

    def live_spelling(self, name: str) -> str:
        """A name as the backend spells it, where it has a table that the engine takes for the same."""
        if not ignores_case(dialect_of(self._backend)):
            return name
        *outer, table = table_parts(name)
        if outer:
            schemas = NameIndex(_schemas_in(self._backend, *outer[:-1]), ignore_case=True)
            outer[-1] = schemas.find(outer[-1]) or outer[-1]
        place = tuple(outer)
        if place not in self._tables:
            self._tables[place] = NameIndex(_tables_in(self._backend, place), ignore_case=True)
        return ".".join([*outer, self._tables[place].find(table) or table])

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
        live = live_schema(source, self._backend)
        lost = self._known.get(name) if self._known is not None else None
        if live is None and lost is None and source.paths:
            raise no_files(source)
        if live is None:
            return (source, lost.schema) if lost else None
        if lost is not None:
            live = ibis.schema({**dict(lost.schema.items()), **dict(live.items())})
        return source, live

    def lost_columns(self, known: EvidenceCatalog) -> bool:
        """Whether a source that was recorded earlier has lost a column since, or is gone altogether."""
        return any(
            (found := self._found.get(name)) is None or set(item.columns) - set(found[1])
            for name, item in known.items()
        )
