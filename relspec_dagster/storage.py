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
        database: what a DuckDB file is called in its own SQL; None for another engine.
    """

    kind: str = DUCKDB
    database: str | None = None

    @classmethod
    def of_file(cls, database: Path) -> Storage:
        """A DuckDB file."""
        return cls(database=database.stem)

    def table_name(self, evidence: str) -> str:
        """The full name of a table, by which other Dagster integrations find the same asset.

        >>> shop = Storage.of_file(Path("data/shop.duckdb"))
        >>> shop.table_name("orders"), shop.table_name("staging.orders"), Storage(kind="postgres").table_name("orders")
        ('shop.main.orders', 'shop.staging.orders', 'orders')
        """
        match self.database, evidence.split("."):
            case str() as database, [table]:
                return f"{database}.{DEFAULT_SCHEMA}.{table}"
            case str() as database, [schema, table]:
                return f"{database}.{schema}.{table}"
            case _:
                return evidence
