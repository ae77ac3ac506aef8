"""The facts in the skip messages of sensors and schedules: codes and names, without the wording."""

import re

WAITS = re.compile(r"(?P<tasks>[^:]+?) waits? for (?P<evidence>[\w.]+),? .*\[(?P<code>\w+)\]")
HELD = re.compile(r"(?P<tasks>.+?): .*\[(?P<code>\w+)\]")


def codes(message: str | None) -> tuple[str, ...]:
    """The codes of the reasons, in order.

    >>> codes("none of 8 tasks is stale [unchanged]")
    ('unchanged',)
    """
    return tuple(re.findall(r"\[(\w+)\]", message or ""))


def waiting(message: str | None) -> set[tuple[str, str, str]]:
    """The tasks that wait, the evidence that they wait for, where it is named, and the code of the reason.

    >>> waiting("total and mean wait for orders, which does not exist [missing_evidence]")
    {('total and mean', 'orders', 'missing_evidence')}
    """
    parts = [part.split("; ") for part in (message or "").splitlines()]
    found: set[tuple[str, str, str]] = set()
    for part in (text for line in parts for text in line):
        if waits := WAITS.fullmatch(part):
            found.add((waits["tasks"], waits["evidence"], waits["code"]))
        elif held := HELD.fullmatch(part):
            found.add((held["tasks"], "", held["code"]))
    return found
