"""Workers of a run: building tasks, publishing them, and reporting their outcomes."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from relspec_core.engines.engine_error import EngineError, StatementInterruptedError
from relspec_core.errors import RelspecError
from relspec_core.runs.batching import is_small
from relspec_core.runs.early_cutoff import EarlyCutoff
from relspec_core.runs.failures import TaskFailure, pause_before
from relspec_core.runs.history import TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.events import RunEvents
    from relspec_core.runs.memory_monitor import MemoryMonitor
    from relspec_core.runs.options import RunOptions
    from relspec_core.runs.publication import Built, Publication
    from relspec_core.runs.ready_queue import ReadyQueue
    from relspec_core.runs.run_log import RunLog


# Small tasks share a transaction, whose end costs as much as one of them; a death loses at most so much work.
MOST_SECONDS_UNPUBLISHED = 0.1
LOOK_AGAIN = 0.05


class TaskWork:
    """The tasks of a run; each worker takes the next one that is ready, in its own thread.

    Args:
        planned: what is to be done.
        options: how.
        events: told of everything.
        refused: for sources that can't be read, what is wrong with them.
        run: its number in the log.
        queue: of the tasks.
        monitor: of the engine's memory.
        sizes: about how many rows the tables of the warehouse have.
        is_alone: whether there is one worker, whose connection sees all that it has built.

    Attributes:
        stopping: set where the run is to end before its end.
        changed: to wait until another worker is further, and to tell that.
    """

    def __init__(
        self,
        planned: RunPlan,
        options: RunOptions,
        events: RunEvents,
        *,
        refused: Mapping[str, RelspecError],
        run: int,
        queue: ReadyQueue,
        monitor: MemoryMonitor,
        sizes: Mapping[str, int],
        is_alone: bool,
    ) -> None:
        self._planned = planned
        self._options = options
        self._events = events
        self._refused = refused
        self._run = run
        self._queue = queue
        self._monitor = monitor
        self._sizes = sizes
        self._is_alone = is_alone
        self._cutoff = EarlyCutoff(planned)
        self._publications = 0
        self._published: dict[str, int] = {}  # which publication a task was in, counted from 1
        self.changed = threading.Condition()
        self.stopping = threading.Event()

    def work(self, worker: Worker) -> None:
        """Build what is ready, until nothing is left or the run is to end."""
        while (task := self._next(worker)) is not None:
            self._take_on(worker, task)

    def wake(self) -> None:
        """Let those who wait look again."""
        with self.changed:
            self.changed.notify_all()

    def _next(self, worker: Worker) -> str | None:
        """What to build next; waits for it, and publishes before that what is built."""
        while not self.stopping.is_set():
            with self.changed:
                if self._queue:
                    return self._queue.take()
                if not worker.publication.tasks:
                    if self._queue.has_ended:
                        return None
                    self.changed.wait(LOOK_AGAIN)
                    continue
            self._publish(worker)
        worker.publication.abandon()
        return None

    def _take_on(self, worker: Worker, task: str) -> None:
        """Build a task in the transaction that is open, or in a new one."""
        publication = worker.publication
        small = is_small(task, self._planned.plans, publication.now, self._sizes)
        if publication.tasks and not self._may_join(worker, task, small=small):
            self._publish(worker)
        if self._blocks(task):
            if self._options.all_or_nothing:
                self._give_up(worker, task, publication.tasks)
            return
        earlier = publication.tasks
        if not earlier:
            with self.changed:
                worker.since = self._publications
        self._events.begin(task)
        try:
            self._build(worker, task)
        except (RelspecError, EngineError) as error:
            failure = self._failure(worker, task, error)
            publication.abandon()
            if self._options.all_or_nothing:
                self._fail(task, failure)
                self._give_up(worker, task, earlier)
                return
            for name in earlier:
                self._build_alone(worker, name)
            self._build_alone(worker, task, failure=failure)
            return
        if self._is_alone:  # its own connection sees it already
            self._end(task)
        if not self._options.all_or_nothing:
            self._publish_in_time(worker, small=small)

    def _publish_in_time(self, worker: Worker, *, small: bool) -> None:
        """Publish what is there where nothing more can join it now, or where much would be lost by a death."""
        if not small or not self._queue or worker.publication.age > MOST_SECONDS_UNPUBLISHED:
            self._publish(worker)

    def _may_join(self, worker: Worker, task: str, *, small: bool) -> bool:
        """Whether a task may be built in the transaction that is open.

        Not one that lets the others in it wait; nor one that reads what was published after the transaction began,
        which does not show that.
        """
        upstream = self._planned.graph.upstream_tasks(task)
        newer = any(self._published.get(name, 0) > worker.since for name in upstream)
        return self._options.all_or_nothing or (small and not newer)

    def _blocks(self, task: str) -> bool:
        """Whether a task can't be built any more; it is told of, then."""
        graph = self._planned.graph
        broken = [name for name in graph.upstream_tasks(task) if self._events.is_broken(name)]
        if broken:
            self._events.block(task, f"task '{task}' waits for task '{broken[0]}', which failed or is blocked")
        refused = [edge.evidence for edge in graph.edges_of(task) if edge.evidence in self._refused]
        if refused and not broken:
            self._events.fail(task, self._refused[refused[0]])
        if broken or refused:
            self._end(task)
        return bool(broken or refused)

    def _build(self, worker: Worker, task: str) -> None:
        """Build a task inside the worker's transaction, or leave its tables where it reads what it read before."""
        limit = self._planned.plans.of_task(task)[0].task.timeout or self._options.timeout
        worker.task = task
        with worker.lock:
            worker.is_late = False
            worker.deadline = None if limit is None else time.monotonic() + limit
        try:
            self._build_or_carry(worker.publication, task)
        finally:
            worker.task = None
            with worker.lock:
                worker.deadline = None
        if worker.is_late:  # only just: what was meant for its statement may hit the next one
            raise StatementInterruptedError("the task has taken too long")

    def _build_or_carry(self, publication: Publication, task: str) -> None:
        carried = self._cutoff.records(task, publication)
        if carried is not None:
            publication.carry(task, carried)
            return
        graph, freshness = self._planned.graph, self._planned.freshness[task]
        # What a narrowed table reads now is less than what its freshness was judged by.
        narrowed = any(plan.needed is not None for plan in self._planned.plans.of_task(task))
        known = {} if narrowed else freshness.inputs
        inputs = {name: found for name, found in known.items() if graph.producer(name) is None}
        publication.build(task, inputs=inputs, because=freshness.reason)

    def _publish(self, worker: Worker) -> None:
        """Let everything that a worker has built appear."""
        tasks = worker.publication.tasks
        try:
            self._publish_all(worker)
        except EngineError as error:
            failure = self._failure(worker, tasks[-1], error)
            worker.publication.abandon()
            if self._options.all_or_nothing:
                self._fail(tasks[-1], failure)
                self._give_up(worker, tasks[-1], tasks[:-1])
                return
            for task in tasks:
                self._build_alone(worker, task, failure=failure if len(tasks) == 1 else None)

    def _publish_all(self, worker: Worker) -> None:
        tasks = worker.publication.tasks
        published = worker.publication.publish(lambda built: self._log_built(worker, built))
        built = {found.task: found for found in published}
        for task in tasks:
            reason = self._planned.freshness[task].reason
            if task in built:
                self._events.end(built[task], reason)
            else:
                self._events.carry(task, f"{reason}, but came out as it was")
        with self.changed:
            self._publications += 1
            self._published.update(dict.fromkeys(tasks, self._publications))
        for task in tasks:
            self._end(task)

    def _log_built(self, worker: Worker, built: Sequence[Built]) -> None:
        """Add what was built to the run's log, in the same transaction."""
        outcomes = [
            TaskOutcome(
                task=found.task,
                outcome="ran",
                reason=self._planned.freshness[found.task].reason,
                rows=found.rows,
                started_at=found.started_at,
                seconds=found.seconds,
                peak_memory=self._monitor.peak_of(found.task),
                worker=worker.number + 1,
                upstream=self._planned.graph.upstream_tasks(found.task),
            )
            for found in built
        ]
        worker.log.record(self._run, outcomes)

    def _build_alone(self, worker: Worker, task: str, *, failure: TaskFailure | None = None) -> None:
        """Build a task in a transaction of its own; again, where the fault may pass.

        Args:
            worker: whose transaction is closed.
            task: its name.
            failure: what it failed with when it was tried already.
        """
        attempt = 0
        own = self._planned.plans.of_task(task)[0].task.retries
        retries = self._options.retries if own is None else own
        while not self._blocks(task):
            if failure is not None:
                if not failure.is_transient or attempt >= retries:
                    self._fail(task, failure)
                    return
                attempt += 1
                pause = pause_before(attempt)
                self._events.say(f"trying {task} again in {pause:.1f} s: {failure.error.what}")
                self.stopping.wait(pause)
            try:
                with self.changed:
                    worker.since = self._publications
                self._build(worker, task)
                self._publish_all(worker)
            except (RelspecError, EngineError) as error:
                failure = self._failure(worker, task, error)
                worker.publication.abandon()
            else:
                return

    def _failure(self, worker: Worker, task: str, error: RelspecError | EngineError) -> TaskFailure:
        """What a task failed with; where the run is being stopped, that is no failure of the task."""
        if self.stopping.is_set():
            raise error
        plan = self._planned.plans.of_task(task)[0]
        if worker.is_late:
            return TaskFailure.of_timeout(plan, seconds=plan.task.timeout or self._options.timeout or 0.0)
        return TaskFailure.of(plan, error)

    def _fail(self, task: str, failure: TaskFailure) -> None:
        self._events.fail(task, failure.error)
        self._end(task)
        if failure.is_fatal:
            self._abandon_rest(f"the database has failed at task '{task}'; start again")

    def _give_up(self, worker: Worker, task: str, earlier: Iterable[str]) -> None:
        """Of an all-or-nothing run nothing is published when one task fails."""
        worker.publication.abandon()
        reason = f"nothing of this run is published, for task '{task}' failed"
        for name in earlier:
            self._events.block(name, reason)
        self._abandon_rest(reason)

    def _abandon_rest(self, reason: str) -> None:
        with self.changed:
            for task in self._queue.drain():
                self._events.block(task, reason)

    def _end(self, task: str) -> None:
        with self.changed:
            self._queue.end(task)
            self.changed.notify_all()


@dataclass(slots=True, kw_only=True)
class Worker:
    """One thread of a run.

    Attributes:
        number: from 0.
        publication: on its own connection; holds what it has built and not yet published.
        log: of runs, on the same connection.
        since: how many publications of others its open transaction knows of.
        deadline: when the task that it builds now has taken too long; None where there is no limit.
        is_late: whether that has come.
        task: what it builds now.
        lock: held to change the deadline, and to act on it.
    """

    number: int
    publication: Publication
    log: RunLog
    since: int = 0
    deadline: float | None = None
    is_late: bool = False
    task: str | None = None
    lock: Lock = field(default_factory=Lock)
