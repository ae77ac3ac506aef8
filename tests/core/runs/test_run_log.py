import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_file import connect
from relspec_core.engines.engine_error import EngineError
from relspec_core.runs.history import RunHistory, TaskOutcome
from relspec_core.runs.run_log import RunLog
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.storage_sizes import bytes_of
from relspec_core.warehouses.warehouse import Warehouse

RAN = TaskOutcome(
    task="it's a task",
    outcome="ran",
    reason="its 'plan' changed \\ \"so\"\nthere",
    rows=3,
    started_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    seconds=0.25,
    peak_memory=2048,
    worker=1,
    upstream=("a", "b,c"),
)
FAILED = TaskOutcome(
    task="broken",
    outcome="failed",
    reason="no",
    error="Conversion Error: 'x'\n\nLINE 1: …",
    started_at=datetime(2026, 1, 2, 3, 4, 4, tzinfo=UTC),
)
SKIPPED = TaskOutcome(task="same", outcome="skipped", reason="unchanged")
DIES = """
import os, sys
from relspec_core.runs.run_log import RunLog
from relspec_core.runs.history import TaskOutcome
from relspec_core.engines.duckdb_file import connect
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

warehouse = DuckDBWarehouse(connect(sys.argv[1]))
log = RunLog(warehouse)
number = log.begin(targets=["a"], workers=2)
with warehouse.transaction():
    log.record(number, [TaskOutcome(task="a", outcome="ran", reason="new")])
warehouse.execute("BEGIN TRANSACTION")
log.record(number, [TaskOutcome(task="b", outcome="ran", reason="new")])
os._exit(9)
"""


@pytest.fixture
def warehouse(con: DuckDBBackend) -> Warehouse:
    return DuckDBWarehouse(con)


def begun(warehouse: Warehouse) -> int:
    return RunLog(warehouse).begin(targets=(), workers=1)


def days_ago(warehouse: Warehouse, number: int, days: int) -> None:
    """Let a run have begun earlier."""
    warehouse.execute(
        f"UPDATE relspec.runs SET started_at = started_at - INTERVAL {days} DAY, outcome = 'finished' WHERE number = {number}"
    )


def test_where_nothing_was_logged_there_is_no_run_and_reading_creates_nothing(warehouse: Warehouse) -> None:
    log = RunLog(warehouse)
    assert (log.runs(), log.find(1), log.last()) == (RunHistory(), None, None)
    assert warehouse.rows("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'relspec'") == [(0,)]


def test_a_run_comes_back_as_it_was_recorded_tasks_in_the_order_of_their_starts(warehouse: Warehouse) -> None:
    log = RunLog(warehouse)
    before = datetime.now(UTC)
    number = log.begin(targets=["it's", "b"], workers=2)
    with warehouse.transaction():
        log.record(number, [RAN])
    with warehouse.transaction():
        log.record(number, [FAILED])
    log.end(number, outcome="failed", peak_memory=5_000_000_000, rest=[SKIPPED], sizes={"broken": 7})
    found = log.find(number)
    assert found is not None
    assert found.tasks[1:] == (RAN, SKIPPED)
    assert (found.tasks[0].error, found.tasks[0].bytes) == (FAILED.error, 7)
    assert (found.number, found.outcome, found.targets, found.workers) == (1, "failed", ("it's", "b"), 2)
    assert (found.pid, found.peak_memory) == (os.getpid(), 5_000_000_000)
    assert found.counts == {"ran": 1, "failed": 1, "skipped": 1}
    assert found.ended_at is not None
    assert before <= found.started_at <= found.ended_at <= datetime.now(UTC)
    assert log.last() == found


def test_a_run_that_has_not_ended_is_running_with_what_was_recorded_so_far(warehouse: Warehouse) -> None:
    number = begun(warehouse)
    RunLog(warehouse).record(number, [SKIPPED])
    found = RunLog(warehouse).last()
    assert found is not None
    assert (found.outcome, found.ended_at, found.seconds, found.tasks) == ("running", None, None, (SKIPPED,))


def test_a_record_is_part_of_the_running_transaction(warehouse: Warehouse) -> None:
    number = begun(warehouse)
    warehouse.execute("BEGIN TRANSACTION")
    RunLog(warehouse).record(number, [RAN])
    warehouse.execute("ROLLBACK")
    found = RunLog(warehouse).find(number)
    assert found is not None
    assert found.tasks == ()


def test_threads_record_at_once_each_through_a_cursor_of_its_own(tmp_path: Path) -> None:
    backend = connect(tmp_path / "w.duckdb")
    number = begun(DuckDBWarehouse(backend))

    def work(worker: int) -> None:
        own = DuckDBWarehouse(ExclusiveDuckDB(backend.con.cursor()))
        log = RunLog(own)
        for step in range(25):
            with own.transaction():
                own.execute(f"CREATE TABLE t{worker}_{step} AS SELECT 1 AS one")
                log.record(number, [TaskOutcome(task=f"t{worker}_{step}", outcome="ran", reason="new", worker=worker)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = RunLog(DuckDBWarehouse(backend)).find(number)
    backend.disconnect()
    assert found is not None
    assert {task.task for task in found.tasks} == {f"t{worker}_{step}" for worker in range(4) for step in range(25)}
    assert all(task.task.startswith(f"t{task.worker}_") for task in found.tasks)


def test_runs_come_last_first_and_no_more_than_asked_for(warehouse: Warehouse) -> None:
    for _ in range(3):
        log = RunLog(warehouse)
        log.end(begun(warehouse), outcome="finished", rest=[SKIPPED])
    assert [run.number for run in RunLog(warehouse).runs(2).runs] == [3, 2]
    assert [run.counts for run in RunLog(warehouse).runs().runs] == [{"skipped": 1}] * 3


def test_old_runs_go_with_their_tasks_and_numbers_are_never_used_again(warehouse: Warehouse) -> None:
    log = RunLog(warehouse)
    for days in (91, 89):
        number = begun(warehouse)
        log.record(number, [SKIPPED])
        days_ago(warehouse, number, days)
    assert begun(warehouse) == 3
    assert [run.number for run in log.runs().runs] == [3, 2]
    assert warehouse.rows("SELECT run FROM relspec.run_tasks") == [(2,)]
    days_ago(warehouse, 3, 8)
    assert log.begin(targets=(), workers=1, keep_days=7) == 4
    assert [run.number for run in log.runs().runs] == [4]


def test_no_more_runs_are_kept_than_asked_for(warehouse: Warehouse) -> None:
    for _ in range(5):
        RunLog(warehouse).begin(targets=(), workers=1, keep_runs=2)
    assert [run.number for run in RunLog(warehouse).runs().runs] == [5, 4]


def test_a_run_whose_process_was_killed_died_and_what_it_committed_is_there(tmp_path: Path) -> None:
    database = tmp_path / "w.duckdb"
    done = subprocess.run([sys.executable, "-c", DIES, database], check=False)
    assert done.returncode == 9
    reader = connect(database, read_only=True)
    seen = RunLog(DuckDBWarehouse(reader)).last()
    reader.disconnect()
    assert seen is not None
    assert (seen.outcome, [task.task for task in seen.tasks], seen.targets) == ("died", ["a"], ("a",))
    writer = connect(database)
    log = RunLog(DuckDBWarehouse(writer))
    assert begun(DuckDBWarehouse(writer)) == 2
    outcomes = writer.con.execute("SELECT number, outcome FROM relspec.runs ORDER BY ALL").fetchall()
    assert outcomes == [(1, "died"), (2, "running")]
    assert [run.outcome for run in log.runs().runs] == ["running", "died"]
    writer.disconnect()


@pytest.mark.parametrize("other", ["host = 'elsewhere'", "pid = pid + 1", "started_at = started_at - INTERVAL 1 DAY"])
def test_a_beginning_run_marks_those_of_other_processes_as_died_whatever_has_their_number_now(
    warehouse: Warehouse, other: str
) -> None:
    begun(warehouse)
    begun(warehouse)
    warehouse.execute(f"UPDATE relspec.runs SET {other} WHERE number = 1")
    begun(warehouse)
    found = warehouse.rows("SELECT outcome FROM relspec.runs ORDER BY number")
    assert found == [("died",), ("running",), ("running",)]


def test_a_running_run_of_another_machine_is_believed_by_readers(warehouse: Warehouse) -> None:
    begun(warehouse)
    warehouse.execute("UPDATE relspec.runs SET host = 'elsewhere', pid = 1999999999")
    assert [run.outcome for run in RunLog(warehouse).runs().runs] == ["running"]


def test_a_log_in_another_releases_form_is_none_until_the_next_run_begins(warehouse: Warehouse) -> None:
    warehouse.execute("CREATE SCHEMA relspec")
    warehouse.execute("CREATE TABLE relspec.runs AS SELECT 1 AS id")
    assert RunLog(warehouse).runs() == RunHistory()
    assert RunLog(warehouse).last() is None
    assert begun(warehouse) == 1
    assert [run.number for run in RunLog(warehouse).runs().runs] == [1]


def test_a_log_can_be_read_from_a_database_of_any_name_that_is_open_for_reading_only(tmp_path: Path) -> None:
    database = tmp_path / 'relspec.it\'s "odd".duckdb'
    backend = connect(database)
    log = RunLog(DuckDBWarehouse(backend))
    log.end(begun(DuckDBWarehouse(backend)), outcome="finished", rest=[SKIPPED])
    backend.disconnect()
    reader = connect(database, read_only=True)
    found = RunLog(DuckDBWarehouse(reader)).last()
    assert found is not None
    assert found.tasks == (SKIPPED,)
    with pytest.raises(EngineError):
        begun(DuckDBWarehouse(reader))
    reader.disconnect()


def test_ten_thousand_tasks_that_did_not_run_are_recorded_in_one_statement(warehouse: Warehouse) -> None:
    number = begun(warehouse)
    rest = [TaskOutcome(task=f"t{index}", outcome="skipped", reason="unchanged") for index in range(10_000)]
    RunLog(warehouse).end(number, outcome="finished", rest=rest)
    found = RunLog(warehouse).find(number)
    assert found is not None
    assert found.counts == {"skipped": 10_000}
    assert set(found.tasks) == set(rest)


def test_the_bytes_of_tables_are_those_in_the_file(tmp_path: Path) -> None:
    backend = connect(tmp_path / "w.duckdb")
    warehouse = DuckDBWarehouse(backend)
    warehouse.execute("CREATE SCHEMA other")
    warehouse.execute('CREATE TABLE "it\'s" AS SELECT hash(range) AS a, hash(range + 1) AS b FROM range(100_000)')
    warehouse.execute("CREATE TABLE other.half AS SELECT hash(range) AS a FROM range(100_000)")
    warehouse.execute("CREATE VIEW seen AS SELECT 1 AS one")
    names = ["it's", "OTHER.half", "seen", "absent"]
    warehouse.execute("CHECKPOINT")
    found = bytes_of(warehouse, names)
    backend.disconnect()
    assert set(found) == {"it's", "OTHER.half"}
    assert 1_500_000 < found["it's"] < 1_800_000
    assert 750_000 < found["OTHER.half"] < 900_000


def test_what_is_not_in_the_file_yet_counts_as_it_is_uncompressed(warehouse: Warehouse) -> None:
    warehouse.execute(
        "CREATE TABLE a AS SELECT range AS whole, range::INTEGER AS short, range::DECIMAL(19, 2) AS wide, "
        "range > 3 AS flag, 'text' || range % 10 AS text FROM range(800)"
    )
    assert bytes_of(warehouse, ["a"]) == {"a": 800 * (8 + 4 + 16 + 1 + 5) + 5 * 100}  # a bit for each NULL or value
    assert bytes_of(warehouse, []) == {}
