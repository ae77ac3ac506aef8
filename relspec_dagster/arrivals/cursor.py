"""What the evidence sensor remembers from tick to tick in Dagster: a small text that outlives every process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

FORM = 1  # of the text; one of another form was left by another release


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorCursor:
    """How far the sensor has read, and what it has asked for.

    Attributes:
        reported: of each source the storage id of the last materialization that was taken into account.
        asked: of each task that was asked for and is still stale, the key of the evidence it was asked for with.
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
