"""The plan of a run: what is observed, what is stale, and the order in which it can be built."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relspec_core.engines.catalog_snapshot import ObservedContents
from relspec_core.errors import RelspecError, raise_all
from relspec_core.evidence import EvidenceCatalog, TableState
from relspec_core.evidence_store import EvidenceStore, known_sources
from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.plan_catalog import PlanCatalog, compile_task_catalog
from relspec_core.planning.estimate import RunEstimate, estimate_run
from relspec_core.planning.plan_snapshot import plan_snapshot
from relspec_core.rustworkx_schedule import Schedule, schedule_rules
from relspec_core.sources.source_files import SourceListings, open_stores
from relspec_core.staleness.freshness import Freshness, FreshnessEngine
from relspec_core.staleness.input_versions import InputVersions
from relspec_core.staleness.observation import Observation, observe
from relspec_core.task_catalog import ExecutionContext, unknown_task
from relspec_core.warehouses.warehouse import Warehouse
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.evidence import Evidence
    from relspec_core.task_catalog import TaskCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run would do now, before it does it.

    Attributes:
        plans: the compiled catalog.
        graph: its graph.
        observation: of the outside world.
        freshness: of each task that was asked for, upstream first.
        schedule: waves of the stale ones, and those of them that are blocked.
        workers: how many tasks would be built at once.
    """

    plans: PlanCatalog
    graph: TaskGraph
    observation: Observation
    freshness: Mapping[str, Freshness]
    schedule: Schedule
    workers: int = 1

    @property
    def evidence(self) -> Mapping[str, Evidence]:
        """Existing evidence."""
        return self.observation.evidence

    def blocked(self, task: str) -> str:
        """Why a task is blocked, in one line."""
        return "; ".join(str(reason) for reason in self.schedule.blocked[task])

    def action(self, task: str) -> str:
        """What becomes of a task: ``run``, ``wait`` or ``skip``."""
        if task in self.schedule.blocked:
            return "wait"
        return "run" if self.freshness[task].stale else "skip"

    def code(self, task: str) -> str:
        """The code of the reason; that of the first one for a blocked task."""
        blocked = self.schedule.blocked.get(task)
        return blocked[0].code if blocked else self.freshness[task].reason.code

    def reason(self, task: str) -> str:
        """Why, in one line."""
        return self.blocked(task) if task in self.schedule.blocked else str(self.freshness[task].reason)

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
                "code": self.code(task),
                "reason": self.reason(task),
                "reasons": [reason.data for reason in self.schedule.blocked.get(task, ())],
                "wave": waves.get(task),
                "outputs": list(self.graph.outputs_of(task)),
                "reads": {edge.evidence: list(edge.columns) for edge in self.graph.edges_of(task)},
            }
            for task in sorted(self.freshness, key=lambda task: (waves.get(task, len(waves) + 1), task))
        ]
        estimate = None if self.estimate is None else self.estimate.plain()
        found = {"tasks": tasks, "estimate": estimate, "total": self.total, "plans": plan_snapshot(self.plans)}
        return json.dumps(found, indent=2)


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
    listings = SourceListings()
    plans = compile_task_catalog(
        task_catalog, backend=backend, ctx=ctx, known=known_sources(records), listings=listings
    )
    graph = task_graph_from_catalog(plans)
    wanted = _wanted(graph, targets)
    observation = observe(plans, warehouse, records=records, listings=listings, compare=True)
    engine = _engine(plans, graph, observation, warehouse, readers=plans)
    stale = [task for task in engine.stale if task in wanted]
    return RunPlan(
        plans=plans,
        graph=graph,
        observation=observation,
        freshness={task: found for task, found in engine.freshness.items() if task in wanted},
        schedule=_schedule(graph, observation, stale),
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
    observation = observe(near, warehouse, records=records, compare=True)
    engine = _engine(plans, graph, observation, warehouse, readers=near)
    schedule = _schedule(graph, observation, engine.stale)
    return RunPlan(plans=plans, graph=graph, observation=observation, freshness=engine.freshness, schedule=schedule)


def _engine(
    plans: PlanCatalog, graph: TaskGraph, observation: Observation, warehouse: Warehouse, *, readers: PlanCatalog
) -> FreshnessEngine:
    """The freshness of all tasks on one observation."""
    versions = InputVersions(observation, warehouse, readers)
    engine = FreshnessEngine(plans, graph=graph, evidence=observation.evidence, versions=versions.of)
    engine.update()
    return engine


def observed_contents(planned: RunPlan) -> ObservedContents:
    """What a run saw when it planned."""
    sources: dict[str, dict[tuple[str, ...], str]] = {}
    for task, found in planned.freshness.items():
        for edge in planned.graph.edges_of(task):
            if edge.evidence in found.inputs and planned.graph.producer(edge.evidence) is None:
                versions = found.inputs[edge.evidence]
                sources.setdefault(edge.evidence, {})[tuple(sorted(edge.columns))] = versions.rows
    changed = (name for name, found in planned.evidence.items() if found.state is TableState.CHANGED)
    return ObservedContents(at=datetime.now(UTC), changed=frozenset(changed), sources=sources)


def _schedule(graph: TaskGraph, observation: Observation, stale: list[str]) -> Schedule:
    """The order in which stale tasks can be built, without their own present tables."""
    rewritten = {output for task in stale for output in graph.outputs_of(task)}
    kept = EvidenceCatalog(found for name, found in observation.evidence.items() if name not in rewritten)
    return schedule_rules(graph, evidence=kept, tasks=stale)


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
            unknown.append(unknown_task(target, graph.tasks))
    raise_all(unknown)
    return graph.ancestors(tasks)
