"""The states of runs that have not ended."""

import dagster as dg

BUILDING = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.MANAGED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
)
IN_PROGRESS = (*BUILDING, dg.DagsterRunStatus.CANCELING)  # which may still write, and builds nothing more
