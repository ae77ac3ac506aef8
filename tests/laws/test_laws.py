"""The laws of the design contract, as properties of random catalogs."""

import random
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import ibis
import rustworkx as rx
from hypothesis import given, note, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    EvidenceCatalog,
    ExecutionContext,
    PlanArtifact,
    PlanCatalog,
    Schedule,
    TaskCatalog,
    TaskSpec,
    compile_task_catalog,
    graph_to_dot,
    graph_to_json,
    graph_to_mermaid,
    run,
    schedule_rules,
    task_graph_from_catalog,
)
from relspec_core.graph_inference import EvidenceNode, RuleGraph, TaskNode
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.laws.cutting import bag_of, cut_tables, quoted
from tests.laws.generated import Generated, catalogs, value
from tests.support.catalogs import empty_backend

# A run costs ten times what a graph does.
few = settings(max_examples=settings().max_examples // 3)


@contextmanager
def database(generated: Generated) -> Generator[DuckDBBackend]:
    con = ibis.duckdb.connect(threads=1)
    generated.load(con)
    yield con
    con.disconnect()


def compiled(catalog: TaskCatalog, ctx: ExecutionContext | None = None) -> PlanCatalog:
    plans = compile_task_catalog(catalog, backend=empty_backend(), ctx=ctx)
    for plan in plans:
        note(f"-- {plan.name} reads {dict(plan.deps.required_columns)}\n{plan.sql}")
    return plans


def rows_of_expression(con: DuckDBBackend, plan: PlanArtifact) -> Counter[str]:
    """The rows of a plan as its builder wrote it, by Ibis alone."""
    columns = con.to_pyarrow(plan.expr).to_pydict().values()
    return Counter(map(repr, zip(*columns, strict=True)))


@few
@given(catalogs(most=5))
def test_a_plan_gives_the_same_rows_on_just_what_it_requires_and_binds_on_nothing_less(generated: Generated) -> None:
    """Laws 1 to 3: sound, minimal, and what is analysed and executed is what the builder wrote."""
    ctx = ExecutionContext()  # its cache serves the run, too
    plans = compiled(generated.catalog, ctx)
    with database(generated) as con:
        run(generated.catalog, backend=con, ctx=ctx, quiet=True).raise_if_failed()
        for plan in plans:
            DuckDBWarehouse(con).prepare(plan)
            expected = rows_of_expression(con, plan)
            assert bag_of(con.con, f"FROM {quoted(plan.name)}") == expected
            with cut_tables(con.con, plan.deps) as cut:
                assert Counter(cut.rows(plan.sql)) == expected
                assert list(cut.needless(plan.sql)) == []


def everything(catalog: TaskCatalog) -> tuple[object, ...]:
    """Graph, waves, fingerprints and texts."""
    plans = compiled(catalog)
    graph = task_graph_from_catalog(plans)
    evidence = EvidenceCatalog.from_sources({source.name: source.schema for source in catalog.sources})
    schedule = schedule_rules(graph.graph, evidence=evidence)
    texts = tuple((plan.name, plan.fingerprint, plan.sql) for plan in plans)
    return graph_to_json(graph), graph_to_mermaid(graph), graph_to_dot(graph), schedule.waves, texts


@few
@given(catalogs(most=6), st.randoms(use_true_random=False))
def test_the_order_of_declaration_changes_nothing(generated: Generated, numbers: random.Random) -> None:
    """Law 6, and a part of law 8."""
    tasks, sources = list(generated.tasks), list(generated.sources)
    numbers.shuffle(tasks)
    numbers.shuffle(sources)
    assert everything(TaskCatalog(tasks, sources)) == everything(generated.catalog)


PRINT_EVERYTHING = """
from hypothesis import Phase, given, settings
from tests.laws.generated import catalogs
from tests.laws.test_laws import everything

@settings(derandomize=True, database=None, phases=[Phase.generate], max_examples=3, deadline=None)
@given(catalogs(most=5))
def show(generated):
    print(everything(generated.catalog))

show()
"""


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    """Law 6."""
    root = Path(__file__).parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PRINT_EVERYTHING],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for seed in ("0", "1")
    ]
    outputs = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], outputs[0][1].decode()
    assert len({output for output, _ in outputs}) == 1
    assert outputs[0][0].count(b"flowchart") > 2


@st.composite
def growing_evidence(draw: st.DrawFn, generated: Generated) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Some tables with some of their columns, and the same or more."""
    small: dict[str, dict[str, object]] = {}
    large: dict[str, dict[str, object]] = {}
    for source in generated.sources:
        columns = dict(source.schema.items())
        few = draw(st.sets(st.sampled_from(sorted(columns)))) if draw(st.booleans()) else set(columns)
        more = few | draw(st.sets(st.sampled_from(sorted(columns))))
        here, there = draw(st.sampled_from([(True, True), (True, True), (False, True), (False, False)]))
        if here:
            small[source.name] = {name: kind for name, kind in columns.items() if name in few}
        if there:
            large[source.name] = {name: kind for name, kind in columns.items() if name in more} | {"brand new": "date"}
    return small, large


def assert_bipartite(graph: RuleGraph) -> None:
    assert rx.is_directed_acyclic_graph(graph)
    for source, target in graph.edge_list():
        assert {type(graph[source]), type(graph[target])} == {EvidenceNode, TaskNode}
        edge = graph.get_edge_data(source, target)
        assert (edge is None) == isinstance(graph[source], TaskNode)
        assert edge is None or (edge.evidence, edge.task) == (graph[source].name, graph[target].name)
    for index, node in zip(graph.node_indices(), graph.nodes(), strict=True):
        if isinstance(node, EvidenceNode):
            assert graph.in_degree(index) == (node.task is not None)


@settings(max_examples=settings().max_examples // 2)
@given(st.data(), catalogs(most=7))
def test_the_graph_is_bipartite_and_more_evidence_never_makes_a_ready_task_unready(
    data: st.DataObject, generated: Generated
) -> None:
    """Laws 5 and 7; and whatever is scheduled finds what it reads, whatever is not has a reason."""
    graph = task_graph_from_catalog(compiled(generated.catalog))
    assert_bipartite(graph.graph)
    small, large = (EvidenceCatalog.from_sources(tables) for tables in data.draw(growing_evidence(generated)))
    few, many = (schedule_rules(graph.graph, evidence=evidence) for evidence in (small, large))
    assert set(few.order) <= set(many.order)
    for schedule, evidence in ((few, small), (many, large)):
        assert_consistent(schedule, evidence)
        assert {*schedule.order, *schedule.blocked} == set(graph.tasks)
        assert not set(schedule.order) & set(schedule.blocked)
        for task in schedule.order:
            assert set(graph.upstream_tasks(task)) <= set(schedule.order)


def assert_consistent(schedule: Schedule, evidence: EvidenceCatalog) -> None:
    """A task is blocked where a source that it reads lacks something, or a task that it reads is blocked."""
    for task, edges in schedule.edges.items():
        lacking = [
            edge
            for edge in edges
            if edge.evidence.startswith("src_")
            and (edge.evidence not in evidence or set(edge.columns) - set(evidence[edge.evidence].columns))
        ]
        if lacking:
            assert task in schedule.blocked
    assert all(schedule.blocked.values())
    assert [list(wave) for wave in schedule.waves] == [sorted(wave) for wave in schedule.waves]


@few
@given(catalogs(most=5))
def test_a_second_run_builds_nothing_and_says_why(generated: Generated) -> None:
    """Law 9."""
    with database(generated) as con:
        first = run(generated.catalog, backend=con, quiet=True)
        second = run(TaskCatalog(tuple(reversed(generated.tasks)), generated.sources), backend=con, quiet=True)
    assert set(first.ran) == set(generated.catalog.names)
    assert second.ran == {}
    assert set(second.skipped) == set(first.ran)
    assert all(second.skipped.values())


def tables_of(con: DuckDBBackend, plans: PlanCatalog) -> dict[str, Counter[str]]:
    return {plan.name: bag_of(con.con, f"FROM {quoted(plan.name)}") for plan in plans}


@few
@given(st.data(), catalogs(most=5))
def test_a_run_after_a_change_of_a_column_leaves_what_a_run_from_scratch_would(
    data: st.DataObject, generated: Generated
) -> None:
    """Law 10, the half that matters most: what is left as it is would have come out the same."""
    ctx = ExecutionContext()
    plans = compiled(generated.catalog, ctx)
    source = data.draw(st.sampled_from(generated.sources))
    column = data.draw(st.sampled_from(source.schema.names))
    new = value(source.schema[column], random.Random(generated.seed))  # noqa: S311 - test data
    change = f"UPDATE {quoted(source.name)} SET {quoted(column)} = {new} WHERE rowid = {data.draw(st.integers(0, 9))}"
    note(change)
    with database(generated) as con, database(generated) as other:
        run(generated.catalog, backend=con, ctx=ctx, quiet=True)
        con.con.execute(change)
        other.con.execute(change)
        report = run(generated.catalog, backend=con, ctx=ctx, quiet=True)
        run(generated.catalog, backend=other, ctx=ctx, quiet=True)
        assert tables_of(con, plans) == tables_of(other, plans)
    graph = task_graph_from_catalog(plans)
    for task in report.ran:
        mine = [edge for edge in graph.edges_of(task) if edge.evidence == source.name and column in edge.columns]
        assert mine or set(graph.upstream_tasks(task)) & set(report.ran)


def failing(spec: TaskSpec) -> TaskSpec:
    """The same task, of which the last output can't be computed."""

    def build(ctx: object) -> object:
        built = spec.build(ctx)  # ty: ignore[invalid-argument-type]
        tables = built if isinstance(built, Mapping) else {spec.declared_outputs[0]: built}
        last = list(tables)[-1]
        table = tables[last]
        text = ibis.literal("no number") + table.count().cast("string")  # ty: ignore[unsupported-operator]
        # In a subquery of its own, which is executed even where the table has no row.
        failure = table.aggregate(failure=text.cast("int64")).failure.as_scalar()
        return {**tables, last: table.mutate(failure=failure)}

    return TaskSpec(spec.name, build, outputs=spec.outputs)  # ty: ignore[invalid-argument-type]


@few
@given(st.data(), catalogs(most=5))
def test_a_table_and_its_record_appear_together_or_not_at_all(data: st.DataObject, generated: Generated) -> None:
    """Law 11, where a task fails: in a first run, and in a later one."""
    name = data.draw(st.sampled_from(generated.catalog.names))
    broken = TaskCatalog([failing(spec) if spec.name == name else spec for spec in generated.tasks], generated.sources)
    ctx = ExecutionContext()
    plans = compiled(generated.catalog, ctx)
    graph = task_graph_from_catalog(plans)
    after = graph.descendants([name]) - {name}
    assert after == {task for task in graph.tasks if task != name and name in graph.ancestors([task])}
    with database(generated) as con:
        report = run(broken, backend=con, ctx=ctx, quiet=True)
        assert set(report.failed) == {name}
        assert set(report.blocked) == after
        assert recorded(con) == {plan.name for plan in plans if plan.task.name in report.ran}
        assert recorded(con) == set(DuckDBWarehouse(con).schemas([plan.name for plan in plans]))
        run(generated.catalog, backend=con, ctx=ctx, quiet=True).raise_if_failed()
        before = tables_of(con, plans), records(con)
        assert set(run(broken, backend=con, ctx=ctx, quiet=True).failed) == {name}
        assert (tables_of(con, plans), records(con)) == before


def recorded(con: DuckDBBackend) -> set[str]:
    if DuckDBWarehouse(con).relation_kind("relspec.evidence") is None:
        return set()
    return {name for (name,) in con.con.execute("SELECT name FROM relspec.evidence").fetchall()}


def records(con: DuckDBBackend) -> list[tuple]:
    return con.con.execute("SELECT name, version, fingerprint, built_at FROM relspec.evidence ORDER BY name").fetchall()
