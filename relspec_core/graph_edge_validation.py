"""Checks edge requirements against existing evidence; each violation is a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from relspec_core.errors import NotReadyError
from relspec_core.model.formatting import listed, nearest
from relspec_core.model.reasons import Reason
from relspec_core.model.schemas import fits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis
    import ibis.expr.datatypes as dt

    from relspec_core.evidence import Evidence
    from relspec_core.graph_inference import EdgeRequirement


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvidence(Reason):
    """A task reads a table that does not exist now."""

    code: ClassVar[str] = "missing_evidence"
    task: str
    evidence: str

    def __str__(self) -> str:
        return f"task '{self.task}' waits for '{self.evidence}', which does not exist"


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingColumn(Reason):
    """A task reads a column that its table does not have now."""

    code: ClassVar[str] = "missing_column"
    task: str
    evidence: str
    column: str
    columns: tuple[str, ...]

    def __str__(self) -> str:
        found = nearest(self.column, self.columns)
        return (
            f"task '{self.task}' reads '{self.evidence}.{self.column}', which '{self.evidence}' lacks; "
            f"it has {listed(self.columns)}{f'; did you mean {found!r}?' if found else ''}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongType(Reason):
    """A task reads a column whose type is not the one that its plan was made for, nor wider."""

    code: ClassVar[str] = "wrong_type"
    task: str
    evidence: str
    column: str
    required: dt.DataType
    actual: dt.DataType

    def __str__(self) -> str:
        return (
            f"task '{self.task}' reads '{self.evidence}.{self.column}' as {self.required}, but it is {self.actual}; "
            f"cast it in the plan, or give '{self.evidence}' its old type back"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitsForTask(Reason):
    """A task reads the output of another task that cannot run; ``cause`` is the reason at the start of the chain."""

    code: ClassVar[str] = "waits_for_task"
    task: str
    evidence: str
    producer: str
    cause: ReadinessReason

    def __str__(self) -> str:
        return f"task '{self.task}' waits for '{self.evidence}' of task '{self.producer}': {self.cause}"


ReadinessReason = MissingEvidence | MissingColumn | WrongType | WaitsForTask


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeReport:
    """Every edge that was looked at, with what is wrong with it.

    Attributes:
        checked: edges in order, each with its reasons; an edge without any is met.
    """

    checked: tuple[tuple[EdgeRequirement, tuple[ReadinessReason, ...]], ...]

    @property
    def broken(self) -> tuple[ReadinessReason, ...]:
        """What is wrong, in the order of the edges."""
        return tuple(reason for _, reasons in self.checked for reason in reasons)

    def __bool__(self) -> bool:
        return not self.broken

    def __str__(self) -> str:
        if not self.broken:
            return f"all {len(self.checked)} edges are met"
        return "\n".join(str(reason) for reason in self.broken)

    def raise_if_broken(self) -> None:
        """Raise where an edge is not met.

        Raises:
            NotReadyError: RS301, with every reason.
        """
        if self.broken:
            tasks = listed(dict.fromkeys(reason.task for reason in self.broken))
            raise NotReadyError(
                f"{len(self.broken)} requirements of {tasks} are not met",
                at=str(self),
                hint="bring the evidence, or fix the plans.",
            )


def check_edge(edge: EdgeRequirement, evidence: Mapping[str, Evidence]) -> tuple[ReadinessReason, ...]:
    """What is wrong with one edge, column by column; nothing where it is met."""
    found = evidence.get(edge.evidence)
    return check_schema(edge, None if found is None else found.schema)


def check_schema(edge: EdgeRequirement, schema: ibis.Schema | None) -> tuple[ReadinessReason, ...]:
    """The same of a table with this schema; None: there is no such table."""
    task, evidence = edge.task, edge.evidence
    if schema is None:
        return (MissingEvidence(task=task, evidence=evidence),)
    reasons: list[ReadinessReason] = []
    for column, required in edge.types.items():
        actual = schema.get(column)
        if actual is None:
            reasons.append(MissingColumn(task=task, evidence=evidence, column=column, columns=tuple(schema)))
        elif not fits(required, actual):
            reasons.append(WrongType(task=task, evidence=evidence, column=column, required=required, actual=actual))
    return tuple(reasons)


def validate_edges(edges: Iterable[EdgeRequirement], evidence: Mapping[str, Evidence]) -> EdgeReport:
    """Every edge held against the evidence there is."""
    return EdgeReport(checked=tuple((edge, check_edge(edge, evidence)) for edge in edges))
