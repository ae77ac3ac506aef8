"""Builds what is stale and ready."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from relspec_core.cli_session import DONE, FAILED, INTERRUPTED, Session, command
from relspec_core.execution import run
from relspec_core.run_options import RunOptions
from relspec_core.run_report import RunInterrupted, Terminated

if TYPE_CHECKING:
    from collections.abc import Generator

TERMINATED = 143
MOST_WORKERS = 4


@click.command("run")
@click.argument("targets", nargs=-1)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option("--workers", "-w", type=int, help="Build so many tasks at once; else one per processor, 4 at most.")
@click.option("--memory", metavar="SIZE", help="The most memory for DuckDB, such as 4GB, for all workers together.")
@click.option("--threads", type=int, help="The most threads for DuckDB, for all workers together.")
@click.option("--timeout", type=float, metavar="SECONDS", help="The most time for a task that names none itself.")
@click.option(
    "--retries", type=int, default=2, show_default=True, help="Try so often again after faults that may pass."
)
@click.option("--all-or-nothing", is_flag=True, help="Publish everything at the end, and nothing where a task fails.")
@command
def run_command(
    session: Session,
    targets: tuple[str, ...],
    quiet: bool,  # noqa: FBT001 - a flag of the command line
    workers: int | None,
    memory: str | None,
    threads: int | None,
    timeout: float | None,
    retries: int,
    all_or_nothing: bool,  # noqa: FBT001 - a flag of the command line
) -> int:
    """Build what is stale and ready: TARGETS with all that they need, or everything."""
    options = RunOptions(
        workers=min(os.cpu_count() or 1, MOST_WORKERS) if workers is None else workers,
        quiet=quiet,
        memory_limit=memory,
        threads=threads,
        timeout=timeout,
        retries=retries,
        all_or_nothing=all_or_nothing,
    )
    with _ending_cleanly(), session.backend(read_only=False) as backend:
        try:
            report = run(session.catalog, backend=backend, ctx=session.ctx, targets=targets or None, options=options)
        except RunInterrupted as stop:
            return _interrupted(stop)
    if not quiet:
        click.echo(report.total)
    elif not report.ok:
        click.echo("\n".join([*report.failed.values(), *report.blocked.values()]), err=True)
    return DONE if report.ok else FAILED


@contextmanager
def _ending_cleanly() -> Generator[None]:
    """Let a request to end the process stop the run as Ctrl-C does."""

    def stop(*_signal: object) -> NoReturn:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(stop: RunInterrupted) -> int:
    """Say what was finished, and how to go on; the exit code."""
    code = TERMINATED if isinstance(stop.__cause__, Terminated) else INTERRUPTED
    click.echo(f"{stop}; go on with: relspec run --resume", err=True)
    if stop.is_stuck:  # closing the database would wait for the statement
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code
