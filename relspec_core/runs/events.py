"""What happens in a run, told as it happens and kept for its report."""

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
    """Task to one-line reason, for each outcome; several threads may tell of theirs.

    Attributes:
        progress: shows it.
        ran: built, and why.
        skipped: left as they are, and why.
        failed: what went wrong, in one line.
        blocked: what they wait for.
        errors: of failed tasks, all that is known.
    """

    progress: RunProgress
    ran: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    def begin(self, task: str) -> None:
        """A task is being built now."""
        with self._lock:
            self.progress.begin(task)

    def say(self, line: str) -> None:
        """Something that changes no outcome."""
        with self._lock:
            self.progress.say(line)

    def skip(self, task: str, reason: str) -> None:
        """A task is left as it is."""
        with self._lock:
            self.skipped[task] = reason
            self.progress.say(f"skipped {task}: {reason}")

    def carry(self, task: str, reason: str) -> None:
        """A task that was stale is left as it is, for all that it reads came out as before."""
        with self._lock:
            self.skipped[task] = reason
            self.progress.end(f"skipped {task}: {reason}")

    def block(self, task: str, reason: str) -> None:
        """A task can't be built."""
        with self._lock:
            self.blocked[task] = reason
            self.progress.say(f"blocked {task}: {reason}")

    def fail(self, task: str, error: RelspecError) -> None:
        """A task was tried in vain."""
        with self._lock:
            self.failed[task] = error.in_one_line
            self.errors[task] = str(error)
            self.progress.end(f"failed  {task}: {error}")

    def end(self, built: Built, reason: str) -> None:
        """A task's tables are there."""
        with self._lock:
            self.ran[built.task] = reason
            self.progress.end(f"ran     {built.task} ({_size(built)}, {built.seconds:.2f} s): {reason}")

    def is_broken(self, task: str) -> bool:
        """Whether what reads a task can't be built."""
        return task in self.failed or task in self.blocked

    def not_built(self, planned: RunPlan) -> list[TaskOutcome]:
        """What became of the tasks that were not built, for the log."""
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
        """All of it."""
        return RunReport(ran=self.ran, skipped=self.skipped, failed=self.failed, blocked=self.blocked, seconds=seconds)


def _size(built: Built) -> str:
    return ", ".join("view" if output.rows is None else f"{output.rows:,} rows" for output in built.outputs)
