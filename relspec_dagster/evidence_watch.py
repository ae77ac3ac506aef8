"""What there is and which tasks are stale, kept in this process between looks: only what has changed is read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.standing import Standing
from relspec_dagster.evidence_keys import EvidenceKeys
from relspec_dagster.known_evidence import KnownEvidence
from relspec_dagster.resources import RelspecResource
from relspec_dagster.watched_files import FilesGlance, WatchedFiles
from relspec_dagster.watched_place import WatchedPlace
from relspec_dagster.watched_warehouse import WatchedWarehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What files and the warehouse look like from outside, by sizes and times.

    Attributes:
        files: of the sources.
        warehouse: its file, or what its engine tells; None where that does not tell.
    """

    files: FilesGlance
    warehouse: str | None


class EvidenceWatch:
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
        self.known = KnownEvidence(plans, graph)
        self.standing = Standing(graph, plans)
        self._keys = EvidenceKeys(self.known, self.standing)
        self._files = WatchedFiles(self.known)
        self._warehouse = WatchedWarehouse(self.known, place=WatchedPlace(database))

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

    def glance(self) -> Glance:
        """Whether anything may have changed; nothing is opened."""
        return Glance(files=self._files.glance(), warehouse=self._warehouse.glance())

    def look(self, glance: Glance) -> None:
        """Read what has changed since the last look, and look again at the tasks that it concerns.

        Args:
            glance: just now. What changes after it is found by the next one.
        """
        changed = self._files.look(glance.files) | self._warehouse.look(glance.warehouse)
        graph, known = self.known.graph, self.known
        self.standing.update(
            changed if self.standing.freshness else graph.evidence,
            evidence=known.evidence,
            input_versions=known.versions,
        )

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
