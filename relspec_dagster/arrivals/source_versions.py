"""The versions of what tasks read of sources, kept between the ticks of the evidence sensor."""

from __future__ import annotations

from collections.abc import Iterable

from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import SourceError
from relspec_core.evidence import Versions
from relspec_core.graph_edge_validation import check_edge
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.model.hashing import digest
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.input_versions import InputVersions, recorded_versions
from relspec_core.staleness.observation import Observation
from relspec_core.system.compile_cache import CompileCache
from relspec_core.warehouses.warehouse import Warehouse

NOT_READ = "the warehouse can't read it"
Contents = dict[tuple[str, tuple[str, ...]], str]  # digests, by source and the columns that they cover


class SourceVersions:
    """Takes versions where something changed, while the warehouse is open, and knows them when it is closed.

    Args:
        plans: the compiled catalog.
        graph: of the plans.
    """

    __slots__ = ("_graph", "_plans", "_taken", "_versions")

    def __init__(self, plans: PlanCatalog, graph: TaskGraph) -> None:
        self._plans, self._graph = plans, graph
        self._taken: Contents = {}
        self._versions: dict[tuple[str, str], Versions] = {}  # by source and the task that reads it

    @property
    def tables(self) -> frozenset[str]:
        """The sources whose contents were read."""
        return frozenset(name for name, _ in self._taken)

    def of(self, edge: EdgeRequirement) -> Versions | None:
        """The versions of what a task reads of a source; None where they are unknown."""
        return self._versions.get((edge.evidence, edge.task))

    def drop(self, sources: Iterable[str]) -> None:
        """Forget the versions of these sources."""
        for name in sources:
            for edge in self._graph.edges_from(name):
                self._taken.pop((name, edge.columns), None)
                self._versions.pop((name, edge.task), None)

    def read_files(self, sources: Iterable[str], observed: Observation, warehouse: Warehouse) -> None:
        """The versions of sources that are files, read through any warehouse."""
        self._read((edge for name in sources for edge in self._graph.edges_from(name)), observed, warehouse)

    def read_tables(
        self, sources: Iterable[str], observed: Observation, warehouse: Warehouse, *, changed: set[str]
    ) -> dict[str, SourceError]:
        """The versions of sources that are tables, by digests of what tasks read; those that changed are added.

        Returns:
            The sources that can't be read, with the reason.
        """
        groups = {name: self._groups(name, observed) for name in sorted(sources) if name in observed.evidence}
        taken = self._digests(groups, observed, warehouse)
        unreadable: dict[str, SourceError] = {}
        for name, columns in groups.items():
            now = {(name, group): taken.get((name, group)) for group in columns}
            if name not in changed and all(self._taken.get(key) == found for key, found in now.items()):
                continue
            changed.add(name)
            self.drop([name])
            if None in now.values():
                unreadable[name] = SourceError(NOT_READ)
                continue
            self._taken.update((key, found) for key, found in now.items() if found is not None)
            self._read(self._graph.edges_from(name), observed, warehouse)
        self.drop(name for name in sources if name not in groups)
        return unreadable

    def read_wider(self, changed: Iterable[str], observed: Observation, warehouse: Warehouse) -> None:
        """The versions of what internal tables read: one that was written wider has read more of its sources."""
        wider = {
            self._plans[name].task.name
            for name in changed
            if name in self._plans and self._plans[name].needed is not None
        }
        edges = (edge for task in sorted(wider) for edge in self._graph.edges_of(task))
        self._read((edge for edge in edges if self._graph.producer(edge.evidence) is None), observed, warehouse)

    def recall(self, sources: Iterable[str], observed: Observation) -> None:
        """The versions that a metadata snapshot has of sources."""
        for edge in (edge for name in sources for edge in self._graph.edges_from(name)):
            self._keep(edge, recorded_versions(edge, observed))

    def _read(self, edges: Iterable[EdgeRequirement], observed: Observation, warehouse: Warehouse) -> None:
        versions = InputVersions(observed, warehouse, self._plans, taken=self._taken, cache=CompileCache())
        for edge in edges:
            if not check_edge(edge, observed.evidence):
                self._keep(edge, versions.of(edge))

    def _keep(self, edge: EdgeRequirement, versions: Versions | None) -> None:
        if versions is not None:
            self._versions[edge.evidence, edge.task] = versions

    def _groups(self, source: str, observed: Observation) -> list[tuple[str, ...]]:
        """The columns that tasks read of a source, as far as it has them."""
        return sorted(
            {edge.columns for edge in self._graph.edges_from(source) if not check_edge(edge, observed.evidence)}
        )

    def _digests(
        self, groups: dict[str, list[tuple[str, ...]]], observed: Observation, warehouse: Warehouse
    ) -> Contents:
        """What tasks read of these tables, by one statement; nothing of a table that can't be read."""
        compared = {name: (observed.column_types[name], columns) for name, columns in groups.items() if columns}
        try:
            digests = warehouse.contents_of(compared)
        except EngineError:  # such as a view over a file that is gone
            if len(compared) == 1:
                return {}
            alone = ({name: columns} for name, columns in groups.items())
            return {key: found for group in alone for key, found in self._digests(group, observed, warehouse).items()}
        return {
            (name, columns): digest(("content", found))
            for name, taken in zip(compared, digests, strict=True)
            for columns, found in zip(groups[name], taken, strict=True)
        }
