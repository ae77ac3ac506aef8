"""Ctrl-C in a terminal, and SIGTERM, during a long task: the prompt is back soon, and what was finished is kept."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from tests.support.catalogs import text_block
from tests.system.chaos_process import ChaosProject, environment

CATALOG = text_block("""
    from relspec_core import TaskCatalog, task

    @task
    def small(ctx):
        return ctx.sql("SELECT 1 AS one")

    @task
    def long(ctx):
        return ctx.sql(
            "SELECT count(*) AS n FROM small, range(3_000_000) AS l(x), range(3_000_000) AS r(y) WHERE x * y % 7 = one"
        )

    catalog = TaskCatalog([small, long])
""")
# A shell gives its commands the terminal and lets Ctrl-C end them; a test's own process may do neither.
IN_A_TERMINAL = text_block("""
    import os, signal, sys

    os.login_tty(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from relspec_core.cli import main

    main(sys.argv[1:])
""")
MOST_SECONDS = 2  # on a machine with nothing else to do
LONGEST_START = 120
BAR = "━"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal in which a command runs.

    Attributes:
        text: what it has shown so far.
    """

    def __init__(self, root: Path, *arguments: str) -> None:
        self._end, tty = os.openpty()
        command = [sys.executable, "-c", IN_A_TERMINAL, *arguments]
        terminal = {**environment(), "TERM": "xterm-256color", "COLUMNS": "120"}
        self.process = subprocess.Popen(command, cwd=root, env=terminal, stdin=tty, stdout=tty, stderr=tty)
        os.close(tty)
        self.text = ""

    def press_ctrl_c(self) -> None:
        os.write(self._end, b"\x03")

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + LONGEST_START
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(), self.text

    def wait_for_the_end(self) -> int:
        """The exit code of the command."""
        while self._read():
            pass
        return self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)

    def _read(self) -> bool:
        """Read the available output, a moment later at the latest; whether the other end is open."""
        if not select.select([self._end], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._end, 65536)
        except OSError:
            return False  # how Linux tells that the other end is closed
        self.text += ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    ChaosProject(root=tmp_path).write(CATALOG)
    terminal = Terminal(tmp_path, "run")
    yield terminal
    terminal.close()


def send_sigterm(terminal: Terminal) -> None:
    terminal.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize(("interrupt", "code"), [(Terminal.press_ctrl_c, 130), (send_sigterm, 143)])
def test_an_interrupted_run_ends_soon_keeps_what_was_finished_and_says_how_to_resume(
    terminal: Terminal, tmp_path: Path, interrupt: Callable[[Terminal], None], code: int
) -> None:
    terminal.wait_for("ran     small")
    terminal.wait_for("long")
    time.sleep(0.5)  # the long statement has begun
    began = time.monotonic()
    interrupt(terminal)
    assert terminal.wait_for_the_end() == code, terminal.text
    assert time.monotonic() - began < MOST_SECONDS * max(1, os.getloadavg()[0])
    told = terminal.text.rpartition("ran     small")[2].splitlines()[1:]
    message = " ".join(line for line in told if BAR not in line)
    assert re.search(r"\b1\b", message), message
    assert "finished" in message, message
    assert "relspec run --resume" in message, message
    assert "Traceback" not in message
    with duckdb.connect(tmp_path / "warehouse.duckdb") as con:
        assert con.execute("FROM small").fetchall() == [(1,)]
        assert con.execute("SELECT name, row_count FROM relspec.evidence").fetchall() == [("small", 1)]
        assert con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall() == [
            ("small",)
        ]
