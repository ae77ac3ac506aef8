"""Several processes at once on one warehouse: writers wait for each other, and readers for nobody."""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from relspec_core.cli import main

COUNTER = itertools.count()
SECONDS = 60.0
HOLD = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
CATALOG = '''
import time
from pathlib import Path

import ibis
from relspec_core import TaskCatalog, task

GATE, STARTED = str(Path(__file__).with_name("gate")), str(Path(__file__).with_name("started"))

@ibis.udf.scalar.python
def gated(value: int) -> int:
    Path(STARTED).touch()
    while not Path(GATE).exists():
        time.sleep(0.01)
    return value

@task(deterministic=True)
def orders(ctx):
    """The table of raw orders is declared nowhere."""
    return ctx.table("raw").select("id", "amount")

@task(deterministic=True)
def slow(ctx):
    orders = ctx.table("orders")
    return orders.select("id", amount=gated(orders.amount))

@task
def customers(ctx):
    return ctx.table("raw").select("customer").distinct()

catalog = TaskCatalog([orders, slow, customers])
'''


class Shop:
    """A project with a raw table in its warehouse, and a task that goes on when a file is there."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.module = f"locked_shop_{next(COUNTER)}"
        self.database = root / "shop.duckdb"
        (root / f"{self.module}.py").write_text(CATALOG)
        settings = f'[tool.relspec]\ncatalog = "{self.module}:catalog"\ndatabase = "shop.duckdb"\n'
        (root / "pyproject.toml").write_text(settings)
        monkeypatch.chdir(root)
        monkeypatch.syspath_prepend(str(root))
        self.sql("CREATE TABLE raw AS SELECT 1 AS id, 5 AS amount, 'ada' AS customer, 'x' AS note")

    def sql(self, text: str) -> list[tuple[object, ...]]:
        with duckdb.connect(self.database) as connection:
            return connection.execute(text).fetchall()

    def read(self, *arguments: str) -> Result:
        """A command in this process."""
        return CliRunner().invoke(main, list(arguments))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in a process of its own."""
        command = [sys.executable, str(Path(sys.executable).with_name("relspec")), *arguments]
        return subprocess.Popen(command, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def open_gate(self) -> None:
        (self.root / "gate").touch()

    @contextmanager
    def run_on(self) -> Generator[subprocess.Popen[str]]:
        """A run in the middle of its slow task; it ends well when the body does."""
        (self.root / "gate").unlink(missing_ok=True)
        (self.root / "started").unlink(missing_ok=True)
        running = self.start("run")
        try:
            deadline = time.monotonic() + SECONDS
            while not (self.root / "started").exists():
                assert running.poll() is None, running.communicate()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield running
            self.open_gate()
            output, errors = running.communicate(timeout=SECONDS)
            assert running.returncode == 0, (output, errors)
        finally:
            running.kill()
            running.communicate()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


@contextmanager
def held(database: Path) -> Generator[subprocess.Popen[str]]:
    """Another process than relspec that has the database open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield holder
        holder.communicate("\n")


def test_a_second_run_waits_says_for_whom_and_then_finds_nothing_to_do(shop: Shop) -> None:
    with shop.run_on() as first:
        second = shop.start("run")
        assert second.stderr is not None
        assert second.stderr.readline() == (
            f"waiting for process {first.pid} (relspec run), which holds shop.duckdb; at most 60 s\n"
        )
        impatient = shop.read("run", "--wait", "0")
        assert (impatient.exit_code, impatient.stdout) == (2, "")
        assert impatient.stderr == (
            f"[RS402] the warehouse can't be opened: process {first.pid} (relspec run) holds it\n"
            f"  at:   {shop.database}\n"
            "  next: wait for that process, or end it; 'relspec run --wait SECONDS' waits for longer.\n"
        )
        assert second.poll() is None
    output, errors = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, errors
    assert "0 ran, 3 skipped, 0 failed, 0 blocked" in output
    assert shop.sql("FROM slow") == [(1, 5)]


def test_waiting_ends_at_its_limit_with_the_process_and_the_time(shop: Shop) -> None:
    with held(shop.database) as holder:
        result = shop.read("run", "--wait", "0.3")
        assert result.exit_code == 2
        assert result.stderr.startswith(f"waiting for process {holder.pid} (")
        assert "which holds shop.duckdb; at most 0.3 s\n" in result.stderr
        assert f"[RS402] the warehouse can't be opened: process {holder.pid} (" in result.stderr
        assert ") holds it, also after 0.3 s\n" in result.stderr
        assert shop.read("run", "--wait", "0", "--quiet").stderr.startswith("[RS402]")
    shop.open_gate()
    assert shop.read("run").exit_code == 0


def test_only_a_lock_is_waited_for(shop: Shop) -> None:
    shop.database.write_text("no database " * 1000)
    started = time.monotonic()
    result = shop.read("run")
    assert result.exit_code == 2
    assert "waiting" not in result.output
    assert time.monotonic() - started < 30


def test_commands_that_read_tell_during_a_run_what_it_set_out_to_do(shop: Shop) -> None:
    shop.open_gate()
    assert shop.read("run").exit_code == 0
    shop.sql("UPDATE raw SET amount = 6")
    before = shop.read("plan")
    assert (before.exit_code, before.stderr) == (3, "")
    with shop.run_on() as running:
        planned = shop.read("plan")
        assert (planned.exit_code, planned.stdout) == (3, before.stdout)
        (notice,) = planned.stderr.splitlines()
        assert notice.startswith(
            f"process {running.pid} (relspec run) holds shop.duckdb: this is what it recorded at 20"
        )
        assert notice.endswith(" UTC, without what it has built since")
        tasks = {task["task"]: task for task in json.loads(shop.read("plan", "--json").stdout)["tasks"]}
        assert tasks["orders"]["reason"] == "reads raw.amount, raw.id, which changed"
        assert (tasks["customers"]["action"], tasks["slow"]["wave"]) == ("skip", 2)
        explained = shop.read("explain", "customers", "--json")
        assert (explained.exit_code, explained.stderr) == (0, planned.stderr)
        assert json.loads(explained.stdout)["wrote"]["customers"]["rows"] == 1
        for command, *arguments in (
            ("graph",),
            ("impact", "raw.amount"),
            ("contract", "raw"),
            ("lineage", "slow.amount"),
            ("check",),
            ("unused",),
            ("fixtures", "orders"),
        ):
            found = shop.read(command, *arguments)
            assert (found.exit_code, found.stderr) == (0, planned.stderr), found.output
            assert found.stdout
    after = shop.read("plan")
    assert (after.exit_code, after.stderr) == (0, "")
    assert shop.sql("FROM slow") == [(1, 6)]


def test_the_first_run_of_all_can_be_read_beside(shop: Shop) -> None:
    before = shop.read("plan").stdout
    with shop.run_on() as running:
        planned = shop.read("plan")
        assert (planned.exit_code, planned.stdout) == (3, before)
        assert f"process {running.pid} (relspec run) holds shop.duckdb" in planned.stderr


def test_beside_another_program_readers_have_what_a_run_recorded(shop: Shop) -> None:
    with held(shop.database) as holder:
        unrecorded = shop.read("plan")
        assert unrecorded.exit_code == 2
        assert f"[RS402] the warehouse can't be opened: process {holder.pid} (" in unrecorded.stderr
    shop.open_gate()
    assert shop.read("run").exit_code == 0
    with held(shop.database) as holder:
        recorded = shop.read("plan")
        assert recorded.exit_code == 0
        assert "3 unchanged" in recorded.stdout
        assert recorded.stderr.startswith(f"process {holder.pid} (")
        assert f"this is what process {os.getpid()} recorded at 20" in recorded.stderr
        assert recorded.stderr.endswith(" UTC, without what was written since\n")


def test_a_run_that_was_killed_leaves_the_warehouse_to_others(shop: Shop) -> None:
    with pytest.raises(AssertionError), shop.run_on() as running:
        running.kill()
    planned = shop.read("plan")
    assert (planned.exit_code, planned.stderr) == (3, "")
    assert "slow" in planned.stdout
    shop.open_gate()
    assert shop.read("run").exit_code == 0
