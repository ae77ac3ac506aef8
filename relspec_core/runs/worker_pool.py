"""The workers of a run: each has a thread and a connection of its own; they are started, watched and stopped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from relspec_core.planning.estimate import recorded_seconds
from relspec_core.runs.memory_monitor import MemoryMonitor
from relspec_core.runs.publication import Publication
from relspec_core.runs.ready_queue import ReadyQueue
from relspec_core.runs.run_log import RunLog
from relspec_core.runs.worker import LOOK_AGAIN, TaskWork, Worker
from relspec_core.system.deferred_signals import held_signals
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.errors import RelspecError
    from relspec_core.evidence import Evidence
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.events import RunEvents
    from relspec_core.runs.options import RunOptions
    from relspec_core.warehouses.warehouse import Warehouse


PATIENCE = 1.5


class WorkerPool:
    """Builds the scheduled tasks of a plan.

    Args:
        planned: what is to be done.
        warehouse: where; ready for records.
        options: how.
        events: told of everything.
        refused: for sources that can't be read, what is wrong with them.
        run: its number in the log.
    """

    def __init__(
        self,
        planned: RunPlan,
        warehouse: Warehouse,
        options: RunOptions,
        events: RunEvents,
        refused: Mapping[str, RelspecError],
        run: int,
    ) -> None:
        self._planned = planned
        self._options = options
        self.now: dict[str, Evidence] = dict(planned.evidence)
        self._error: BaseException | None = None
        upstream = {task: planned.graph.upstream_tasks(task) for task in planned.schedule.order}
        self._cursors: list[DuckDBWarehouse] = []
        if isinstance(warehouse, DuckDBWarehouse):
            alone = options.all_or_nothing or warehouse.has_session_tables()
            number = 1 if alone else max(1, min(options.workers, len(upstream)))
            self._cursors = [warehouse.cursor() for _ in range(number)]
        others = self._cursors[1:]
        number = 1 + len(others)
        # One worker takes as long in any order, so that this is by name.
        queue = ReadyQueue(upstream, seconds=self._recorded_seconds() if number > 1 else {})
        self._monitor = MemoryMonitor(self._cursors[0] if self._cursors else None)
        self._tasks = TaskWork(
            planned,
            options,
            events,
            refused=refused,
            run=run,
            queue=queue,
            monitor=self._monitor,
            sizes=warehouse.sizes(),
            is_alone=number == 1,
        )
        self._workers = [
            Worker(number=at, publication=self._publication(own), log=RunLog(own))
            for at, own in enumerate([warehouse, *others])
        ]
        self._threads = [
            threading.Thread(target=self._work, args=(worker,), name=f"relspec-{worker.number}", daemon=True)
            for worker in (self._workers if self._cursors else ())
        ]
        if number > 1:  # a transaction that creates one keeps others from it
            warehouse.make_schemas(plan.name for task in planned.schedule.order for plan in planned.plans.of_task(task))
        for worker in self._workers:
            for task in planned.schedule.order:
                for plan in planned.plans.of_task(task):
                    worker.publication.warehouse.prepare(plan, functions=worker.number == 0)

    def _recorded_seconds(self) -> dict[str, float]:
        graph, evidence = self._planned.graph, self._planned.evidence
        return recorded_seconds(self._planned.schedule.order, graph=graph, evidence=evidence)

    def _publication(self, warehouse: Warehouse) -> Publication:
        graph = self._planned.graph
        return Publication(
            warehouse=warehouse,
            plans=self._planned.plans,
            published=self.now,
            cutoff_rows=self._options.cutoff_rows,
            groups=lambda output: sorted({edge.columns for edge in graph.edges_from(output)}),
        )

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

    def _work_here(self) -> None:
        """Work in this thread, to which the connection of another engine may belong; stop what is late from another."""
        has_ended = threading.Event()

        def watch() -> None:
            while not has_ended.wait(LOOK_AGAIN):
                self._stop_what_is_late()

        watcher = threading.Thread(target=watch, name="relspec-watch", daemon=True)
        watcher.start()
        try:
            self._work(self._workers[0])
        finally:
            has_ended.set()
            watcher.join()

    def _work_in_threads(self) -> None:
        with held_signals() as tell_signals:
            try:
                for thread in self._threads:
                    thread.start()
                while working := [thread for thread in self._threads if thread.is_alive()]:
                    working[0].join(LOOK_AGAIN)
                    tell_signals()
                    if self._error is not None:
                        self._stop()
                    self._stop_what_is_late()
                    self._monitor.look([worker.task for worker in self._workers if worker.task is not None])
            except BaseException:
                self._stop()
                raise
            finally:
                for cursor in self._cursors:
                    if not self._tasks.stopping.is_set():
                        cursor.connection.close()

    @property
    def peak_memory(self) -> int | None:
        """The most bytes that the engine held; None where the run was too short to see."""
        return self._monitor.peak

    @property
    def is_working(self) -> bool:
        """Whether a worker has not ended yet."""
        return any(thread.is_alive() for thread in self._threads)

    def _stop(self) -> None:
        """Stop the statements that run; again, as what is between two does not hear it."""
        self._tasks.stopping.set()
        until = time.monotonic() + PATIENCE
        while self.is_working and time.monotonic() < until:
            for worker in self._workers:
                worker.publication.warehouse.halt()
            self._tasks.wake()
            for thread in self._threads:
                if thread.is_alive():
                    thread.join(LOOK_AGAIN)
        if not self.is_working:
            for worker in self._workers:
                worker.publication.warehouse.is_halted = False

    def _stop_what_is_late(self) -> None:
        for worker in self._workers:
            with worker.lock:
                if worker.deadline is not None and time.monotonic() > worker.deadline:
                    worker.is_late = True
                    worker.publication.warehouse.interrupt()

    def _work(self, worker: Worker) -> None:
        """All that one worker does, in its thread."""
        try:
            self._tasks.work(worker)
        except BaseException as error:  # noqa: BLE001 - told in the thread that waits, which stops the others
            if not self._tasks.stopping.is_set():
                self._error = error
                self._tasks.stopping.set()
            worker.publication.abandon()
        finally:
            self._tasks.wake()
