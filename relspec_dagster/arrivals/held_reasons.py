"""Reasons not to request a stale task now, although its readiness allows it."""

from dataclasses import dataclass
from typing import ClassVar

from relspec_core.model.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInProgress(Reason):
    """A run in progress builds the task."""

    code: ClassVar[str] = "run_in_progress"
    run: str

    def __str__(self) -> str:
        return f"in run {self.run[:8]}, which is in progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlreadyRequested(Reason):
    """The task was requested with the same evidence, and its run did not build it."""

    code: ClassVar[str] = "already_requested"

    def __str__(self) -> str:
        return "was requested with the present evidence and not built: it waits for new evidence"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsForHeldTask(Reason):
    """The task reads what another task writes that is not requested now."""

    code: ClassVar[str] = "waits_for_held_task"
    task: str

    def __str__(self) -> str:
        return f"waits for {self.task}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownContents(Reason):
    """The contents of a source are unknown, because another process writes to the warehouse."""

    code: ClassVar[str] = "unknown_contents"
    evidence: str

    def __str__(self) -> str:
        return f"reads {self.evidence}, whose contents are unknown while the warehouse is being written to"
