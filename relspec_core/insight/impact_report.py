"""What a change would do, as a value that prints itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relspec_core.inferred_deps import Use
    from relspec_core.insight.schema_change import EvidenceChange
    from relspec_core.insight.what_if_plans import TableChange


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenReader:
    """A task that could not read what it needs any more.

    Attributes:
        task: the reader.
        evidence: what it reads.
        column: that it needs; None where the whole evidence is gone, or the task does not compile for another reason.
        uses: how it uses the column.
        problem: what is wrong with it.
        likely: the new name, where one is seen.
    """

    task: str
    evidence: str
    column: str | None
    uses: tuple[Use, ...]
    problem: str
    likely: str | None

    @property
    def reads(self) -> str:
        """The column, or the evidence."""
        return self.evidence if self.column is None else f"{self.evidence}.{self.column}"

    @property
    def hint(self) -> str:
        """What to do next."""
        if self.likely:
            return f"let task '{self.task}' read '{self.likely}', or keep '{self.reads}' until it does."
        return f"keep '{self.reads}' unchanged, or fix task '{self.task}' first."

    def __str__(self) -> str:
        uses = f" ({', '.join(self.uses)})" if self.uses else ""
        return f"task '{self.task}' reads '{self.reads}'{uses}, {self.problem}\n    next: {self.hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingReader:
    """A task that reads what a broken or waiting task could not write any more."""

    task: str
    evidence: str
    producer: str
    broken: str

    def __str__(self) -> str:
        cause = "breaks" if self.producer == self.broken else f"waits for task '{self.broken}'"
        return f"task '{self.task}' waits for '{self.evidence}' of task '{self.producer}', which {cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """A task that would run again.

    Attributes:
        task: its name.
        evidence: what it reads that would not be the same, or what it writes itself.
        columns: those of the evidence that it reads and that would not be the same; none: the rows.
        writes: whether the evidence is its own table.
        tables: what it would write otherwise, where it takes whatever columns the evidence has.
    """

    task: str
    evidence: str
    columns: tuple[str, ...]
    writes: bool = False
    tables: tuple[TableChange, ...] = ()

    def __str__(self) -> str:
        if self.writes:
            return f"task '{self.task}' writes '{self.evidence}'"
        if self.tables:
            tables = " and ".join(str(table) for table in self.tables)
            return f"task '{self.task}' reads all columns of '{self.evidence}', and would write {tables}"
        what = ", ".join(f"'{self.evidence}.{column}'" for column in self.columns) or f"the rows of '{self.evidence}'"
        return f"task '{self.task}' reads {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Impact:
    """Every task of a catalog, by what a change does to it; each part by task name.

    Attributes:
        change: what is asked about.
        broken: tasks that read what would be gone or of another type, with each such column.
        waiting: tasks that wait for those.
        rebuilt: tasks that would run again.
        untouched: all others.
    """

    change: EvidenceChange
    broken: tuple[BrokenReader, ...]
    waiting: tuple[WaitingReader, ...]
    rebuilt: tuple[Rebuild, ...]
    untouched: tuple[str, ...]

    @property
    def broken_tasks(self) -> tuple[str, ...]:
        """The tasks that break, each once."""
        return tuple(dict.fromkeys(found.task for found in self.broken))

    @property
    def ok(self) -> bool:
        """Whether nothing breaks."""
        return not self.broken

    def __str__(self) -> str:
        lines = ["change", *(f"  {step}" for step in self.change.steps)]
        for title, found in (("breaks", self.broken), ("waits", self.waiting), ("would rebuild", self.rebuilt)):
            if found:
                lines += [title, *(f"  {item}" for item in found)]
        if self.untouched:
            lines += ["untouched", f"  {', '.join(self.untouched)}"]
        counts = (
            f"{len(self.broken_tasks)} broken, {len(self.waiting)} waiting, {len(self.rebuilt)} rebuilt, "
            f"{len(self.untouched)} untouched"
        )
        return "\n".join([*lines, counts])

    def to_json(self) -> str:
        """The same as JSON, the same bytes for the same change."""
        data = {
            "evidence": self.change.evidence,
            "change": list(self.change.steps),
            "breaks": [
                {
                    "task": found.task,
                    "evidence": found.evidence,
                    "column": found.column,
                    "uses": [str(use) for use in found.uses],
                    "problem": found.problem,
                    "likely": found.likely,
                    "next": found.hint,
                }
                for found in self.broken
            ],
            "waits": [
                {"task": found.task, "evidence": found.evidence, "producer": found.producer, "broken": found.broken}
                for found in self.waiting
            ],
            "rebuilds": [
                {
                    "task": found.task,
                    "evidence": found.evidence,
                    "columns": list(found.columns),
                    "writes": found.writes,
                    "tables": [
                        {
                            "evidence": table.evidence,
                            "lost": list(table.lost),
                            "new": list(table.new),
                            "retyped": {column: str(kind) for column, kind in table.retyped.items()},
                        }
                        for table in found.tables
                    ],
                }
                for found in self.rebuilt
            ],
            "untouched": list(self.untouched),
        }
        return json.dumps(data, indent=2)
