"""The observation and freshness of a catalog, taken once for each evaluation of automation conditions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dagster_duckdb import DuckDBResource

from relspec_core.engines.duckdb_file import DatabaseHeldError, file_state
from relspec_core.errors import SourceError
from relspec_core.evidence import Evidence, Versions
from relspec_core.graph_edge_validation import check_edge
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.model.hashing import digest
from relspec_core.model.reasons import Reason
from relspec_core.sources.source_files import SourceFiles, SourceListings, source_files
from relspec_core.staleness.freshness import Freshness
from relspec_core.staleness.observation import observe
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.access.storage_polling import PolledStorages
from relspec_dagster.access.warehouse_access import Resource, read_warehouse
from relspec_dagster.freshness.carry_forward import freshness_engine
from relspec_dagster.translation.consumers import Consumers

LOG = logging.getLogger(__name__)
MOST_EVALUATIONS = 8  # kept


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """A request to materialize an asset now.

    Attributes:
        reason: why it is stale.
        token: a digest of its plan and of the versions of what it would be built from.
    """

    reason: Reason
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TickEvaluation:
    """The state of a catalog at one moment.

    Attributes:
        readers: of the whole catalog.
        evidence: what exists.
        changed: why a table is stale on the present evidence, for those whose edges are satisfied.
        versions: of what each table reads, as far as they are known, by the names of table and evidence.
        freshness: of each task as if all before it were brought up to date.
    """

    readers: Consumers
    evidence: Mapping[str, Evidence]
    changed: Mapping[str, Reason]
    versions: Mapping[tuple[str, str], Versions]
    freshness: Mapping[str, Freshness]

    def request(self, name: str, *, requested: frozenset[str]) -> BuildRequest | None:
        """The request to build a table now; None where it is fresh, or an edge of its plan is unsatisfied.

        Args:
            name: of the table.
            requested: tables that are built before it in the same run; they count as their plans will write them.
        """
        output = self.readers.outputs[name]
        edges = [check.edge for check in output.checks]
        if any(edge.evidence not in requested and check_edge(edge, self.evidence) for edge in edges):
            return None
        fresh = self.freshness[output.artifact.task.name]
        after = any(edge.evidence in requested for edge in edges)
        reason = fresh.stale if after else self.changed.get(name)
        if reason is None:
            return None
        read = [(edge.evidence, self._read(name, edge, fresh, requested=requested)) for edge in edges]
        return BuildRequest(reason=reason, token=digest(("due", output.artifact.fingerprint, tuple(read))))

    def _read(self, name: str, edge: EdgeRequirement, fresh: Freshness, *, requested: frozenset[str]) -> str:
        """The versions of what a table would read of one evidence, as text."""
        if edge.evidence in requested:
            will_be = fresh.inputs.get(edge.evidence)
            return "" if will_be is None else _text(will_be.only(edge.columns))
        now = self.versions.get((name, edge.evidence))
        return "" if now is None else _text(now)


def _text(versions: Versions) -> str:
    return digest((versions.rows, tuple(sorted(versions.columns.items()))))


class Evaluation:
    """Evaluates a catalog: at most once for each moment, and not where nothing was written since the last time.

    The file is opened for reading, for as long as that takes. While a run writes to it, its metadata snapshot counts;
    without one nothing is known. Nothing is known either where a storage refuses, or does not answer soon; the file is
    not opened then.

    Args:
        readers: of the whole catalog.
        task_graph: of the same.
        resource: of the database.

    Attributes:
        names: of the tables of tasks, by the keys of their assets.
    """

    __slots__ = ("_by_time", "_graph", "_last", "_lock", "_readers", "_resource", "_stores", "names")

    def __init__(self, readers: Consumers, task_graph: TaskGraph, resource: Resource) -> None:
        self._readers = readers
        self.names = {readers.keys[name]: name for name in readers.outputs}
        self._resource = resource
        self._graph = task_graph
        self._lock = threading.Lock()
        self._by_time: dict[datetime, TickEvaluation | None] = {}
        self._last: tuple[str, TickEvaluation] | None = None
        self._stores: PolledStorages | None = None  # made by the first evaluation: the processes of runs need none

    def at(self, time: datetime) -> TickEvaluation | None:
        """The state for the evaluation that began at this time; None where it is unknown now."""
        with self._lock:
            if time not in self._by_time:
                for old in sorted(self._by_time)[: 1 - MOST_EVALUATIONS]:
                    del self._by_time[old]
                self._by_time[time] = self._evaluate()
            return self._by_time[time]

    def _evaluate(self) -> TickEvaluation | None:
        try:
            listings = self._listings()
            state = self._state(listings)
            if self._last is not None and state == self._last[0]:
                return self._last[1]
            with read_warehouse(self._resource, say=LOG.info) as warehouse:
                found = self._observe(warehouse, listings)
                self._last = None if state is None or not warehouse.has_rows else (state, found)
        except (DatabaseHeldError, SourceError) as error:
            LOG.warning("the state of the tables is unknown now, so nothing is requested: %s", error)
            return None
        return found

    def _listings(self) -> dict[str, SourceFiles | None]:
        """The files of the sources; all storages are asked at once."""
        sources = self._readers.plan_catalog.sources
        if self._stores is None:
            self._stores = PolledStorages(sources.values())
        since = self._stores.ask()
        return {
            name: self._stores.files(name, since=since) if name in self._stores else source_files(source)
            for name, source in sources.items()
        }

    def _state(self, listings: Mapping[str, SourceFiles | None]) -> str | None:
        """Equal where neither the database nor a source's file was written to; None where that is unknown."""
        is_file = isinstance(self._resource, DuckDBResource)
        database = file_state(self._resource.database) if is_file else None
        files = [(name, found.version()) for name, found in listings.items() if found is not None]
        return None if database is None else digest((database, tuple(sorted(files))))

    def _observe(self, warehouse: Warehouse, listings: Mapping[str, SourceFiles | None]) -> TickEvaluation:
        plans = self._readers.plan_catalog
        observation = observe(plans, warehouse, listings=SourceListings(listings))
        evidence, engine = observation.evidence, freshness_engine(plans, observation, warehouse, graph=self._graph)
        engine.update()
        changed: dict[str, Reason] = {}
        versions: dict[tuple[str, str], Versions] = {}
        for name, output in self._readers.outputs.items():
            satisfied = [check.edge for check in output.checks if not check_edge(check.edge, evidence)]
            for edge in satisfied:
                found = engine.versions(edge)
                if found is not None:
                    versions[name, edge.evidence] = found
            reason = engine.reason(name) if len(satisfied) == len(output.checks) else None
            if reason is not None:
                changed[name] = reason
        return TickEvaluation(
            readers=self._readers, evidence=evidence, changed=changed, versions=versions, freshness=engine.freshness
        )
