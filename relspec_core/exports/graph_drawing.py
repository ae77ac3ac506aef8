"""The graph as node-link JSON, as a Mermaid flowchart, and as Graphviz DOT; the same text for the same graph."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import TYPE_CHECKING

from relspec_core.graph_inference import EdgeRequirement, EvidenceNode, TaskGraph, TaskNode

if TYPE_CHECKING:
    from collections.abc import Iterable


def graph_to_json(graph: TaskGraph) -> str:
    """Node-link JSON: nodes in name order, evidence before tasks; links by their ends."""
    nodes = [{"id": index, **_node_data(node)} for index, node in _nodes(graph)]
    links = [{"source": source, "target": target, **_edge_data(edge)} for source, target, edge in _edges(graph)]
    return json.dumps({"directed": True, "multigraph": False, "nodes": nodes, "links": links}, indent=2)


def graph_to_mermaid(graph: TaskGraph) -> str:
    """A Mermaid flowchart: evidence round, tasks square, each requirement on its edge."""
    lines = ["flowchart LR"]
    for index, node in _nodes(graph):
        text = _mermaid_text(node.name)
        lines.append(f'    n{index}(["{text}"])' if isinstance(node, EvidenceNode) else f'    n{index}["{text}"]')
    for source, target, edge in _edges(graph):
        label = f'|"{_mermaid_text(edge.needs)}"|' if edge else ""
        lines.append(f"    n{source} -->{label} n{target}")
    return "\n".join(lines) + "\n"


def graph_to_dot(graph: TaskGraph) -> str:
    """Graphviz DOT: evidence in ellipses, tasks in boxes, each requirement on its edge."""
    lines = ["digraph relspec {", "  rankdir=LR;"]
    for index, node in _nodes(graph):
        shape = "ellipse" if isinstance(node, EvidenceNode) else "box"
        lines.append(f"  n{index} [label={json.dumps(node.name)}, shape={shape}];")
    for source, target, edge in _edges(graph):
        label = f" [label={json.dumps(edge.needs)}]" if edge else ""
        lines.append(f"  n{source} -> n{target}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _nodes(graph: TaskGraph) -> Iterable[tuple[int, EvidenceNode | TaskNode]]:
    return zip(graph.graph.node_indices(), graph.graph.nodes(), strict=True)


def _edges(graph: TaskGraph) -> list[tuple[int, int, EdgeRequirement | None]]:
    """Both ends of every edge with its requirement, sorted by the ends."""
    return sorted(graph.graph.weighted_edge_list(), key=itemgetter(0, 1))


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
