"""Commands on what a run would do: ``plan`` and ``explain``."""

from __future__ import annotations

import click

from relspec_core.commands.session import DONE, FAILED, WOULD_RUN, Session, as_json, command
from relspec_core.insight.explanation import explain
from relspec_core.planning.run_plan import plan_run
from relspec_core.runs.options import usual_workers


@click.command("plan")
@click.argument("targets", nargs=-1)
@click.option("--workers", type=click.IntRange(min=1), help="Parallel tasks to estimate for, as for 'relspec run'.")
@as_json
@command
def plan_command(session: Session, targets: tuple[str, ...], workers: int | None, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show what each task reads, the waves, what would run and why, and an estimate of the duration.

    Nothing is written. Exit code 3 if a task would run, 1 if one is blocked.
    """
    with session.backend(read_only=True) as backend:
        planned = plan_run(
            session.catalog,
            backend=backend,
            ctx=session.ctx,
            targets=targets or None,
            workers=workers or usual_workers(),
        )
    session.write_hamilton_module(planned.graph, planned.plans)
    click.echo(planned.to_json() if as_json else str(planned))
    if planned.schedule.blocked:
        return FAILED
    return WOULD_RUN if planned.schedule.order else DONE


@click.command("explain")
@click.argument("task")
@as_json
@command
def explain_command(session: Session, task: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show the inputs of TASK, its versions, when and why it last ran, and what it waits for."""
    with session.backend(read_only=True) as backend:
        found = explain(session.catalog, task, backend=backend, ctx=session.ctx)
    click.echo(found.to_json() if as_json else str(found))
    return DONE
