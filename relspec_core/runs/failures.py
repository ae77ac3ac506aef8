"""What a task failed with, and whether that may pass by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import duckdb

from relspec_core.errors import RelspecError, TaskFailedError
from relspec_core.warehouses.ibis_warehouse import EngineError

if TYPE_CHECKING:
    from relspec_core.plan_catalog import PlanArtifact


PASSING = (duckdb.IOException, duckdb.ConnectionException, duckdb.HTTPException, duckdb.TransactionException)
LASTING = re.compile(
    r"No files found|No such file|not exist|Permission denied|not supported|No space left|File too large", re.IGNORECASE
)
INVALIDATED = "database has been invalidated"
FIRST_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """What a task failed with.

    Attributes:
        error: as the user is told.
        may_pass: whether the same may do at another time: after an I/O error, a lost connection, a conflict.
        ends_everything: whether no statement of this process will do any more.
    """

    error: RelspecError
    may_pass: bool = False
    ends_everything: bool = False

    @classmethod
    def of(cls, plan: PlanArtifact, error: RelspecError | duckdb.Error) -> Self:
        """What comes of an error, which may stand for one of the engine."""
        cause = error.__cause__ if isinstance(error, RelspecError) else error
        return cls(
            error=error if isinstance(error, RelspecError) else engine_error(plan, error),
            may_pass=_may_pass(cause),
            ends_everything=isinstance(cause, duckdb.FatalException) or INVALIDATED in str(cause),
        )

    @classmethod
    def of_lateness(cls, plan: PlanArtifact, *, seconds: float) -> Self:
        """A task took longer than it may."""
        return cls(
            error=TaskFailedError(
                f"task '{plan.task.name}' took longer than {seconds:g} s",
                at=plan.task.where,
                hint="give it more time, or make it faster; its table is as it was before.",
                sql=plan.sql,
            )
        )


def _may_pass(error: BaseException | None) -> bool:
    if isinstance(error, EngineError):
        return error.may_pass
    return isinstance(error, PASSING) and not LASTING.search(str(error))


def engine_error(plan: PlanArtifact, error: duckdb.Error) -> TaskFailedError:
    """What the engine said of a plan, with the plan's place and its SQL."""
    first, *more = str(error).strip().splitlines() or [type(error).__name__]
    return TaskFailedError(
        f"task '{plan.task.name}' failed: {first}",
        at=plan.task.where,
        hint="mend the task or its data and run again; its table is as it was before.",
        engine="\n".join(more),
        sql=plan.sql,
    )


def pause_before(attempt: int) -> float:
    """The seconds to wait before trying again for the first time (1), the second, ...: each twice the last."""
    return FIRST_PAUSE * 2 ** (attempt - 1)
