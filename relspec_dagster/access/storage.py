"""Where the tables of a catalog are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DUCKDB = "duckdb"
DEFAULT_SCHEMA = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """An engine, and the database in it.

    Attributes:
        kind: of engine, as Dagster calls it: ``duckdb``, ``postgres``.
        place: the catalog and schema, outermost first, that a table is in whose name says neither. Of a DuckDB file the
            catalog is what it is called in its own SQL.
    """

    kind: str = DUCKDB
    place: tuple[str, ...] = ()

    @classmethod
    def of_file(cls, database: Path) -> Storage:
        """A DuckDB file."""
        return cls(place=(database.stem, DEFAULT_SCHEMA))

    def table_name(self, evidence: str) -> str:
        """The full name of a table, by which other Dagster integrations find the same asset.

        >>> shop = Storage.of_file(Path("data/shop.duckdb"))
        >>> shop.table_name("orders"), shop.table_name("staging.orders"), Storage(kind="postgres").table_name("orders")
        ('shop.main.orders', 'shop.staging.orders', 'orders')
        """
        parts = evidence.split(".")
        return ".".join([*self.place[: max(0, len(self.place) + 1 - len(parts))], *parts])
