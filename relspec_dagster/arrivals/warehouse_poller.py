"""The tables of the warehouse, read where its file has changed, and only ever read."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from relspec_core.engines.engine_error import EngineError
from relspec_core.evidence import Evidence
from relspec_core.evidence_store import EvidenceStore, Record
from relspec_core.model.duckdb_types import schema_from_duckdb
from relspec_core.model.hashing import digest
from relspec_core.staleness.input_versions import recorded_versions
from relspec_core.staleness.observation import Observation, observed_table
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.arrivals.evidence_state import Contents, EvidenceState
from relspec_dagster.arrivals.warehouse_connection import WarehouseConnection

Columns = tuple[tuple[str, str], ...]  # names, with DuckDB's names of their types
NOT_READ = "the warehouse can't read it"
HELD = "the warehouse is being written to"
NEVER = datetime.min.replace(tzinfo=UTC)


class WarehousePoller:
    """Keeps what is known of the tables in a database: those of tasks, and the sources that are not files.

    Args:
        known: written to.
        place: of the database.

    Attributes:
        notice: why the database could not be looked at last, and what was looked at instead; None where it was.
    """

    __slots__ = ("_at", "_columns", "_known", "_made_from", "_place", "_sources", "_state", "notice")

    def __init__(self, known: EvidenceState, *, place: WarehouseConnection) -> None:
        self._known = known
        self._place = place
        self._sources = tuple(name for name, source in known.plans.sources.items() if not source.paths)
        self._state: str | None = None  # of the database when it was read; None where it has to be read again
        self._at = NEVER  # when that was, or when what was read instead was recorded
        self._columns: dict[str, Columns] = {}  # of the sources
        self._made_from: dict[str, tuple[object, ...]] = {}  # what the evidence of a task's table was made from
        self.notice: str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that are tables, by name."""
        return self._sources

    @property
    def is_unknown(self) -> bool:
        """Whether neither the database was ever looked at, nor what was recorded of it."""
        return self._at == NEVER

    def glance(self) -> str | None:
        """The state of the database; None where its looks do not tell, as while another process writes to a file."""
        return self._place.glance()

    def look(self, glance: str | None) -> set[str]:
        """Read the tables, if the database has changed or could not be read the last time.

        Returns:
            The evidence that came, went, or is not as it was.
        """
        if glance is not None and glance == self._state:
            return set()
        self._state, begun = None, datetime.now(UTC)
        with self._opened() as warehouse:
            if warehouse is None:
                return {name for name in self._sources if self._tell_held(name)}
            if warehouse.recorded is not None and warehouse.recorded.at <= self._at:
                return set()  # more is known already
            self._at = begun if warehouse.recorded is None else warehouse.recorded.at
            self._known.records = EvidenceStore(warehouse).load_changed(self._known.records)
            outputs = [plan.name for plan in self._known.plans]
            live = {
                name: tuple(types.items()) for name, types in warehouse.column_types([*outputs, *self._sources]).items()
            }
            changed = self._look_at_outputs(live, warehouse)
            if warehouse.recorded is not None:
                return changed | self._look_at_recorded_sources(live, warehouse)
            changed |= self._look_at_sources(live, warehouse)
            self._look_at_wider_tables(changed, warehouse)
        self._state = glance
        return changed

    @contextmanager
    def _opened(self) -> Generator[Warehouse | None]:
        """The database, or what was recorded of it, for a moment; None where there is neither."""
        said: list[str] = []
        with self._place.opened(said.append) as warehouse:
            self.notice = said[0] if said else None
            yield warehouse

    def _look_at_outputs(self, live: Mapping[str, Columns], warehouse: Warehouse) -> set[str]:
        """The tables of tasks, each with its record."""
        records = self._known.records
        rows = {plan.name: records[plan.name].build.rows for plan in self._known.plans if plan.name in records}
        counted = {name: number for name, number in rows.items() if number is not None and name in live}
        counts = counted if warehouse.recorded is not None else warehouse.counts(counted)
        changed: set[str] = set()
        for name in (plan.name for plan in self._known.plans):
            record, columns = records.get(name), live.get(name)
            made_from = (columns, record and record.mark, counts.get(name))
            if self._made_from.get(name) != made_from:
                self._made_from[name] = made_from
                changed.add(name)
                self._known.evidence.pop(name, None)
                if columns is not None:
                    self._known.evidence[name] = _output(name, columns, record, counts.get(name))
        return changed

    def _look_at_sources(self, live: Mapping[str, Columns], warehouse: Warehouse) -> set[str]:
        """The sources: their columns, and digests of what tasks read of them."""
        changed = self._look_at_columns(live)
        there = [name for name in self._sources if name in self._columns]
        taken = self._digests(there, warehouse)
        for name in there:
            now = {(name, columns): taken.get((name, columns)) for columns in self._known.groups(name)}
            before = {key: self._known.taken.get(key) for key in now}
            if name not in changed and now == before and name not in self._known.unread:
                continue
            changed.add(name)
            self._known.forget(name)
            if None in now.values():
                self._known.unread[name] = NOT_READ
                continue
            self._known.evidence[name] = _source(name, self._columns[name])
            self._known.taken.update((key, found) for key, found in now.items() if found is not None)
            self._known.take_versions(self._known.graph.edges_from(name), warehouse)
        return changed

    def _look_at_columns(self, live: Mapping[str, Columns]) -> set[str]:
        """The sources whose columns are others, or that came or went."""
        changed: set[str] = set()
        for name in self._sources:
            columns = live.get(name)
            if columns is not None and (self._columns.get(name) != columns or name not in self._known.evidence):
                changed.add(name)
                self._known.forget(name)
                self._known.evidence[name] = _source(name, columns)
                self._columns[name] = columns
            elif columns is None:
                changed |= {name} if name in self._known.evidence or name in self._known.unread else set()
                self._known.forget(name)
                self._columns.pop(name, None)
        return changed

    def _digests(self, names: list[str], warehouse: Warehouse) -> Contents:
        """What tasks read of these tables, by one statement; of one that can't be read nothing."""
        groups = {name: self._known.groups(name) for name in names}
        compared = {name: (dict(self._columns[name]), found) for name, found in groups.items() if found}
        try:
            digests = warehouse.contents_of(compared)
        except EngineError:  # such as a view over a file that is gone
            if len(names) == 1:
                return {}
            return {key: found for name in names for key, found in self._digests([name], warehouse).items()}
        return {
            (name, columns): digest(("content", found))
            for name, taken in zip(compared, digests, strict=True)
            for columns, found in zip(groups[name], taken, strict=True)
        }

    def _look_at_wider_tables(self, changed: set[str], warehouse: Warehouse) -> None:
        """An internal table that was written wider has read more of its sources: their versions rest on its record."""
        plans, graph = self._known.plans, self._known.graph
        wider = {plans[name].task.name for name in changed if name in plans and plans[name].needed is not None}
        edges = [
            edge for task in sorted(wider) for edge in graph.edges_of(task) if graph.producer(edge.evidence) is None
        ]
        self._known.take_versions(edges, warehouse)

    def _look_at_recorded_sources(self, live: Mapping[str, Columns], warehouse: Warehouse) -> set[str]:
        """The sources as far as they were recorded; what is known of one from an earlier look is kept."""
        recorded = warehouse.recorded
        changed: set[str] = set()
        for name in self._sources:
            if recorded is None or name not in live or name in self._columns:
                continue
            before = self._known.evidence.get(name)
            found = _source(name, live[name])
            if before == found:
                continue
            changed.add(name)
            self._known.forget(name)
            self._known.evidence[name] = found
            records = {output: record.build for output, record in self._known.records.items()}
            observed = Observation(evidence=self._known.evidence, records=records, snapshot=recorded)
            for edge in self._known.graph.edges_from(name):
                self._known.keep_versions(edge, recorded_versions(edge, observed))
        return changed

    def _tell_held(self, name: str) -> bool:
        """Say of a source of which nothing is known that it can't be read; whether that is new."""
        if name in self._known.evidence or self._known.unread.get(name) == HELD:
            return False
        self._known.unread[name] = HELD
        return True


def _source(name: str, columns: Columns) -> Evidence:
    return Evidence(name=name, schema=schema_from_duckdb(dict(columns)))


def _output(name: str, columns: Columns, record: Record | None, count: int | None) -> Evidence:
    """A task's table."""
    schema = schema_from_duckdb(dict(columns))
    return observed_table(name, schema, record=None if record is None else record.build, rows=count)
