from _collections_abc import dict_items
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import pytest
import rustworkx as rx
from hypothesis import given
from hypothesis import strategies as st

from relspec_core import (
    EdgeRequirement,
    Evidence,
    EvidenceCatalog,
    PlanCatalog,
    Schedule,
    SourceSpec,
    TaskGraph,
    schedule_rules,
    task_graph_from_catalog,
)
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WaitsForTask, WrongType, check_edge
from relspec_core.graph_inference import EvidenceNode, RuleGraph, TaskNode
from relspec_core.inferred_deps import InferredDeps
from relspec_core.rustworkx_schedule import Readiness
from tests.support.catalogs import compiled, sql_task, task_of

RAW = {"raw": {"id": "int64", "amount": "int64", "note": "string"}, "other": {"id": "int64", "x": "int64"}}
TASKS = {
    "staged": "SELECT id, amount FROM raw",
    "notes": "SELECT note FROM raw",
    "totals": "SELECT id, sum(amount) AS total FROM staged GROUP BY id",
    "side": "SELECT x FROM other",
    "both": "SELECT t.total, o.x FROM totals AS t JOIN other AS o ON t.id = o.id",
    "last": "SELECT count(*) AS n FROM both, notes",
    "free": "SELECT 1 AS one",
}


SOURCES = [SourceSpec(name, schema=schema) for name, schema in RAW.items()]


def graph_of(tasks: Mapping[str, str] = TASKS) -> TaskGraph:
    return task_graph_from_catalog(compiled(*(sql_task(text, name) for name, text in tasks.items()), sources=SOURCES))


def schedule_with(raw: Mapping[str, object], tasks: Iterable[str] | None = None) -> Schedule:
    return schedule_rules(graph_of().graph, evidence=EvidenceCatalog.from_sources(raw), tasks=tasks)


def without(table: str, *columns: str) -> dict[str, dict[str, str]]:
    """All sources, one of them less these columns."""
    left = {name: kind for name, kind in RAW[table].items() if name not in columns}
    return {**RAW, table: left}


def test_tasks_run_in_waves_each_sorted_by_name() -> None:
    schedule = schedule_with(RAW)
    assert schedule.waves == (("free", "notes", "side", "staged"), ("totals",), ("both",), ("last",))
    assert schedule.order == ("free", "notes", "side", "staged", "totals", "both", "last")
    assert schedule.blocked == {}


def test_a_task_that_reads_nothing_is_always_ready() -> None:
    assert schedule_with({}).waves == (("free",),)


def test_only_the_readers_of_a_missing_column_and_theirs_are_blocked() -> None:
    schedule = schedule_with(without("raw", "note"))
    assert schedule.order == ("free", "side", "staged", "totals", "both")
    assert tuple(schedule.blocked) == ("last", "notes")
    assert schedule.blocked["notes"] == (
        MissingColumn(task="notes", evidence="raw", column="note", columns=("id", "amount")),
    )
    assert str(schedule.blocked["last"][0]) == (
        "task 'last' waits for 'notes' of task 'notes': "
        "task 'notes' reads 'raw.note', which 'raw' lacks; it has 'id', 'amount'"
    )


def test_a_missing_column_that_nobody_reads_blocks_nobody() -> None:
    more = {**RAW, "raw": {**RAW["raw"], "unread": "date"}}
    assert schedule_with(more) == schedule_with(RAW)


def test_a_renamed_column_is_named_with_the_nearest() -> None:
    renamed = {**without("raw", "amount"), "raw": {"id": "int64", "amount_eur": "int64", "note": "string"}}
    (reason,) = schedule_with(renamed).blocked["staged"]
    assert str(reason) == (
        "task 'staged' reads 'raw.amount', which 'raw' lacks; it has 'id', 'amount_eur', 'note'; did you mean 'amount_eur'?"
    )


def test_the_reason_at_the_start_of_a_chain_is_given_at_its_end() -> None:
    schedule = schedule_with({"other": RAW["other"]})
    assert schedule.order == ("free", "side")
    (reason,) = schedule.blocked["both"]
    assert isinstance(reason, WaitsForTask)
    assert reason.producer == "totals"
    assert reason.cause == MissingEvidence(task="staged", evidence="raw")
    assert (reason.code, reason.cause.code) == ("waits_for_task", "missing_evidence")


def test_every_reason_of_a_task_is_given() -> None:
    reasons = schedule_with({}).blocked["both"]
    assert reasons[0] == MissingEvidence(task="both", evidence="other")
    assert isinstance(reasons[1], WaitsForTask)


def test_a_source_that_arrives_later_makes_its_readers_ready() -> None:
    graph = graph_of().graph
    evidence = EvidenceCatalog.from_sources({"other": RAW["other"]})
    assert schedule_rules(graph, evidence=evidence).order == ("free", "side")
    arrived = evidence.with_evidence(*EvidenceCatalog.from_sources({"raw": without("raw", "note")["raw"]}).values())
    assert "totals" in schedule_rules(graph, evidence=arrived).order


def test_a_table_that_exists_already_stands_for_its_task_where_that_is_left_out() -> None:
    there = {**RAW, "totals": {"id": "int64", "total": "decimal(38, 0)"}}
    assert schedule_with(there, tasks=["both"]).waves == (("both",),)
    assert schedule_with(RAW, tasks=["both"]).waves == ()


def test_a_table_of_a_task_that_lacks_a_column_waits_for_the_task_to_write_it_anew() -> None:
    stale = {**RAW, "totals": {"id": "int64"}}
    assert schedule_with(stale).waves[1:] == (("totals",), ("both",), ("last",))


def test_only_the_tasks_that_are_asked_for_are_scheduled() -> None:
    schedule = schedule_with(RAW, tasks=["staged", "totals"])
    assert schedule.waves == (("staged",), ("totals",))
    assert tuple(schedule.edges) == ("staged", "totals")


def test_a_schedule_explains_a_task_that_runs_and_one_that_is_blocked() -> None:
    assert schedule_with(RAW).explain("totals").splitlines() == [
        "totals runs in wave 2 of 4",
        "reads",
        "  staged: amount, id",
    ]
    assert schedule_with(RAW).explain("free").splitlines() == ["free runs in wave 1 of 4", "reads", "  nothing"]
    assert schedule_with(RAW).explain("last").splitlines()[1:] == [
        "reads",
        "  both: its rows, no column",
        "  notes: its rows, no column",
    ]
    assert schedule_with(without("raw", "note")).explain("notes").splitlines() == [
        "notes is blocked",
        "  task 'notes' reads 'raw.note', which 'raw' lacks; it has 'id', 'amount'",
        "reads",
        "  raw: note",
    ]


def test_explaining_a_task_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'totals'"):
        schedule_with(RAW).explain("total")


def test_a_schedule_prints_its_waves_and_what_is_blocked() -> None:
    assert str(schedule_with(without("raw", "note"))).splitlines()[:2] == [
        "wave 1: free, side, staged",
        "wave 2: totals",
    ]
    assert "blocked: task 'notes' reads 'raw.note'" in str(schedule_with(without("raw", "note")))
    assert str(schedule_with({}, tasks=[])) == "nothing to run"


def test_a_reader_that_was_made_for_more_than_its_writer_writes_is_blocked_though_that_runs() -> None:
    (writer,) = compiled(sql_task("SELECT id FROM raw", "staged"), sources=[SourceSpec("raw", schema=RAW["raw"])])
    readers = compiled(
        sql_task("SELECT amount FROM staged", "amounts"),
        sql_task("SELECT id FROM staged", "ids"),
        sources=[SourceSpec("staged", schema=RAW["raw"])],
    )
    schemas = {"raw": ibis.schema(RAW["raw"])}
    sources = {"raw": SourceSpec("raw", schema=RAW["raw"])}
    graph = task_graph_from_catalog(PlanCatalog((*readers, writer), sources=sources, schemas=schemas, dialect="duckdb"))
    schedule = schedule_rules(graph.graph, evidence=EvidenceCatalog.from_sources(schemas))
    assert schedule.waves == (("staged",), ("ids",))
    assert schedule.blocked == {
        "amounts": (MissingColumn(task="amounts", evidence="staged", column="amount", columns=("id",)),)
    }


def test_a_long_chain_is_one_task_a_wave_and_tells_the_cause_at_its_start() -> None:
    graph = graph_of({f"t{n:04}": f"SELECT id FROM {'raw' if n == 0 else f't{n - 1:04}'}" for n in range(60)}).graph
    assert len(schedule_rules(graph, evidence=EvidenceCatalog.from_sources(RAW)).waves) == 60
    blocked = schedule_rules(graph, evidence=EvidenceCatalog()).blocked
    assert str(blocked["t0059"][0]).endswith("task 't0000' waits for 'raw', which does not exist")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge of the graph of ``TASKS``, to be edited."""

    graph: RuleGraph
    table: int
    task: int

    @property
    def requirement(self) -> EdgeRequirement:
        found = self.graph.get_edge_data(self.table, self.task)
        assert found is not None
        return found

    def require(self, **types: str) -> None:
        """Require these columns as well."""
        more = {column: dt.dtype(kind) for column, kind in types.items()}
        edge = self.requirement
        self.graph.update_edge(self.table, self.task, edge._replace(types={**edge.types, **more}))


def edge_of(evidence: str, task: str) -> Edge:
    graph = graph_of()
    return Edge(graph=graph.graph, table=graph.evidence_indices[evidence], task=graph.task_indices[task])


def schedule_of(edge: Edge) -> Schedule:
    return schedule_rules(edge.graph, evidence=EvidenceCatalog.from_sources(RAW))


def test_an_edge_that_requires_one_more_column_of_a_source_blocks_its_task_and_those_after_it() -> None:
    edge = edge_of("raw", "notes")
    edge.require(amount="int64")
    assert schedule_of(edge) == schedule_with(RAW)
    assert edge.requirement.columns == ("amount", "note")
    assert edge.requirement.uses["amount"] == ()
    edge.require(absent="int64")
    schedule = schedule_of(edge)
    assert schedule.order == ("free", "side", "staged", "totals", "both")
    columns = tuple(RAW["raw"])
    assert schedule.blocked["notes"] == (MissingColumn(task="notes", evidence="raw", column="absent", columns=columns),)
    assert [reason.code for reason in schedule.blocked["last"]] == ["waits_for_task"]


def test_an_edge_that_requires_one_more_column_of_a_task_blocks_its_reader_though_the_task_runs() -> None:
    edge = edge_of("totals", "both")
    edge.require(absent="int64")
    schedule = schedule_of(edge)
    assert schedule.order == ("free", "notes", "side", "staged", "totals")
    assert [reason.code for reason in schedule.blocked["both"]] == ["missing_column"]


def test_a_task_is_ready_again_when_its_edge_no_longer_requires_the_missing_column() -> None:
    edge = edge_of("raw", "notes")
    before = edge.requirement
    edge.require(absent="int64")
    readiness = Readiness(TaskGraph(edge.graph), evidence=EvidenceCatalog.from_sources(RAW))
    assert "notes" in schedule_of(edge).blocked
    assert "notes" in readiness.waiting
    assert readiness.arrive(table("raw", **RAW["raw"], absent="int64")) == ("notes",)
    edge.graph.update_edge(edge.table, edge.task, before)
    assert schedule_of(edge) == schedule_with(RAW)


def test_an_edge_that_requires_another_type_blocks_its_task() -> None:
    edge = edge_of("raw", "notes")
    edge.require(note="date")
    assert schedule_of(edge).blocked["notes"] == (
        WrongType(task="notes", evidence="raw", column="note", required=dt.date, actual=dt.string),
    )


def test_an_edge_that_is_removed_is_waited_for_no_longer() -> None:
    edge = edge_of("totals", "both")
    edge.graph.remove_edge(edge.table, edge.task)
    assert schedule_of(edge).waves == (("both", "free", "notes", "side", "staged"), ("last", "totals"))


def test_an_edge_that_is_added_is_waited_for() -> None:
    edge = edge_of("both", "last")
    graph = TaskGraph(edge.graph)
    reader = graph.task_indices["side"]
    edge.graph.add_edge(
        graph.evidence_indices["totals"], reader, edge.requirement._replace(evidence="totals", task="side")
    )
    assert schedule_of(edge).waves == (("free", "notes", "staged"), ("totals",), ("both", "side"), ("last",))


def table(name: str, **columns: str) -> Evidence:
    return Evidence(name=name, schema=ibis.schema(columns))


NOTHING = InferredDeps(inputs=(), required_columns={}, required_types={}, lineage={})


def test_what_reads_nothing_is_ready_at_the_start() -> None:
    readiness = Readiness(graph_of({"free": "SELECT 1 AS one", "reader": "SELECT id FROM raw"}), evidence={})
    assert readiness.ready == ("free",)
    assert readiness.waiting == ("reader",)


def test_a_task_is_ready_with_the_last_of_what_it_reads() -> None:
    readiness = Readiness(
        graph_of({"both": "SELECT r.amount, o.x FROM raw r JOIN other o ON r.id = o.id"}), evidence={}
    )
    assert readiness.arrive(table("other", **RAW["other"])) == ()
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("both",)
    assert readiness.waiting == ()


def test_a_task_is_reported_once() -> None:
    readiness = Readiness(graph_of({"reader": "SELECT id FROM raw"}), evidence={})
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("reader",)
    assert readiness.arrive(table("raw", **RAW["raw"])) == ()


def test_an_arrival_without_a_column_makes_only_those_ready_that_do_not_read_it() -> None:
    readiness = Readiness(graph_of({"ids": "SELECT id FROM raw", "amounts": "SELECT amount FROM raw"}), evidence={})
    assert readiness.arrive(table("raw", id="int64")) == ("ids",)
    assert readiness.reasons("ids") == ()
    assert readiness.reasons("amounts") == (
        MissingColumn(task="amounts", evidence="raw", column="amount", columns=("id",)),
    )
    assert readiness.arrive(table("raw", id="int64", amount="int64")) == ("amounts",)


def test_what_waits_says_for_what() -> None:
    readiness = Readiness(graph_of({"reader": "SELECT id FROM raw"}), evidence={})
    assert readiness.reasons("reader") == (MissingEvidence(task="reader", evidence="raw"),)


def test_an_edge_that_was_satisfied_stays_so() -> None:
    readiness = Readiness(
        graph_of({"both": "SELECT r.amount, o.x FROM raw r JOIN other o ON r.id = o.id"}),
        evidence=EvidenceCatalog.from_sources({"raw": RAW["raw"]}),
    )
    assert readiness.arrive(table("raw", id="int64")) == ()
    assert readiness.arrive(table("other", **RAW["other"])) == ("both",)
    assert readiness.reasons("both") == ()


def test_the_outputs_of_a_task_arrive_together() -> None:
    halves = task_of(
        lambda ctx: {"low": ctx.table("raw").filter(ibis._.id < 5), "high": ctx.table("raw").filter(ibis._.id >= 5)},
        "halves",
    )
    whole = sql_task("SELECT l.id, h.amount FROM low l JOIN high h ON l.amount = h.amount", "whole")
    graph = task_graph_from_catalog(compiled(halves, whole, sql_task("SELECT id FROM high", "part"), sources=SOURCES))
    readiness = Readiness(graph, evidence={})
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("halves",)
    assert readiness.arrive(table("low", **RAW["raw"]), table("high", **RAW["raw"])) == ("part", "whole")


def test_only_the_tasks_that_are_asked_for_become_ready() -> None:
    graph = graph_of({"one": "SELECT id FROM raw", "two": "SELECT id FROM raw"})
    readiness = Readiness(graph, evidence={}, tasks=["two", "no such task"])
    assert readiness.waiting == ("two",)
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("two",)


def test_an_arrival_that_nobody_reads_makes_nothing_ready() -> None:
    assert Readiness(graph_of({"reader": "SELECT id FROM raw"}), evidence={}).arrive(table("unread", a="int64")) == ()


class Counted(dict[str, dt.DataType]):
    """The types of an edge's columns; counts how often they are looked at."""

    looked_at = 0

    def items(self) -> "dict_items[str, dt.DataType]":
        self.looked_at += 1
        return super().items()


def test_an_arrival_looks_at_no_edge_but_those_of_its_readers() -> None:
    graph: RuleGraph = rx.PyDiGraph()
    names = ("busy", "quiet")
    planned = ibis.schema({"id": "int64"})
    nodes = {name: graph.add_node(EvidenceNode(name=name, schema=planned, task=None)) for name in names}
    types = {name: Counted(id=ibis.dtype("int64")) for name in names}
    for n in range(200):
        name, task = names[n % 50 == 0], f"reader_{n:03}"
        edge = EdgeRequirement(name, task, types[name], NOTHING)
        graph.add_edge(nodes[name], graph.add_node(TaskNode(task, ())), edge)
    readiness = Readiness(TaskGraph(graph), evidence={})
    for found in types.values():
        found.looked_at = 0
    for _ in range(2):  # the second time, nobody waits for it
        readiness.arrive(table("quiet", id="int64", more="int64"))
        assert (types["quiet"].looked_at, types["busy"].looked_at) == (4, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A random graph, whose plans need not fit each other, what exists at the start, and what arrives, in batches."""

    graph: TaskGraph
    there: tuple[Evidence, ...]
    arrivals: tuple[tuple[Evidence, ...], ...]
    tasks: frozenset[str]


COLUMNS = ("a", "b", "c")
KINDS = ("int64", "int32", "string")


def whole(name: str) -> Evidence:
    return table(name, **dict.fromkeys(COLUMNS, "int64"))


@st.composite
def tables(draw: st.DrawFn, name: str) -> Evidence:
    """Mostly with all columns of the right type."""
    if draw(st.booleans()):
        return whole(name)
    columns = draw(st.lists(st.sampled_from(COLUMNS), unique=True))
    return table(name, **{column: draw(st.sampled_from(KINDS)) for column in columns})


def types_of(read: Mapping[str, list[str]]) -> dict[str, dict[str, dt.DataType]]:
    return {name: dict.fromkeys(columns, ibis.dtype("int64")) for name, columns in sorted(read.items())}


@st.composite
def drawn_graphs(draw: st.DrawFn) -> Drawn:
    names = [f"s{n}" for n in range(draw(st.integers(1, 3)))]
    tasks: dict[str, tuple[tuple[str, ...], dict[str, list[str]]]] = {}
    for n in draw(st.permutations(range(draw(st.integers(1, 7))))):
        outputs = (f"t{n}", f"t{n}_more") if draw(st.booleans()) else (f"t{n}",)
        read = draw(st.lists(st.sampled_from(names), unique=True, max_size=3))
        columns = st.lists(st.sampled_from(COLUMNS), unique=True).map(sorted)
        tasks[f"t{n}"] = (outputs, {name: draw(columns) for name in read})
        names += outputs
    graph: RuleGraph = rx.PyDiGraph()
    writers = {output: task for task, (outputs, _) in tasks.items() for output in outputs}
    planned = {name: whole(name) if draw(st.booleans()) else draw(tables(name)) for name in sorted(names)}
    nodes = {
        name: graph.add_node(EvidenceNode(name, found.schema, writers.get(name))) for name, found in planned.items()
    }
    for task in sorted(tasks):
        outputs, read = tasks[task]
        node = graph.add_node(TaskNode(task, outputs))
        for name, types in types_of(read).items():
            graph.add_edge(nodes[name], node, EdgeRequirement(name, task, types, NOTHING))
        graph.add_edges_from([(node, nodes[output], None) for output in outputs])
    there = draw(st.lists(st.sampled_from(names), unique=True))
    batches = draw(st.lists(st.lists(st.sampled_from(names), unique=True, max_size=3), max_size=6))
    return Drawn(
        graph=TaskGraph(graph),
        there=tuple(draw(tables(name)) for name in there),
        arrivals=tuple(tuple(draw(tables(name)) for name in batch) for batch in batches),
        tasks=frozenset(draw(st.sets(st.sampled_from(sorted(tasks))))) or frozenset(tasks),
    )


class Naive:
    """The definition: an edge is met from the moment that what it needs is there; every edge looked at, every time."""

    def __init__(self, graph: TaskGraph, there: Iterable[Evidence], tasks: frozenset[str]) -> None:
        self.graph = graph
        self.tasks = tasks
        self.now: dict[str, Evidence] = {}
        self.met: set[tuple[str, str]] = set()
        self.put(*there)

    def put(self, *evidence: Evidence) -> None:
        self.now.update((found.name, found) for found in evidence)
        self.met |= {(edge.task, edge.evidence) for edge in self.graph.edges if not check_edge(edge, self.now)}

    @property
    def ready(self) -> set[str]:
        edges = self.graph.edges_of
        return {task for task in self.tasks if all((task, edge.evidence) in self.met for edge in edges(task))}


@given(drawn_graphs())
def test_arrivals_make_those_tasks_ready_whose_edges_are_all_satisfied(drawn: Drawn) -> None:
    naive = Naive(drawn.graph, drawn.there, drawn.tasks)
    readiness = Readiness(drawn.graph, evidence=EvidenceCatalog(drawn.there), tasks=drawn.tasks)
    assert readiness.ready == tuple(sorted(naive.ready))
    for batch in drawn.arrivals:
        before = naive.ready
        naive.put(*batch)
        assert readiness.arrive(*batch) == tuple(sorted(naive.ready - before))
        assert readiness.waiting == tuple(sorted(drawn.tasks - naive.ready))
        for task in drawn.tasks:
            assert bool(readiness.reasons(task)) == (task in readiness.waiting)


@given(drawn_graphs())
def test_a_schedule_is_what_becomes_ready_as_each_wave_arrives(drawn: Drawn) -> None:
    assert_waves(drawn, drawn.there, drawn.tasks)


@given(drawn_graphs())
def test_a_first_schedule_is_so_too_where_just_the_sources_are_there(drawn: Drawn) -> None:
    there = tuple(Evidence(name=name, schema=drawn.graph.schema_of(name)) for name in drawn.graph.sources)
    assert_waves(drawn, there, frozenset(drawn.graph.tasks))


def assert_waves(drawn: Drawn, there: tuple[Evidence, ...], tasks: frozenset[str]) -> None:
    """Each wave is what becomes ready, by definition, as those before it are written as planned."""
    schedule = schedule_rules(drawn.graph.graph, evidence=EvidenceCatalog(there), tasks=tasks)
    naive = Naive(drawn.graph, there, tasks)
    done: set[str] = set()
    for wave in schedule.waves:
        assert wave == tuple(sorted(naive.ready - done))
        done |= set(wave)
        written = [output for task in wave for output in drawn.graph.outputs_of(task)]
        naive.put(*(Evidence(name=output, schema=drawn.graph.schema_of(output)) for output in written))
    assert naive.ready == done
    assert tuple(schedule.blocked) == tuple(sorted(tasks - done))
    assert all(schedule.blocked.values())
