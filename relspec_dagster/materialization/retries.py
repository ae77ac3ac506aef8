"""Retries of a task's op after transient failures."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from relspec_core.errors import TaskFailedError
from relspec_core.runs.failures import FIRST_PAUSE, TaskFailure
from relspec_core.task_catalog import TaskSpec
from relspec_dagster.translation.projection import TaskAssets


def retry_policy(task: TaskSpec) -> dg.RetryPolicy | None:
    """The retries of its op, after pauses of 0.5 s, 1.5 s, 3.5 s and so on; None for none."""
    if not task.retries:
        return None
    return dg.RetryPolicy(max_retries=task.retries, delay=FIRST_PAUSE, backoff=dg.Backoff.EXPONENTIAL)


@contextmanager
def retried_where_it_helps(assets: TaskAssets) -> Generator[None]:
    """Let Dagster retry the body only after transient failures.

    Raises:
        Failure: in place of RS401, where the failure is not transient.
    """
    try:
        yield
    except TaskFailedError as error:
        if not assets.task.retries or TaskFailure.of(assets.outputs[0].artifact, error).is_transient:
            raise
        raise dg.Failure(description=str(error), allow_retries=False) from error
