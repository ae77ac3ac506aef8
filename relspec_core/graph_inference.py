"""The bipartite graph of evidence and tasks that follows from the plans."""

from __future__ import annotations

import json
from bisect import bisect_left
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import rustworkx as rx

from relspec_core.errors import CycleError, SecondWriterError
from relspec_core.plan_catalog import deps_of
from relspec_core.sql.identifiers import ignores_case
from relspec_core.system.garbage_collection import left_alone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import ibis
    import ibis.expr.datatypes as dt

    from relspec_core.inferred_deps import InferredDeps, Use
    from relspec_core.plan_catalog import PlanCatalog


# Nodes are named tuples, and edges have no objects of their own: of a large catalog there are hundreds of thousands.


class EvidenceNode(NamedTuple):
    """A table in the graph.

    Attributes:
        name: of the evidence.
        schema: what its plan writes or its source had.
        task: who writes it.
        whole: what tasks may ask for: of an internal table there may be more than is written.
        fits: whether each reader is known to find in it what it was made for, where it is just as said here.
    """

    name: str
    schema: ibis.Schema
    task: str | None
    whole: ibis.Schema | None = None
    fits: bool = False


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


def requirements(task: str, deps: InferredDeps) -> tuple[EdgeRequirement, ...]:
    """The edges of one task, by evidence."""
    return tuple([EdgeRequirement(evidence, task, deps.required_types[evidence], deps) for evidence in deps.inputs])


class TaskNode(NamedTuple):
    """A task in the graph.

    Attributes:
        name: of the task.
        outputs: what it writes.
        deps: what all of them read: what each edge to the task requires.
    """

    name: str
    outputs: tuple[str, ...]
    deps: InferredDeps

    @property
    def edges(self) -> tuple[EdgeRequirement, ...]:
        """What the task must find, by evidence."""
        return requirements(self.name, self.deps)

    def edge_from(self, evidence: str) -> EdgeRequirement:
        """What it must find in one evidence."""
        return EdgeRequirement(evidence, self.name, self.deps.required_types[evidence], self.deps)


RuleGraph: TypeAlias = "rx.PyDiGraph[EvidenceNode | TaskNode, None]"
NAME, FITS = attrgetter("name"), attrgetter("fits")
_new = tuple.__new__  # a named tuple in half of the time that calling its class takes


class TaskGraph:
    """The graph with its nodes by name.

    Args:
        graph: nodes in name order, evidence before tasks; edges in the order of their tasks, what each reads by name.

    Attributes:
        graph: the same.
        evidence_indices: where each evidence is in it, in name order.
        task_indices: where each task is in it, in name order.
        source_indices: where the evidence is that no task writes.
        waves: where each task is, in the waves that there are as long as exactly the sources exist, just as their nodes
            say; none where it is not certain that all evidence fits.

    Raises:
        CycleError: RS201, with the path.
    """

    __slots__ = ("evidence_indices", "graph", "source_indices", "task_indices", "waves")

    def __init__(self, graph: RuleGraph) -> None:
        self.graph = graph
        nodes, indices = graph.nodes(), list(graph.node_indices())
        first = bisect_left(nodes, 1, key=lambda node: isinstance(node, TaskNode))
        names = list(map(NAME, nodes))
        self.evidence_indices: dict[str, int] = dict(zip(names[:first], indices[:first], strict=True))
        self.task_indices: dict[str, int] = dict(zip(names[first:], indices[first:], strict=True))
        tables = cast("list[EvidenceNode]", nodes[:first])
        self.source_indices = frozenset([at for at, node in zip(indices, tables, strict=False) if node.task is None])
        waves = _waves(graph, after=max(indices[:first], default=-1))
        self.waves = waves if all(map(FITS, tables)) else []

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
        return self._task(task).edges

    def outputs_of(self, task: str) -> tuple[str, ...]:
        """What a task writes."""
        return self._task(task).outputs

    def producer(self, evidence: str) -> str | None:
        """The task that writes an evidence; None for a source."""
        return self._node(evidence).task

    def schema_of(self, evidence: str) -> ibis.Schema:
        """What an evidence has according to its plan or source."""
        return self._node(evidence).schema

    def _node(self, evidence: str) -> EvidenceNode:
        return cast("EvidenceNode", self.graph[self.evidence_indices[evidence]])

    def _task(self, name: str) -> TaskNode:
        return cast("TaskNode", self.graph[self.task_indices[name]])

    def whole_schema_of(self, evidence: str) -> ibis.Schema:
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
        readers = self.graph.successor_indices(self.evidence_indices[evidence])
        return tuple([cast("TaskNode", self.graph[reader]).edge_from(evidence) for reader in sorted(readers)])

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
        links = [{"source": source, "target": target, **_edge_data(edge)} for source, target, edge in self._all_edges()]
        return json.dumps({"directed": True, "multigraph": False, "nodes": nodes, "links": links}, indent=2)

    def to_mermaid(self) -> str:
        """A Mermaid flowchart: evidence round, tasks square, each requirement on its edge."""
        lines = ["flowchart LR"]
        for index, node in zip(self.graph.node_indices(), self.graph.nodes(), strict=True):
            text = _mermaid_text(node.name)
            lines.append(f'    n{index}(["{text}"])' if isinstance(node, EvidenceNode) else f'    n{index}["{text}"]')
        for source, target, edge in self._all_edges():
            label = f'|"{_mermaid_text(edge.needs)}"|' if edge else ""
            lines.append(f"    n{source} -->{label} n{target}")
        return "\n".join(lines) + "\n"

    def to_dot(self) -> str:
        """Graphviz DOT: evidence in ellipses, tasks in boxes, each requirement on its edge."""
        lines = ["digraph relspec {", "  rankdir=LR;"]
        for index, node in zip(self.graph.node_indices(), self.graph.nodes(), strict=True):
            shape = "ellipse" if isinstance(node, EvidenceNode) else "box"
            lines.append(f"  n{index} [label={json.dumps(node.name)}, shape={shape}];")
        for source, target, edge in self._all_edges():
            label = f" [label={json.dumps(edge.needs)}]" if edge else ""
            lines.append(f"  n{source} -> n{target}{label};")
        return "\n".join([*lines, "}"]) + "\n"

    def _all_edges(self) -> Iterator[tuple[int, int, EdgeRequirement | None]]:
        """Both ends of every edge, sorted, with what it requires; None: its task writes it."""
        for source, target in sorted(self.graph.edge_list()):
            reader = self.graph[target]
            yield source, target, reader.edge_from(self.graph[source].name) if isinstance(reader, TaskNode) else None


@left_alone()
def task_graph_from_catalog(plan_catalog: PlanCatalog) -> TaskGraph:
    """The graph of a catalog's plans.

    Raises:
        CycleError: RS201, with the path. SecondWriterError: RS202.
    """
    _refuse_second_writers(plan_catalog)
    tasks = sorted(plan_catalog.by_task.items(), key=itemgetter(0))
    evidence = [EvidenceNode(name, schema, None, fits=True) for name, schema in plan_catalog.schemas.items()]
    evidence += [
        _new(EvidenceNode, (plan.name, plan.schema, task, plan.whole, True)) for task, plans in tasks for plan in plans
    ]
    readers = [_new(TaskNode, (task, tuple(map(NAME, plans)), deps_of(plans))) for task, plans in tasks]
    evidence.sort(key=itemgetter(0))
    indices = {node.name: index for index, node in enumerate(evidence)}
    sources, targets = _edges(evidence, readers, indices)
    graph: RuleGraph = rx.PyDiGraph()
    graph.add_nodes_from(evidence)
    graph.add_nodes_from(readers)
    graph.add_edges_from_no_data(zip(sources, targets, strict=True))
    return TaskGraph(graph)


def _edges(
    evidence: list[EvidenceNode], tasks: list[TaskNode], indices: Mapping[str, int]
) -> tuple[list[int], list[int]]:
    """Both ends of every edge, where nodes are numbered in this order; marks the evidence that does not fit."""
    columns = [node.schema.fields.items() for node in evidence]
    sources: list[int] = []
    targets: list[int] = []
    for reader, task in enumerate(tasks, start=len(evidence)):
        for name, types in task.deps.required_types.items():
            index = indices[name]
            sources.append(index)
            targets.append(reader)
            if not types.items() <= columns[index]:
                evidence[index] = evidence[index]._replace(fits=False)
        for name in task.outputs:
            sources.append(reader)
            targets.append(indices[name])
    return sources, targets


def _refuse_second_writers(plan_catalog: PlanCatalog) -> None:
    """One evidence has one writer: a task, or none where it is a source."""
    taken = [name for name in (*plan_catalog.sources, *plan_catalog.schemas) if name in plan_catalog]
    if taken:
        name = min(taken)
        where = plan_catalog[name].task.where
        raise SecondWriterError(f"'{name}' has more than one writer", at=where, hint="give each evidence one writer.")
    if ignores_case(plan_catalog.dialect):
        _refuse_names_that_differ_by_case(plan_catalog)


def _refuse_names_that_differ_by_case(plan_catalog: PlanCatalog) -> None:
    seen: dict[str, str] = {}
    for name in sorted(map(NAME, plan_catalog)):
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            raise SecondWriterError(
                f"'{other}' and '{name}' are one table: {plan_catalog.dialect} ignores case",
                at=plan_catalog[name].task.where,
                hint="give one of them another name.",
            )


def _waves(graph: RuleGraph, *, after: int) -> list[list[int]]:
    """The tasks, which come after this index, each in the first wave after those that write what it reads."""
    try:
        found = rx.topological_generations(graph)
    except rx.DAGHasCycle:
        raise _cycle(graph) from None
    # Evidence and tasks take turns, but that those tasks that read nothing are among the sources.
    pairs = [chain(*found[at : at + 2]) for at in range(0, len(found), 2)]
    waves = [sorted([index for index in pair if index > after]) for pair in pairs]
    return [wave for wave in waves if wave]


def _cycle(graph: RuleGraph) -> CycleError:
    """A circle of tasks, each before what it reads, told from the task whose name comes first."""
    found = rx.digraph_find_cycle(graph)
    names = [graph[source].name for source, _ in reversed(found) if isinstance(graph[source], TaskNode)]
    start = names.index(min(names))
    return CycleError([*names[start:], *names[:start], names[start]])


def _node_data(node: EvidenceNode | TaskNode) -> dict[str, object]:
    if isinstance(node, TaskNode):
        return {"kind": "task", "name": node.name, "outputs": list(node.outputs)}
    columns = {name: str(kind) for name, kind in node.schema.items()}
    return {"kind": "evidence", "name": node.name, "task": node.task, "columns": columns}


def _edge_data(edge: EdgeRequirement | None) -> dict[str, object]:
    if edge is None:
        return {"kind": "produces"}
    return {
        "kind": "requires",
        "columns": {column: str(edge.types[column]) for column in edge.columns},
        "uses": {column: [str(use) for use in uses] for column, uses in edge.uses.items()},
        "all_because": edge.unresolved,
    }


def _mermaid_text(text: str) -> str:
    return text.replace('"', "#quot;")
