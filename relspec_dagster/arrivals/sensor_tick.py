"""The ticks of the evidence sensor: poll, observe, decide, request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

import dagster as dg

from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.staleness.reasons import Unchanged
from relspec_dagster.access.resources import RelspecResource
from relspec_dagster.arrivals.cursor import SensorCursor
from relspec_dagster.arrivals.evidence_poller import EvidencePoll, EvidencePoller
from relspec_dagster.arrivals.instance_queries import (
    EVIDENCE_TAG,
    RunsInProgress,
    asked_before,
    join_keys,
    lost_requests,
    reported,
)
from relspec_dagster.arrivals.run_requests import Decision, decide
from relspec_dagster.arrivals.skip_reasons import named, waiting_text
from relspec_dagster.freshness.carry_forward import KEEP_UNCHANGED
from relspec_dagster.translation.projection import Projection

NAME = "relspec_evidence"
SECONDS = 30
ARRIVED_TAG = "relspec/arrived"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSensor:
    """The settings of the evidence sensor.

    Attributes:
        name: of the sensor.
        minimum_interval_seconds: the least time between two ticks.
        default_status: whether it is on before anybody has switched it on in Dagster. It is off, as Dagster's own are,
            so that a copy of a project on a laptop starts nothing by itself.
        tags: of the runs that it requests.
    """

    name: str = NAME
    minimum_interval_seconds: int = SECONDS
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inputs:
    """Everything that determines the outcome of a tick.

    Attributes:
        cursor: its text.
        building: the run that builds a task.
        reported: of each source the last materialization.
        poll: of files and the warehouse.
    """

    cursor: str | None
    building: Mapping[str, str]
    reported: Mapping[str, int]
    poll: EvidencePoll

    def is_like(self, before: _Inputs) -> bool:
        """Whether the outcome is that of an earlier tick.

        Runs in progress write to the warehouse all the time, and what they write is read when they have ended.
        """
        return (
            (self.cursor, self.building, self.reported, self.poll.files)
            == (before.cursor, before.building, before.reported, before.poll.files)
            and (bool(self.building) or self.poll.warehouse == before.poll.warehouse is not None)
        )  # fmt: skip


class SensorTick:
    """The sensor's ticks in one process; the observation is kept between them, and can be lost.

    Args:
        settings: of the sensor.
        plans: the compiled catalog.
        graph: of the plans.
        projection: of both, for the asset keys.
        database: the DuckDB file, or another engine.

    Attributes:
        tasks: the task that writes it, by asset key.
        sources: the name of the source, by asset key.
    """

    __slots__ = (
        "_before",
        "_database",
        "_graph",
        "_lock",
        "_plans",
        "_poller",
        "_reason",
        "_runs",
        "_settings",
        "sources",
        "tasks",
    )

    def __init__(
        self,
        settings: EvidenceSensor,
        *,
        plans: PlanCatalog,
        graph: TaskGraph,
        projection: Projection,
        database: Path | RelspecResource,
    ) -> None:
        self._settings = settings
        self._plans = plans
        self._graph = graph
        self._database = database
        self._poller: EvidencePoller | None = None  # made by the first tick: the processes of runs need none
        self._before: _Inputs | None = None
        self._reason = ""  # why that tick requested nothing
        self._lock = Lock()  # a tick that a user tries out may come beside one of the daemon's
        self.tasks = {output.spec.key: task.task.name for task in projection.tasks for output in task.outputs}
        self._runs = RunsInProgress(self.tasks)
        self.sources = {projection.keys[name]: name for name in plans.sources}

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """The run to request now, or the reason for none."""
        with self._lock:
            # Where a tick fails midway, the next one observes everything again.
            poller, self._poller = self._poller, None
            if poller is None:
                poller, self._before = EvidencePoller(self._plans, self._graph, database=self._database), None
            now = _Inputs(
                cursor=context.cursor,
                building=self._runs.building(context.instance),  # first, so that the poll sees what they have built
                reported=reported(context.instance, self.sources),
                poll=poller.poll(),
            )
            if self._before is not None and now.is_like(self._before):
                result = dg.SensorResult(skip_reason=self._reason, cursor=now.cursor)
            else:
                result = self._decide(context, now, poller)
            self._poller = poller
            return result

    def _decide(self, context: dg.SensorEvaluationContext, now: _Inputs, poller: EvidencePoller) -> dg.SensorResult:
        before = SensorCursor.parse(now.cursor)
        if before is None:
            before = asked_before(context.instance, self._settings.name, self.tasks)
        poller.read(now.poll)
        read = _as_far_as_read(now.reported, before.reported, poller.unread)
        decision = decide(
            poller,
            keys=poller.keys(read),
            asked=before.asked,
            building=now.building,
            lost=partial(lost_requests, context.instance, self._settings.name, self.tasks),
        )
        is_paused = poller.notice is not None and (poller.is_unknown or not now.building)
        asked = {} if is_paused else decision.asked
        cursor = str(SensorCursor(reported=read, asked={**decision.still_asked, **asked}))
        waiting = waiting_text(decision.blocked, decision.held, poller.observation.unreadable)
        self._before = None
        if asked:
            if waiting:
                context.log.info(waiting)
            return dg.SensorResult(run_requests=[self._request(decision)], cursor=cursor)
        if now.building or not poller.unread:  # unreadable sources are tried again each time
            self._before = replace(now, cursor=cursor)
        self._reason = _reason(waiting, poller, paused=decision.asked if is_paused else {})
        return dg.SensorResult(skip_reason=self._reason, cursor=cursor)

    def _request(self, decision: Decision) -> dg.RunRequest:
        return dg.RunRequest(
            run_key=decision.run_key,
            asset_selection=[key for key, task in self.tasks.items() if task in decision.asked],
            tags={
                **KEEP_UNCHANGED,
                **self._settings.tags,
                EVIDENCE_TAG: join_keys(decision.asked),
                **({ARRIVED_TAG: named(decision.arrived)} if decision.arrived else {}),
            },
        )


def _as_far_as_read(reported: Mapping[str, int], before: Mapping[str, int], not_read: frozenset[str]) -> dict[str, int]:
    """The last materialization of each source; of one that could not be read, the last that was."""
    return {name: before.get(name, 0) if name in not_read else number for name, number in reported.items()}


def _reason(waiting: str, poller: EvidencePoller, *, paused: Mapping[str, str]) -> str:
    """Why nothing is requested."""
    parts = []
    if poller.notice is not None:
        parts.append(poller.notice)
    if paused:
        parts.append(f"{named(paused)} {'is' if len(paused) == 1 else 'are'} decided when it is done")
    if waiting:
        parts.append(waiting)
    if not paused and not waiting:
        parts.append(f"none of {len(poller.freshness.order):,} tasks is stale [{Unchanged.code}]")
    return "; ".join(parts)
