"""The ``relspec runs`` commands, in a folder whose warehouse has a log."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relspec_core.cli import main
from relspec_core.engines.duckdb_file import connect
from relspec_core.runs.history import RunRecord, TaskOutcome
from relspec_core.runs.run_log import RunLog
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

AT = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)
ORDERS = TaskOutcome(
    task="orders", outcome="ran", reason="its plan changed", rows=71534, started_at=AT, seconds=2.5, worker=1
)
TOTALS = TaskOutcome(
    task="totals",
    outcome="failed",
    reason="no",
    error="Conversion Error: 'x'\nLINE 1",
    started_at=AT,
    seconds=0.25,
    worker=2,
    upstream=("orders",),
)
REST = (TaskOutcome(task="notes", outcome="skipped", reason="unchanged"),)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two runs of a project whose catalog can't be imported any more."""
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "gone:catalog"\ndatabase = "w.duckdb"\n')
    monkeypatch.chdir(tmp_path)
    backend = connect(tmp_path / "w.duckdb")
    log = RunLog(DuckDBWarehouse(backend))
    first = log.begin(targets=["orders", "totals"], workers=2)
    log.record(first, [ORDERS, TOTALS])
    log.end(first, outcome="failed", peak_memory=1_310_720, rest=REST, sizes={"orders": 2048})
    log.end(log.begin(targets=(), workers=1), outcome="finished")
    backend.con.execute("UPDATE relspec.runs SET started_at = '2026-11-23 07:00:00', pid = 12, host = 'here'")
    backend.con.execute("UPDATE relspec.runs SET ended_at = started_at + INTERVAL 3500 MILLISECOND")
    backend.disconnect()
    return tmp_path / "w.duckdb"


def relspec(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.usefixtures("database")
def test_runs_lists_the_last_ones_first_without_the_catalog() -> None:
    result = relspec("runs")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "  run  started (UTC)               took  outcome          ran  skipped   failed  blocked  asked for",
        "    2  2026-11-23 07:00:00        3.5 s  finished           0        0        0        0  everything",
        "    1  2026-11-23 07:00:00        3.5 s  failed             1        1        1        0  orders, totals",
    ]
    assert len(relspec("runs", "--limit", "1").output.splitlines()) == 2
    found = json.loads(relspec("runs", "--json").output)["runs"]
    assert [(run["number"], run["outcome"], run["counts"]["ran"]) for run in found] == [
        (2, "finished", 0), (1, "failed", 1)
    ]  # fmt: skip


@pytest.mark.usefixtures("database")
def test_runs_show_tells_what_became_of_every_task_and_why() -> None:
    result = relspec("runs", "show", "1")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "run 1 failed, started 2026-11-23 07:00:00 UTC, took 3.5 s, 2 workers, 1.2 MiB of memory",
        "  asked for orders, totals; process 12 on here",
        "ran     orders (71,534 rows, about 2.0 KiB, 2.5 s, worker 1): its plan changed",
        "failed  totals (0.25 s, worker 2): Conversion Error: 'x'",
        "        LINE 1",
        "skipped notes: unchanged",
        "critical path, 2.8 s: orders -> totals",
        "1 ran, 1 skipped, 1 failed, 0 blocked",
    ]


@pytest.mark.usefixtures("database")
def test_runs_show_last_as_json_is_the_last_run() -> None:
    found = json.loads(relspec("runs", "show", "last", "--json").output)
    assert (found["number"], found["tasks"], found["critical_path"]["tasks"]) == (2, [], [])
    first = json.loads(relspec("runs", "show", "1", "--json").output)
    assert (first["started_at"], first["seconds"], first["host"]) == ("2026-11-23T07:00:00+00:00", 3.5, "here")
    assert first["tasks"][1] == {
        "task": "totals",
        "outcome": "failed",
        "reason": "no",
        "code": None,
        "error": "Conversion Error: 'x'\nLINE 1",
        "rows": None,
        "bytes": None,
        "started_at": "2026-11-23T07:00:00+00:00",
        "seconds": 0.25,
        "peak_memory": None,
        "worker": 2,
        "upstream": ["orders"],
    }


def test_runs_show_draws_a_timeline(database: Path) -> None:
    result = relspec("runs", "show", "1", "--html", "run.html")
    assert (result.exit_code, result.output) == (0, "the timeline of run 1 is in run.html\n")
    page = database.with_name("run.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<b>orders</b> → <b>totals</b>" in page
    assert relspec("runs", "show", "1", "--html", "no_folder/run.html").exit_code == 1


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(("number", "instead"), [("7", "run 2"), ("x", "'last'")])
def test_a_run_that_does_not_exist_exits_with_two_and_names_one_that_does(number: str, instead: str) -> None:
    result = relspec("runs", "show", number)
    assert result.exit_code == 2
    message = result.output.splitlines()[-1]
    assert number in message
    assert instead in message


def test_where_nothing_ran_there_is_no_run_and_no_warehouse_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "gone:catalog"\ndatabase = "w.duckdb"\n')
    monkeypatch.chdir(tmp_path)
    assert relspec("runs").output == "no run is recorded in this warehouse\n"
    result = relspec("runs", "show", "last")
    assert result.exit_code == 2
    assert "no run is recorded in this warehouse." in result.output
    assert not (tmp_path / "w.duckdb").exists()


@pytest.mark.usefixtures("database")
def test_reading_the_log_changes_no_byte_of_the_warehouse(database: Path) -> None:
    before = database.read_bytes()
    relspec("runs")
    relspec("runs", "show", "last", "--html", "-")
    assert database.read_bytes() == before


def test_a_record_of_a_run_that_goes_on_says_so() -> None:
    run = RunRecord(number=3, started_at=AT, outcome="running", pid=1, host="here", workers=1)
    assert str(run).splitlines() == [
        "run 3 is running, started 2026-11-23 07:00:00 UTC, 1 worker",
        "  asked for everything; process 1 on here",
        "0 ran, 0 skipped, 0 failed, 0 blocked",
    ]
