import json
import os
from pathlib import Path

import pytest

from relspec_core import (
    SourceSpec,
    graph_to_dot,
    graph_to_json,
    graph_to_mermaid,
    task_graph_from_catalog,
)
from tests.support.catalogs import compiled, shop_graph, task_of

SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
FORMS = {"json": graph_to_json, "mmd": graph_to_mermaid, "dot": graph_to_dot}


@pytest.mark.parametrize("form", FORMS)
def test_the_graph_exports_to_the_text_of_the_snapshot(form: str) -> None:
    """To accept a change: UPDATE_SNAPSHOTS=1 pytest tests/core/exports/test_graph_drawing.py, and look at the diff."""
    path = SNAPSHOTS / f"shop_graph.{form}"
    found = FORMS[form](shop_graph()).rstrip("\n") + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(found)
    assert found == path.read_text()


def test_names_with_quotes_and_newlines_are_kept_apart_from_the_syntax() -> None:
    source = SourceSpec('odd "name"', schema={'col "x"': "int64", "a|b": "int64"})
    graph = task_graph_from_catalog(compiled(task_of(lambda ctx: ctx.table('odd "name"'), "copy"), sources=[source]))
    assert '"odd #quot;name#quot;"' in graph_to_mermaid(graph)
    assert r'label="odd \"name\""' in graph_to_dot(graph)
    assert json.loads(graph_to_json(graph))["nodes"][1]["name"] == 'odd "name"'


def test_an_empty_graph_is_drawn_without_nodes() -> None:
    graph = task_graph_from_catalog(compiled())
    assert json.loads(graph_to_json(graph)) == {"directed": True, "multigraph": False, "nodes": [], "links": []}
    assert graph_to_mermaid(graph) == "flowchart LR\n"
    assert graph_to_dot(graph).splitlines() == ["digraph relspec {", "  rankdir=LR;", "}"]
