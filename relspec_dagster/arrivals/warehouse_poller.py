"""The tables of the warehouse: polled by the state of its file, and read, never written, where that changed."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from relspec_core.evidence_store import EvidenceStore, Record
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.observation import Observation, observe_tables
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.access.resources import RelspecResource
from relspec_dagster.arrivals.warehouse_connection import WarehouseConnection

NEVER = datetime.min.replace(tzinfo=UTC)


class WarehousePoller:
    """Knows in which state a database was read last, and reads only the records that changed since.

    Args:
        database: the DuckDB file, or another engine.

    Attributes:
        notice: why the database could not be read last, and what was read instead; None where it was read.
    """

    __slots__ = ("_at", "_connection", "_records", "_state", "notice")

    def __init__(self, database: Path | RelspecResource) -> None:
        self._connection = WarehouseConnection(database)
        self._state: str | None = None  # of the database when it was read; None where it has to be read again
        self._at = NEVER  # when that was, or when the metadata snapshot that was read instead was taken
        self._records: Mapping[str, Record] = {}
        self.notice: str | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether neither the database nor its metadata snapshot was ever read."""
        return self._at == NEVER

    def poll(self) -> str | None:
        """The state of the database; None where it is unknown, as while another process writes to a file."""
        return self._connection.state()

    def is_current(self, state: str | None) -> bool:
        """Whether the database was read in this state."""
        return state is not None and state == self._state

    @contextmanager
    def opened(self, state: str | None) -> Generator[Warehouse | None]:
        """The database or its metadata snapshot, for a moment; None where there is neither.

        Args:
            state: polled just now. It counts as read where the body ends without an error.
        """
        self._state, messages = None, list[str]()
        with self._connection.opened(messages.append) as warehouse:
            self.notice = messages[0] if messages else None
            yield warehouse
            if warehouse is not None and warehouse.has_rows:
                self._state = state

    def observe(self, before: Observation, plans: PlanCatalog, warehouse: Warehouse) -> Observation:
        """The observation with the tables of the opened database; the same one where it is newer than a snapshot."""
        now = warehouse.as_of
        if not warehouse.has_rows and now <= self._at:
            return before
        self._records = EvidenceStore(warehouse).load_changed(self._records)
        found = observe_tables(before, plans, warehouse, {name: record.build for name, record in self._records.items()})
        self._at = now
        return found
