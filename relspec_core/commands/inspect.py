"""Read-only commands on a catalog: impact, contract, lineage, check, unused and fixtures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from relspec_core.commands.session import DONE, FAILED, Session, as_json, command
from relspec_core.errors import raise_all
from relspec_core.evidence_store import EvidenceStore
from relspec_core.graph_inference import task_graph_from_catalog
from relspec_core.insight.catalog_check import check_catalog
from relspec_core.insight.column_reference import find_column_reference, find_evidence, find_reference
from relspec_core.insight.contract import contract_of
from relspec_core.insight.impact import impact_of
from relspec_core.insight.lineage_tree import DIRECTIONS, lineage_tree
from relspec_core.insight.pytest_module import task_fixtures
from relspec_core.insight.schema_change import dropped, proposed, recalculated, renamed, retyped
from relspec_core.insight.unused_columns import unused_columns
from relspec_core.insight.what_if_plans import PlanCompiler
from relspec_core.plan_catalog import compile_task_catalog, compile_what_compiles
from relspec_core.sources.schema_files import schema_in_file, type_named
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.graph_inference import TaskGraph
    from relspec_core.insight.schema_change import EvidenceChange
    from relspec_core.plan_catalog import PlanCatalog


def _compiled(session: Session) -> tuple[PlanCatalog, TaskGraph]:
    """Plans and graph; a column that a source has lost since the last run is included, and so are its readers."""
    with session.schemas() as backend:
        plans = _plans(session, backend)
    return plans, task_graph_from_catalog(plans)


def _plans(session: Session, backend: Engine) -> PlanCatalog:
    known = EvidenceStore(warehouse_of(backend)).known_sources()
    return compile_task_catalog(session.catalog, backend=backend, ctx=session.ctx, known=known)


@click.command("impact")
@click.argument("target", metavar="EVIDENCE[.COLUMN]")
@click.option("--drop", is_flag=True, help="The evidence or column is dropped.")
@click.option("--rename", metavar="NEW", help="The evidence or column gets this name.")
@click.option("--type", "kind", metavar="TYPE", help="The column gets this type: int64, or DuckDB's BIGINT.")
@click.option(
    "--schema",
    "file",
    type=click.Path(path_type=Path),
    help="The evidence gets this schema: YAML or JSON that maps columns to types, or a Parquet or Arrow file.",
)
@as_json
@command
def impact_command(
    session: Session,
    target: str,
    drop: bool,  # noqa: FBT001 - a flag of the command line
    rename: str | None,
    kind: str | None,
    file: Path | None,
    as_json: bool,  # noqa: FBT001 - a flag of the command line
) -> int:
    """Show which tasks a change breaks, blocks, rebuilds or leaves unaffected.

    Without an option only the values change. Exit code 1 if a task breaks.
    """
    if sum([drop, rename is not None, kind is not None, file is not None]) > 1:
        raise click.UsageError("give only one of --drop, --rename, --type and --schema.")
    with session.schemas() as backend:
        plans = _plans(session, backend)
        ctx = replace(session.ctx, cache=session.ctx.cache.fork())
        compiler = PlanCompiler(sources=session.catalog.sources, backend=backend, ctx=ctx)
        plans = compiler.with_lost_columns(plans)
        graph = task_graph_from_catalog(plans)
        change = _change(target, graph, drop=drop, rename=rename, kind=kind, file=file)
        impact = impact_of(change, plans=plans, graph=graph, compiler=compiler)
    click.echo(impact.to_json() if as_json else str(impact))
    return DONE if impact.ok else FAILED


def _change(
    target: str, graph: TaskGraph, *, drop: bool, rename: str | None, kind: str | None, file: Path | None
) -> EvidenceChange:
    if file is not None:
        return proposed(find_evidence(target, graph), schema_in_file(file), graph)
    found = find_reference(target, graph)
    if kind is not None:
        if found.column is None:
            raise click.UsageError(f"--type needs a column: '{target}.COLUMN'.")
        return retyped(found.evidence, found.column, type_named(kind), graph)
    if rename is not None:
        return renamed(found, rename, graph)
    return dropped(found, graph) if drop else recalculated(found, graph)


@click.command("contract")
@click.argument("source", metavar="SOURCE")
@as_json
@command
def contract_command(session: Session, source: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Print the schema that the readers of SOURCE need, as YAML for `relspec impact SOURCE --schema`."""
    _, graph = _compiled(session)
    contract = contract_of(find_evidence(source, graph), graph)
    click.echo(contract.to_json() if as_json else str(contract))
    return DONE


@click.command("lineage")
@click.argument("column", metavar="EVIDENCE.COLUMN")
@click.option("--upstream", is_flag=True, help="Only the columns that it is computed from.")
@click.option("--downstream", is_flag=True, help="Only the columns that are computed from it.")
@as_json
@command
def lineage_command(
    session: Session,
    column: str,
    upstream: bool,  # noqa: FBT001 - a flag of the command line
    downstream: bool,  # noqa: FBT001 - a flag of the command line
    as_json: bool,  # noqa: FBT001 - a flag of the command line
) -> int:
    """Show what a column is computed from and what is computed from it, with its use at each step."""
    plans, graph = _compiled(session)
    asked = {"upstream": upstream, "downstream": downstream}
    directions = [direction for direction in DIRECTIONS if asked[direction] or not any(asked.values())]
    tree = lineage_tree(find_column_reference(column, graph), plans, directions=directions)
    click.echo(tree.to_json() if as_json else str(tree))
    return DONE


@click.command("check")
@as_json
@command
def check_command(session: Session, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Compile every task, run it on empty tables in a separate database, and report all problems.

    The warehouse is read only for the schemas of sources. Exit code 1 if there is a problem.
    """
    with session.schemas() as backend:
        report = check_catalog(session.catalog, backend=backend, ctx=session.ctx)
    click.echo(report.to_json() if as_json else str(report))
    return DONE if report.ok else FAILED


@click.command("unused")
@as_json
@command
def unused_command(session: Session, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Show columns of tables and sources that no task reads, with their size on disk if it is known."""
    with session.backend(read_only=True) as backend:
        plans = compile_task_catalog(session.catalog, backend=backend, ctx=session.ctx)
        graph = task_graph_from_catalog(plans)
        report = unused_columns(session.catalog, plans=plans, graph=graph, warehouse=warehouse_of(backend))
    click.echo(report.to_json() if as_json else str(report))
    return DONE


@click.command("fixtures")
@click.argument("task", metavar="TASK")
@as_json
@command
def fixtures_command(session: Session, task: str, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Print a pytest module that runs TASK on small tables with only the columns that it reads."""
    with session.schemas() as backend:
        compiled = compile_what_compiles(session.catalog, backend=backend, ctx=session.ctx)
    raise_all([problem for problems in compiled.errors.values() for problem in problems])
    fixtures = task_fixtures(task, compiled, catalog=session.project.reference)
    click.echo(fixtures.to_json() if as_json else str(fixtures).rstrip("\n"))
    return DONE
