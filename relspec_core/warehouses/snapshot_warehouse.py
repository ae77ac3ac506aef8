"""A warehouse that holds metadata and no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_catalog import DuckDBCatalog
from relspec_core.engines.engine_error import EngineError
from relspec_core.model.names import quoted_text
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import ibis

    from relspec_core.engines.catalog_snapshot import ObservedContents
    from relspec_core.engines.duckdb_backend import SnapshotDuckDB


class SnapshotWarehouse(DuckDBWarehouse):
    """The metadata snapshot of a DuckDB file, for readers while another process writes to the file.

    It has relspec's own tables, and of all others the columns and the recorded numbers of rows.

    Args:
        backend: the snapshot; used and left open.
    """

    __slots__ = ("_snapshot",)

    has_rows = False

    def __init__(self, backend: SnapshotDuckDB) -> None:
        super().__init__(backend)
        self._snapshot = backend.snapshot

    @property
    def as_of(self) -> datetime:
        """When the snapshot was taken."""
        return self._snapshot.at

    @property
    def observed(self) -> ObservedContents:
        """What the last run observed of contents when it planned."""
        return self._snapshot.observed

    def _read_catalog(self) -> DuckDBCatalog:
        return DuckDBCatalog(self._connection, self._snapshot.columns)

    def schemas(self, names: Iterable[str]) -> dict[str, ibis.Schema]:
        """The schema of each of these tables and views when the snapshot was taken."""
        catalog = self._read_catalog()
        return {name: found.schema for name in names if (found := catalog.find(name)) is not None}

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """The recorded number of rows of each table.

        Raises:
            EngineError: for a table without a build record.
        """
        names = tuple(names)
        if not names:
            return {}
        listing = ", ".join(map(quoted_text, names))
        found = dict(self.rows(f"SELECT name, row_count FROM {self.own_table(RECORDS)} WHERE name IN ({listing})"))  # noqa: S608 - quoted
        unknown = sorted({*names} - found.keys())
        if unknown:
            raise EngineError(f"the snapshot has no number of rows of '{unknown[0]}'")
        return found

    def contents(self, name: str, groups: Sequence[Sequence[str]], *, query: str | None = None) -> list[str]:
        """Digests of the rows of a query over files.

        Raises:
            EngineError: for a table, which has no rows here.
        """
        if query is None:
            raise EngineError(f"the snapshot has no rows of '{name}'")
        return super().contents(name, groups, query=query)

    def contents_of(self, tables: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[str]]]]) -> list[list[str]]:
        """Nothing for no tables.

        Raises:
            EngineError: for any table, which has no rows here.
        """
        return [self.contents(name, groups) for name, (_, groups) in tables.items()]
