"""Progress of a run: a bar on a terminal, lines elsewhere, nothing when asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType


class RunProgress:
    """Shows the progress of a run; a context manager.

    Args:
        total: number of tasks to build.
        quiet: show nothing.
        stream: standard error where left out.
    """

    __slots__ = ("_bar", "_out", "_task")

    def __init__(self, total: int, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._out = None if quiet else stream or sys.stderr
        self._bar: Progress | None = None
        if self._out is not None and self._out.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(file=self._out), transient=True)
            self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, task: str) -> None:
        """Show the task that is being built."""
        if self._bar is not None:
            self._bar.update(self._task, description=f"building {task}")
        else:
            self.say(f"building {task}")

    def say(self, line: str) -> None:
        """Show a line."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        elif self._out is not None:
            print(line, file=self._out, flush=True)

    def end(self, line: str) -> None:
        """Show a task's outcome and advance the bar."""
        self.say(line)
        if self._bar is not None:
            self._bar.advance(self._task)
