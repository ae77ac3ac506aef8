"""What a run would do now, before it does it: what there is, what is stale, and in which order it can be built."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import duckdb

from relspec_core.catalog_diff import plan_snapshot
from relspec_core.engine_warehouse import warehouse_of
from relspec_core.errors import RelspecError, UnknownTargetError, did_you_mean, listed, raise_all
from relspec_core.evidence import FILES, Evidence, EvidenceCatalog, Versions
from relspec_core.evidence_store import EvidenceStore, known_sources
from relspec_core.fingerprint import digest, schema_token
from relspec_core.foreign_changes import foreign_changes
from relspec_core.graph_inference import EdgeRequirement, TaskGraph, task_graph_from_catalog
from relspec_core.plan_catalog import PlanCatalog, compile_task_catalog
from relspec_core.recorded_versions import content_versions, recorded_versions
from relspec_core.run_estimate import RunEstimate, estimate_run
from relspec_core.rustworkx_schedule import Schedule, schedule_rules
from relspec_core.source_files import open_stores, source_files
from relspec_core.staleness import Freshness, freshness
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import ibis

    from relspec_core.compile_cache import CompileCache
    from relspec_core.duckdb_engine import Engine
    from relspec_core.source_files import SourceFiles
    from relspec_core.task_catalog import TaskCatalog

MOST_BYTES_COMPARED = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do now, before it does it.

    Attributes:
        plans: the compiled catalog.
        graph: its graph.
        evidence: what there is.
        freshness: of each task that was asked for, upstream first.
        schedule: waves of the stale ones, and those of them that are blocked.
        workers: how many tasks would be built at once.
    """

    plans: PlanCatalog
    graph: TaskGraph
    evidence: EvidenceCatalog
    freshness: Mapping[str, Freshness]
    schedule: Schedule
    workers: int = 1

    def blocked(self, task: str) -> str:
        """Why a task is blocked, in one line."""
        return "; ".join(str(reason) for reason in self.schedule.blocked[task])

    def action(self, task: str) -> str:
        """What becomes of a task: ``run``, ``wait`` or ``skip``."""
        if task in self.schedule.blocked:
            return "wait"
        return "run" if self.freshness[task].stale else "skip"

    def reason(self, task: str) -> str:
        """Why, in one line."""
        return self.blocked(task) if task in self.schedule.blocked else self.freshness[task].reason

    @property
    def total(self) -> str:
        """How many tasks would run, are blocked, and are left as they are."""
        runs, blocked, total = len(self.schedule.order), len(self.schedule.blocked), len(self.freshness)
        return f"{runs} of {total} tasks would run, {blocked} blocked, {total - runs - blocked} unchanged"

    @property
    def estimate(self) -> RunEstimate | None:
        """About how long it would take; None where nothing would run."""
        tasks = self.schedule.order
        return estimate_run(tasks, graph=self.graph, evidence=self.evidence, workers=self.workers) if tasks else None

    def __str__(self) -> str:
        """Waves of what would run, then what is blocked, then what is left as it is; for each task what it reads."""
        parts = [(f"wave {number}", wave) for number, wave in enumerate(self.schedule.waves, start=1)]
        parts.append(("blocked", tuple(self.schedule.blocked)))
        parts.append(("unchanged", tuple(task for task in self.freshness if self.action(task) == "skip")))
        lines: list[str] = []
        for title, tasks in parts:
            lines += [title] if tasks else []
            for task in tasks:
                lines.append(f"  {self.action(task):<5}{task}: {self.reason(task)}")
                lines += [f"         reads {edge.evidence}: {edge.needs}" for edge in self.graph.edges_of(task)]
        estimate = self.estimate
        lines += [] if estimate is None else [str(estimate)]
        return "\n".join([*lines, self.total])

    def to_json(self) -> str:
        """The same as JSON: ``tasks`` in the order of the text, ``estimate``, ``total``, ``plans`` to compare later."""
        waves = {task: number for number, wave in enumerate(self.schedule.waves, start=1) for task in wave}
        tasks = [
            {
                "task": task,
                "action": self.action(task),
                "reason": self.reason(task),
                "wave": waves.get(task),
                "outputs": list(self.graph.outputs_of(task)),
                "reads": {edge.evidence: list(edge.columns) for edge in self.graph.edges_of(task)},
            }
            for task in sorted(self.freshness, key=lambda task: (waves.get(task, len(waves) + 1), task))
        ]
        estimate = None if self.estimate is None else self.estimate.plain()
        found = {"tasks": tasks, "estimate": estimate, "total": self.total, "plans": plan_snapshot(self.plans)}
        return json.dumps(found, indent=2)


def observe(
    plan_catalog: PlanCatalog,
    warehouse: Warehouse,
    *,
    records: EvidenceCatalog | None = None,
) -> EvidenceCatalog:
    """What evidence there is now, as far as these plans are concerned; nothing is written.

    Sources have their live schema, and a version where they are files. Tables of tasks have their live schema and their
    record; ``version`` is None where a table is not as it was recorded, so that somebody else must have changed it.

    Raises:
        SourceError: RS106, where a source's files can't be read.
    """
    outputs = [plan.name for plan in plan_catalog]
    if records is None:
        records = EvidenceStore(warehouse).load(outputs)
    live = warehouse.schemas([*outputs, *plan_catalog.sources])
    found: list[Evidence] = []
    for name, source in plan_catalog.sources.items():
        files = source_files(source)
        if files is not None:
            found.append(
                Evidence(
                    name=name,
                    schema=files.schema(warehouse.connection, cache=plan_catalog.cache),
                    version=files.version() if files.is_told else None,
                    kind=FILES,
                )
            )
        elif name in live and not source.paths:
            found.append(Evidence(name=name, schema=live[name]))
    rows = {name: records[name].rows for name in outputs if name in live and name in records}
    counted = {name: count for name, count in rows.items() if count is not None}
    counts = counted if warehouse.recorded is not None else warehouse.counts(counted)
    for name in outputs:
        if name in live:
            recorded = records.get(name) or Evidence(name=name, schema=live[name])
            if list(recorded.schema.items()) != list(live[name].items()) or recorded.rows != counts.get(name):
                recorded = _unrecorded(recorded, live[name])
            found.append(recorded)
    return EvidenceCatalog(found)


def _unrecorded(evidence: Evidence, schema: ibis.Schema) -> Evidence:
    """A table that is not as it was recorded."""
    return replace(evidence, schema=schema, version=None, versions=None, digests={})


def plan_run(
    task_catalog: TaskCatalog,
    *,
    backend: Engine,
    ctx: ExecutionContext | None = None,
    targets: Iterable[str] | None = None,
    workers: int = 1,
) -> RunPlan:
    """What ``run`` would do now; nothing is written.

    Args:
        task_catalog: what users declared.
        backend: of the warehouse.
        ctx: more sources, and parameters.
        targets: tasks or evidence to bring up to date, with all that they need; all where left out.
        workers: how many tasks would be built at once, for the estimate.

    Raises:
        RelspecError: as ``compile_task_catalog`` does; ``UnknownTargetError``, RS302.
    """
    warehouse, ctx = warehouse_of(backend), ctx or ExecutionContext()
    records = EvidenceStore(warehouse).load()
    plans = compile_task_catalog(task_catalog, backend=backend, ctx=ctx, known=known_sources(records))
    graph = task_graph_from_catalog(plans)
    wanted = _wanted(graph, targets)
    evidence = _evidence(plans, warehouse, records)
    versions = known_versions(evidence, warehouse, plans, records)
    fresh = freshness(graph, plans, evidence=evidence, input_versions=versions)
    stale = [task for task in fresh if fresh[task].stale and task in wanted]
    return RunPlan(
        plans=plans,
        graph=graph,
        evidence=evidence,
        freshness={task: found for task, found in fresh.items() if task in wanted},
        schedule=_schedule(graph, evidence, stale),
        workers=workers,
    )


def plan_outputs(plan_catalog: PlanCatalog, *, warehouse: Warehouse, outputs: Iterable[str]) -> RunPlan:
    """What bringing these tables up to date would take now, and no others; nothing is written.

    What they read of other tasks' tables counts as it is, whether these are stale or not.

    Args:
        plan_catalog: of all tasks.
        warehouse: only read.
        outputs: names of tables; of a task with several, those that are to be built.
    """
    outputs = tuple(outputs)
    open_stores(plan_catalog.sources.values(), warehouse.connection)
    plans = plan_catalog.part(outputs)
    near = plan_catalog.around(outputs)
    graph = task_graph_from_catalog(plans)
    records = EvidenceStore(warehouse).load()
    evidence = _evidence(near, warehouse, records)
    known = known_versions(evidence, warehouse, near, records)

    def versions(edge: EdgeRequirement) -> Versions | None:
        written = evidence[edge.evidence].versions
        return known(edge) if written is None else written.only(edge.columns)

    fresh = freshness(graph, plans, evidence=evidence, input_versions=versions)
    stale = [task for task in fresh if fresh[task].stale]
    schedule = _schedule(graph, evidence, stale)
    return RunPlan(plans=plans, graph=graph, evidence=evidence, freshness=fresh, schedule=schedule)


def _evidence(plans: PlanCatalog, warehouse: Warehouse, records: EvidenceCatalog) -> EvidenceCatalog:
    """What there is; a table that somebody else has changed is not as it was recorded."""
    evidence = observe(plans, warehouse, records=records)
    changed = foreign_changes(evidence, warehouse, plans.cache)
    return evidence.with_evidence(*(_unrecorded(evidence[name], evidence[name].schema) for name in sorted(changed)))


def _schedule(graph: TaskGraph, evidence: EvidenceCatalog, stale: list[str]) -> Schedule:
    """In which order stale tasks can be built; their tables don't count as they are."""
    rewritten = [output for task in stale for output in graph.outputs_of(task)]
    return schedule_rules(graph, evidence=evidence.without(*rewritten), tasks=stale)


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


def input_versions(
    evidence: Mapping[str, Evidence],
    warehouse: Warehouse,
    plans: PlanCatalog,
    *,
    records: Mapping[str, Evidence] | None = None,
    taken: dict[tuple[str, tuple[str, ...]], str] | None = None,
    cache: CompileCache | None = None,
) -> Callable[[EdgeRequirement], Versions]:
    """How what a reader reads gets its versions: those recorded, else a digest of the columns that it reads.

    Args:
        evidence: what there is now.
        warehouse: where it is.
        plans: of the readers.
        records: of what the readers wrote. An internal table that was wider has read more columns of a source than it
            needs now: where their digest is as it was, these versions stay. None: it is to be built, and reads no more.
        taken: digests that were taken already, by evidence and columns; those that are taken now are added.
        cache: remembers the digests of files; that of the plans where left out.
    """
    taken = {} if taken is None else taken
    cache = plans.cache if cache is None else cache

    def versions(edge: EdgeRequirement) -> Versions:
        found = evidence[edge.evidence]
        if found.versions is not None:
            return found.versions.only(edge.columns)
        before = _read_by_wider_table(edge, plans, records or {}, there=found.schema)
        if before is not None:
            wider = content_versions(contents(edge.evidence, tuple(before.columns)), edge)
            if before.only(edge.columns) == wider:
                return before
        return content_versions(contents(edge.evidence, edge.columns), edge)

    def contents(name: str, columns: tuple[str, ...]) -> str:
        if (name, columns) not in taken:
            found = evidence[name]
            files = source_files(plans.sources[name]) if found.kind == FILES else None
            if files is None:
                (read,) = warehouse.contents(name, [columns])
            else:
                read = _contents_of_files(files, columns, found.schema, warehouse, cache)
            taken[name, columns] = digest(("content", read))
        return taken[name, columns]

    return versions


def _read_by_wider_table(
    edge: EdgeRequirement, plans: PlanCatalog, records: Mapping[str, Evidence], *, there: ibis.Schema
) -> Versions | None:
    """What was read of a source for internal tables that were wider than they would be now, if all of it is there."""
    written = [plan for plan in plans.of_task(edge.task) if plan.needed is not None and plan.name in records]
    found = [before for plan in written if (before := records[plan.name].inputs.get(edge.evidence)) is not None]
    alike = bool(found) and all(before == found[0] for before in found)
    return found[0] if alike and set(edge.columns) < set(found[0].columns) <= set(there) else None


def known_versions(
    evidence: Mapping[str, Evidence], warehouse: Warehouse, plans: PlanCatalog, records: Mapping[str, Evidence]
) -> Callable[[EdgeRequirement], Versions | None]:
    """The same; of tables that can't be read now those that were seen last.

    None where no version can be known: of files of untold states, of tables on an engine that has no hash, and of what
    can't be read, as a view that fails: whoever is built from it is told what is wrong with it.
    """
    known, recorded = input_versions(evidence, warehouse, plans, records=evidence), warehouse.recorded

    def now(edge: EdgeRequirement) -> Versions | None:
        try:
            return known(edge)
        except duckdb.Error:
            return None

    def versions(edge: EdgeRequirement) -> Versions | None:
        found = evidence[edge.evidence]
        if found.kind == FILES:
            return None if found.version is None else now(edge)
        if found.versions is None and not warehouse.compares_contents:
            return None
        return now(edge) if recorded is None else recorded_versions(edge, recorded, records)

    return versions


def _contents_of_files(
    files: SourceFiles, columns: tuple[str, ...], schema: ibis.Schema, warehouse: Warehouse, cache: CompileCache
) -> str:
    """A digest of these columns, taken once for each state of the files; for large ones, their state itself.

    Where their store does not tell one state from another, it is another one each time.
    """
    version = files.version()
    if not files.is_told or files.size > MOST_BYTES_COMPARED:
        return version if files.is_told else uuid4().hex
    files.open_in(warehouse.connection)
    key = digest(("contents of files", version, schema_token(schema), columns))
    found = cache.find(key)
    if found is None:
        try:
            (found,) = warehouse.contents(files.name, [columns], query=files.select(schema))
        except duckdb.Error:
            return version  # whoever builds from them is told what is wrong with them
        cache.keep(key, found)
    return found
