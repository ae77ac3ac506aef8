import io
import os
import pty
import re
import sys
import threading
from collections.abc import Callable

import pytest

from relspec_core import TaskCatalog, run
from relspec_core.runs.progress import RunProgress
from tests.support.catalogs import sql_task

CATALOG = TaskCatalog([sql_task("SELECT 1 AS a", "one"), sql_task("SELECT a FROM one WHERE a > 0", "two")])
ESCAPE = "\x1b["


def shown_on_a_terminal(show: Callable[[io.TextIOWrapper], None]) -> str:
    """What a pseudo-terminal has received once ``show`` has written to it."""
    reading, writing = pty.openpty()
    received: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(reading, 65536):
                received.append(data)
        except OSError:
            return  # how Linux tells that the other end is closed

    reader = threading.Thread(target=read)
    reader.start()
    with os.fdopen(writing, "w", encoding="utf-8") as terminal:
        show(terminal)
    reader.join()
    os.close(reading)
    return b"".join(received).decode()


def two_tasks(stream: io.TextIOBase, *, quiet: bool = False) -> None:
    with RunProgress(2, quiet=quiet, stream=stream) as progress:  # ty: ignore[invalid-argument-type]
        progress.say("skipped other: unchanged")
        for task in ("one", "[two]"):
            progress.begin(task)
            progress.end(f"ran     {task}")


def test_each_step_is_a_plain_line_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    two_tasks(stream)
    assert stream.getvalue().splitlines() == [
        "skipped other: unchanged",
        "building one",
        "ran     one",
        "building [two]",
        "ran     [two]",
    ]


def test_nothing_is_shown_when_quiet() -> None:
    stream = io.StringIO()
    two_tasks(stream, quiet=True)
    assert stream.getvalue() == ""
    assert shown_on_a_terminal(lambda terminal: two_tasks(terminal, quiet=True)) == ""


def test_a_bar_is_drawn_on_a_terminal_and_the_lines_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    shown = shown_on_a_terminal(two_tasks)
    assert ESCAPE in shown
    assert "━" in shown
    assert "2/2" in shown
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "ran     one" in plain
    assert "ran     [two]" in plain
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


def test_an_interrupted_bar_gives_the_cursor_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")

    def interrupted(terminal: io.TextIOWrapper) -> None:
        with pytest.raises(KeyboardInterrupt), RunProgress(2, stream=terminal) as progress:  # noqa: PT012 - raised inside
            progress.begin("one")
            raise KeyboardInterrupt

    shown = shown_on_a_terminal(interrupted)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_a_run_tells_its_steps_on_standard_error_and_keeps_standard_output_free(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(CATALOG)
    out, err = capsys.readouterr()
    assert out == ""
    shown = [re.sub(r"\d+\.\d+ s", "0.00 s", line) for line in err.splitlines()]
    assert shown == [
        "building one",
        "building two",  # small tasks are published together
        "ran     one (1 rows, 0.00 s): 'one' does not exist yet",
        "ran     two (1 rows, 0.00 s): 'two' does not exist yet",
    ]


def test_a_run_on_a_terminal_draws_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")

    def show(terminal: io.TextIOWrapper) -> None:
        monkeypatch.setattr(sys, "stderr", terminal)
        run(CATALOG)
        monkeypatch.undo()

    shown = shown_on_a_terminal(show)
    assert "2/2" in shown
    assert "does not exist yet" in shown
