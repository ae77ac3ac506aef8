"""Text for messages: durations, lists of names, the nearest names."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


MINUTE, HOUR = 60, 3600
MOST_SECONDS, MOST_MINUTES = 90, 90


def duration_text(seconds: float) -> str:
    """A measured duration.

    >>> duration_text(0.034), duration_text(12.34), duration_text(754), duration_text(7260)
    ('0.03 s', '12.3 s', '12 min 34 s', '2 h 1 min')
    """
    if seconds < MINUTE:
        return f"{seconds:.2f} s" if seconds < 1 else f"{min(seconds, 59.9):.1f} s"
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < HOUR else f"{whole // HOUR} h {whole % HOUR // 60} min"


def about(seconds: float) -> str:
    """An estimated duration.

    >>> about(0.2), about(1.2), about(80), about(250), about(9000)
    ('under a second', 'about 1 second', 'about 80 seconds', 'about 4 minutes', 'about 2.5 hours')
    """
    if seconds < 1:
        return "under a second"
    if seconds < MOST_SECONDS:
        number, unit = f"{seconds:.0f}", "second"
    elif seconds < MOST_MINUTES * MINUTE:
        number, unit = f"{seconds / MINUTE:.0f}", "minute"
    else:
        number, unit = f"{seconds / HOUR:.1f}", "hour"
    return f"about {number} {unit}{'' if number == '1' else 's'}"


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most similar to ``name``, ignoring case; None if none is similar.

    >>> nearest("amout", ["amount", "id"])
    'amount'
    >>> nearest("AMOUNT", ["amount", "id"])
    'amount'
    """
    by_folded = {candidate.casefold(): candidate for candidate in sorted(candidates, reverse=True)}
    found = get_close_matches(name.casefold(), sorted(by_folded), n=1, cutoff=0.5)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """``did you mean 'amount'?`` and a space, or an empty string if no candidate is similar."""
    found = nearest(name, candidates)
    return f"did you mean '{found}'? " if found else ""


def alternatives(name: str, candidates: Iterable[str], *, most: int = 12) -> str:
    """A hint for an unknown name: the nearest candidate, and all of them.

    >>> alternatives("amout", ["amount", "id"])
    "did you mean 'amount'? There are 'amount', 'id'."
    """
    candidates = tuple(candidates)
    return f"{did_you_mean(name, candidates)}There are {listed(candidates, most=most)}."


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its class if it has none.

    >>> first_line(ValueError(" no ")), first_line(ValueError())
    ('no', 'ValueError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Quoted names, in order, the first ``most`` of them.

    >>> listed(["b", "a"])
    "'b', 'a'"
    >>> listed([])
    'none'
    """
    quoted = [f"'{name}'" for name in names]
    if len(quoted) > most:
        quoted = [*quoted[:most], f"and {len(quoted) - most} more"]
    return ", ".join(quoted) or "none"
