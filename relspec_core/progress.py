"""Progress of a run: a bar on a terminal, lines elsewhere, nothing when asked."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def run_progress(total: int, *, quiet: bool = False, stream: TextIO | None = None) -> Iterator[Callable[[str, bool], None]]:
    """A function that takes each line of the log, and whether it ends a task.

    Args:
        total: how many tasks there are to build.
        quiet: print nothing.
        stream: standard error where left out.
    """
    out = stream or sys.stderr
    if quiet:
        yield lambda _line, _ends: None
    elif not out.isatty():
        yield lambda line, _ends: print(line, file=out, flush=True)
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=Console(file=out), transient=True) as bar:
            counted = bar.add_task("building", total=total)

            def show(line: str, ends: bool) -> None:  # noqa: FBT001 - called with what the caller has at hand
                if ends:
                    bar.console.print(line, markup=False, highlight=False)
                    bar.advance(counted)
                else:
                    bar.update(counted, description=line)

            yield show
