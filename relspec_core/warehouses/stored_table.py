"""The tables that relspec stores its own data in, each with a schema version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.errors import WarehouseError
from relspec_core.model.names import quoted_text

if TYPE_CHECKING:
    from relspec_core.warehouses.warehouse import Warehouse


VERSIONS = "schema_versions"
VERSION_COLUMNS = ("name VARCHAR NOT NULL", "version INTEGER NOT NULL")
FIRST = 1  # what was stored before there were versions


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    """One of relspec's own tables.

    A later version may add columns that take NULL, and keys in texts of JSON. So a table of an earlier version is read
    with NULL for the columns that it lacks, and gets them before anything is written to it; nothing in it is lost. A
    table without the columns of the first version, of a release before that, counts as none and is replaced.

    Attributes:
        name: in relspec's own schema.
        version: raised with each change of the columns, and of what they mean.
        columns: each with its type, in order.
    """

    name: str
    version: int
    columns: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.split()[0] for column in self.columns)

    def selection(self, warehouse: Warehouse) -> str | None:
        """The columns as a list in SQL that gives all of them, whatever version is stored; None without a table.

        Raises:
            WarehouseError: RS402, for a table of a newer relspec.
        """
        stored = self._stored_columns(warehouse)
        if not stored:
            return None
        self._stored_version(warehouse)
        return ", ".join(name if name in stored else f"NULL AS {name}" for name in self.names)

    def is_prepared(self, warehouse: Warehouse) -> bool:
        """Whether the table exists in this version.

        Raises:
            WarehouseError: RS402, for a table of a newer relspec.
        """
        has_columns = frozenset(self.names) <= self._stored_columns(warehouse)
        return has_columns and self._stored_version(warehouse) == self.version

    def prepare(self, warehouse: Warehouse) -> None:
        """Create the table, or bring it to this version; goes into the running transaction."""
        stored = self._stored_columns(warehouse)
        if not stored:
            warehouse.create_own_table(self.name, self.columns)
        for name, column in zip(self.names, self.columns, strict=True):
            if stored and name not in stored:
                warehouse.execute(f"ALTER TABLE {warehouse.own_table(self.name)} ADD COLUMN {column}")
        if not warehouse.own_columns(VERSIONS):
            warehouse.create_own_table(VERSIONS, VERSION_COLUMNS)
        versions = warehouse.own_table(VERSIONS)
        warehouse.execute(f"DELETE FROM {versions} WHERE name = {quoted_text(self.name)}")  # noqa: S608 - quoted
        warehouse.execute(f"INSERT INTO {versions} VALUES ({quoted_text(self.name)}, {self.version})")  # noqa: S608 - quoted

    def _stored_columns(self, warehouse: Warehouse) -> frozenset[str]:
        stored = frozenset(warehouse.own_columns(self.name))
        required = {column.split()[0] for column in self.columns if column.endswith("NOT NULL")}
        return stored if required <= stored else frozenset()

    def _stored_version(self, warehouse: Warehouse) -> int:
        """The version of the table; the first one where none is stored."""
        if not warehouse.own_columns(VERSIONS):
            return FIRST
        rows = dict(warehouse.rows(f"SELECT name, version FROM {warehouse.own_table(VERSIONS)}"))  # noqa: S608 - quoted
        found = rows.get(self.name, FIRST)
        if found > self.version:
            raise newer_version(self.name, found=found, known=self.version, at=warehouse.path)
        return found


def newer_version(what: str, *, found: int, known: int, at: str | None) -> WarehouseError:
    """RS402, for stored data of a newer relspec."""
    return WarehouseError(
        f"relspec's '{what}' has version {found}, and this relspec reads up to version {known}",
        at=at or "a database",
        hint="a newer relspec has written it: upgrade this one (pip install -U relspec). Nothing was changed.",
    )
