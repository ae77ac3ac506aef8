"""A worker of a run: builds tasks in transactions of its own, retries them, and publishes them."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import RelspecError
from relspec_core.runs.batching import is_small
from relspec_core.runs.failures import TaskFailure, pause_before
from relspec_core.runs.history import TaskOutcome
from relspec_core.runs.publication import Publication
from relspec_core.runs.run_log import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from relspec_core.evidence import Evidence
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.early_cutoff import EarlyCutoff
    from relspec_core.runs.events import RunEvents
    from relspec_core.runs.memory_monitor import MemoryMonitor
    from relspec_core.runs.options import RunOptions
    from relspec_core.runs.publication import Built
    from relspec_core.runs.ready_queue import ReadyQueue
    from relspec_core.warehouses.warehouse import Warehouse


# Small tasks share a transaction, whose end costs as much as one of them; if the process dies, this much work is lost.
MOST_SECONDS_UNPUBLISHED = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """State that the workers of a run share.

    Attributes:
        planned: the run plan.
        options: of the run.
        events: receives every outcome.
        number: of the run in the log.
        workers: number of workers.
        evidence: what exists; each publication updates it.
        unreadable: the sources whose files can't be read, with the reason.
        table_sizes: approximate row counts of the warehouse's tables.
        queue: the tasks to build.
        monitor: of the engine's memory.
        cutoff: finds tasks whose inputs were rebuilt with unchanged contents.
    """

    planned: RunPlan
    options: RunOptions
    events: RunEvents
    number: int
    workers: int
    evidence: dict[str, Evidence]
    unreadable: Mapping[str, RelspecError]
    table_sizes: Mapping[str, int]
    queue: ReadyQueue
    monitor: MemoryMonitor
    cutoff: EarlyCutoff


class Deadline:
    """The time limit of the task that a worker builds; another thread enforces it.

    Args:
        interrupt: stops the statement that the worker runs.

    Attributes:
        seconds: the limit; None where there is none.
        has_passed: whether the last task was interrupted for it.
    """

    __slots__ = ("_at", "_interrupt", "_lock", "has_passed", "seconds")

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._lock = Lock()  # so that no later statement than the task's is interrupted
        self._at: float | None = None
        self.seconds: float | None = None
        self.has_passed = False

    @contextmanager
    def within(self, seconds: float | None) -> Generator[None]:
        """Limit the duration of the block."""
        with self._lock:
            self.seconds, self.has_passed = seconds, False
            self._at = None if seconds is None else time.monotonic() + seconds
        try:
            yield
        finally:
            with self._lock:
                self._at = None

    def enforce(self) -> None:
        """Interrupt the worker's statement if its task has taken too long."""
        with self._lock:
            if self._at is not None and time.monotonic() > self._at:
                self.has_passed = True
                self._interrupt()


class Worker:
    """Builds ready tasks on a connection of its own until none is left.

    Args:
        number: from 1.
        warehouse: its connection, which no other worker uses.
        context: shared with the other workers.

    Attributes:
        task: the task being built; None between tasks.
        deadline: of that task.
    """

    __slots__ = ("_context", "_log", "_number", "_publication", "_sees", "deadline", "task", "warehouse")

    def __init__(self, number: int, warehouse: Warehouse, context: RunContext) -> None:
        graph = context.planned.graph
        self.warehouse = warehouse
        self.deadline = Deadline(warehouse.interrupt)
        self.task: str | None = None
        self._number = number
        self._context = context
        self._log = RunLog(warehouse)
        self._publication = Publication(
            warehouse=warehouse,
            plans=context.planned.plans,
            published=context.evidence,
            files=context.planned.observation.files,
            cutoff_rows=context.options.cutoff_rows,
            groups=lambda output: sorted({edge.columns for edge in graph.edges_from(output)}),
        )
        self._sees = 0  # how many publications had been made when its transaction began

    def work(self) -> None:
        """Build ready tasks until none is left or the queue is stopped; nothing half-done is published."""
        try:
            while (task := self._next_task()) is not None:
                self._take_on(task)
        finally:
            self._publication.abandon()

    def _next_task(self) -> str | None:
        """Take a ready task; where there is none, publish what is built, which others may wait for, and wait."""
        queue = self._context.queue
        task = queue.take(wait=not self._publication.tasks)
        if task is None and self._publication.tasks and not queue.is_stopped:
            self._publish()
            task = queue.take(wait=True)
        return task

    def _take_on(self, task: str) -> None:
        """Build a task in the open transaction or in a new one."""
        context, publication = self._context, self._publication
        is_atomic = context.options.all_or_nothing
        small = is_small(task, context.planned.plans, publication.now, context.table_sizes)
        if publication.tasks and not (is_atomic or (small and self._sees_inputs(task))):
            self._publish()
        if self._is_blocked(task):
            if is_atomic:
                self._give_up(task, publication.tasks)
            return
        earlier = publication.tasks
        if not earlier:
            self._sees = context.queue.publications
        context.events.begin(task)
        try:
            self._build(task)
        except (RelspecError, EngineError) as error:
            self._recover((*earlier, task), error, culprit=task)
            return
        if context.workers == 1:  # the tasks that wait for it are built on the same connection, which sees it already
            context.queue.end(task)
        may_wait = small and context.queue.has_ready and publication.age <= MOST_SECONDS_UNPUBLISHED
        if not (is_atomic or may_wait):
            self._publish()

    def _sees_inputs(self, task: str) -> bool:
        """Whether the open transaction began after all inputs of a task were published."""
        upstream = self._context.planned.graph.upstream_tasks(task)
        return not self._context.queue.any_published_since(upstream, self._sees)

    def _is_blocked(self, task: str) -> bool:
        """Whether a task can't be built, which is reported as its outcome."""
        graph, events = self._context.planned.graph, self._context.events
        broken = next((name for name in graph.upstream_tasks(task) if events.is_broken(name)), None)
        refused = (self._context.unreadable.get(edge.evidence) for edge in graph.edges_of(task))
        error = next(filter(None, refused), None)
        if broken is not None:
            events.block(task, f"task '{task}' waits for task '{broken}', which failed or is blocked")
        elif error is not None:
            events.fail(task, error)
        else:
            return False
        self._context.queue.end(task)
        return True

    def _build(self, task: str) -> None:
        """Build a task in the open transaction, or carry its tables forward where it would read the same as before."""
        plan = self._context.planned.plans.of_task(task)[0]
        self.task = task
        try:
            with self.deadline.within(plan.task.timeout or self._context.options.timeout):
                self._build_or_carry(task)
        finally:
            self.task = None
        if self.deadline.has_passed:  # the interrupt may have come too late for the last statement, and hit the next
            raise TaskFailure.of_timeout(plan, seconds=self.deadline.seconds or 0.0).error

    def _build_or_carry(self, task: str) -> None:
        planned, publication = self._context.planned, self._publication
        carried = self._context.cutoff.records(task, publication)
        if carried is not None:
            publication.carry(task, carried)
            return
        freshness = planned.freshness[task]
        # The freshness of a pruned table was judged by more than it reads now.
        is_pruned = any(plan.needed is not None for plan in planned.plans.of_task(task))
        known = {} if is_pruned else freshness.inputs
        inputs = {name: found for name, found in known.items() if planned.graph.producer(name) is None}
        publication.build(task, inputs=inputs, because=str(freshness.reason))

    def _publish(self) -> None:
        """Publish everything in the open transaction."""
        tasks = self._publication.tasks
        try:
            self._commit()
        except EngineError as error:
            self._recover(tasks, error, culprit=tasks[0] if len(tasks) == 1 else None)

    def _commit(self) -> None:
        context, tasks = self._context, self._publication.tasks
        built = {found.task: found for found in self._publication.publish(self._log_built)}
        for task in tasks:
            reason = str(context.planned.freshness[task].reason)
            if task in built:
                context.events.end(built[task], reason)
            else:
                context.events.carry(task, f"{reason}, but the values that it reads are unchanged")
        context.queue.publish(*tasks)

    def _log_built(self, built: Sequence[Built]) -> None:
        """Add what was built to the run's log, in the transaction that publishes it."""
        planned, monitor = self._context.planned, self._context.monitor
        outcomes = [
            TaskOutcome(
                task=found.task,
                outcome="ran",
                reason=str(planned.freshness[found.task].reason),
                code=planned.code(found.task),
                rows=found.rows,
                started_at=found.started_at,
                seconds=found.seconds,
                peak_memory=monitor.peak_of(found.task),
                worker=self._number,
                upstream=planned.graph.upstream_tasks(found.task),
            )
            for found in built
        ]
        self._log.record(self._context.number, outcomes)

    def _recover(self, tasks: Sequence[str], error: RelspecError | EngineError, *, culprit: str | None) -> None:
        """Build each task of a failed transaction again by itself; of an all-or-nothing run, give up.

        Args:
            tasks: of the transaction, at least one.
            error: what ended it.
            culprit: the task that caused the error, where that is certain; it counts as tried once.
        """
        failure = self._failure(tasks[-1], error)
        self._publication.abandon()
        if self._context.options.all_or_nothing:
            self._fail(tasks[-1], failure)
            self._give_up(tasks[-1], tasks[:-1])
            return
        for task in tasks:
            self._build_alone(task, failure=failure if task == culprit else None)

    def _build_alone(self, task: str, *, failure: TaskFailure | None) -> None:
        """Build and publish a task in a transaction of its own; retry after transient failures.

        Args:
            task: its name.
            failure: of the first attempt, where there was one already.
        """
        context = self._context
        own = context.planned.plans.of_task(task)[0].task.retries
        retries = context.options.retries if own is None else own
        attempt = 0
        while not self._is_blocked(task):
            if failure is not None:
                if not failure.is_transient or attempt >= retries:
                    self._fail(task, failure)
                    return
                attempt += 1
                pause = pause_before(attempt)
                context.events.say(f"trying {task} again in {pause:.1f} s: {failure.error.what}")
                context.queue.pause(pause)
            try:
                self._sees = context.queue.publications
                self._build(task)
                self._commit()
            except (RelspecError, EngineError) as error:
                failure = self._failure(task, error)
                self._publication.abandon()
            else:
                return

    def _failure(self, task: str, error: RelspecError | EngineError) -> TaskFailure:
        """Describe a task's failure; an error of a run that is being stopped is raised, as no task caused it."""
        if self._context.queue.is_stopped:
            raise error
        plan = self._context.planned.plans.of_task(task)[0]
        if self.deadline.has_passed:
            return TaskFailure.of_timeout(plan, seconds=self.deadline.seconds or 0.0)
        return TaskFailure.of(plan, error)

    def _fail(self, task: str, failure: TaskFailure) -> None:
        self._context.events.fail(task, failure.error)
        self._context.queue.end(task)
        if failure.is_fatal:
            self._block_rest(f"the database has failed at task '{task}'; start again")

    def _give_up(self, task: str, others: Iterable[str]) -> None:
        """Publish nothing of an all-or-nothing run, as one of its tasks failed or is blocked."""
        self._publication.abandon()
        reason = f"nothing of this run is published, for task '{task}' failed"
        for name in others:
            self._context.events.block(name, reason)
        self._block_rest(reason)

    def _block_rest(self, reason: str) -> None:
        for task in self._context.queue.drain():
            self._context.events.block(task, reason)
