"""What tasks wait for, in a text short enough for the list of a sensor's ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import assert_never

from relspec_core.errors import SourceError
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, ReadinessReason, WaitsForTask, WrongType

MOST_NAMES = 3
MOST_REASONS = 6


def waiting_text(
    blocked: Mapping[str, tuple[ReadinessReason, ...]], held: Mapping[str, str], unreadable: Mapping[str, SourceError]
) -> str:
    """The reasons, each with the tasks that it keeps, those first that keep the most.

    >>> waiting_text({"revenue": (MissingEvidence(task="revenue", evidence="orders"),)}, {}, {})
    'revenue waits for orders, which is not there'
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
    for task, text in held.items():
        because.setdefault(text, []).append(task)
    parts += [f"{named(tasks)}: {text}" for text, tasks in because.items()]
    if after:
        parts.append(f"{named(after)} {'comes' if len(after) == 1 else 'come'} after these")
    rest = len(parts) - MOST_REASONS
    return "; ".join([*parts[:MOST_REASONS], *([f"and {rest} more reasons"] if rest > 0 else [])])


def _what(reason: ReadinessReason, unreadable: Mapping[str, SourceError]) -> str | None:
    """What a task waits for; None for another task that waits itself."""
    match reason:
        case MissingEvidence(evidence=name) if name in unreadable:
            return f"{name}, which can't be read now: {unreadable[name].what}"
        case MissingEvidence(evidence=name):
            return f"{name}, which is not there"
        case MissingColumn(evidence=name, column=column):
            return f"{name}.{column}, which is not there"
        case WrongType(evidence=name, column=column, required=required, actual=actual):
            return f"{name}.{column} as {required}, which is {actual}"
        case WaitsForTask():
            return None
        case _:
            assert_never(reason)


def named(names: Iterable[str]) -> str:
    """Some names, and how many more there are.

    >>> named(["a", "b"]), named("abcde")
    ('a and b', 'a, b, c and 2 more')
    """
    found = list(names)
    rest = len(found) - MOST_NAMES
    shown = [*found[:MOST_NAMES], *([f"{rest} more"] if rest > 0 else [])]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
