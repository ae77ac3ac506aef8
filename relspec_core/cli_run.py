"""Builds what is stale and ready."""

from __future__ import annotations

import click

from relspec_core.cli_session import DONE, FAILED, Session, command
from relspec_core.execution import run


@click.command("run")
@click.argument("targets", nargs=-1)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    help="The longest to wait for another process that holds the warehouse; 0: fail at once.",
)
@command
def run_command(session: Session, targets: tuple[str, ...], quiet: bool, wait: float) -> int:  # noqa: FBT001 - a flag of the command line
    """Build what is stale and ready: TARGETS with all that they need, or everything."""
    with session.backend(read_only=False, wait=wait, quiet=quiet) as backend:
        report = run(session.catalog, backend=backend, ctx=session.ctx, targets=targets or None, quiet=quiet)
    if not quiet:
        click.echo(report.total)
    elif not report.ok:
        click.echo("\n".join([*report.failed.values(), *report.blocked.values()]), err=True)
    return DONE if report.ok else FAILED
