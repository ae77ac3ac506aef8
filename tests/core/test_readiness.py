from _collections_abc import dict_items
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.datatypes as dt
import rustworkx as rx
from hypothesis import given
from hypothesis import strategies as st

from relspec_core import Evidence, EvidenceCatalog, SourceSpec, TaskGraph, schedule_rules, task_graph_from_catalog
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, check_edge
from relspec_core.graph_inference import EdgeRequirement, EvidenceNode, RuleGraph, TaskNode
from relspec_core.inferred_deps import InferredDeps
from relspec_core.rustworkx_schedule import Readiness
from tests.support.catalogs import compiled, sql_task, task_of

RAW = {"raw": {"id": "int64", "amount": "int64"}, "other": {"id": "int64", "x": "int64"}}
SOURCES = [SourceSpec(name, schema=schema) for name, schema in RAW.items()]


def graph_of(**texts: str) -> TaskGraph:
    return task_graph_from_catalog(compiled(*(sql_task(text, name) for name, text in texts.items()), sources=SOURCES))


def table(name: str, **columns: str) -> Evidence:
    return Evidence(name=name, schema=ibis.schema(columns))


def reads(types: Mapping[str, Mapping[str, dt.DataType]]) -> InferredDeps:
    columns = {evidence: tuple(sorted(found)) for evidence, found in types.items()}
    return InferredDeps(inputs=tuple(types), required_columns=columns, required_types=types, lineage={})


def test_what_reads_nothing_is_ready_at_the_start() -> None:
    readiness = Readiness(graph_of(free="SELECT 1 AS one", reader="SELECT id FROM raw"), evidence={})
    assert readiness.ready == ("free",)
    assert readiness.waiting == ("reader",)


def test_a_task_is_ready_with_the_last_of_what_it_reads() -> None:
    readiness = Readiness(graph_of(both="SELECT r.amount, o.x FROM raw r JOIN other o ON r.id = o.id"), evidence={})
    assert readiness.arrive(table("other", **RAW["other"])) == ()
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("both",)
    assert readiness.waiting == ()


def test_a_task_is_told_once() -> None:
    readiness = Readiness(graph_of(reader="SELECT id FROM raw"), evidence={})
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("reader",)
    assert readiness.arrive(table("raw", **RAW["raw"])) == ()


def test_an_arrival_without_a_column_makes_only_those_ready_that_do_not_read_it() -> None:
    readiness = Readiness(graph_of(ids="SELECT id FROM raw", amounts="SELECT amount FROM raw"), evidence={})
    assert readiness.arrive(table("raw", id="int64")) == ("ids",)
    assert readiness.reasons("ids") == ()
    assert readiness.reasons("amounts") == (
        MissingColumn(task="amounts", evidence="raw", column="amount", columns=("id",)),
    )
    assert readiness.arrive(table("raw", id="int64", amount="int64")) == ("amounts",)


def test_what_waits_says_for_what() -> None:
    readiness = Readiness(graph_of(reader="SELECT id FROM raw"), evidence={})
    assert readiness.reasons("reader") == (MissingEvidence(task="reader", evidence="raw"),)


def test_an_edge_that_was_met_stays_so() -> None:
    readiness = Readiness(
        graph_of(both="SELECT r.amount, o.x FROM raw r JOIN other o ON r.id = o.id"),
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
    graph = graph_of(one="SELECT id FROM raw", two="SELECT id FROM raw")
    readiness = Readiness(graph, evidence={}, tasks=["two", "no such task"])
    assert readiness.waiting == ("two",)
    assert readiness.arrive(table("raw", **RAW["raw"])) == ("two",)


def test_an_arrival_that_nobody_reads_makes_nothing_ready() -> None:
    assert Readiness(graph_of(reader="SELECT id FROM raw"), evidence={}).arrive(table("unread", a="int64")) == ()


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
        graph.add_edge(nodes[name], graph.add_node(TaskNode(task, (), reads({name: types[name]}))), None)
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
    certain = draw(st.booleans())
    planned = {name: whole(name) if certain else draw(tables(name)) for name in sorted(names)}
    nodes: dict[str, int] = {}
    for name, found in planned.items():
        edges = [
            EdgeRequirement(name, task, types_of(read)[name], reads({}))
            for task, (_, read) in tasks.items()
            if name in read
        ]
        fits = (certain or draw(st.booleans())) and not any(check_edge(edge, planned) for edge in edges)
        nodes[name] = graph.add_node(EvidenceNode(name, found.schema, writers.get(name), fits=fits))
    for task in sorted(tasks):
        outputs, read = tasks[task]
        types = types_of(read)
        node = graph.add_node(TaskNode(task, outputs, reads(types)))
        graph.add_edges_from_no_data([(nodes[name], node) for name in types])
        graph.add_edges_from_no_data([(node, nodes[output]) for output in outputs])
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
def test_arrivals_make_those_tasks_ready_whose_edges_are_all_met(drawn: Drawn) -> None:
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
