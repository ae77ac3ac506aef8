"""The bipartite graph of evidence and tasks that follows from the plans."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import rustworkx as rx

from relspec_core.errors import CycleError, SecondWriterError
from relspec_core.garbage import left_alone
from relspec_core.plan_catalog import deps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis
    import ibis.expr.datatypes as dt

    from relspec_core.inferred_deps import InferredDeps, Use
    from relspec_core.plan_catalog import PlanCatalog


# Nodes and edges are named tuples: of a large catalog there are hundreds of thousands, and they take half the time.


class EvidenceNode(NamedTuple):
    """A table in the graph.

    Attributes:
        name: of the evidence.
        schema: what its plan writes or its source had.
        task: who writes it.
        whole: what tasks may ask for: of an internal table there may be more than is written.
    """

    name: str
    schema: ibis.Schema | None
    task: str | None
    whole: ibis.Schema | None = None


class TaskNode(NamedTuple):
    """A task in the graph."""

    name: str
    outputs: tuple[str, ...]


class EdgeRequirement(NamedTuple):
    """What one task must find in one evidence.

    Attributes:
        evidence: what is read.
        task: the reader.
        types: of the columns that it must have, by name; none: only its rows matter.
        deps: all that the reader depends on.
    """

    evidence: str
    task: str
    types: Mapping[str, dt.DataType]
    deps: InferredDeps

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it must have, sorted."""
        return self.deps.required_columns[self.evidence]

    @property
    def uses(self) -> Mapping[str, tuple[Use, ...]]:
        """How each column is used; worked out each time."""
        return self.deps.uses_of(self.evidence)

    @property
    def unresolved(self) -> str | None:
        """Why all columns are required, where the truth can't be known."""
        return self.deps.unresolved.get(self.evidence)

    @property
    def needs(self) -> str:
        """The columns in words."""
        if self.unresolved:
            return f"all columns, because {self.unresolved}: {', '.join(self.columns)}"
        return ", ".join(self.columns) or "its rows, no column"

    def __str__(self) -> str:
        return f"{self.task} reads {self.evidence}: {self.needs}"


class Produces(NamedTuple):
    """The edge from a task to what it writes: its ends tell all."""


ReaderEdge: TypeAlias = tuple[int, int, EdgeRequirement]
RuleGraph: TypeAlias = "rx.PyDiGraph[EvidenceNode | TaskNode, EdgeRequirement | Produces]"


class TaskGraph:
    """The graph with its nodes by name.

    Args:
        graph: nodes in name order, evidence before tasks; edges in the order of their tasks, what each reads by name.

    Attributes:
        graph: the same.
        evidence_indices: where each evidence is in it, in name order.
        task_indices: where each task is in it, in name order.
    """

    __slots__ = ("evidence_indices", "graph", "task_indices")

    def __init__(self, graph: RuleGraph) -> None:
        self.graph = graph
        self.evidence_indices: dict[str, int] = {}
        self.task_indices: dict[str, int] = {}
        for index, node in zip(graph.node_indices(), graph.nodes(), strict=True):
            indices = self.evidence_indices if isinstance(node, EvidenceNode) else self.task_indices
            indices[node.name] = index

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, sorted."""
        return tuple(self.task_indices)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The evidence names, sorted."""
        return tuple(self.evidence_indices)

    @property
    def sources(self) -> tuple[str, ...]:
        """The evidence that no task writes, sorted."""
        return tuple(name for name in self.evidence_indices if self.producer(name) is None)

    @property
    def edges(self) -> tuple[EdgeRequirement, ...]:
        """Every requirement, by task, then by evidence."""
        return tuple(edge for task in self.task_indices for edge in self.edges_of(task))

    def edges_of(self, task: str) -> tuple[EdgeRequirement, ...]:
        """What a task must find, by evidence."""
        return _in_order(self.graph.in_edges(self.task_indices[task]))

    def outputs_of(self, task: str) -> tuple[str, ...]:
        """What a task writes."""
        return cast("TaskNode", self.graph[self.task_indices[task]]).outputs

    def producer(self, evidence: str) -> str | None:
        """The task that writes an evidence; None for a source."""
        return self._node(evidence).task

    def schema_of(self, evidence: str) -> ibis.Schema | None:
        """What an evidence has according to its plan or source."""
        return self._node(evidence).schema

    def planned_schema(self, output: str) -> ibis.Schema:
        """What a task's plan yields for one of its outputs.

        Raises:
            ValueError: where the graph does not say.
        """
        schema = self.schema_of(output)
        if schema is None:
            raise ValueError(f"the graph has no schema for '{output}', which task '{self.producer(output)}' writes")
        return schema

    def _node(self, evidence: str) -> EvidenceNode:
        return cast("EvidenceNode", self.graph[self.evidence_indices[evidence]])

    def whole_schema_of(self, evidence: str) -> ibis.Schema | None:
        """The same with the columns of an internal table that are not written, as no task needs them."""
        node = self._node(evidence)
        return node.whole or node.schema

    def readers(self, evidence: str) -> tuple[str, ...]:
        """The tasks that read an evidence, sorted."""
        return tuple(edge.task for edge in self.edges_from(evidence))

    def edges_from(self, evidence: str) -> tuple[EdgeRequirement, ...]:
        """What each reader of an evidence must find in it, by reader; nothing of what is not in the graph."""
        if evidence not in self.evidence_indices:
            return ()
        return _in_order(self.reader_edges(evidence))

    def reader_edges(self, evidence: str) -> Iterable[ReaderEdge]:
        """The same with the indices of both ends, in no order to rely on: the quickest way to the readers."""
        return cast("Iterable[ReaderEdge]", self.graph.out_edges(self.evidence_indices[evidence]))

    def upstream_tasks(self, task: str) -> tuple[str, ...]:
        """The tasks that write what a task reads, sorted."""
        producers = (self.producer(edge.evidence) for edge in self.edges_of(task))
        return tuple(sorted({producer for producer in producers if producer is not None}))

    def ancestors(self, tasks: Iterable[str]) -> frozenset[str]:
        """These tasks and every task that they depend on."""
        seen = set(tasks)
        pending = list(seen)
        while pending:
            for upstream in self.upstream_tasks(pending.pop()):
                if upstream not in seen:
                    seen.add(upstream)
                    pending.append(upstream)
        return frozenset(seen)

    def to_json(self) -> str:
        """Node-link JSON, the same bytes for the same graph."""
        nodes = [
            {"id": index, **_node_data(node)}
            for index, node in zip(self.graph.node_indices(), self.graph.nodes(), strict=True)
        ]
        links = [
            {"source": source, "target": target, **_edge_data(edge)}
            for source, target, edge in sorted(self.graph.weighted_edge_list(), key=lambda item: item[:2])
        ]
        return json.dumps({"directed": True, "multigraph": False, "nodes": nodes, "links": links}, indent=2)

    def to_mermaid(self) -> str:
        """A Mermaid flowchart: evidence round, tasks square, each requirement on its edge."""
        lines = ["flowchart LR"]
        for index, node in zip(self.graph.node_indices(), self.graph.nodes(), strict=True):
            text = _mermaid_text(node.name)
            lines.append(f'    n{index}(["{text}"])' if isinstance(node, EvidenceNode) else f'    n{index}["{text}"]')
        for source, target, edge in sorted(self.graph.weighted_edge_list(), key=lambda item: item[:2]):
            label = f'|"{_mermaid_text(edge.needs)}"|' if isinstance(edge, EdgeRequirement) else ""
            lines.append(f"    n{source} -->{label} n{target}")
        return "\n".join(lines) + "\n"

    def to_dot(self) -> str:
        """Graphviz DOT: evidence in ellipses, tasks in boxes, each requirement on its edge."""
        lines = ["digraph relspec {", "  rankdir=LR;"]
        for index, node in zip(self.graph.node_indices(), self.graph.nodes(), strict=True):
            shape = "ellipse" if isinstance(node, EvidenceNode) else "box"
            lines.append(f"  n{index} [label={json.dumps(node.name)}, shape={shape}];")
        for source, target, edge in sorted(self.graph.weighted_edge_list(), key=lambda item: item[:2]):
            label = f" [label={json.dumps(edge.needs)}]" if isinstance(edge, EdgeRequirement) else ""
            lines.append(f"  n{source} -> n{target}{label};")
        return "\n".join([*lines, "}"]) + "\n"


@left_alone()
def task_graph_from_catalog(plan_catalog: PlanCatalog) -> TaskGraph:
    """The graph of a catalog's plans.

    Raises:
        CycleError: RS201, with the path. SecondWriterError: RS202.
    """
    graph: RuleGraph = rx.PyDiGraph()
    writers = _writers(plan_catalog)
    nodes = {name: EvidenceNode(name, schema, None) for name, schema in plan_catalog.schemas.items()}
    nodes.update(
        (plan.name, EvidenceNode(plan.name, plan.schema, writers[plan.name], plan.whole)) for plan in plan_catalog
    )
    names = sorted(nodes)
    evidence = dict(zip(names, graph.add_nodes_from([nodes[name] for name in names]), strict=True))
    tasks = sorted(plan_catalog.by_task.items(), key=itemgetter(0))
    written = [TaskNode(task, tuple([plan.name for plan in plans])) for task, plans in tasks]
    produces = Produces()
    edges: list[tuple[int, int, EdgeRequirement | Produces]] = []
    for (task, plans), node, index in zip(tasks, written, graph.add_nodes_from(written), strict=True):
        edges += [(evidence[edge.evidence], index, edge) for edge in requirements(task, deps_of(plans))]
        edges += [(index, evidence[output], produces) for output in node.outputs]
    graph.add_edges_from(edges)
    _refuse_cycle(graph)
    return TaskGraph(graph)


def _in_order(edges: Iterable[tuple[int, int, EdgeRequirement | Produces]]) -> tuple[EdgeRequirement, ...]:
    """What edges require, in the order in which they were added; rustworkx gives the last one first."""
    return tuple([edge for _, _, edge in edges if isinstance(edge, EdgeRequirement)][::-1])


def _writers(plan_catalog: PlanCatalog) -> dict[str, str]:
    writers: dict[str, str] = {}
    for plan in plan_catalog:
        first = writers.setdefault(plan.name, plan.task.name)
        if first != plan.task.name or plan.name in plan_catalog.sources:
            raise SecondWriterError(
                f"'{plan.name}' has more than one writer", at=plan.task.where, hint="give each evidence one writer."
            )
    return writers


def requirements(task: str, deps: InferredDeps) -> tuple[EdgeRequirement, ...]:
    """The edges of one task, by evidence."""
    return tuple([EdgeRequirement(evidence, task, deps.required_types[evidence], deps) for evidence in deps.inputs])


def _refuse_cycle(graph: RuleGraph) -> None:
    """A circle of tasks, each before what it reads, told from the task whose name comes first."""
    if rx.is_directed_acyclic_graph(graph):
        return
    found = rx.digraph_find_cycle(graph)
    names = [graph[source].name for source, _ in reversed(found) if isinstance(graph[source], TaskNode)]
    start = names.index(min(names))
    raise CycleError([*names[start:], *names[:start], names[start]])


def _node_data(node: EvidenceNode | TaskNode) -> dict[str, object]:
    if isinstance(node, TaskNode):
        return {"kind": "task", "name": node.name, "outputs": list(node.outputs)}
    columns = {name: str(kind) for name, kind in node.schema.items()} if node.schema is not None else None
    return {"kind": "evidence", "name": node.name, "task": node.task, "columns": columns}


def _edge_data(edge: EdgeRequirement | Produces) -> dict[str, object]:
    if isinstance(edge, Produces):
        return {"kind": "produces"}
    return {
        "kind": "requires",
        "columns": {column: str(edge.types[column]) for column in edge.columns},
        "uses": {column: [str(use) for use in uses] for column, uses in edge.uses.items()},
        "all_because": edge.unresolved,
    }


def _mermaid_text(text: str) -> str:
    return text.replace('"', "#quot;")
