"""Workers: tasks at once, in shared transactions, again after faults that pass, in time, and all or nothing."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pytest
from ibis import _
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import ExecutionContext, RunReport, SourceSpec, TaskBuildContext, TaskSpec, run
from relspec_core.errors import WarehouseError
from relspec_core.execution import run_planned
from relspec_core.planning.run_plan import plan_run
from relspec_core.runs.options import RunOptions
from relspec_core.runs.run_log import RunLog
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.support.catalogs import Project, sql_task, task_of

NUMBERS = "CREATE TABLE numbers AS SELECT range AS x FROM range(5)"
FOREVER = "SELECT sum(a.range * b.range) AS x FROM range(1_000_000) a, range(1_000_000) b"
WAIT = 20


@pytest.fixture
def numbers(con: DuckDBBackend) -> DuckDBBackend:
    con.con.execute(NUMBERS)
    return con


def run_with(project: Project, **options: Any) -> RunReport:  # noqa: ANN401 - as RunOptions takes them
    ctx = ExecutionContext(cache=project.cache)
    return run(project.catalog, backend=project.con, ctx=ctx, options=RunOptions(quiet=True, **options))


def calling(function: Callable[[], object], name: str, reads: str = "numbers") -> TaskSpec:
    """A task that calls a function once while it is being built."""

    def call(x: int) -> int:
        function()
        return x

    called = ibis.udf.scalar.python(call)
    return task_of(lambda ctx: ctx.table(reads).limit(1).mutate(x=called(_.x)), name)


# -- at once -----------------------------------------------------------------------------------------------------------


def test_as_many_tasks_as_there_are_workers_are_built_at_once(numbers: DuckDBBackend) -> None:
    meeting = threading.Barrier(2)
    project = Project(numbers, *(calling(lambda: meeting.wait(WAIT), name) for name in "ab"))
    assert sorted(run_with(project, workers=2).ran) == ["a", "b"]


def test_a_task_starts_when_what_it_reads_is_there_and_waits_for_no_other(numbers: DuckDBBackend) -> None:
    second = threading.Event()
    waiting = calling(lambda: second.wait(WAIT) or pytest.fail("nobody came"), "a_slow_one")
    project = Project(numbers, waiting, calling(lambda: None, "first"), calling(second.set, "second", "first"))
    report = run_with(project, workers=2)
    assert set(report.ran) == {"first", "second", "a_slow_one"}


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_any_number_of_workers_leaves_the_same_tables(numbers: DuckDBBackend, workers: int) -> None:
    layers = [sql_task("SELECT x, x * 2 AS y FROM numbers", f"t0_{at}") for at in range(6)]
    for layer in range(1, 5):
        layers += [
            sql_task(
                f"SELECT a.x, a.y + b.y AS y FROM t{layer - 1}_{at} a JOIN t{layer - 1}_{(at + 1) % 6} b USING (x)",
                f"t{layer}_{at}",
            )
            for at in range(6)
        ]
    project = Project(numbers, *layers)
    assert len(run_with(project, workers=workers).ran) == len(layers)
    assert project.sql("FROM t4_5 ORDER BY x") == [(x, 32 * x) for x in range(5)]
    assert run_with(project, workers=workers).ran == {}
    project.sql("UPDATE numbers SET x = 9 WHERE x = 4")
    assert len(run_with(project, workers=workers).ran) == len(layers)
    assert project.sql("SELECT max(y) FROM t4_0") == [(32 * 9,)]


def test_workers_have_the_settings_and_the_place_of_the_connection_that_was_given(numbers: DuckDBBackend) -> None:
    numbers.con.execute("CREATE SCHEMA mine; USE mine; SET TimeZone = 'Asia/Tokyo'; CREATE TABLE t AS SELECT 1 AS x")
    text = "SELECT x, strftime('2024-01-01 00:00:00+00'::TIMESTAMPTZ, '%H') AS hour FROM t"
    project = Project(numbers, *(sql_task(text, f"h{at}") for at in range(8)))
    run_with(project, workers=4).raise_if_failed()
    assert {project.sql(f"FROM mine.h{at}")[0] for at in range(8)} == {(1, "09")}


def test_workers_fill_a_schema_that_was_not_there(numbers: DuckDBBackend) -> None:
    meeting = threading.Barrier(2)
    tasks = (calling(lambda: meeting.wait(WAIT), name) for name in "ab")
    project = Project(numbers, *(replace(task, outputs=(f"mart.{task.name}",)) for task in tasks))
    assert sorted(run_with(project, workers=2, retries=0).ran) == ["a", "b"]


def test_what_only_the_given_connection_sees_is_read_by_one_worker(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TEMP TABLE numbers AS SELECT 1 AS x")
    project = Project(con, *(task_of(lambda ctx: ctx.table("temp.main.numbers"), name) for name in "abcd"))
    assert list(run_with(project, workers=4).ran) == ["a", "b", "c", "d"]


# -- in one transaction ------------------------------------------------------------------------------------------------


def shared(project: Project) -> int:
    """In how many transactions tasks were published."""
    return project.sql("SELECT count(*) FROM relspec.run_tasks WHERE tasks LIKE '%\"ran\"%'")[0][0]


def test_small_tasks_share_transactions_and_large_ones_do_not(numbers: DuckDBBackend) -> None:
    small = [sql_task(f"SELECT x + {at} AS x FROM numbers", f"small{at}") for at in range(30)]
    project = Project(numbers, *small)
    assert len(run_with(project).ran) == len(small)
    assert shared(project) < len(small) / 2
    large = [sql_task(f"SELECT range AS x FROM range({at + 1})", f"large{at}") for at in range(5)]
    project = Project(numbers, *large)
    before = shared(project)
    assert len(run_with(project).ran) == len(large)
    assert shared(project) - before == len(large)


def test_a_task_that_fails_takes_none_of_those_with_it_that_shared_its_transaction(numbers: DuckDBBackend) -> None:
    texts = {f"t{at}": f"SELECT x + {at} AS x FROM numbers" for at in range(8)}
    texts["t4"] = "SELECT CAST('no number ' || x AS INTEGER) AS x FROM numbers"
    texts["t6"] = "SELECT t2.x FROM t2 JOIN t5 USING (x)"
    texts["t7"] = "SELECT t4.x FROM t4 JOIN t3 USING (x)"
    project = Project(numbers, *(sql_task(text, name) for name, text in texts.items()))
    report = run_with(project)
    assert set(report.ran) == {"t0", "t1", "t2", "t3", "t5", "t6"}
    assert set(report.failed) == {"t4"}
    assert set(report.blocked) == {"t7"}
    assert {name for (name,) in project.sql("SELECT name FROM relspec.evidence")} == set(report.ran)


def test_what_was_left_as_it_is_in_a_transaction_that_failed_is_looked_at_anew(numbers: DuckDBBackend) -> None:
    numbers.con.execute("CREATE TABLE flags AS SELECT false AS fails")
    texts = {
        "a_by_chance": "SELECT min(x)::INTEGER + (random() * 1.98)::INTEGER AS x FROM numbers",
        "b_next": "SELECT x + 1 AS x FROM a_by_chance",
        "c_fails": "SELECT CASE WHEN fails THEN error('no') ELSE '' END AS e FROM a_by_chance, flags",
        "d_last": "SELECT x + 1 AS x FROM b_next",
    }
    project = Project(numbers, *(sql_task(text, name) for name, text in texts.items()))
    run_with(project)
    numbers.con.execute("UPDATE flags SET fails = true")
    for _attempt in range(12):
        assert list(run_with(project).failed) == ["c_fails"]
        ((first, second, third),) = project.sql("SELECT * FROM a_by_chance, b_next, d_last")
        assert (second, third) == (first + 1, first + 2)


# -- files that change meanwhile ---------------------------------------------------------------------------------------


def written_by(file: Path, texts: list[str]) -> Callable[[], object]:
    """Writes the next text into a file, while there is one."""
    return lambda: texts and file.write_text(texts.pop(0))


def test_a_file_that_changes_while_it_is_read_through_a_view_is_read_again(
    numbers: DuckDBBackend, tmp_path: Path
) -> None:
    file = tmp_path / "s.csv"
    file.write_text("y\n1\n")
    write = written_by(file, ["y\n22\n"])

    def read(ctx: TaskBuildContext) -> ibis.Table:
        called = ibis.udf.scalar.python(write_and_keep)
        return ctx.table("v").mutate(y=called(_.y))

    def write_and_keep(y: int) -> int:
        write()
        return y

    project = Project(
        numbers,
        sql_task("SELECT y FROM s", "v", kind="view"),
        TaskSpec("t", read, deterministic=True),
        sources=[SourceSpec("s", path=file)],
    )
    run_with(project)
    for _attempt in range(2):
        run_with(project)
        assert project.sql("FROM t") == [(22,)]


def test_a_file_that_is_another_only_while_it_is_read_is_read_again(numbers: DuckDBBackend, tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("y\n1\n")
    write = written_by(file, ["y\n22\n", "y\n1\n"])
    project = Project(
        numbers,
        replace(calling(write, "a_other"), deterministic=True),
        sql_task("SELECT y, (SELECT count(*) FROM a_other) AS n FROM s", "b_reader"),
        replace(calling(write, "c_back", "a_other"), deterministic=True),
        sources=[SourceSpec("s", path=file)],
    )
    run_with(project)
    assert project.sql("SELECT y FROM b_reader") == [(22,)]
    assert "b_reader" in run_with(project).ran
    assert project.sql("SELECT y FROM b_reader") == [(1,)]


# -- reports of failures -----------------------------------------------------------------------------------------------


def test_a_failure_tells_the_statement_the_engines_words_and_the_place(numbers: DuckDBBackend) -> None:
    project = Project(numbers, sql_task("SELECT CAST('no number ' || x AS INTEGER) AS x FROM numbers", "wrong"))
    report = run_with(project)
    assert "Could not convert string 'no number 0' to INT32" in report.failed["wrong"]
    assert "defined in tests/support/catalogs.py:" in report.failed["wrong"]
    last = RunLog(DuckDBWarehouse(project.con)).last()
    assert last is not None
    (task,) = last.tasks
    assert task.error is not None
    assert "sql:" in task.error
    assert "CAST('no number '" in task.error


# -- again, and in time ------------------------------------------------------------------------------------------------


@pytest.fixture
def held(numbers: DuckDBBackend) -> Project:
    """A table that another connection changes in a transaction that is open, and one that is built from it."""
    project = Project(numbers, sql_task("SELECT x FROM numbers", "held"), sql_task("SELECT x FROM held", "reader"))
    run_with(project)
    project.edit("held", "SELECT x + 1 AS x FROM numbers")
    return project


def hold(project: Project) -> duckdb.DuckDBPyConnection:
    other = project.con.con.cursor()
    other.execute("BEGIN; ALTER TABLE held ADD COLUMN foreign_column INTEGER")
    return other


def test_a_fault_that_passes_is_tried_again(held: Project, capsys: pytest.CaptureFixture[str]) -> None:
    other = hold(held)
    planned = plan_run(held.catalog, backend=held.con)
    let_go = threading.Timer(1.0, lambda: other.execute("ROLLBACK"))
    let_go.start()
    report = run_planned(planned, warehouse=DuckDBWarehouse(held.con), options=RunOptions(retries=5))
    let_go.join()
    assert list(report.ran) == ["held", "reader"]
    assert held.sql("SELECT sum(x) FROM reader") == [(15,)]
    assert "trying held again in 0.5 s: task 'held' failed: TransactionContext Error" in capsys.readouterr().err


def test_a_fault_that_does_not_pass_fails_the_task(held: Project) -> None:
    other = hold(held)
    report = run_with(held, retries=0)
    other.execute("ROLLBACK")
    assert "onflict" in report.failed["held"]
    assert list(report.blocked) == ["reader"]
    assert held.sql("SELECT sum(x) FROM reader") == [(10,)]


def test_what_a_task_says_of_retries_goes_before_what_the_run_says(held: Project) -> None:
    held.tasks["held"] = replace(held.tasks["held"], retries=0)
    other = hold(held)
    report = run_with(held, retries=5)
    other.execute("ROLLBACK")
    assert "onflict" in report.failed["held"]


def test_a_plan_that_is_wrong_is_tried_once(numbers: DuckDBBackend) -> None:
    calls: list[int] = []
    project = Project(numbers, calling(lambda: calls.append(1) or 1 / 0, "wrong"))
    assert "division by zero" in run_with(project, retries=5).failed["wrong"]
    assert len(calls) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_takes_too_long_is_stopped_and_the_others_go_on(numbers: DuckDBBackend, workers: int) -> None:
    project = Project(
        numbers,
        TaskSpec("long", lambda ctx: ctx.sql(FOREVER), timeout=0.3),
        sql_task("SELECT x FROM long", "reader"),
        sql_task("SELECT x FROM numbers", "other"),
    )
    report = run_with(project, workers=workers)
    assert list(report.ran) == ["other"]
    assert "task 'long' took longer than 0.3 s" in report.failed["long"]
    assert list(report.blocked) == ["reader"]


def test_a_run_gives_all_its_tasks_a_limit(numbers: DuckDBBackend) -> None:
    project = Project(numbers, TaskSpec("long", lambda ctx: ctx.sql(FOREVER)))
    assert "took longer than 0.2 s" in run_with(project, timeout=0.2).failed["long"]


# -- all or nothing ----------------------------------------------------------------------------------------------------


def test_all_or_nothing_publishes_everything_at_the_end(numbers: DuckDBBackend) -> None:
    def others_see() -> None:
        seen.append(numbers.con.cursor().execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'a'"))

    seen: list = []
    project = Project(numbers, sql_task("SELECT x FROM numbers", "a"), calling(others_see, "b", "a"))
    assert list(run_with(project, all_or_nothing=True).ran) == ["a", "b"]
    assert seen[0].fetchall() == [(0,)]
    assert project.sql("SELECT count(*) FROM a") == [(5,)]
    assert run_with(project, all_or_nothing=True).failed == {}


def test_all_or_nothing_publishes_nothing_where_a_task_fails(numbers: DuckDBBackend) -> None:
    project = Project(numbers, *(sql_task("SELECT x FROM numbers", name) for name in "abd"))
    run_with(project)
    for name in "abd":
        project.edit(name, "SELECT x + 1 AS x FROM numbers")
    project.tasks["c"] = sql_task("SELECT CAST('no' AS INTEGER) AS x FROM numbers", "c")
    report = run_with(project, all_or_nothing=True)
    assert (report.ran, list(report.failed), sorted(report.blocked)) == ({}, ["c"], ["a", "b", "d"])
    assert report.blocked["a"] == "nothing of this run is published, for task 'c' failed"
    assert project.sql("SELECT sum(x) FROM a") == [(10,)]
    del project.tasks["c"]
    assert sorted(run_with(project, all_or_nothing=True).ran) == ["a", "b", "d"]


def test_all_or_nothing_builds_nothing_where_a_task_is_blocked(numbers: DuckDBBackend) -> None:
    numbers.con.execute("CREATE TABLE notes AS SELECT 1 AS id, 'x' AS note")
    project = Project(numbers, sql_task("SELECT x FROM numbers", "a"), sql_task("SELECT note FROM notes", "b"))
    run_with(project)
    numbers.con.execute("ALTER TABLE notes RENAME note TO remark; INSERT INTO numbers VALUES (10)")
    report = run_with(project, all_or_nothing=True)
    assert (report.ran, sorted(report.blocked)) == ({}, ["a", "b"])
    assert project.sql("SELECT count(*) FROM a") == [(5,)]


# -- limits, and the log -----------------------------------------------------------------------------------------------


def test_the_engines_limits_are_set_for_all_workers(numbers: DuckDBBackend) -> None:
    def look() -> None:
        found.extend(numbers.con.cursor().execute(settings).fetchall())

    settings = "SELECT current_setting('memory_limit'), current_setting('threads')"
    found: list = []
    run_with(Project(numbers, calling(look, "a")), memory_limit="300MB", threads=1).raise_if_failed()
    assert found == [("286.1 MiB", 1)]


@pytest.mark.parametrize(
    "make", [lambda: RunOptions(workers=0), lambda: RunOptions(threads=0), lambda: RunOptions(timeout=0)]
)
def test_limits_that_make_no_sense_are_refused(make: Callable[[], RunOptions]) -> None:
    with pytest.raises(WarehouseError, match="RS402"):
        make()


def test_a_limit_that_the_engine_does_not_take_is_told_before_anything_runs(numbers: DuckDBBackend) -> None:
    with pytest.raises(WarehouseError, match="DuckDB takes no memory_limit of 'lots'"):
        run_with(Project(numbers, sql_task("SELECT x FROM numbers", "a")), memory_limit="lots")


def test_a_run_goes_on_with_what_the_last_one_was_asked_for(numbers: DuckDBBackend) -> None:
    project = Project(numbers, *(sql_task("SELECT x FROM numbers", name) for name in ("asked", "other")))
    project.tasks["after"] = sql_task("SELECT CAST('no' AS INTEGER) AS x FROM asked", "after")
    assert list(project.run("after").failed) == ["after"]
    project.edit("after", "SELECT x FROM asked")
    report = run(project.catalog, backend=project.con, quiet=True, resume=True)
    assert (list(report.ran), list(report.skipped)) == (["after"], ["asked"])


def test_every_run_is_in_the_log(numbers: DuckDBBackend) -> None:
    project = Project(numbers, sql_task("SELECT x FROM numbers", "a"), sql_task("SELECT x FROM a", "b"))
    run_with(project, workers=2)
    run_with(project)
    first, second = (RunLog(DuckDBWarehouse(numbers)).find(number) for number in (1, 2))
    assert first is not None
    assert second is not None
    assert [(task.task, task.outcome, task.rows, task.upstream) for task in first.tasks] == [
        ("a", "ran", 5, ()), ("b", "ran", 5, ("a",))
    ]  # fmt: skip
    assert (first.outcome, first.workers) == ("finished", 2)
    assert {task.outcome for task in second.tasks} == {"skipped"}
