"""Reasons to rebuild a table, and to leave it alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from relspec_core.model.formatting import listed
from relspec_core.model.reasons import Reason

How = Literal["contents", "rows", "calculation", "nondeterminism", "rebuild"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged(Reason):
    """The table is what its plan would write now."""

    code: ClassVar[str] = "unchanged"

    def __str__(self) -> str:
        return UNCHANGED


UNCHANGED = "unchanged: its plan and inputs are the same as when it was built"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBuilt(Reason):
    """The table does not exist, or relspec has no record of it."""

    code: ClassVar[str] = "not_built"
    table: str

    def __str__(self) -> str:
        return f"'{self.table}' does not exist yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedOutside(Reason):
    """The table is not what relspec recorded when it wrote it."""

    code: ClassVar[str] = "changed_outside"
    table: str

    def __str__(self) -> str:
        return f"'{self.table}' was changed outside relspec since it was built"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindChanged(Reason):
    """The table is to be a view, or the other way round."""

    code: ClassVar[str] = "kind_changed"
    table: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"'{self.table}' is a {self.before} and is to be a {self.now}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsChanged(Reason):
    """The plan chooses other rows."""

    code: ClassVar[str] = "plan_rows_changed"

    def __str__(self) -> str:
        return "its plan changed: other rows, by a filter, join, group, order or limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsChanged(Reason):
    """The plan has other columns."""

    code: ClassVar[str] = "plan_columns_changed"
    gone: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{word} {listed(names)}" for word, names in (("without", self.gone), ("with new", self.new)) if names]
        return f"its plan changed: {' and '.join(parts)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculationChanged(Reason):
    """The plan calculates columns differently."""

    code: ClassVar[str] = "plan_calculation_changed"
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return f"its plan changed: another calculation of {listed(self.columns)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderChanged(Reason):
    """The plan has its columns in another order."""

    code: ClassVar[str] = "plan_order_changed"

    def __str__(self) -> str:
        return "its plan changed: another order of columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nondeterministic(Reason):
    """The plan may give other values each time."""

    code: ClassVar[str] = "nondeterministic"
    cause: str

    def __str__(self) -> str:
        return f"it {self.cause}; declare the task deterministic if that does not matter"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputChanged(Reason):
    """Something that the task reads has another version than it had when the table was built.

    Attributes:
        evidence: what it reads.
        columns: that have another version; none: its rows have.
        how: why they have.
        producer: the task that writes the evidence; None for a source.
        cause: of nondeterminism.
    """

    code: ClassVar[str] = "input_changed"
    evidence: str
    columns: tuple[str, ...]
    how: How
    producer: str | None = None
    cause: str = ""

    def __str__(self) -> str:
        what = ", ".join(f"{self.evidence}.{column}" for column in self.columns) or f"the rows of {self.evidence}"
        how = {
            "contents": "which changed",
            "rows": "whose rows are selected differently",
            "calculation": "whose calculation changed",
            "nondeterminism": f"which may come out differently each time: it {self.cause}",
            "rebuild": f"which task '{self.producer}' rebuilds",
        }
        return f"reads {what}, {how[self.how]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentsChanged(Reason):
    """What the task reads now has other contents than when the table was built."""

    code: ClassVar[str] = "contents_changed"
    evidence: str
    needs: str

    def __str__(self) -> str:
        return f"reads {self.needs} of '{self.evidence}', which changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownInput(Reason):
    """The version of what the task reads is not known.

    Attributes:
        evidence: what it reads.
        needs: its columns in words.
        is_untold: whether its files' storage reports neither times nor checksums.
    """

    code: ClassVar[str] = "unknown_input"
    evidence: str
    needs: str
    is_untold: bool = False

    def __str__(self) -> str:
        why = UNTOLD if self.is_untold else "of which no version is known"
        return f"reads {self.needs} of '{self.evidence}', {why}"


UNTOLD = "whose store tells neither times nor checksums, so that it may have changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnverifiedFiles(Reason):
    """The files of a source changed while or after the task read them, before that could be checked."""

    code: ClassVar[str] = "unverified_files"
    evidence: str

    def __str__(self) -> str:
        return f"the files of '{self.evidence}' changed, and it is not known whether they did while they were read"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownOrigin(Reason):
    """The versions of what the table was built from are not known."""

    code: ClassVar[str] = "unknown_origin"
    table: str

    def __str__(self) -> str:
        return f"the versions of what '{self.table}' was built from are not known"
