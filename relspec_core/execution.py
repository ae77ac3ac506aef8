"""The runner: observes, builds what is stale and ready, and publishes each table with its record."""

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
    """Build what is stale and ready, upstream first; every table appears together with its record or not at all.

    With ``HAMILTON_DAG_OUTPUT`` set, the graph is written as a Hamilton module first.

    Args:
        task_catalog: what users declared.
        backend: of an engine that has SQL; a DuckDB database in memory where left out.
        ctx: more sources, and parameters.
        targets: tasks or evidence to bring up to date, with all that they need; all where left out.
        workers: the most tasks to build at once; one where left out.
        quiet: show no progress.
        cutoff_rows: as of ``RunOptions``.
        options: these and others, instead.
        resume: bring up to date what the last run was asked for, instead of targets; what that finished is left alone.

    Raises:
        RelspecError: RS1xx, RS2xx or RS302, before anything is built. What goes wrong later is in the report.
        RunInterrupted: a ``KeyboardInterrupt`` that has the report of what was done until then.
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
    """Do what a plan says, on the warehouse that it was made for.

    Args:
        planned: just now.
        warehouse: the same.
        options: how to go about it.
        targets: what was asked for, for the log.

    Raises:
        RunInterrupted: a ``KeyboardInterrupt`` that has the report of what was done until then.
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
        _tell_what_stays(planned, events)
        removed = 0 if warehouse.path is None else sweep(warehouse.path)
        if removed:
            events.say(f"removed {size_text(removed)} of files that a process had left which died")
        log = RunLog(warehouse)
        workers = options.workers if warehouse.has_cursors else 1
        number = log.begin(targets=targets or (), workers=workers)
        with warehouse.deferred_checkpoints():
            return _logged(planned, warehouse, options, events, log, number)


def _logged(
    planned: RunPlan, warehouse: Warehouse, options: RunOptions, events: RunEvents, log: RunLog, number: int
) -> RunReport:
    """Build what is scheduled, and write down how that ended, as far as the database still takes it."""
    started = time.monotonic()
    outcome: RunEnd = "failed"
    peak_memory, sizes, is_stuck = None, {}, False
    try:
        pool = _work(planned, warehouse, options, events, number)
        report = events.report(seconds=time.monotonic() - started)
        outcome = "finished" if report.ok else "failed"
        peak_memory = None if pool is None else pool.peak_memory
        with suppress(EngineError):  # the tables are there
            sizes = _sizes(planned, report, warehouse)
    except KeyboardInterrupt as stop:
        outcome, is_stuck = "interrupted", isinstance(stop, RunInterrupted) and stop.is_stuck
        raise
    finally:
        if not is_stuck:
            try:
                rest = events.not_built(planned)
                with deferred_signals() as tell_signals:
                    log.end(number, outcome=outcome, peak_memory=peak_memory, rest=rest, sizes=sizes)
                if outcome != "interrupted":
                    tell_signals()
            except EngineError as error:
                events.say(f"how this run ended can't be written down: {error.first_line}")
    with suppress(EngineError):
        evidence = planned.evidence if pool is None else pool.evidence
        complete_records(evidence.values(), warehouse)
        nothing_changed(evidence, warehouse, planned.plans.cache)
        write_snapshot(warehouse)
    return report


@contextmanager
def _engine_errors(warehouse: Warehouse) -> Generator[None]:
    """Report errors of the engine outside of any task, on a full disk for instance, as the run's failure."""
    location = warehouse.location  # a database that has failed can't be asked
    try:
        yield
    except EngineError as error:
        raise TaskFailedError(
            f"the run failed: {error.first_line}",
            at=location,
            hint="check the disk and the permissions; what was finished is kept.",
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


def _tell_what_stays(planned: RunPlan, events: RunEvents) -> None:
    for task, found in planned.freshness.items():
        if not found.stale:
            events.skip(task, str(found.reason))
    for task in planned.freshness:
        if task in planned.schedule.blocked:
            events.block(task, planned.blocked(task))


def _work(
    planned: RunPlan, warehouse: Warehouse, options: RunOptions, events: RunEvents, number: int
) -> WorkerPool | None:
    """Build what is scheduled; the pool that did it, or None where there is nothing to build."""
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
        with suppress(EngineError):  # the tables are there, and the next plan compares their files
            verify_files(pool.evidence, planned.observation.files, planned.plans, warehouse)
    except KeyboardInterrupt as stop:
        report = events.report(seconds=time.monotonic() - started)
        raise RunInterrupted(report, is_stuck=pool.is_working) from stop
    return pool


def _sizes(planned: RunPlan, report: RunReport, warehouse: Warehouse) -> dict[str, int]:
    """The bytes that the tables of each task that ran take up, where they are known."""
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
    """Let what is read from files be found under its name, by tasks and by views; where that can't be, why."""
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
        plan_catalog: where its plans are.
        warehouse: where its tables go.
        observation: of these plans; made here where left out.
        because: the reason, for the record.
        digests: for each output the groups of columns whose contents its readers will be compared by.
        cutoff_rows: the most rows of a table whose contents are compared.

    Raises:
        NotReadyError: RS301, where what it reads is not there. TaskFailedError: RS401, where the engine refuses.
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
