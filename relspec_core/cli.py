"""The ``relspec`` command.

Exit codes: 0 done; 1 a task failed or is blocked; 2 bad usage, or a catalog that does not compile; 3 a task would run,
which only ``plan`` says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from relspec_core import __version__
from relspec_core.catalog_diff import catalog_diff, read_snapshot, snapshot
from relspec_core.cli_inspection import INSPECTIONS
from relspec_core.cli_session import DONE, FAILED, WOULD_RUN, Session, command
from relspec_core.execution import run
from relspec_core.explanation import explain
from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.openlineage import to_openlineage_json
from relspec_core.plan_catalog import compile_task_catalog
from relspec_core.revision import snapshot_at
from relspec_core.run_plan import plan_run

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relspec")
def main() -> None:
    """Data pipelines whose dependencies are inferred, column by column."""


for inspection in INSPECTIONS:
    main.add_command(inspection)


@main.command("plan")
@click.argument("targets", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def plan_command(session: Session, targets: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show what each task reads, the waves, and what would run and why. Nothing is written.

    Exit code 3 where a task would run, 1 where one is blocked.
    """
    with session.backend(read_only=True) as backend:
        planned = plan_run(session.catalog, backend=backend, targets=targets or None)
    session.write_hamilton_module(planned.graph, planned.plans)
    click.echo(planned.to_json() if as_json else str(planned))
    if planned.schedule.blocked:
        return FAILED
    return WOULD_RUN if planned.schedule.order else DONE


@main.command("explain")
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def explain_command(session: Session, task: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show what TASK reads and how, its versions, when and why it last ran, and what it waits for."""
    with session.backend(read_only=True) as backend:
        found = explain(session.catalog, task, backend=backend)
    click.echo(found.to_json() if as_json else str(found))
    return DONE


@main.command("run")
@click.argument("targets", nargs=-1)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@command
def run_command(session: Session, targets: tuple[str, ...], quiet: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Build what is stale and ready: TARGETS with all that they need, or everything."""
    with session.backend(read_only=False) as backend:
        report = run(session.catalog, backend=backend, targets=targets or None, quiet=quiet)
    if not quiet:
        click.echo(report.total)
    elif not report.ok:
        click.echo("\n".join([*report.failed.values(), *report.blocked.values()]), err=True)
    return DONE if report.ok else FAILED


@main.command("diff")
@click.argument("before", metavar="[REV|FILE]", default="HEAD")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@command
def diff_command(session: Session, before: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Compare the catalog with that of a git revision (HEAD), or with what 'relspec plan --json' printed earlier."""
    file = Path(before)
    earlier = read_snapshot(file) if file.is_file() else snapshot_at(before, session.project)
    with session.backend(read_only=True) as backend:
        plans = compile_task_catalog(session.catalog, backend=backend)
    found = catalog_diff(earlier, snapshot(plans))
    click.echo(found.to_json() if as_json else str(found))
    return DONE


GRAPH_FORMATS: dict[str, Callable[[TaskGraph], str]] = {
    "mermaid": TaskGraph.to_mermaid,
    "dot": TaskGraph.to_dot,
    "json": TaskGraph.to_json,
}
OPENLINEAGE = "openlineage"


@main.command("graph")
@click.option(
    "--format", "form", type=click.Choice(sorted([*GRAPH_FORMATS, OPENLINEAGE])), default="mermaid", show_default=True
)
@click.option("--namespace", help="Of OpenLineage datasets.  [default: duckdb:// and the database's file name]")
@command
def graph_command(session: Session, form: str, namespace: str | None) -> int:
    """Print the inferred graph: evidence, tasks, and the columns on each edge.

    As openlineage: for each table, by task, the column lineage facet.
    """
    with session.backend(read_only=True) as backend:
        plans = compile_task_catalog(session.catalog, backend=backend)
    graph = task_graph_from_catalog(plans)
    session.write_hamilton_module(graph, plans)
    if form == OPENLINEAGE:
        click.echo(to_openlineage_json(plans, namespace=namespace or f"duckdb://{session.project.database.name}"))
    else:
        click.echo(GRAPH_FORMATS[form](graph).rstrip("\n"))
    return DONE
