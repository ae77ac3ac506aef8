"""The reasons why tasks wait, in a text short enough for the list of a sensor's ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from relspec_core.errors import SourceError
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, ReadinessReason, WaitsForTask, WrongType
from relspec_core.model.reasons import Reason
from relspec_dagster.translation.metadata import coded

MOST_NAMES = 3
MOST_REASONS = 6


def waiting_text(
    blocked: Mapping[str, tuple[ReadinessReason, ...]],
    held: Mapping[str, Reason],
    unreadable: Mapping[str, SourceError],
) -> str:
    """The reasons, each with its code and the tasks that wait, the most frequent first.

    >>> waiting_text({"revenue": (MissingEvidence(task="revenue", evidence="orders"),)}, {}, {})
    'revenue waits for orders, which does not exist [missing_evidence]'
    """
    kept: dict[str, list[str]] = {}
    after: list[str] = []
    for task, reasons in blocked.items():
        own = dict.fromkeys(text for reason in reasons if (text := _what(reason, unreadable)) is not None)
        after += [] if own else [task]
        for text in own:
            kept.setdefault(text, []).append(task)
    parts = [
        f"{named(tasks)} {'waits' if len(tasks) == 1 else 'wait'} for {text}"
        for text, tasks in sorted(kept.items(), key=lambda item: (-len(item[1]), item))
    ]
    because: dict[str, list[str]] = {}
    for task, reason in held.items():
        because.setdefault(coded(reason), []).append(task)
    parts += [f"{named(tasks)}: {text}" for text, tasks in because.items()]
    if after:
        parts.append(f"{named(after)} {'comes' if len(after) == 1 else 'come'} after these")
    rest = len(parts) - MOST_REASONS
    return "; ".join([*parts[:MOST_REASONS], *([f"and {rest} more reasons"] if rest > 0 else [])])


def _what(reason: ReadinessReason, unreadable: Mapping[str, SourceError]) -> str | None:
    """The unsatisfied requirement of a task; None for another task that waits itself."""
    match reason:
        case MissingEvidence(evidence=name) if name in unreadable:
            text = f"{name}, which can't be read now: {unreadable[name].what}"
        case MissingEvidence(evidence=name):
            text = f"{name}, which does not exist"
        case MissingColumn(evidence=name, column=column):
            text = f"{name}.{column}, which does not exist"
        case WrongType(evidence=name, column=column, required=required, actual=actual):
            text = f"{name}.{column} as {required}, which is {actual}"
        case WaitsForTask():
            return None
        case _:
            assert_never(reason)
    return f"{text} [{reason.code}]"


def named(names: Iterable[str]) -> str:
    """The first names, and the number of the others.

    >>> named(["a", "b"]), named("abcde")
    ('a and b', 'a, b, c and 2 more')
    """
    found = list(names)
    rest = len(found) - MOST_NAMES
    shown = [*found[:MOST_NAMES], *([f"{rest} more"] if rest > 0 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
