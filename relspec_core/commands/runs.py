"""Commands on the run log: ``runs list`` and ``runs show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import click

from relspec_core.commands.session import DONE, Session, as_json, project_command
from relspec_core.runs.run_log import RunLog
from relspec_core.runs.timeline import timeline
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from relspec_core.runs.history import RunRecord


LAST = "last"


class RunCommands(click.Group):
    """A group whose default command is ``list``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments, preceded by ``list`` unless they name a command or ask for help."""
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group("runs", cls=RunCommands)
def runs_command() -> None:
    """Show earlier runs, or one of them with its tasks. Nothing is written to the warehouse."""


@runs_command.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of runs to show."
)
@as_json
@project_command
def list_command(session: Session, limit: int, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show the last runs: start, duration, outcome, and the number of tasks by outcome."""
    with session.backend(read_only=True) as backend:
        history = RunLog(warehouse_of(backend)).runs(limit)
    click.echo(history.to_json() if as_json else str(history))
    return DONE


@runs_command.command("show")
@click.argument("number", metavar="N|last")
@click.option(
    "--html", "page", type=click.File("w", encoding="utf-8"), help="Write its timeline to this file, as an HTML page."
)
@as_json
@project_command
def show_command(session: Session, number: str, page: TextIO | None, as_json: bool) -> int:  # noqa: FBT001 - as above
    """Show a run, by number or the last one: each task's outcome, reason, rows, size and duration."""
    with session.backend(read_only=True) as backend:
        run = _find(number, RunLog(warehouse_of(backend)))
    if page is not None:
        page.write(timeline(run))
    if as_json or page is None:
        click.echo(run.to_json() if as_json else str(run))
    else:
        click.echo(f"the timeline of run {run.number} is in {page.name}")
    return DONE


def _find(number: str, log: RunLog) -> RunRecord:
    """The run with that number.

    Raises:
        click.UsageError: if there is none.
    """
    last = log.last()
    if last is None:
        raise click.UsageError("no run is recorded in this warehouse.")
    if number == LAST:
        return last
    if not number.isdecimal():
        raise click.UsageError(f"'{number}' is not a run number; give a number or '{LAST}'.")
    found = log.find(int(number))
    if found is None:
        raise click.UsageError(f"there is no run {number}; the last one is run {last.number}.")
    return found
