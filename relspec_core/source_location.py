"""Where a declaration stands: a line of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A line of a file, and a column where one is known; printed relative to the working folder if it lies in there."""

    file: str
    line: int
    column: int | None = None

    def __str__(self) -> str:
        path = Path(self.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line}" + (f", column {self.column}" if self.column else "")
