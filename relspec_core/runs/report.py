"""The report of a run: a value that prints itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relspec_core.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Terminated(KeyboardInterrupt):
    """The process received a termination signal."""


class RunInterrupted(KeyboardInterrupt):
    """A run was interrupted; the cause is the interrupt.

    Attributes:
        report: the outcomes so far.
        is_stuck: whether a statement continues although it was interrupted; only the end of the process ends it.
    """

    def __init__(self, report: RunReport, *, is_stuck: bool) -> None:
        self.report = report
        self.is_stuck = is_stuck
        finished = ", ".join(report.ran) or "none"
        super().__init__(f"interrupted; {len(report.ran)} finished and kept: {finished}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The outcomes of a run, each a mapping of task to one-line reason in order of events.

    Attributes:
        ran: built tasks.
        skipped: unchanged tasks.
        failed: failed tasks with the engine's error.
        blocked: blocked tasks.
        seconds: duration of the run.
    """

    ran: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    blocked: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing is blocked."""
        return not self.failed and not self.blocked

    @property
    def total(self) -> str:
        """The counts of all outcomes and the duration, in one line."""
        counts = ", ".join(
            f"{len(found)} {outcome}"
            for outcome, found in (
                ("ran", self.ran),
                ("skipped", self.skipped),
                ("failed", self.failed),
                ("blocked", self.blocked),
            )
        )
        return f"{counts}, in {self.seconds:.1f} s"

    def raise_if_failed(self) -> None:
        """Raise if a task failed or is blocked.

        Raises:
            TaskFailedError: RS401, with every reason.
        """
        if not self.ok:
            reasons = [*self.failed.values(), *self.blocked.values()]
            raise TaskFailedError(
                self.total, at="; ".join(reasons), hint="fix these and rerun; tables that were built are kept."
            )

    def __str__(self) -> str:
        lines = [
            f"{outcome:<8}{task}: {reason}"
            for outcome, found in (
                ("ran", self.ran),
                ("skipped", self.skipped),
                ("failed", self.failed),
                ("blocked", self.blocked),
            )
            for task, reason in found.items()
        ]
        return "\n".join([*lines, self.total])
