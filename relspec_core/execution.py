"""The runner: observes, builds stale and ready tasks, and publishes each table with its record."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import TaskFailedError, WarehouseError
from relspec_core.evidence_store import EvidenceStore
from relspec_core.exports.hamilton_module import write_if_asked
from relspec_core.planning.run_plan import RunPlan, observed_contents, plan_run
from relspec_core.runs.events import RunEvents
from relspec_core.runs.file_verification import verify_files
from relspec_core.runs.options import CUTOFF_ROWS, RunOptions
from relspec_core.runs.progress import RunProgress
from relspec_core.runs.publication import Built, Publication
from relspec_core.runs.record_completion import complete_records
from relspec_core.runs.report import RunInterrupted, RunReport
from relspec_core.runs.run_log import RunLog
from relspec_core.runs.worker_pool import WorkerPool
from relspec_core.staleness.external_changes import nothing_changed
from relspec_core.staleness.observation import Observation, observe
from relspec_core.system.deferred_signals import deferred_signals
from relspec_core.system.orphaned_files import sweep
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouses.snapshot import write_snapshot
from relspec_core.warehouses.storage_sizes import bytes_of, size_text
from relspec_core.warehouses.warehouse import Warehouse
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.errors import RelspecError
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.runs.history import RunEnd
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
    resume: bool = False,
) -> RunReport:
    """Build stale and ready tasks, upstream first; every table appears together with its record or not at all.

    With ``HAMILTON_DAG_OUTPUT`` set, the graph is written as a Hamilton module first.

    Args:
        task_catalog: the declared tasks and sources.
        backend: an Ibis backend of a SQL engine; a DuckDB database in memory where left out.
        ctx: more sources, and parameters.
        targets: tasks or evidence to bring up to date, with everything upstream; all where left out.
        workers: maximum parallel tasks (default: one).
        quiet: show no progress.
        cutoff_rows: see ``RunOptions``.
        options: replaces ``workers``, ``quiet`` and ``cutoff_rows``.
        resume: use the targets of the last run, whose finished tasks are not built again.

    Raises:
        RelspecError: RS1xx, RS2xx or RS302, before anything is built. Later failures are in the report.
        RunInterrupted: a ``KeyboardInterrupt`` whose report has the outcomes so far.
    """
    targets = None if targets is None else tuple(targets)
    options = options or RunOptions(workers=1 if workers is None else workers, quiet=quiet, cutoff_rows=cutoff_rows)
    engine = ExclusiveDuckDB.open() if backend is None else backend
    warehouse = warehouse_of(engine)
    if resume:
        last = RunLog(warehouse).last()
        targets = last.targets or None if last is not None else None
    write_snapshot(warehouse)
    planned = plan_run(task_catalog, backend=engine, ctx=ctx or ExecutionContext(), targets=targets)
    if planned.schedule.order:
        write_snapshot(warehouse, observed=observed_contents(planned))
    write_if_asked(planned.graph, planned.plans, os.environ, catalog=task_catalog, database=warehouse.path)
    return run_planned(planned, warehouse=warehouse, options=options, targets=targets)


def run_planned(
    planned: RunPlan, *, warehouse: Warehouse, options: RunOptions | None = None, targets: Iterable[str] | None = None
) -> RunReport:
    """Execute a plan on the warehouse that it was made for.

    Args:
        planned: the plan; the warehouse has not changed since.
        warehouse: where it was made, and where tables are written.
        options: of the run.
        targets: the requested tasks or evidence, for the run log.

    Raises:
        RunInterrupted: a ``KeyboardInterrupt`` whose report has the outcomes so far.
    """
    options = options or RunOptions()
    if options.all_or_nothing and not warehouse.has_transactions:
        raise WarehouseError(
            f"the {warehouse.backend.name} engine has no transaction in which all of a run could appear at once",
            hint="leave all-or-nothing out.",
        )
    _limit(warehouse, options)
    with RunProgress(len(planned.schedule.order), quiet=options.quiet) as progress, _engine_errors(warehouse):
        events = RunEvents(progress=progress)
        _report_unbuilt(planned, events)
        removed = 0 if warehouse.path is None else sweep(warehouse.path)
        if removed:
            events.say(f"removed {size_text(removed)} of orphaned files of a process that died")
        log = RunLog(warehouse)
        workers = options.workers if warehouse.has_cursors else 1
        number = log.begin(targets=targets or (), workers=workers)
        with warehouse.deferred_checkpoints():
            return _logged(planned, warehouse, options, events, log, number)


def _logged(
    planned: RunPlan, warehouse: Warehouse, options: RunOptions, events: RunEvents, log: RunLog, number: int
) -> RunReport:
    """Build the scheduled tasks and record the run's outcome, unless the database has failed."""
    started = time.monotonic()
    outcome: RunEnd = "failed"
    peak_memory, sizes, is_stuck = None, {}, False
    try:
        pool = _work(planned, warehouse, options, events, number)
        report = events.report(seconds=time.monotonic() - started)
        outcome = "finished" if report.ok else "failed"
        peak_memory = None if pool is None else pool.peak_memory
        with suppress(EngineError):  # the tables are published
            sizes = _sizes(planned, report, warehouse)
    except KeyboardInterrupt as stop:
        outcome, is_stuck = "interrupted", isinstance(stop, RunInterrupted) and stop.is_stuck
        raise
    finally:
        if not is_stuck:
            try:
                rest = events.not_built(planned)
                with deferred_signals() as handle_pending:
                    log.end(number, outcome=outcome, peak_memory=peak_memory, rest=rest, sizes=sizes)
                if outcome != "interrupted":
                    handle_pending()
            except EngineError as error:
                events.say(f"could not record the run's outcome: {error.first_line}")
    with suppress(EngineError):
        evidence = planned.evidence if pool is None else pool.evidence
        complete_records(evidence.values(), warehouse)
        nothing_changed(evidence, warehouse, planned.plans.cache)
        write_snapshot(warehouse)
    return report


@contextmanager
def _engine_errors(warehouse: Warehouse) -> Generator[None]:
    """Report errors of the engine outside of any task, on a full disk for instance, as the run's failure."""
    location = warehouse.location  # a database that has failed does not answer
    try:
        yield
    except EngineError as error:
        raise TaskFailedError(
            f"the run failed: {error.first_line}",
            at=location,
            hint="check the disk and the permissions; finished tasks are kept.",
        ) from error


def _limit(warehouse: Warehouse, options: RunOptions) -> None:
    for name, value in (("memory_limit", options.memory_limit), ("threads", options.threads)):
        try:
            if value is not None:
                warehouse.set(name, str(value))
        except EngineError as error:
            raise WarehouseError(
                f"DuckDB takes no {name} of '{value}': {error.first_line}",
                hint="write a size such as 4GB, or a whole number of threads.",
            ) from error


def _report_unbuilt(planned: RunPlan, events: RunEvents) -> None:
    """Report the tasks that are up to date or blocked."""
    for task, found in planned.freshness.items():
        if not found.stale:
            events.skip(task, str(found.reason))
    for task in planned.freshness:
        if task in planned.schedule.blocked:
            events.block(task, planned.blocked(task))


def _work(
    planned: RunPlan, warehouse: Warehouse, options: RunOptions, events: RunEvents, number: int
) -> WorkerPool | None:
    """Build the scheduled tasks; return the worker pool, or None where there is nothing to build."""
    started = time.monotonic()
    unreadable = _show_files(planned, warehouse)
    if options.all_or_nothing and planned.schedule.blocked:
        for task in planned.schedule.order:
            events.block(task, "nothing of this run is published, for other tasks are blocked")
        return None
    if not planned.schedule.order:
        return None
    EvidenceStore(warehouse).prepare()
    pool = WorkerPool(planned, warehouse, options=options, events=events, unreadable=unreadable, number=number)
    try:
        pool.work()
        with suppress(EngineError):  # the tables are published, and the next plan compares their files
            verify_files(pool.evidence, planned.observation.files, planned.plans, warehouse)
    except KeyboardInterrupt as stop:
        report = events.report(seconds=time.monotonic() - started)
        raise RunInterrupted(report, is_stuck=pool.is_working) from stop
    return pool


def _sizes(planned: RunPlan, report: RunReport, warehouse: Warehouse) -> dict[str, int]:
    """Storage sizes in bytes of the tables of each built task, where known."""
    tables = {task: planned.graph.outputs_of(task) for task in report.ran}
    if warehouse.path is None or not tables:
        return {}
    found = bytes_of(warehouse, [name for names in tables.values() for name in names])
    return {
        task: sum(found[name] for name in names if name in found)
        for task, names in tables.items()
        if found.keys() & set(names)
    }


def _show_files(planned: RunPlan, warehouse: Warehouse) -> dict[str, RelspecError]:
    """Create the views through which tasks and views read files; return the errors of sources that can't be read."""
    views = {
        plan.task.name for plan in planned.plans if plan.task.kind == "view" and plan.task.name in planned.freshness
    }
    readers = {*planned.schedule.order, *views}
    read = sorted({edge.evidence for task in readers for edge in planned.graph.edges_of(task)})
    unreadable: dict[str, RelspecError] = {}
    with warehouse.transaction():
        for name in read:
            if name in planned.evidence:
                try:
                    _create_source_view(name, planned.observation, warehouse)
                except WarehouseError as error:
                    unreadable[name] = error
    return unreadable


def _create_source_view(name: str, observation: Observation, warehouse: Warehouse) -> None:
    files = observation.files.get(name)
    if files is not None:
        files.open_in(warehouse.connection)
        warehouse.create_source_view(name, files.select(observation.evidence[name].schema))


def build_task(
    task_name: str,
    *,
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    observation: Observation | None = None,
    because: str = "asked for",
    digests: Mapping[str, Sequence[Sequence[str]]] | None = None,
    cutoff_rows: int = CUTOFF_ROWS,
) -> Built:
    """Build one task: its tables or views and their records appear in one transaction, or nothing does.

    Args:
        task_name: the task.
        plan_catalog: contains its plans.
        warehouse: where its tables are written.
        observation: of these plans; observed here where left out.
        because: the reason, for the record.
        digests: for each output the groups of columns whose contents are compared for its readers.
        cutoff_rows: the most rows of a table whose contents are compared.

    Raises:
        NotReadyError: RS301, where an input does not exist. TaskFailedError: RS401, after an error of the engine.
    """
    observation = observation or observe(plan_catalog, warehouse)
    for name in plan_catalog.deps_of(task_name).inputs:
        _create_source_view(name, observation, warehouse)
    for plan in plan_catalog.of_task(task_name):
        warehouse.prepare(plan)
    EvidenceStore(warehouse).prepare()
    publication = Publication(
        warehouse=warehouse,
        plans=plan_catalog,
        published=dict(observation.evidence),
        files=observation.files,
        cutoff_rows=cutoff_rows,
        groups=lambda output: (digests or {}).get(output, ()),
    )
    try:
        publication.build(task_name, because=because)
        (built,) = publication.publish()
    except BaseException:
        publication.abandon()
        raise
    verify_files(publication.published, observation.files, plan_catalog, warehouse)
    return built
