"""What is known of evidence at one moment, kept from one look to the next."""

from __future__ import annotations

from collections.abc import Iterable

from relspec_core.evidence import Evidence, Versions
from relspec_core.evidence_store import Record
from relspec_core.graph_edge_validation import check_edge
from relspec_core.graph_inference import EdgeRequirement, TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import SourceFiles
from relspec_core.staleness.input_versions import InputVersions
from relspec_core.staleness.observation import Observation
from relspec_core.system.compile_cache import CompileCache
from relspec_core.warehouses.warehouse import Warehouse

Contents = dict[tuple[str, tuple[str, ...]], str]  # digests, by source and the columns that they are of


class EvidenceState:
    """What there is, as far as the plans are concerned; those who look write to it.

    Args:
        plans: the compiled catalog.
        graph: of the plans.

    Attributes:
        plans: the same.
        graph: the same.
        evidence: what there is; what can't be read counts as absent.
        files: of each source that is files.
        records: what relspec recorded of the tables of tasks, whether these are there or not.
        unread: of each source that can't be read now, why.
        taken: digests of what tasks read of sources.
        reads: the evidence that each task reads.
        source_edges: what each task requires of the sources that it reads.
        writers: the task that writes an evidence; sources are not in it.
    """

    __slots__ = (
        "_versions",
        "evidence",
        "files",
        "graph",
        "plans",
        "reads",
        "records",
        "source_edges",
        "taken",
        "unread",
        "writers",
    )

    def __init__(self, plans: PlanCatalog, graph: TaskGraph) -> None:
        self.plans = plans
        self.graph = graph
        self.evidence: dict[str, Evidence] = {}
        self.files: dict[str, SourceFiles] = {}
        self.records: dict[str, Record] = {}
        self.unread: dict[str, str] = {}
        self.taken: Contents = {}
        edges = {task: graph.edges_of(task) for task in graph.tasks}
        self.reads = {task: tuple(edge.evidence for edge in found) for task, found in edges.items()}
        self.writers = {output: task for task in graph.tasks for output in graph.outputs_of(task)}
        self.source_edges = {
            task: tuple(edge for edge in found if edge.evidence not in self.writers) for task, found in edges.items()
        }
        self._versions: dict[tuple[str, str], Versions] = {}  # by source and the task that reads it

    def versions(self, edge: EdgeRequirement) -> Versions | None:
        """The versions of what a task reads of a source; None where they are not known."""
        return self._versions.get((edge.evidence, edge.task))

    def forget(self, source: str) -> None:
        """Count a source as absent."""
        self.evidence.pop(source, None)
        self.unread.pop(source, None)
        self.files.pop(source, None)
        for edge in self.graph.edges_from(source):
            self.taken.pop((source, edge.columns), None)
            self._versions.pop((source, edge.task), None)

    def keep_versions(self, edge: EdgeRequirement, versions: Versions | None) -> None:
        """Know the versions of what a task reads of a source."""
        if versions is not None:
            self._versions[edge.evidence, edge.task] = versions

    def take_versions(self, edges: Iterable[EdgeRequirement], warehouse: Warehouse) -> None:
        """Work out the versions of what tasks read of sources, where these have what is read.

        Args:
            edges: from sources.
            warehouse: has the sources that are tables; files are read through any.
        """
        observed = Observation(evidence=self.evidence, files=self.files)
        versions = InputVersions(observed, warehouse, self.plans, taken=self.taken, cache=CompileCache())
        for edge in edges:
            if not check_edge(edge, self.evidence):
                self.keep_versions(edge, versions.of(edge))

    def groups(self, source: str) -> list[tuple[str, ...]]:
        """The columns that tasks read of a source, as far as it has what they read."""
        return sorted({edge.columns for edge in self.graph.edges_from(source) if not check_edge(edge, self.evidence)})
