"""The runner: looks at what there is, builds what is stale and ready, and publishes each table with its record."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import duckdb

from relspec_core.column_types import schema_from_duckdb, schema_to_duckdb
from relspec_core.duckdb_engine import DuckDBEngine
from relspec_core.errors import (
    NotReadyError,
    RelspecError,
    SourceError,
    TaskFailedError,
    WarehouseError,
)
from relspec_core.evidence import Evidence, Versions
from relspec_core.evidence_store import EvidenceStore
from relspec_core.foreign_changes import SIGNATURE, columns_key, nothing_changed, whole_table
from relspec_core.graph_edge_validation import validate_edges
from relspec_core.graph_inference import EdgeRequirement, requirements
from relspec_core.hamilton_module import write_if_asked
from relspec_core.input_contents import InputContents
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
from relspec_core.progress import RunProgress
from relspec_core.run_plan import RunPlan, input_versions, observe, plan_run
from relspec_core.run_report import RunReport
from relspec_core.source_files import SourceFiles, source_files
from relspec_core.staleness import output_versions, own_calculations, table_version
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouse import Warehouse
from relspec_core.warehouse_snapshot import leave_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relspec_core.duckdb_engine import Engine
    from relspec_core.task_catalog import TaskCatalog

CUTOFF_ROWS = 10_000_000


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


def run(
    task_catalog: TaskCatalog,
    *,
    backend: Engine | None = None,
    ctx: ExecutionContext | None = None,
    targets: Iterable[str] | None = None,
    workers: int | None = None,
    quiet: bool = False,
    cutoff_rows: int = CUTOFF_ROWS,
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
        cutoff_rows: the most rows of a table whose contents are compared with what its readers read before, so that
            these are left alone where they would read the same; 0: build every reader of what was built.

    Raises:
        RelspecError: RS1xx, RS2xx or RS302, before anything is built. What goes wrong later is in the report.
    """
    if workers is not None and workers < 1:
        raise WarehouseError(f"{workers} workers can't build anything", hint="give at least 1, or leave it out.")
    started = time.monotonic()
    connection = DuckDBEngine.open() if backend is None else backend
    ctx = ctx or ExecutionContext()
    warehouse = Warehouse(connection)
    leave_snapshot(warehouse)
    planned = plan_run(task_catalog, backend=connection, ctx=ctx, targets=targets)
    leave_snapshot(warehouse, planned=planned)
    write_if_asked(planned.graph, planned.plans, os.environ, catalog=task_catalog, database=warehouse.path)
    with RunProgress(len(planned.schedule.order), quiet=quiet) as progress:
        log = _RunLog(progress=progress)
        for task, found in planned.freshness.items():
            if not found.stale:
                log.skip(task, found.reason)
        for task in planned.freshness:
            if task in planned.schedule.blocked:
                log.block(task, planned.blocked(task))
        _show_files_to_views(planned, warehouse)
        builds = _Builds(planned=planned, warehouse=warehouse, now=dict(planned.evidence), cutoff_rows=cutoff_rows)
        for task in planned.schedule.order:
            _run_one(task, builds, log)
        if log.ran:
            nothing_changed(builds.now, warehouse, ctx.cache)
            leave_snapshot(warehouse)
    return log.report(seconds=time.monotonic() - started)


def _show_files_to_views(planned: RunPlan, warehouse: Warehouse) -> None:
    """Let views find the files that they read where those are now, also where the same is in them as before."""
    views = [plan for plan in planned.plans if plan.task.kind == "view" and plan.task.name in planned.freshness]
    read = sorted({name for plan in views for name in plan.deps.inputs if name in planned.evidence})
    sources = [found for name in read if (found := _files_of(name, planned.plans)) is not None]
    with warehouse.transaction():
        for source in sources:
            warehouse.show_source(source.name, source.select(planned.evidence[source.name].schema))


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

    def carry(self, task: str, reason: str) -> None:
        self.skipped[task] = reason
        self.progress.end(f"skipped {task}: {reason}")

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


@dataclass(slots=True, kw_only=True)
class _Builds:
    """What a run has built so far, and what it left as it was.

    Attributes:
        planned: what the run is to do.
        warehouse: where it does it.
        now: the evidence there is by now.
        cutoff_rows: the most rows of a table whose contents are compared.
        carried: the earlier versions of tables whose contents turned out to be the same.
    """

    planned: RunPlan
    warehouse: Warehouse
    now: dict[str, Evidence]
    cutoff_rows: int
    carried: dict[str, Versions] = field(default_factory=dict)

    @property
    def _contents(self) -> InputContents:
        return InputContents(plans=self.planned.plans, warehouse=self.warehouse, cutoff_rows=self.cutoff_rows)

    def build(self, task: str) -> Built:
        """Build a task."""
        graph = self.planned.graph
        outputs = graph.outputs_of(task)
        groups = {output: sorted({edge.columns for edge in graph.edges_from(output)}) for output in outputs}
        built = build_task(
            task,
            plan_catalog=self.planned.plans,
            warehouse=self.warehouse,
            evidence=self.now,
            because=self.planned.freshness[task].reason,
            digests=groups,
            cutoff_rows=self.cutoff_rows,
        )
        self.now.update((output.name, output) for output in built.outputs)
        return built

    def carry_forward(self, task: str) -> bool:
        """Leave a task's tables where all that it reads came out as it read it before; whether that is so."""
        if not self.planned.freshness[task].by_inputs:
            return False
        versions = input_versions(self.now, self.warehouse, self.planned.plans)
        edges = self.planned.graph.edges_of(task)
        inputs = {edge.evidence: versions(edge) for edge in edges if edge.evidence in self.now}
        plans = self.planned.plans.of_task(task)
        if not all(self._is_same(edge, self.now[plan.name], inputs) for plan in plans for edge in edges):
            return False
        with self.warehouse.transaction():
            for plan in plans:
                recorded = self.now[plan.name]
                self.carried[plan.name] = recorded.versions or Versions(rows="")
                read = {name: inputs[name] for name in plan.deps.inputs}
                found = output_versions(plan, read, build=uuid4().hex)
                carried = replace(recorded, versions=found, version=table_version(plan, found), inputs=read)
                EvidenceStore(self.warehouse).record(carried)
                self.now[plan.name] = carried
        return True

    def _is_same(self, edge: EdgeRequirement, recorded: Evidence, inputs: Mapping[str, Versions]) -> bool:
        """Whether a table reads of one evidence what it read when it was built."""
        before = recorded.inputs.get(edge.evidence)
        if before is None:  # another output's input
            return edge.evidence not in recorded.reads
        if before == inputs.get(edge.evidence):
            return True
        earlier = self.carried.get(edge.evidence)
        if earlier is not None and earlier.only(edge.columns) == before:
            return True
        read_before = recorded.input_digests.get(edge.evidence)
        return read_before is not None and read_before == self._contents.of(edge, self.now)


def _run_one(task: str, builds: _Builds, log: _RunLog) -> None:
    planned = builds.planned
    broken = [name for name in planned.graph.upstream_tasks(task) if name in log.failed or name in log.blocked]
    if broken:
        log.block(task, f"task '{task}' waits for task '{broken[0]}', which failed or is blocked")
        return
    reason = planned.freshness[task].reason
    log.progress.begin(task)
    try:
        if builds.carry_forward(task):
            log.carry(task, f"{reason}, but came out as it was")
            return
        built = builds.build(task)
    except (TaskFailedError, NotReadyError, SourceError, WarehouseError) as error:
        log.fail(task, error)
    else:
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
    started = time.monotonic()
    plans = plan_catalog.of_task(task_name)
    edges = requirements(task_name, plan_catalog.deps_of(task_name))
    now = observe(plan_catalog, warehouse) if evidence is None else evidence
    validate_edges(edges, now).raise_if_broken()
    files = [found for edge in edges if (found := _files_of(edge.evidence, plan_catalog)) is not None]
    try:
        versions = input_versions(now, warehouse, plan_catalog)
        inputs = {edge.evidence: versions(edge) for edge in edges}
        contents = InputContents(plans=plan_catalog, warehouse=warehouse, cutoff_rows=cutoff_rows)
        read = {edge.evidence: contents.of(edge, now) for edge in edges}
        for plan in plans:
            warehouse.prepare(plan)
        with warehouse.transaction():
            for source in files:
                warehouse.show_source(source.name, source.select(now[source.name].schema))
            outputs = tuple(
                _publish(
                    plan,
                    inputs,
                    warehouse,
                    because=because,
                    input_digests={name: found for name, found in read.items() if found is not None},
                    groups=(digests or {}).get(plan.name, ()) if plan.task.early_cutoff else (),
                    cutoff_rows=cutoff_rows,
                )
                for plan in plans
            )
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


def _publish(
    plan: PlanArtifact,
    inputs: Mapping[str, Versions],
    warehouse: Warehouse,
    *,
    because: str,
    input_digests: Mapping[str, str],
    groups: Sequence[Sequence[str]],
    cutoff_rows: int,
) -> Evidence:
    """Create one output and its record inside the running transaction."""
    started = time.monotonic()
    rows = warehouse.create(plan.name, plan.sql, schema=plan.schema, kind=plan.task.kind)
    read = {name: inputs[name] for name in plan.deps.inputs}
    versions = output_versions(plan, read, build=uuid4().hex)
    evidence = Evidence(
        name=plan.name,
        schema=schema_from_duckdb(schema_to_duckdb(plan.schema)),
        rows=rows,
        version=table_version(plan, versions),
        versions=versions,
        calculations=own_calculations(plan),
        task=plan.task.name,
        kind=plan.task.kind,
        fingerprint=plan.fingerprint,
        inputs=read,
        digests=_digests(plan, rows, warehouse, groups=groups, cutoff_rows=cutoff_rows),
        input_digests={name: found for name, found in input_digests.items() if name in read},
        reads={name: schema_to_duckdb(types) for name, types in plan.deps.required_types.items()},
        built_at=datetime.now(UTC),
        seconds=time.monotonic() - started,
        because=because,
    )
    EvidenceStore(warehouse).record(evidence)
    return evidence


def _digests(
    plan: PlanArtifact, rows: int | None, warehouse: Warehouse, *, groups: Sequence[Sequence[str]], cutoff_rows: int
) -> dict[str, str]:
    """What tells later whether an output came out as before, as a whole and for each reader that finds its columns."""
    if rows is None:
        mark = uuid4().hex
        warehouse.sign(plan.name, mark)
        return {SIGNATURE: mark}
    if rows > cutoff_rows:
        return {}
    found = [tuple(columns) for columns in groups if all(column in plan.schema for column in columns)]
    compared = sorted({*found, whole_table(plan.schema)})
    return dict(zip(map(columns_key, compared), warehouse.contents(plan.name, compared), strict=True))
