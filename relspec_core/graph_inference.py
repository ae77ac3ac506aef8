"""The bipartite graph of evidence and tasks that follows from the plans."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import rustworkx as rx

from relspec_core.errors import CycleError, SecondWriterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis
    import ibis.expr.datatypes as dt

    from relspec_core.inferred_deps import InferredDeps, Use
    from relspec_core.plan_catalog import PlanCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceNode:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNode:
    """A task in the graph."""

    name: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRequirement:
    """What one task must find in one evidence.

    Attributes:
        evidence: what is read.
        task: the reader.
        columns: the columns it must have, sorted; none: only its rows matter.
        types: the type of each.
        uses: how each is used.
        unresolved: why all columns are required, where the truth can't be known.
    """

    evidence: str
    task: str
    columns: tuple[str, ...]
    types: Mapping[str, dt.DataType]
    uses: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    unresolved: str | None = None

    @property
    def needs(self) -> str:
        """The columns in words."""
        if self.unresolved:
            return f"all columns, because {self.unresolved}: {', '.join(self.columns)}"
        return ", ".join(self.columns) or "its rows, no column"

    def __str__(self) -> str:
        return f"{self.task} reads {self.evidence}: {self.needs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Produces:
    """The edge from a task to what it writes."""

    task: str
    evidence: str


RuleGraph: TypeAlias = "rx.PyDiGraph[EvidenceNode | TaskNode, EdgeRequirement | Produces]"


class TaskGraph:
    """The graph with its nodes by name.

    Args:
        graph: nodes in name order, evidence before tasks; edges in the order of their readers, then writers.
    """

    __slots__ = ("_edges", "_evidence", "_read", "_tasks", "graph")

    def __init__(self, graph: RuleGraph) -> None:
        self.graph = graph
        nodes = graph.nodes()
        self._evidence = {node.name: node for node in nodes if isinstance(node, EvidenceNode)}
        self._tasks = {node.name: node for node in nodes if isinstance(node, TaskNode)}
        found: dict[str, list[EdgeRequirement]] = {name: [] for name in self._tasks}
        for edge in graph.edges():
            if isinstance(edge, EdgeRequirement):
                found[edge.task].append(edge)
        self._edges = {name: tuple(sorted(edges, key=lambda edge: edge.evidence)) for name, edges in found.items()}
        read: dict[str, list[EdgeRequirement]] = {}
        for edge in self.edges:
            read.setdefault(edge.evidence, []).append(edge)
        self._read = {name: tuple(edges) for name, edges in read.items()}

    @property
    def tasks(self) -> tuple[str, ...]:
        """The task names, sorted."""
        return tuple(self._tasks)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The evidence names, sorted."""
        return tuple(self._evidence)

    @property
    def sources(self) -> tuple[str, ...]:
        """The evidence that no task writes, sorted."""
        return tuple(name for name, node in self._evidence.items() if node.task is None)

    @property
    def edges(self) -> tuple[EdgeRequirement, ...]:
        """Every requirement, by task, then by evidence."""
        return tuple(edge for edges in self._edges.values() for edge in edges)

    def edges_of(self, task: str) -> tuple[EdgeRequirement, ...]:
        """What a task must find, by evidence."""
        return self._edges[task]

    def outputs_of(self, task: str) -> tuple[str, ...]:
        """What a task writes."""
        return self._tasks[task].outputs

    def producer(self, evidence: str) -> str | None:
        """The task that writes an evidence; None for a source."""
        return self._evidence[evidence].task

    def schema_of(self, evidence: str) -> ibis.Schema | None:
        """What an evidence has according to its plan or source."""
        return self._evidence[evidence].schema

    def whole_schema_of(self, evidence: str) -> ibis.Schema | None:
        """The same with the columns of an internal table that are not written, as no task needs them."""
        node = self._evidence[evidence]
        return node.whole or node.schema

    def readers(self, evidence: str) -> tuple[str, ...]:
        """The tasks that read an evidence, sorted."""
        return tuple(edge.task for edge in self.edges_from(evidence))

    def edges_from(self, evidence: str) -> tuple[EdgeRequirement, ...]:
        """What each reader of an evidence must find in it, by reader."""
        return self._read.get(evidence, ())

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


def task_graph_from_catalog(plan_catalog: PlanCatalog) -> TaskGraph:
    """The graph of a catalog's plans.

    Raises:
        CycleError: RS201, with the path. SecondWriterError: RS202.
    """
    graph: RuleGraph = rx.PyDiGraph()
    writers = _writers(plan_catalog)
    schemas = {**plan_catalog.schemas, **{plan.name: plan.schema for plan in plan_catalog}}
    whole = {plan.name: plan.whole for plan in plan_catalog}
    evidence = {
        name: graph.add_node(
            EvidenceNode(name=name, schema=schemas[name], task=writers.get(name), whole=whole.get(name))
        )
        for name in sorted(schemas)
    }
    outputs = {task.name: tuple(plan.name for plan in plan_catalog.of_task(task.name)) for task in plan_catalog.tasks}
    tasks = {name: graph.add_node(TaskNode(name=name, outputs=outputs[name])) for name in sorted(outputs)}
    for name, index in tasks.items():
        for edge in requirements(name, plan_catalog.deps_of(name)):
            graph.add_edge(evidence[edge.evidence], index, edge)
        for output in outputs[name]:
            graph.add_edge(index, evidence[output], Produces(task=name, evidence=output))
    _refuse_cycle(graph)
    return TaskGraph(graph)


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
    return tuple(
        EdgeRequirement(
            evidence=evidence,
            task=task,
            columns=deps.required_columns[evidence],
            types=deps.required_types[evidence],
            uses=deps.uses_of(evidence),
            unresolved=deps.unresolved.get(evidence),
        )
        for evidence in deps.inputs
    )


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
