"""Failures of tasks: the error that is reported, and whether a retry can succeed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import RelspecError, TaskFailedError

if TYPE_CHECKING:
    from relspec_core.plan_catalog import PlanArtifact


FIRST_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """The failure of a task.

    Attributes:
        error: reported to the user.
        is_transient: whether a retry may succeed.
        is_fatal: whether the engine accepts no further statement from this process.
    """

    error: RelspecError
    is_transient: bool = False
    is_fatal: bool = False

    @classmethod
    def of(cls, plan: PlanArtifact, error: RelspecError | EngineError) -> Self:
        """The failure of a plan's task; a ``RelspecError`` may be caused by one of the engine."""
        cause = error.__cause__ if isinstance(error, RelspecError) else error
        return cls(
            error=error if isinstance(error, RelspecError) else task_failed(plan, error),
            is_transient=isinstance(cause, EngineError) and cause.is_transient,
            is_fatal=isinstance(cause, EngineError) and cause.is_fatal,
        )

    @classmethod
    def of_timeout(cls, plan: PlanArtifact, *, seconds: float) -> Self:
        """The failure of a task that exceeded its time limit."""
        return cls(
            error=TaskFailedError(
                f"task '{plan.task.name}' took longer than {seconds:g} s",
                at=plan.task.where,
                hint="raise its timeout, or make it faster; the previous table is unchanged.",
                sql=plan.sql,
            )
        )


def task_failed(plan: PlanArtifact, error: EngineError) -> TaskFailedError:
    """RS401 for an error of the engine, with the plan's location and SQL."""
    return TaskFailedError(
        f"task '{plan.task.name}' failed: {error.first_line}",
        at=plan.task.where,
        hint="fix the task or its data and rerun; the previous table is unchanged.",
        engine=error.details,
        sql=plan.sql,
    )


def pause_before(attempt: int) -> float:
    """The seconds to wait before a retry, counted from 1: each twice the last."""
    return FIRST_PAUSE * 2 ** (attempt - 1)
