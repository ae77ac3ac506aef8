"""A worker of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relspec_core.publication import Publication
    from relspec_core.run_log import RunLog


@dataclass(slots=True, kw_only=True)
class Worker:
    """One thread of a run.

    Attributes:
        number: from 0.
        publication: on its own connection; holds what it has built and not yet published.
        log: of runs, on the same connection.
        since: how many publications of others its open transaction knows of.
        deadline: when the task that it builds now has taken too long; None where there is no limit.
        is_late: whether that has come.
        task: what it builds now.
        lock: held to change the deadline, and to act on it.
    """

    number: int
    publication: Publication
    log: RunLog
    since: int = 0
    deadline: float | None = None
    is_late: bool = False
    task: str | None = None
    lock: Lock = field(default_factory=Lock)
