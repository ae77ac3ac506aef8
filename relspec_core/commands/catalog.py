"""Commands on a whole catalog: ``graph`` and ``diff``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from relspec_core.commands.session import DONE, Session, as_json, command
from relspec_core.exports.graph_drawing import graph_to_dot, graph_to_json, graph_to_mermaid
from relspec_core.exports.openlineage import to_openlineage_json
from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.insight.catalog_diff import catalog_diff
from relspec_core.plan_catalog import compile_task_catalog
from relspec_core.planning.plan_snapshot import plan_snapshot, read_plan_snapshot
from relspec_core.planning.revision_snapshot import snapshot_at

if TYPE_CHECKING:
    from collections.abc import Callable


@click.command("diff")
@click.argument("before", metavar="[REV|FILE]", default="HEAD")
@as_json
@command
def diff_command(session: Session, before: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Compare the catalog with a git revision (HEAD) or with the saved output of 'relspec plan --json'."""
    file = Path(before)
    earlier = read_plan_snapshot(file) if file.is_file() else snapshot_at(before, session.project)
    with session.schemas() as backend:
        plans = compile_task_catalog(session.catalog, backend=backend, ctx=session.ctx)
    found = catalog_diff(earlier, plan_snapshot(plans))
    click.echo(found.to_json() if as_json else str(found))
    return DONE


GRAPH_FORMATS: dict[str, Callable[[TaskGraph], str]] = {
    "mermaid": graph_to_mermaid,
    "dot": graph_to_dot,
    "json": graph_to_json,
}
OPENLINEAGE = "openlineage"


@click.command("graph")
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted([*GRAPH_FORMATS, OPENLINEAGE])),
    default="mermaid",
    show_default=True,
    help="Output format.",
)
@click.option(
    "--namespace", help="Namespace of OpenLineage datasets.  [default: duckdb:// and the database's file name]"
)
@command
def graph_command(session: Session, form: str, namespace: str | None) -> int:
    """Print the inferred graph: evidence, tasks, and the columns on each edge.

    The format openlineage prints the column lineage facet of each table, by task.
    """
    with session.schemas() as backend:
        plans = compile_task_catalog(session.catalog, backend=backend, ctx=session.ctx)
    graph = task_graph_from_catalog(plans)
    session.write_hamilton_module(graph, plans)
    if form == OPENLINEAGE:
        click.echo(to_openlineage_json(plans, namespace=namespace or session.project.namespace))
    else:
        click.echo(GRAPH_FORMATS[form](graph).rstrip("\n"))
    return DONE
