"""Events of a run: shown as they happen and kept for its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING

from relspec_core.runs.history import TaskEnd, TaskOutcome
from relspec_core.runs.report import RunReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.errors import RelspecError
    from relspec_core.planning.run_plan import RunPlan
    from relspec_core.runs.progress import RunProgress
    from relspec_core.runs.publication import Built


@dataclass(slots=True, kw_only=True)
class RunEvents:
    """The outcomes of a run, each a mapping of task to one-line reason; safe for several threads.

    Attributes:
        progress: shows each event.
        ran: built tasks.
        skipped: unchanged tasks.
        failed: failed tasks with the error in one line.
        blocked: blocked tasks.
        errors: the full errors of failed tasks.
    """

    progress: RunProgress
    ran: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def begin(self, task: str) -> None:
        """Show that a task is being built."""
        with self._lock:
            self.progress.begin(task)

    def say(self, line: str) -> None:
        """Show a line that changes no outcome."""
        with self._lock:
            self.progress.say(line)

    def skip(self, task: str, reason: str) -> None:
        """Report a task that is up to date."""
        with self._lock:
            self.skipped[task] = reason
            self.progress.say(f"skipped {task}: {reason}")

    def carry(self, task: str, reason: str) -> None:
        """Report a stale task that was carried forward, as its inputs are unchanged."""
        with self._lock:
            self.skipped[task] = reason
            self.progress.end(f"skipped {task}: {reason}")

    def block(self, task: str, reason: str) -> None:
        """Report a task that can't be built."""
        with self._lock:
            self.blocked[task] = reason
            self.progress.say(f"blocked {task}: {reason}")

    def fail(self, task: str, error: RelspecError) -> None:
        """Report a failed task."""
        with self._lock:
            self.failed[task] = error.in_one_line
            self.errors[task] = str(error)
            self.progress.end(f"failed  {task}: {error}")

    def end(self, built: Built, reason: str) -> None:
        """Report a task whose tables were published."""
        with self._lock:
            self.ran[built.task] = reason
            self.progress.end(f"ran     {built.task} ({_size(built)}, {built.seconds:.2f} s): {reason}")

    def is_broken(self, task: str) -> bool:
        """Whether a task failed or is blocked, which blocks its readers."""
        return task in self.failed or task in self.blocked

    def not_built(self, planned: RunPlan) -> list[TaskOutcome]:
        """Outcomes of the tasks that were not built, for the run log."""
        ends: tuple[tuple[TaskEnd, Mapping[str, str]], ...] = (
            ("failed", self.failed),
            ("blocked", self.blocked),
            ("skipped", self.skipped),
        )
        return [
            TaskOutcome(
                task=task,
                outcome=end,
                reason=why,
                code=planned.code(task) if end == "skipped" or task in planned.schedule.blocked else None,
                error=self.errors.get(task),
                upstream=planned.graph.upstream_tasks(task),
            )
            for end, found in ends
            for task, why in found.items()
        ]

    def report(self, *, seconds: float) -> RunReport:
        """The report of all outcomes so far."""
        return RunReport(ran=self.ran, skipped=self.skipped, failed=self.failed, blocked=self.blocked, seconds=seconds)


def _size(built: Built) -> str:
    return ", ".join("view" if output.rows is None else f"{output.rows:,} rows" for output in built.outputs)
