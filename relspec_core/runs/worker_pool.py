"""The workers of a run in threads of their own: started, watched and stopped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from relspec_core.planning.estimate import recorded_seconds
from relspec_core.runs.early_cutoff import EarlyCutoff
from relspec_core.runs.memory_monitor import MemoryMonitor
from relspec_core.runs.ready_queue import ReadyQueue
from relspec_core.runs.worker import RunContext, Worker
from relspec_core.system.deferred_signals import deferred_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.errors import RelspecError
    from relspec_core.evidence import Evidence
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.events import RunEvents
    from relspec_core.runs.options import RunOptions
    from relspec_core.warehouses.warehouse import Warehouse


POLL_SECONDS = 0.05
PATIENCE = 1.5  # seconds that statements have to end after they were interrupted


class WorkerPool:
    """Builds the scheduled tasks of a plan; on DuckDB by several workers, elsewhere by one, in the calling thread.

    Args:
        planned: the plan.
        warehouse: where tables are written; its evidence store is prepared.
        options: of the run.
        events: receives every outcome.
        unreadable: the sources whose files can't be read, with the reason.
        number: of the run in the log.

    Attributes:
        evidence: what exists, updated as tasks are published.
    """

    def __init__(
        self,
        planned: RunPlan,
        warehouse: Warehouse,
        *,
        options: RunOptions,
        events: RunEvents,
        unreadable: Mapping[str, RelspecError],
        number: int,
    ) -> None:
        tasks, graph = planned.schedule.order, planned.graph
        most = 1 if options.all_or_nothing else max(1, min(options.workers, len(tasks)))
        self._cursors = warehouse.cursors(most)  # the first is the monitor's
        connections = [warehouse, *self._cursors[1:]]
        # A single worker takes the same time in any order, so that it goes by name.
        seconds = recorded_seconds(tasks, graph=graph, evidence=planned.evidence) if len(connections) > 1 else {}
        self._queue = ReadyQueue({task: graph.upstream_tasks(task) for task in tasks}, seconds=seconds)
        self._monitor = MemoryMonitor(self._cursors[0] if self._cursors else None)
        self._error: BaseException | None = None
        self.evidence: dict[str, Evidence] = dict(planned.evidence)
        context = RunContext(
            planned=planned,
            options=options,
            events=events,
            number=number,
            workers=len(connections),
            evidence=self.evidence,
            unreadable=unreadable,
            table_sizes=warehouse.sizes(),
            queue=self._queue,
            monitor=self._monitor,
            cutoff=EarlyCutoff(planned),
        )
        self._workers = [Worker(at, connection, context) for at, connection in enumerate(connections, 1)]
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"relspec-{at}", daemon=True)
            for at, worker in enumerate(self._workers if self._cursors else ())
        ]
        plans = [plan for task in tasks for plan in planned.plans.of_task(task)]
        if len(connections) > 1:  # a transaction that creates a schema excludes others that create it
            warehouse.create_schemas(plan.name for plan in plans)
        for connection in connections:
            for plan in plans:
                connection.prepare(plan, functions=connection is warehouse)

    def work(self) -> None:
        """Build everything that can be built.

        Raises:
            KeyboardInterrupt: as it comes; statements are stopped, and nothing half-done is published.
        """
        if self._threads:
            self._work_in_threads()
        else:
            self._work_here()
        if self._error is not None:
            raise self._error

    @property
    def peak_memory(self) -> int | None:
        """The most bytes that the engine held; None where the run was too short to observe."""
        return self._monitor.peak

    @property
    def is_working(self) -> bool:
        """Whether a worker has not ended yet."""
        return any(thread.is_alive() for thread in self._threads)

    def _work_here(self) -> None:
        """Work in this thread, to which another engine's connection may belong; a second one enforces deadlines."""
        has_ended = threading.Event()

        def watch() -> None:
            while not has_ended.wait(POLL_SECONDS):
                self._enforce_deadlines()

        watcher = threading.Thread(target=watch, name="relspec-watch", daemon=True)
        watcher.start()
        try:
            self._run(self._workers[0])
        finally:
            has_ended.set()
            watcher.join()

    def _work_in_threads(self) -> None:
        with deferred_signals() as handle_pending:
            try:
                for thread in self._threads:
                    thread.start()
                while working := [thread for thread in self._threads if thread.is_alive()]:
                    working[0].join(POLL_SECONDS)
                    handle_pending()
                    if self._error is not None:
                        self._stop()
                    self._enforce_deadlines()
                    self._monitor.look([worker.task for worker in self._workers if worker.task is not None])
            except BaseException:
                self._stop()
                raise
            finally:
                for cursor in self._cursors:
                    if not self._queue.is_stopped:
                        cursor.connection.close()

    def _run(self, worker: Worker) -> None:
        """Let one worker work, in its thread; its error stops the others."""
        try:
            worker.work()
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            if not self._queue.is_stopped:
                self._error = error
                self._queue.stop()

    def _stop(self) -> None:
        """Stop the workers; repeatedly, as an interrupt between two statements has no effect."""
        self._queue.stop()
        until = time.monotonic() + PATIENCE
        while self.is_working and time.monotonic() < until:
            for worker in self._workers:
                worker.warehouse.halt()
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(POLL_SECONDS)
        if not self.is_working:
            for worker in self._workers:
                worker.warehouse.is_halted = False

    def _enforce_deadlines(self) -> None:
        for worker in self._workers:
            worker.deadline.enforce()
