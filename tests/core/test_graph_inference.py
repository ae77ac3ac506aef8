import json
import os
from pathlib import Path

import ibis
import pytest
import rustworkx as rx
from ibis import _

from relspec_core import PlanCatalog, SourceSpec, TaskBuildContext, TaskGraph, task_graph_from_catalog
from relspec_core.errors import CycleError, SecondWriterError
from relspec_core.graph_inference import EvidenceNode, TaskNode
from relspec_core.lineage.column_graph import Use
from tests.support.catalogs import SHOP, compiled, sql_task, task_of

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"


def spent(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").group_by("customer_id").agg(total=_.amount.sum())


def by_city(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    joined = ctx.table("customers").join(ctx.table("spent"), "customer_id")
    totals = joined.group_by("city").agg(total=_.total.sum())
    return {"cities": totals, "marts.big_cities": totals.filter(_.total > 100)}


def shop_plans() -> PlanCatalog:
    return compiled(
        task_of(spent, "spent"),
        task_of(by_city, "by_city"),
        sql_task("SELECT count(*) AS n FROM orders", "how_many"),
        sql_task("SELECT * FROM customers UNPIVOT ((v, w) FOR k IN ((city, name)))", "opaque"),
    )


def shop_graph() -> TaskGraph:
    return task_graph_from_catalog(shop_plans())


def test_evidence_and_tasks_alternate() -> None:
    graph = shop_graph().graph
    assert rx.is_directed_acyclic_graph(graph)
    for source, target in graph.edge_list():
        assert {type(graph[source]), type(graph[target])} == {EvidenceNode, TaskNode}


def test_nodes_are_sorted_by_name_evidence_before_tasks() -> None:
    graph = shop_graph()
    assert graph.evidence == ("cities", "customers", "how_many", "marts.big_cities", "opaque", "orders", "spent")
    assert graph.tasks == ("by_city", "how_many", "opaque", "spent")
    assert [node.name for node in graph.graph.nodes()] == [*graph.evidence, *graph.tasks]
    assert graph.sources == ("customers", "orders")


def test_each_edge_tells_the_columns_with_types_and_uses() -> None:
    (edge,) = shop_graph().edges_of("spent")
    assert (edge.evidence, edge.task, edge.columns, edge.unresolved) == (
        "orders", "spent", ("amount", "customer_id"), None,
    )  # fmt: skip
    assert edge.types == {"amount": ibis.dtype("int64"), "customer_id": ibis.dtype("int64")}
    assert edge.uses == {"amount": (Use.AGGREGATION,), "customer_id": (Use.GROUP_BY, Use.IDENTITY)}
    assert str(edge) == "spent reads orders: amount, customer_id"


def test_an_edge_says_in_words_when_only_rows_are_read_or_all_columns_are() -> None:
    graph = shop_graph()
    assert [str(edge) for edge in graph.edges_of("how_many")] == ["how_many reads orders: its rows, no column"]
    (edge,) = graph.edges_of("opaque")
    assert edge.unresolved == "the query pivots it"
    assert edge.needs == "all columns, because the query pivots it: city, customer_id, name"


def test_the_graph_tells_who_writes_and_who_reads() -> None:
    graph = shop_graph()
    assert graph.producer("cities") == "by_city"
    assert graph.producer("orders") is None
    assert graph.outputs_of("by_city") == ("cities", "marts.big_cities")
    assert graph.readers("orders") == ("how_many", "spent")
    assert graph.readers("cities") == ()
    assert graph.upstream_tasks("by_city") == ("spent",)
    assert graph.ancestors(["by_city"]) == {"by_city", "spent"}
    assert graph.schema_of("spent") == ibis.schema({"customer_id": "int64", "total": "int64"})


def test_a_graph_is_rebuilt_from_its_rustworkx_graph_alone() -> None:
    graph = shop_graph()
    assert TaskGraph(graph.graph).to_json() == graph.to_json()


def test_an_empty_catalog_has_an_empty_graph() -> None:
    graph = task_graph_from_catalog(compiled())
    assert (graph.tasks, graph.evidence, graph.edges) == ((), (), ())
    assert json.loads(graph.to_json())["nodes"] == []


def test_a_circle_of_plans_is_refused_with_its_path() -> None:
    loop = [compiled(sql_task(f"SELECT a FROM {up}", name), sources=[SourceSpec(up, schema={"a": "int64"})])[name]
            for name, up in (("b", "c"), ("c", "a"), ("a", "b"))]  # fmt: skip
    catalog = PlanCatalog(tuple(sorted(loop, key=lambda plan: plan.name)), sources={}, schemas={}, dialect="duckdb")
    with pytest.raises(CycleError) as caught:
        task_graph_from_catalog(catalog)
    assert caught.value.path == ("a", "b", "c", "a")


def test_a_plan_for_a_source_is_refused_as_a_second_writer() -> None:
    plans = compiled(sql_task("SELECT customer_id FROM customers", "orders"), sources=SHOP[1:])
    sources = {"orders": SHOP[0]}
    catalog = PlanCatalog(tuple(plans), sources=sources, schemas={"customers": SHOP[1].schema}, dialect="duckdb")
    with pytest.raises(SecondWriterError, match="'orders'"):
        task_graph_from_catalog(catalog)


@pytest.mark.parametrize("form", ["json", "mermaid", "dot"])
def test_the_graph_exports_to_the_text_of_the_snapshot(form: str) -> None:
    """To accept a change: UPDATE_SNAPSHOTS=1 pytest tests/core/test_graph_inference.py, and look at the diff."""
    suffix = {"json": "json", "mermaid": "mmd", "dot": "dot"}[form]
    path = SNAPSHOTS / f"shop_graph.{suffix}"
    found = getattr(shop_graph(), f"to_{form}")().rstrip("\n") + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(found)
    assert found == path.read_text()


def test_names_with_quotes_and_newlines_are_kept_apart_from_the_syntax() -> None:
    source = SourceSpec('odd "name"', schema={'col "x"': "int64", "a|b": "int64"})
    graph = task_graph_from_catalog(compiled(task_of(lambda ctx: ctx.table('odd "name"'), "copy"), sources=[source]))
    assert '"odd #quot;name#quot;"' in graph.to_mermaid()
    assert r'label="odd \"name\""' in graph.to_dot()
    assert json.loads(graph.to_json())["nodes"][1]["name"] == 'odd "name"'
