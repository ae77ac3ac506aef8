"""What there is and which tasks are stale, kept in this process between looks: only what has changed is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.freshness import FreshnessEngine
from relspec_dagster.access.resources import RelspecResource
from relspec_dagster.arrivals.evidence_state import EvidenceState
from relspec_dagster.arrivals.file_poller import FilePoller, FilesPoll
from relspec_dagster.arrivals.run_keys import RunKeys
from relspec_dagster.arrivals.warehouse_connection import WarehouseConnection
from relspec_dagster.arrivals.warehouse_poller import WarehousePoller


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidencePoll:
    """What files and the warehouse look like from outside, by sizes and times.

    Attributes:
        files: of the sources.
        warehouse: its file, or what its engine tells; None where that does not tell.
    """

    files: FilesPoll
    warehouse: str | None


class EvidencePoller:
    """Keeps what is known of the evidence and the standing of the tasks.

    Args:
        plans: the compiled catalog.
        graph: of the plans.
        database: the DuckDB file of the warehouse, or another engine; only ever read.

    Attributes:
        known: what there is.
        standing: of the tasks, on that.
    """

    __slots__ = ("_files", "_keys", "_warehouse", "known", "standing")

    def __init__(self, plans: PlanCatalog, graph: TaskGraph, *, database: Path | RelspecResource) -> None:
        self.known = EvidenceState(plans, graph)
        self.standing = FreshnessEngine(
            plans, graph=graph, evidence=self.known.evidence, versions=self.known.versions, rebuild_volatile=False
        )
        self._keys = RunKeys(self.known, self.standing)
        self._files = FilePoller(self.known)
        self._warehouse = WarehousePoller(self.known, place=WarehouseConnection(database))

    @property
    def notice(self) -> str | None:
        """Why the warehouse could not be looked at last, and what was looked at instead; None where it was."""
        return self._warehouse.notice

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of the warehouse."""
        return self._warehouse.is_unknown

    @property
    def not_read(self) -> frozenset[str]:
        """The sources whose present state could not be read at the last look."""
        held = self._warehouse.sources if self.notice is not None else ()
        return frozenset({*self.known.unread, *held})

    def glance(self) -> EvidencePoll:
        """Whether anything may have changed; nothing is opened."""
        return EvidencePoll(files=self._files.glance(), warehouse=self._warehouse.glance())

    def look(self, glance: EvidencePoll) -> None:
        """Read what has changed since the last look, and look again at the tasks that it concerns.

        Args:
            glance: just now. What changes after it is found by the next one.
        """
        changed = self._files.look(glance.files) | self._warehouse.look(glance.warehouse)
        self.standing.update(changed)

    def keys(self, reported: Mapping[str, int]) -> dict[str, str]:
        """Of each stale task the key of what it would be built from.

        Args:
            reported: of each source the last materialization that counts. Together with the state of its files it
                marks an arrival.
        """
        evidence = self.known.evidence
        marks = {
            name: f"{reported.get(name, 0)} {evidence[name].version or '' if name in evidence else ''}"
            for name in self.known.plans.sources
        }
        return self._keys.of(self.standing.stale, marks)
