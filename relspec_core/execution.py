"""The runner: looks at what there is, builds what is stale and ready, and publishes each table with its record."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import ibis
from ibis.backends.sql.datatypes import DuckDBType

from relspec_core.catalog_reference import reference_of
from relspec_core.errors import (
    NotReadyError,
    RelspecError,
    SourceError,
    TaskFailedError,
    UnknownTargetError,
    WarehouseError,
    did_you_mean,
    listed,
    raise_all,
)
from relspec_core.evidence import Evidence, EvidenceCatalog
from relspec_core.evidence_store import EvidenceStore
from relspec_core.fingerprint import digest
from relspec_core.graph_edge_validation import validate_edges
from relspec_core.graph_inference import EdgeRequirement, TaskGraph, requirements, task_graph_from_catalog
from relspec_core.hamilton_module import write_if_asked
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog, compile_task_catalog
from relspec_core.progress import RunProgress
from relspec_core.run_report import RunReport
from relspec_core.rustworkx_schedule import Schedule, schedule_rules
from relspec_core.source_files import SourceFiles, source_files
from relspec_core.staleness import Freshness, freshness, output_version
from relspec_core.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ibis.backends import BaseBackend

    from relspec_core.task_catalog import ExecutionContext, TaskCatalog

FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A task that was built.

    Attributes:
        task: its name.
        outputs: what it published, in the order of its outputs.
        seconds: how long it took.
    """

    task: str
    outputs: tuple[Evidence, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do now, before it does it.

    Attributes:
        plans: the compiled catalog.
        graph: its graph.
        evidence: what there is.
        freshness: of each task that was asked for, upstream first.
        schedule: waves of the stale ones, and those of them that are blocked.
    """

    plans: PlanCatalog
    graph: TaskGraph
    evidence: EvidenceCatalog
    freshness: Mapping[str, Freshness]
    schedule: Schedule

    def blocked(self, task: str) -> str:
        """Why a task is blocked, in one line."""
        return "; ".join(str(reason) for reason in self.schedule.blocked[task])


def observe(plan_catalog: PlanCatalog, warehouse: Warehouse) -> EvidenceCatalog:
    """What evidence there is now, as far as these plans are concerned; nothing is written.

    Sources have their live schema, and a version where they are files. Tables of tasks have their live schema and their
    record; ``version`` is None where a table is not as it was recorded, so that somebody else must have changed it.

    Raises:
        SourceError: RS106, where a source's files can't be read.
    """
    store = EvidenceStore(warehouse).load()
    outputs = [plan.name for plan in plan_catalog]
    live = warehouse.schemas([*outputs, *plan_catalog.sources])
    found: list[Evidence] = []
    for name, source in plan_catalog.sources.items():
        files = source_files(source)
        if files is not None:
            found.append(
                Evidence(name=name, schema=files.schema(warehouse.connection), version=files.version(), kind=FILES)
            )
        elif name in live and not source.paths:
            found.append(Evidence(name=name, schema=live[name]))
    for name in outputs:
        if name in live:
            recorded = store.get(name) or Evidence(name=name, schema=live[name])
            as_recorded = dict(recorded.schema.items()) == dict(live[name].items())
            found.append(recorded if as_recorded else replace(recorded, schema=live[name], version=None))
    return EvidenceCatalog(found)


def plan_run(
    task_catalog: TaskCatalog,
    *,
    backend: BaseBackend,
    ctx: ExecutionContext | None = None,
    targets: Iterable[str] | None = None,
) -> RunPlan:
    """What ``run`` would do now; nothing is written.

    Raises:
        RelspecError: as ``compile_task_catalog`` does; ``UnknownTargetError``, RS302.
    """
    warehouse = Warehouse(backend)
    plans = compile_task_catalog(task_catalog, backend=backend, ctx=ctx, known=EvidenceStore(warehouse).known_sources())
    graph = task_graph_from_catalog(plans)
    wanted = _wanted(graph, targets)
    evidence = observe(plans, warehouse)
    fresh = freshness(graph, plans, evidence=evidence, edge_version=edge_versions(evidence, warehouse))
    stale = [task for task in fresh if fresh[task].stale and task in wanted]
    rewritten = [output for task in stale for output in graph.outputs_of(task)]
    return RunPlan(
        plans=plans,
        graph=graph,
        evidence=evidence,
        freshness={task: found for task, found in fresh.items() if task in wanted},
        schedule=schedule_rules(graph.graph, evidence=evidence.without(*rewritten), tasks=stale),
    )


def _wanted(graph: TaskGraph, targets: Iterable[str] | None) -> frozenset[str]:
    """The tasks that targets, which are tasks or evidence, need."""
    if targets is None:
        return frozenset(graph.tasks)
    tasks: set[str] = set()
    unknown: list[RelspecError] = []
    for target in targets:
        producer = graph.producer(target) if target in graph.evidence else None
        if target in graph.tasks or producer is not None:
            tasks.add(target if target in graph.tasks else str(producer))
        else:
            unknown.append(
                UnknownTargetError(
                    f"there is no task '{target}'",
                    hint=f"{did_you_mean(target, graph.tasks)}There are {listed(graph.tasks, most=40)}.",
                )
            )
    raise_all(unknown)
    return graph.ancestors(tasks)


def edge_versions(evidence: Mapping[str, Evidence], warehouse: Warehouse) -> Callable[[EdgeRequirement], str]:
    """How a reader's input gets its version: the evidence's own, else a digest of the columns that the reader reads."""

    def version(edge: EdgeRequirement) -> str:
        found = evidence[edge.evidence]
        return found.version or digest(("content", edge.columns, warehouse.content(edge.evidence, edge.columns)))

    return version


def run(
    task_catalog: TaskCatalog,
    *,
    backend: BaseBackend | None = None,
    ctx: ExecutionContext | None = None,
    targets: Iterable[str] | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> RunReport:
    """Build what is stale and ready, upstream first; every table appears together with its record or not at all.

    With ``HAMILTON_DAG_OUTPUT`` set, the graph is written as a Hamilton module first.

    Args:
        task_catalog: what users declared.
        backend: of DuckDB; a database in memory where left out.
        ctx: more sources, and parameters.
        targets: tasks or evidence to bring up to date, with all that they need; all where left out.
        workers: the most tasks to build at once; today they are built one after another.
        quiet: show no progress.

    Raises:
        RelspecError: RS1xx, RS2xx or RS302, before anything is built. What goes wrong later is in the report.
    """
    if workers is not None and workers < 1:
        raise WarehouseError(f"{workers} workers can't build anything", hint="give at least 1, or leave it out.")
    started = time.monotonic()
    connection = ibis.duckdb.connect() if backend is None else backend
    planned = plan_run(task_catalog, backend=connection, ctx=ctx, targets=targets)
    warehouse = Warehouse(connection)
    write_if_asked(
        planned.graph, planned.plans, os.environ, catalog=reference_of(task_catalog), database=warehouse.path
    )
    with RunProgress(len(planned.schedule.order), quiet=quiet) as progress:
        log = _RunLog(progress=progress)
        for task, found in planned.freshness.items():
            if not found.stale:
                log.skip(task, found.reason)
        for task in planned.freshness:
            if task in planned.schedule.blocked:
                log.block(task, planned.blocked(task))
        now = dict(planned.evidence)
        for task in planned.schedule.order:
            _run_one(task, planned, warehouse, now, log)
    return log.report(seconds=time.monotonic() - started)


@dataclass(slots=True, kw_only=True)
class _RunLog:
    """What happened so far, shown as it happens."""

    progress: RunProgress
    ran: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)

    def skip(self, task: str, reason: str) -> None:
        self.skipped[task] = reason
        self.progress.say(f"skipped {task}: {reason}")

    def block(self, task: str, reason: str) -> None:
        self.blocked[task] = reason
        self.progress.say(f"blocked {task}: {reason}")

    def fail(self, task: str, error: RelspecError) -> None:
        self.failed[task] = " ".join(str(error).split())
        self.progress.end(f"failed  {task}: {error}")

    def end(self, built: Built, reason: str) -> None:
        self.ran[built.task] = reason
        self.progress.end(f"ran     {built.task} ({_size(built)}, {built.seconds:.2f} s): {reason}")

    def report(self, *, seconds: float) -> RunReport:
        return RunReport(ran=self.ran, skipped=self.skipped, failed=self.failed, blocked=self.blocked, seconds=seconds)


def _run_one(task: str, planned: RunPlan, warehouse: Warehouse, now: dict[str, Evidence], log: _RunLog) -> None:
    broken = [name for name in planned.graph.upstream_tasks(task) if name in log.failed or name in log.blocked]
    if broken:
        log.block(task, f"task '{task}' waits for task '{broken[0]}', which failed or is blocked")
        return
    reason = planned.freshness[task].reason
    log.progress.begin(task)
    try:
        built = build_task(task, plan_catalog=planned.plans, warehouse=warehouse, evidence=now, because=reason)
    except (TaskFailedError, NotReadyError, SourceError, WarehouseError) as error:
        log.fail(task, error)
    else:
        now.update((output.name, output) for output in built.outputs)
        log.end(built, reason)


def _size(built: Built) -> str:
    return ", ".join("view" if output.rows is None else f"{output.rows:,} rows" for output in built.outputs)


def build_task(
    task_name: str,
    *,
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    evidence: Mapping[str, Evidence] | None = None,
    because: str = "asked for",
) -> Built:
    """Build one task: its tables or views and their records appear in one transaction, or nothing does.

    Args:
        task_name: the task.
        plan_catalog: where its plans are.
        warehouse: where its tables go.
        evidence: what there is now, if that is known; else it is looked up.
        because: the reason, for the record.

    Raises:
        NotReadyError: RS301, where what it reads is not there. TaskFailedError: RS401, where the engine refuses.
    """
    started = time.monotonic()
    plans = plan_catalog.of_task(task_name)
    edges = requirements(task_name, plan_catalog.deps_of(task_name))
    now = observe(plan_catalog, warehouse) if evidence is None else evidence
    validate_edges(edges, now).raise_if_broken()
    files = [found for edge in edges if (found := _files_of(edge.evidence, plan_catalog)) is not None]
    try:
        version = edge_versions(now, warehouse)
        inputs = {edge.evidence: version(edge) for edge in edges}
        for plan in plans:
            warehouse.prepare(plan)
        with warehouse.transaction():
            for source in files:
                warehouse.show_source(source.name, source.select(now[source.name].schema))
            outputs = tuple(_publish(plan, inputs, warehouse, because=because) for plan in plans)
    except duckdb.Error as error:
        raise TaskFailedError(
            f"task '{task_name}' failed: {str(error).strip().splitlines()[0]}",
            at=plans[0].task.where,
            hint="mend the task or its data and run again; its table is as it was before.",
        ) from error
    return Built(task=task_name, outputs=outputs, seconds=time.monotonic() - started)


def _files_of(evidence: str, plan_catalog: PlanCatalog) -> SourceFiles | None:
    source = plan_catalog.sources.get(evidence)
    return None if source is None else source_files(source)


def _publish(plan: PlanArtifact, inputs: Mapping[str, str], warehouse: Warehouse, *, because: str) -> Evidence:
    """Create one output and its record inside the running transaction."""
    started = time.monotonic()
    warehouse.create(plan.name, plan.sql, schema=plan.schema, kind=plan.task.kind)
    read = {name: inputs[name] for name in plan.deps.inputs}
    evidence = Evidence(
        name=plan.name,
        schema=warehouse.schemas([plan.name])[plan.name],
        rows=warehouse.count(plan.name) if plan.task.kind == "table" else None,
        version=output_version(plan, read),
        task=plan.task.name,
        kind=plan.task.kind,
        fingerprint=plan.fingerprint,
        inputs=read,
        reads={
            name: {column: DuckDBType.to_string(kind) for column, kind in types.items()}
            for name, types in plan.deps.required_types.items()
        },
        built_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        because=because,
    )
    EvidenceStore(warehouse).record(evidence)
    return evidence
