"""What a run did: a value that prints itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relspec_core.errors import TaskFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Terminated(KeyboardInterrupt):
    """The process was asked to end."""


class RunInterrupted(KeyboardInterrupt):
    """A run was stopped before its end; its cause is how.

    Attributes:
        report: what was done until then.
        is_stuck: whether a statement goes on although it was stopped: only the end of the process ends it.
    """

    def __init__(self, report: RunReport, *, is_stuck: bool) -> None:
        self.report = report
        self.is_stuck = is_stuck
        finished = ", ".join(report.ran) or "none"
        super().__init__(f"interrupted; {len(report.ran)} finished and kept: {finished}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """Task to one-line reason, for each outcome, in the order in which it happened.

    Attributes:
        ran: built, and why.
        skipped: left as they are, and why.
        failed: what the engine said.
        blocked: what they wait for.
        seconds: from start to end.
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
        """All in one line."""
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
        """Raise where a task failed or is blocked.

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
