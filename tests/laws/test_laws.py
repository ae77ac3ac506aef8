"""The laws of the design contract, as properties of random catalogs."""

import pickle
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ibis
import rustworkx as rx
from hypothesis import currently_in_test_context, given, note, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    EvidenceCatalog,
    ExecutionContext,
    PlanArtifact,
    PlanCatalog,
    RunReport,
    Schedule,
    SourceSpec,
    TaskCatalog,
    TaskGraph,
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
    for plan in plans if currently_in_test_context() else ():
        note(f"-- {plan.name} reads {dict(plan.deps.required_columns)}\n{plan.sql}")
    return plans


def rows_of_expression(con: DuckDBBackend, plan: PlanArtifact) -> Counter[str]:
    """The rows of a plan as its builder wrote it, by Ibis alone."""
    columns = con.to_pyarrow(plan.expr).to_pydict().values()
    return Counter(map(repr, zip(*columns, strict=True)))


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


IN_ANOTHER_PROCESS = """
import pickle, sys
from tests.laws.test_laws import everything
catalogs = pickle.load(sys.stdin.buffer)
pickle.dump((hash("seed"), [everything(generated.catalog) for generated in catalogs]), sys.stdout.buffer)
"""


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    """Law 6, in this process and in one with another seed."""
    drawn: list[Generated] = []

    @settings(max_examples=4)
    @given(catalogs(most=5))
    def draw(generated: Generated) -> None:
        drawn.append(generated)

    draw()
    root = Path(__file__).parents[2]
    other = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_ANOTHER_PROCESS],
        cwd=root,
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(root)},
        input=pickle.dumps(drawn),
        capture_output=True,
        check=False,
    )
    assert other.returncode == 0, other.stderr.decode()
    seed, found = pickle.loads(other.stdout)  # noqa: S301 - what the process above has written
    assert seed != hash("seed")
    assert found == [everything(generated.catalog) for generated in drawn]
    assert len(found) == 4


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A random catalog and a database of its own, in which a law is tried after another; the cache serves all runs."""

    generated: Generated
    ctx: ExecutionContext
    plans: PlanCatalog
    graph: TaskGraph
    con: DuckDBBackend

    def run(self, catalog: TaskCatalog | None = None, *, con: DuckDBBackend | None = None) -> RunReport:
        return run(catalog or self.generated.catalog, backend=con or self.con, ctx=self.ctx, quiet=True)

    def tables(self, con: DuckDBBackend | None = None) -> dict[str, Counter[str]]:
        return {plan.name: bag_of((con or self.con).con, f"FROM {quoted(plan.name)}") for plan in self.plans}

    def with_failing(self, name: str) -> TaskCatalog:
        tasks = [failing(spec) if spec.name == name else spec for spec in self.generated.tasks]
        return TaskCatalog(tasks, self.generated.sources)


@settings(max_examples=settings().max_examples // 2)
@given(st.data(), catalogs(most=5))
def test_runs_keep_the_laws(data: st.DataObject, generated: Generated) -> None:
    """Laws 1 to 3 and 9 to 11, each on what the runs before it have left: whatever fails is named by its function."""
    ctx = ExecutionContext()
    plans = compiled(generated.catalog, ctx)
    with database(generated) as con:
        trial = Trial(generated=generated, ctx=ctx, plans=plans, graph=task_graph_from_catalog(plans), con=con)
        broken = data.draw(st.sampled_from(generated.catalog.names))
        a_failed_task_leaves_no_table_and_no_record(trial, broken)
        plans_give_the_same_rows_on_just_what_they_require_and_bind_on_nothing_less(trial)
        a_second_run_builds_nothing_and_says_why(trial)
        a_failed_task_leaves_its_table_and_record_unchanged(trial, broken)
        source = data.draw(st.sampled_from(generated.sources))
        column = data.draw(st.sampled_from(source.schema.names))
        a_run_after_a_change_leaves_what_a_run_from_scratch_would(trial, source, column, data.draw(st.integers(0, 9)))


def a_failed_task_leaves_no_table_and_no_record(trial: Trial, broken: str) -> None:
    """Law 11 in a first run, and law 14; then the task is fixed."""
    report = trial.run(trial.with_failing(broken))
    assert set(report.failed) == {broken}
    assert set(report.blocked) == trial.graph.descendants([broken]) - {broken}
    assert recorded(trial.con) == {plan.name for plan in trial.plans if plan.task.name in report.ran}
    assert recorded(trial.con) == set(DuckDBWarehouse(trial.con).schemas([plan.name for plan in trial.plans]))
    fixed = trial.run()
    fixed.raise_if_failed()
    assert {*report.ran, *fixed.ran} == set(trial.generated.catalog.names)


def plans_give_the_same_rows_on_just_what_they_require_and_bind_on_nothing_less(trial: Trial) -> None:
    """Laws 1 to 3: sound, minimal, and what is analysed and executed is what the builder wrote."""
    con = trial.con
    for plan in trial.plans:
        DuckDBWarehouse(con).prepare(plan)
        expected = rows_of_expression(con, plan)
        assert bag_of(con.con, f"FROM {quoted(plan.name)}") == expected
        with cut_tables(con.con, plan.deps) as cut:
            assert Counter(cut.rows(plan.sql)) == expected
            assert list(cut.needless(plan.sql)) == []


def a_second_run_builds_nothing_and_says_why(trial: Trial) -> None:
    """Law 9, whatever the order of the tasks."""
    second = trial.run(TaskCatalog(tuple(reversed(trial.generated.tasks)), trial.generated.sources))
    assert second.ran == {}
    assert set(second.skipped) == set(trial.generated.catalog.names)
    assert all(second.skipped.values())


def a_failed_task_leaves_its_table_and_record_unchanged(trial: Trial, broken: str) -> None:
    """Law 11 in a later run."""
    before = trial.tables(), records(trial.con)
    assert set(trial.run(trial.with_failing(broken)).failed) == {broken}
    assert (trial.tables(), records(trial.con)) == before


def a_run_after_a_change_leaves_what_a_run_from_scratch_would(
    trial: Trial, source: SourceSpec, column: str, row: int
) -> None:
    """Law 10, the half that matters most: what is not built again would have come out the same."""
    new = value(source.schema[column], random.Random(trial.generated.seed))  # noqa: S311 - test data
    change = f"UPDATE {quoted(source.name)} SET {quoted(column)} = {new} WHERE rowid = {row}"
    note(change)
    trial.con.con.execute(change)
    report = trial.run()
    with database(trial.generated) as other:
        other.con.execute(change)
        trial.run(con=other)
        assert trial.tables() == trial.tables(other)
    for task in report.ran:
        mine = [edge for edge in trial.graph.edges_of(task) if edge.evidence == source.name and column in edge.columns]
        assert mine or set(trial.graph.upstream_tasks(task)) & set(report.ran)


def recorded(con: DuckDBBackend) -> set[str]:
    if DuckDBWarehouse(con).relation_kind("relspec.evidence") is None:
        return set()
    return {name for (name,) in con.con.execute("SELECT name FROM relspec.evidence").fetchall()}


def records(con: DuckDBBackend) -> list[tuple]:
    return con.con.execute("SELECT name, version, fingerprint, built_at FROM relspec.evidence ORDER BY name").fetchall()
