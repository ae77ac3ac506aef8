"""Snapshots of user-visible messages: one text file per area in ``tests/snapshots/messages``.

A file holds sections, each a title that says what was done and the whole message that the user sees. To renew them:
``python -m pytest tests/docs/test_messages.py tests/dagster --renew-snapshots``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from relspec_core import RelspecError

FOLDER = Path(__file__).parents[1] / "snapshots" / "messages"
TITLE = "# "
RENEW = "--renew-snapshots"


class MessageSnapshots:
    """Compares the messages of an area with its file, or writes the file.

    Args:
        renew: write the files instead.
    """

    def __init__(self, *, renew: bool) -> None:
        self._renew = renew

    def __call__(self, area: str, messages: Mapping[str, object]) -> None:
        """Compare all messages of an area, in order.

        Args:
            area: the file's name without its ending.
            messages: by a title that says what was done, each with the error, reason or text that the user sees.
        """
        file = FOLDER / f"{area}.txt"
        text = "\n".join(f"{TITLE}{title}\n{_plain(message)}\n" for title, message in messages.items())
        if self._renew:
            file.write_text(text, encoding="utf-8")
        expected = file.read_text(encoding="utf-8") if file.exists() else ""
        hint = f"renew with: python -m pytest {RENEW} (the test that failed), then review the diff of {file.name}"
        assert text == expected, hint


def _plain(message: object) -> str:
    """The message, its lines without the blanks at their ends."""
    return "\n".join(line.rstrip() for line in str(message).splitlines())


def error_of(action: Callable[[], object]) -> RelspecError:
    """The error that an action raises."""
    with pytest.raises(RelspecError) as caught:
        action()
    return caught.value


def sections(area: str) -> Iterator[tuple[str, str]]:
    """The title and the message of each section of an area's file."""
    for section in re.split(rf"^{TITLE}", (FOLDER / f"{area}.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        title, _, message = section.partition("\n")
        yield title, message.strip("\n")
