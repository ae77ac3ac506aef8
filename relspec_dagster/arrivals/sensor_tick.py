"""The ticks of the evidence sensor: what has arrived, what is known then, and what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Lock

import dagster as dg

from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanCatalog
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
    """How the sensor of a catalog is to be.

    Attributes:
        name: of the sensor.
        minimum_interval_seconds: the least time from one look to the next.
        default_status: whether it looks before anybody has switched it on in Dagster. It is off, as Dagster's own are,
            so that a copy of a project on a laptop starts nothing by itself.
        tags: of the runs that it asks for.
    """

    name: str = NAME
    minimum_interval_seconds: int = SECONDS
    default_status: dg.DefaultSensorStatus = dg.DefaultSensorStatus.STOPPED
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """All that a tick's outcome follows from.

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

    def tells_nothing_new(self, before: _Moment) -> bool:
        """Whether the outcome is that of an earlier moment.

        Runs in progress write to the warehouse all the time, and what they write is looked at when they have ended.
        """
        return (
            (self.cursor, self.building, self.reported, self.poll.files)
            == (before.cursor, before.building, before.reported, before.poll.files)
            and (bool(self.building) or self.poll.warehouse == before.poll.warehouse is not None)
        )  # fmt: skip


class SensorTick:
    """The sensor's ticks in one process; what they have seen is kept from one to the next, and can be lost.

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
        "_reason",
        "_runs",
        "_settings",
        "_watch",
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
        self._watch: EvidencePoller | None = None  # made by the first tick: the processes of runs need none
        self._before: _Moment | None = None
        self._reason = ""  # why that moment led to no request
        self._lock = Lock()  # a tick that a user tries out may come beside one of the daemon's
        self.tasks = {output.spec.key: task.task.name for task in projection.tasks for output in task.outputs}
        self._runs = RunsInProgress(self.tasks)
        self.sources = {projection.keys[name]: name for name in plans.sources}

    def tick(self, context: dg.SensorEvaluationContext) -> dg.SensorResult:
        """What is to be asked for now, or why nothing is."""
        with self._lock:
            # Where a tick fails midway, all that was known is doubtful, and the next one looks at everything.
            watch, self._watch = self._watch, None
            if watch is None:
                watch, self._before = EvidencePoller(self._plans, self._graph, database=self._database), None
            now = _Moment(
                cursor=context.cursor,
                building=self._runs.building(context.instance),  # before all else: what they have built is seen
                reported=reported(context.instance, self.sources),
                poll=watch.poll(),
            )
            if self._before is not None and now.tells_nothing_new(self._before):
                result = dg.SensorResult(skip_reason=self._reason, cursor=now.cursor)
            else:
                result = self._look(context, now, watch)
            self._watch = watch
            return result

    def _look(self, context: dg.SensorEvaluationContext, now: _Moment, watch: EvidencePoller) -> dg.SensorResult:
        before = SensorCursor.parse(now.cursor)
        if before is None:
            before = asked_before(context.instance, self._settings.name, self.tasks)
        watch.read(now.poll)
        read = _as_far_as_read(now.reported, before.reported, watch.unread)
        decision = decide(
            watch,
            keys=watch.keys(read),
            asked=before.asked,
            building=now.building,
            lost=partial(lost_requests, context.instance, self._settings.name, self.tasks),
        )
        is_paused = watch.notice is not None and (watch.is_unknown or not now.building)
        asked = {} if is_paused else decision.asked
        cursor = str(SensorCursor(reported=read, asked={**decision.still_asked, **asked}))
        waiting = waiting_text(decision.blocked, decision.held, watch.observation.unreadable)
        self._before = None
        if asked:
            if waiting:
                context.log.info(waiting)
            return dg.SensorResult(run_requests=[self._request(decision)], cursor=cursor)
        if now.building or not watch.unread:  # what could not be read is tried again each time
            self._before = replace(now, cursor=cursor)
        self._reason = _reason(waiting, watch, paused=decision.asked if is_paused else {})
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


def _reason(waiting: str, watch: EvidencePoller, *, paused: Mapping[str, str]) -> str:
    """Why nothing is asked for."""
    parts = []
    if watch.notice is not None:
        parts.append(watch.notice)
    if paused:
        parts.append(f"{named(paused)} {'is' if len(paused) == 1 else 'are'} looked at again when it is done")
    if waiting:
        parts.append(waiting)
    if not paused and not waiting:
        parts.append(f"nothing is stale of {len(watch.freshness.order):,} tasks")
    return "; ".join(parts)
