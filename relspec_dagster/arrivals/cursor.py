"""The cursor of the evidence sensor, which Dagster keeps from tick to tick."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

FORM = 1  # of the text; another release may have written another form


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorCursor:
    """The reported materializations that were read, and the requests that were made.

    Attributes:
        reported: the storage id of the last materialization of each source that was read.
        asked: the key of the request of each task that is still stale.
    """

    reported: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> SensorCursor | None:
        """The cursor that a text holds; None for no text, and for one that this release has not written.

        >>> SensorCursor.parse("17"), SensorCursor.parse(None)
        (None, None)
        """
        try:
            found = json.loads(text or "")
            if found["form"] != FORM:
                return None
            reported = {str(name): int(number) for name, number in found["reported"].items()}
            return cls(reported=reported, asked={str(task): str(key) for task, key in found["asked"].items()})
        except (ValueError, LookupError, TypeError, AttributeError):
            return None

    def __str__(self) -> str:
        """The text.

        >>> str(SensorCursor(reported={"orders": 17}))
        '{"form":1,"reported":{"orders":17},"asked":{}}'
        """
        found = {
            "form": FORM,
            "reported": dict(sorted(self.reported.items())),
            "asked": dict(sorted(self.asked.items())),
        }
        return json.dumps(found, separators=(",", ":"))
