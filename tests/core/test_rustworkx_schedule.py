from collections.abc import Iterable, Mapping

import ibis
import pytest

from relspec_core import (
    EvidenceCatalog,
    PlanCatalog,
    Schedule,
    SourceSpec,
    TaskGraph,
    schedule_rules,
    task_graph_from_catalog,
)
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WaitsForTask
from tests.support.catalogs import compiled, sql_task

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


def graph_of(tasks: Mapping[str, str] = TASKS) -> TaskGraph:
    sources = [SourceSpec(name, schema=schema) for name, schema in RAW.items()]
    return task_graph_from_catalog(compiled(*(sql_task(text, name) for name, text in tasks.items()), sources=sources))


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


def test_the_cause_at_the_start_of_a_chain_is_told_at_its_end() -> None:
    schedule = schedule_with({"other": RAW["other"]})
    assert schedule.order == ("free", "side")
    (reason,) = schedule.blocked["both"]
    assert isinstance(reason, WaitsForTask)
    assert reason.producer == "totals"
    assert reason.cause == MissingEvidence(task="staged", evidence="raw")
    assert (reason.code, reason.cause.code) == ("waits_for_task", "missing_evidence")


def test_every_reason_of_a_task_is_told() -> None:
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
