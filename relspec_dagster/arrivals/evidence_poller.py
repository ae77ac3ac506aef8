"""The evidence sensor's view of the world, kept between its ticks: only what changed is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from relspec_core.errors import SourceError
from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.freshness import FreshnessEngine
from relspec_core.staleness.observation import Observation
from relspec_dagster.access.resources import RelspecResource
from relspec_dagster.arrivals.file_poller import FilePoller, FilesPoll
from relspec_dagster.arrivals.run_keys import RunKeys
from relspec_dagster.arrivals.source_versions import SourceVersions
from relspec_dagster.arrivals.warehouse_poller import WarehousePoller

HELD = "the warehouse is being written to"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePoll:
    """The state of files and of the warehouse by sizes and times, with nothing opened.

    Attributes:
        files: of the sources.
        warehouse: of its file, or what its engine reports; None where that is unknown.
    """

    files: FilesPoll
    warehouse: str | None


class EvidencePoller:
    """Keeps one observation and the freshness of all tasks up to date.

    Args:
        plans: the compiled catalog.
        graph: of the plans.
        database: the DuckDB file of the warehouse, or another engine; only ever read.

    Attributes:
        plans: the same.
        graph: the same.
        observation: the last one.
        versions: of what tasks read of sources.
        freshness: of the tasks, on that observation.
    """

    __slots__ = ("_files", "_keys", "_tables", "_warehouse", "freshness", "graph", "observation", "plans", "versions")

    def __init__(self, plans: PlanCatalog, graph: TaskGraph, *, database: Path | RelspecResource) -> None:
        self.plans, self.graph = plans, graph
        self.observation = Observation()
        self.versions = SourceVersions(plans, graph)
        self.freshness = FreshnessEngine(
            plans, graph=graph, evidence={}, versions=self.versions.of, rebuild_volatile=False
        )
        self._tables = frozenset(name for name, source in plans.sources.items() if not source.paths)
        self._keys = RunKeys(plans, graph)
        self._files = FilePoller(plans)
        self._warehouse = WarehousePoller(database)

    @property
    def notice(self) -> str | None:
        """Why the warehouse could not be read last, and what was read instead; None where it was read."""
        return self._warehouse.notice

    @property
    def is_unknown(self) -> bool:
        """Whether neither the warehouse nor its metadata snapshot was ever read."""
        return self._warehouse.is_unknown

    @property
    def unread(self) -> frozenset[str]:
        """The sources whose present state could not be read last."""
        return frozenset({*self.observation.unreadable, *(self._tables if self.notice is not None else ())})

    def poll(self) -> EvidencePoll:
        """The present state from outside."""
        return EvidencePoll(files=self._files.poll(), warehouse=self._warehouse.poll())

    def read(self, poll: EvidencePoll) -> None:
        """Read what changed since the last time, and bring the freshness of the tasks that it concerns up to date.

        Args:
            poll: of just now. What changes after it is found by the next one.
        """
        before = self.observation
        found = self._files.read(before, poll.files)
        changed = found.changed_since(before)
        self.versions.drop(changed)
        self.versions.read_files(changed, found, self._files.scratch)
        found, more = self._read_tables(found, poll.warehouse)
        self.observation = found
        self.freshness.update(changed | more, evidence=found.evidence)

    def _read_tables(self, before: Observation, state: str | None) -> tuple[Observation, set[str]]:
        """The tables of the warehouse, unless it was read in this state, and the evidence that changed."""
        if self._warehouse.is_current(state):
            return before, set()
        with self._warehouse.opened(state) as warehouse:
            if warehouse is None:
                unknown = {name: SourceError(HELD) for name in self._tables if name not in before.evidence}
                found = replace(before, unreadable={**before.unreadable, **unknown})
                return found, found.changed_since(before)
            found = self._warehouse.observe(before, self.plans, warehouse)
            if found is before:
                return before, set()
            if found.snapshot is not None:
                return self._recall(before, found)
            changed = found.changed_since(before)
            errors = self.versions.read_tables(self._tables, found, warehouse, changed=changed)
            found = _without(found, self._tables, errors)
            changed |= found.changed_since(before)
            self.versions.read_wider(changed, found, warehouse)
            return found, changed

    def _recall(self, before: Observation, found: Observation) -> tuple[Observation, set[str]]:
        """An observation of a metadata snapshot, which has no rows: sources that were read themselves stay."""
        read = {name: before.evidence[name] for name in self._tables & self.versions.tables}
        found = _without(replace(found, evidence={**found.evidence, **read}), frozenset(found.evidence), {})
        changed = found.changed_since(before)
        self.versions.drop(changed & self._tables)
        self.versions.recall(changed & self._tables, found)
        return found, changed

    def keys(self, reported: Mapping[str, int]) -> dict[str, str]:
        """Of each stale task the key of what it would be built from.

        Args:
            reported: of each source the last materialization that counts. Together with the state of its files it
                marks an arrival.
        """
        evidence = self.observation.evidence
        marks = {
            name: f"{reported.get(name, 0)} {evidence[name].version or '' if name in evidence else ''}"
            for name in self.plans.sources
        }
        return self._keys.of(self.freshness, marks, self.observation)


def _without(found: Observation, sources: frozenset[str], errors: Mapping[str, SourceError]) -> Observation:
    """An observation in which just these of some sources can't be read."""
    evidence = {name: table for name, table in found.evidence.items() if name not in errors}
    others = {name: error for name, error in found.unreadable.items() if name not in sources}
    return replace(found, evidence=evidence, unreadable={**others, **errors})
