"""The command ``run``."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from relspec_core.commands.session import DONE, FAILED, INTERRUPTED, TERMINATED, Session, command
from relspec_core.execution import run
from relspec_core.runs.options import MOST_WORKERS, RunOptions, usual_workers
from relspec_core.runs.report import RunInterrupted, Terminated

if TYPE_CHECKING:
    from collections.abc import Generator


@click.command("run")
@click.argument("targets", nargs=-1)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option(
    "--workers",
    "-w",
    type=int,
    help=f"Maximum parallel tasks (default: one per CPU, {MOST_WORKERS} at most).",
)
@click.option("--memory", "memory_limit", metavar="SIZE", help="Memory limit of DuckDB, such as 4GB.")
@click.option("--threads", type=int, help="Thread limit of DuckDB, shared by all workers.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Time limit of each task without a timeout of its own.")
@click.option("--retries", type=int, default=2, show_default=True, help="Retries after transient failures.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="Maximum wait for another process that holds the warehouse; 0 fails at once.",
)
@click.option("--resume", is_flag=True, help="Continue the last run: its targets, without the tasks that are done.")
@click.option("--all-or-nothing", is_flag=True, help="Publish everything at the end, or nothing if a task fails.")
@command
def run_command(
    session: Session,
    targets: tuple[str, ...],
    quiet: bool,  # noqa: FBT001 - a flag of the command line
    workers: int | None,
    wait: float,
    resume: bool,  # noqa: FBT001 - a flag of the command line
    **limits: Any,  # noqa: ANN401 - the rest of the options, by the names of RunOptions
) -> int:
    """Build the stale, ready tasks of TARGETS and their inputs; without TARGETS, of the whole catalog."""
    if resume and targets:
        raise click.UsageError("--resume takes the targets of the last run; give either --resume or targets.")
    options = RunOptions(workers=usual_workers() if workers is None else workers, quiet=quiet, **limits)
    with _ending_cleanly(), session.backend(read_only=False, wait=wait, quiet=quiet) as backend:
        try:
            report = run(
                session.catalog,
                backend=backend,
                ctx=session.ctx,
                targets=targets or None,
                options=options,
                resume=resume,
            )
        except RunInterrupted as stop:
            return _interrupted(stop)
    if not quiet:
        click.echo(report.total)
    elif not report.ok:
        click.echo("\n".join([*report.failed.values(), *report.blocked.values()]), err=True)
    return DONE if report.ok else FAILED


@contextmanager
def _ending_cleanly() -> Generator[None]:
    """Let SIGTERM stop the run as Ctrl-C does."""

    def stop(*_signal: object) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(stop: RunInterrupted) -> int:
    """The exit code, after reporting what was finished and how to continue."""
    code = TERMINATED if isinstance(stop.__cause__, Terminated) else INTERRUPTED
    click.echo(f"{stop}; continue with: relspec run --resume", err=True)
    if stop.is_stuck:  # closing the database would wait for the statement
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
