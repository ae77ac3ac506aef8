import ibis
import pytest
import rustworkx as rx

from relspec_core import (
    ExecutionContext,
    PlanCatalog,
    SourceSpec,
    TaskCatalog,
    TaskGraph,
    compile_task_catalog,
    task_graph_from_catalog,
)
from relspec_core.errors import CycleError, SecondWriterError
from relspec_core.graph_inference import EvidenceNode, TaskNode
from relspec_core.lineage.column_graph import Use
from tests.support.catalogs import SHOP, compiled, shop_graph, sql_task


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
    assert graph.schema_of("spent") == ibis.schema({"customer_id": "int64", "total": "int64"})


def test_every_edge_from_evidence_to_a_task_carries_its_requirement_and_no_other_edge_does() -> None:
    graph = shop_graph()
    nodes = graph.graph
    found = nodes.weighted_edge_list()
    required = {(edge.evidence, edge.task): edge for _, _, edge in found if edge is not None}
    assert tuple(required[key] for key in sorted(required, key=lambda key: (key[1], key[0]))) == graph.edges
    for source, target, edge in found:
        reads = isinstance(nodes[target], TaskNode)
        assert (edge is not None) == reads
        assert edge is None or (edge.evidence, edge.task) == (nodes[source].name, nodes[target].name)


def test_tasks_are_ordered_upstream_first_then_by_name() -> None:
    texts = {"z": "orders", "b": "z", "a": "z", "m": "customers", "c": "m", "last": "b"}
    tasks = [sql_task(f"SELECT count(*) AS n FROM {read}", name) for name, read in texts.items()]
    graph = task_graph_from_catalog(compiled(*tasks, sql_task("SELECT 1 AS one", "x")))
    assert graph.waves == (("m", "x", "z"), ("a", "b", "c"), ("last",))
    assert graph.order == ("m", "x", "z", "a", "b", "c", "last")
    assert task_graph_from_catalog(compiled(*reversed(tasks), sql_task("SELECT 1 AS one", "x"))).order == graph.order


def test_a_walk_finds_all_that_several_tasks_depend_on_and_all_that_depends_on_them() -> None:
    graph = shop_graph()
    assert graph.ancestors(["by_city"]) == {"by_city", "spent"}
    assert graph.ancestors(["by_city", "opaque"]) == {"by_city", "opaque", "spent"}
    assert graph.descendants(["spent"]) == {"by_city", "spent"}
    assert graph.descendants(["how_many", "by_city"]) == {"by_city", "how_many"}
    assert graph.tasks == ("by_city", "how_many", "opaque", "spent")  # a walk leaves the graph unchanged


def test_a_graph_is_rebuilt_from_its_rustworkx_graph_alone() -> None:
    graph = shop_graph()
    again = TaskGraph(graph.graph)
    assert (again.tasks, again.evidence, again.edges, again.waves) == (
        graph.tasks,
        graph.evidence,
        graph.edges,
        graph.waves,
    )


def test_an_empty_catalog_has_an_empty_graph() -> None:
    graph = task_graph_from_catalog(compiled())
    assert (graph.tasks, graph.evidence, graph.edges) == ((), (), ())
    assert (graph.order, graph.ancestors([]), graph.descendants([])) == ((), set(), set())


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


def test_the_columns_of_a_reader_are_compared_only_where_it_was_compiled_against_another_schema() -> None:
    tasks = [sql_task("SELECT customer_id, amount FROM orders", "a"), sql_task("SELECT amount FROM a", "b")]
    ctx = ExecutionContext()
    for _ in range(2):  # the second time, plans come from the cache
        plans = compile_task_catalog(TaskCatalog(tasks, SHOP), ctx=ctx)
        assert plans["a"].input_schemas["orders"] is plans.schemas["orders"]
        assert plans["b"].input_schemas["a"] is plans["a"].schema
        assert task_graph_from_catalog(plans).incomplete_indices == frozenset()
    narrow = compiled(sql_task("SELECT customer_id FROM orders", "a"))
    both = PlanCatalog((*narrow, plans["b"]), sources=plans.sources, schemas=plans.schemas, dialect="duckdb")
    graph = task_graph_from_catalog(both)
    assert graph.incomplete_indices == {graph.evidence_indices["a"]}
    assert TaskGraph(graph.graph).incomplete_indices == graph.incomplete_indices
