"""The runner: looks at what there is, builds what is stale and ready, and publishes each table with its record."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from relspec_core.duckdb_engine import DuckDBEngine
from relspec_core.errors import WarehouseError
from relspec_core.evidence_store import EvidenceStore
from relspec_core.foreign_changes import nothing_changed
from relspec_core.hamilton_module import write_if_asked
from relspec_core.progress import RunProgress
from relspec_core.publication import Built, Publication
from relspec_core.run_crew import RunCrew
from relspec_core.run_events import RunEvents
from relspec_core.run_options import CUTOFF_ROWS, RunOptions
from relspec_core.run_plan import RunPlan, observe, plan_run
from relspec_core.run_report import RunInterrupted, RunReport
from relspec_core.source_files import source_files
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from relspec_core.duckdb_engine import Engine
    from relspec_core.errors import RelspecError
    from relspec_core.evidence import Evidence
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.task_catalog import TaskCatalog


def run(
    task_catalog: TaskCatalog,
    *,
    backend: Engine | None = None,
    ctx: ExecutionContext | None = None,
    targets: Iterable[str] | None = None,
    workers: int | None = None,
    quiet: bool = False,
    cutoff_rows: int = CUTOFF_ROWS,
    options: RunOptions | None = None,
) -> RunReport:
    """Build what is stale and ready, upstream first; every table appears together with its record or not at all.

    With ``HAMILTON_DAG_OUTPUT`` set, the graph is written as a Hamilton module first.

    Args:
        task_catalog: what users declared.
        backend: of DuckDB; a database in memory where left out.
        ctx: more sources, and parameters.
        targets: tasks or evidence to bring up to date, with all that they need; all where left out.
        workers: the most tasks to build at once; one where left out.
        quiet: show no progress.
        cutoff_rows: as of ``RunOptions``.
        options: these and others, instead.

    Raises:
        RelspecError: RS1xx, RS2xx or RS302, before anything is built. What goes wrong later is in the report.
        RunInterrupted: a ``KeyboardInterrupt`` that has the report of what was done until then.
    """
    options = options or RunOptions(workers=1 if workers is None else workers, quiet=quiet, cutoff_rows=cutoff_rows)
    engine = DuckDBEngine.open() if backend is None else backend
    planned = plan_run(task_catalog, backend=engine, ctx=ctx or ExecutionContext(), targets=targets)
    warehouse = Warehouse(engine)
    write_if_asked(planned.graph, planned.plans, os.environ, catalog=task_catalog, database=warehouse.path)
    return run_planned(planned, warehouse=warehouse, options=options)


def run_planned(planned: RunPlan, *, warehouse: Warehouse, options: RunOptions | None = None) -> RunReport:
    """Do what a plan says, on the warehouse that it was made for.

    Args:
        planned: just now.
        warehouse: the same.
        options: how to go about it.
    """
    started = time.monotonic()
    options = options or RunOptions()
    with RunProgress(len(planned.schedule.order), quiet=options.quiet) as progress, _limits(warehouse, options):
        events = RunEvents(progress=progress)
        for task, found in planned.freshness.items():
            if not found.stale:
                events.skip(task, found.reason)
        for task in planned.freshness:
            if task in planned.schedule.blocked:
                events.block(task, planned.blocked(task))
        refused = _show_files(planned, warehouse)
        if options.all_or_nothing and planned.schedule.blocked:
            for task in planned.schedule.order:
                events.block(task, "nothing of this run is published, for other tasks are blocked")
        elif planned.schedule.order:
            EvidenceStore(warehouse).prepare()
            crew = RunCrew(planned, warehouse, options, events, refused)
            try:
                crew.work()
            except KeyboardInterrupt as stop:
                report = events.report(seconds=time.monotonic() - started)
                raise RunInterrupted(report, is_stuck=crew.is_working) from stop
            if events.ran:
                nothing_changed(crew.now, warehouse, planned.plans.cache)
    return events.report(seconds=time.monotonic() - started)


@contextmanager
def _limits(warehouse: Warehouse, options: RunOptions) -> Generator[None]:
    """DuckDB's limits for the time of a run; what they were before comes back."""
    wanted = {"memory_limit": options.memory_limit, "threads": options.threads}
    before = {
        name: warehouse.rows(f"SELECT current_setting('{name}')")[0][0]
        for name, value in wanted.items()
        if value is not None
    }
    for name in before:
        warehouse.set(name, str(wanted[name]))
    try:
        yield
    finally:
        for name, value in before.items():
            warehouse.set(name, str(value))


def _show_files(planned: RunPlan, warehouse: Warehouse) -> dict[str, RelspecError]:
    """Let what is read from files be found under its name, by tasks and by views; where that can't be, why."""
    views = {
        plan.task.name for plan in planned.plans if plan.task.kind == "view" and plan.task.name in planned.freshness
    }
    readers = {*planned.schedule.order, *views}
    read = sorted({edge.evidence for task in readers for edge in planned.graph.edges_of(task)})
    refused: dict[str, RelspecError] = {}
    with warehouse.transaction():
        for name in read:
            if name in planned.evidence:
                try:
                    _show_source(name, planned.plans, planned.evidence, warehouse)
                except WarehouseError as error:
                    refused[name] = error
    return refused


def _show_source(name: str, plans: PlanCatalog, evidence: Mapping[str, Evidence], warehouse: Warehouse) -> None:
    source = plans.sources.get(name)
    files = None if source is None else source_files(source)
    if files is not None:
        warehouse.show_source(name, files.select(evidence[name].schema))


def build_task(
    task_name: str,
    *,
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    evidence: Mapping[str, Evidence] | None = None,
    because: str = "asked for",
    digests: Mapping[str, Sequence[Sequence[str]]] | None = None,
    cutoff_rows: int = CUTOFF_ROWS,
) -> Built:
    """Build one task: its tables or views and their records appear in one transaction, or nothing does.

    Args:
        task_name: the task.
        plan_catalog: where its plans are.
        warehouse: where its tables go.
        evidence: what there is now, if that is known; else it is looked up.
        because: the reason, for the record.
        digests: for each output the groups of columns whose contents its readers will be compared by.
        cutoff_rows: the most rows of a table whose contents are compared.

    Raises:
        NotReadyError: RS301, where what it reads is not there. TaskFailedError: RS401, where the engine refuses.
    """
    now = dict(observe(plan_catalog, warehouse) if evidence is None else evidence)
    for name in plan_catalog.deps_of(task_name).inputs:
        if name in now:
            _show_source(name, plan_catalog, now, warehouse)
    for plan in plan_catalog.of_task(task_name):
        warehouse.prepare(plan)
    EvidenceStore(warehouse).prepare()
    publication = Publication(
        warehouse=warehouse,
        plans=plan_catalog,
        published=now,
        cutoff_rows=cutoff_rows,
        groups=lambda output: (digests or {}).get(output, ()),
    )
    try:
        publication.build(task_name, because=because)
        (built,) = publication.publish()
    except BaseException:
        publication.abandon()
        raise
    return built
