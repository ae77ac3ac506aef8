"""One root exception, one class per error code.

Every message reads in the same order: what is wrong, where, what to do next.

Codes: RS1xx plan, RS2xx graph, RS3xx readiness, RS4xx execution, RS5xx projection. ``docs/errors.md`` explains each.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


NEW_LINE = "\n"


@dataclass(frozen=True, slots=True)
class TextPosition:
    """A place in a SQL text; lines and columns count from 1."""

    line: int
    column: int

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column} of the SQL text"


class RelspecError(Exception):
    """An error that the user can fix: what is wrong, where, and what to do next.

    Args:
        what: one sentence, without a full stop; names the task, the evidence and the column.
        at: the location: a task with its file and line, a table, a file.
        hint: what to do next.
        place: the position in a SQL text; added to ``at`` by the caller that knows the task and its file.
    """

    code: ClassVar[str] = "RS000"

    def __init__(self, what: str, *, at: str = "", hint: str = "", place: TextPosition | None = None) -> None:
        self.what = what
        self.at = at
        self.hint = hint
        self.place = place
        super().__init__(what, at, hint)

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)

    @property
    def in_one_line(self) -> str:
        """The error in one line, without the engine's details and the SQL statement."""
        return " ".join(RelspecError.__str__(self).split())

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.what}"]
        if self.at:
            lines.append(f"  at:   {self.at}")
        if self.hint:
            lines.append(f"  next: {self.hint}")
        return NEW_LINE.join(lines)


def _restored(kind: type[RelspecError], args: tuple[object, ...], state: dict[str, object]) -> RelspecError:
    """Rebuild a pickled error, whose keyword-only arguments pickle can't pass by itself."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class CatalogError(RelspecError):
    """RS100: a task or source is declared in a way that can't be used."""

    code = "RS100"


class UnknownTableError(RelspecError):
    """RS101: a task reads a table that no task writes, no source declares and the backend lacks."""

    code = "RS101"


class UnknownColumnError(RelspecError):
    """RS102: a task reads a column that its table does not have."""

    code = "RS102"


class SqlError(RelspecError):
    """RS103: a SQL text does not parse or does not bind."""

    code = "RS103"


class BuilderError(RelspecError):
    """RS104: a task's builder raised, or returned something that is no table."""

    code = "RS104"


class UnsupportedPlanError(RelspecError):
    """RS105: the backend can't express a plan in its SQL."""

    code = "RS105"


class SourceError(RelspecError):
    """RS106: a source's files can't be found or read."""

    code = "RS106"


class CycleError(RelspecError):
    """RS201: tasks depend on one another in a cycle; the message draws the path."""

    code = "RS201"

    def __init__(self, path: Sequence[str], *, at: str = "") -> None:
        self.path = tuple(path)
        super().__init__(
            f"tasks depend on one another in a cycle: {' -> '.join(self.path)}",
            at=at,
            hint="let one of them read a table that is written before the cycle.",
        )


class SecondWriterError(RelspecError):
    """RS202: two tasks write the same evidence, or a task writes what is declared as a source."""

    code = "RS202"


class NotReadyError(RelspecError):
    """RS301: the existing evidence does not satisfy the edge requirements of a task."""

    code = "RS301"


class UnknownTargetError(RelspecError):
    """RS302: a requested name is neither a task nor evidence of the catalog."""

    code = "RS302"


class TaskFailedError(RelspecError):
    """RS401: the engine refused or failed to build a task's table, or to record a run.

    Args:
        what: as for ``RelspecError``.
        at: as for ``RelspecError``.
        hint: as for ``RelspecError``.
        engine: the engine's message after its first line, which is in ``what``.
        sql: the statement that failed.
    """

    code = "RS401"

    def __init__(self, what: str, *, at: str = "", hint: str = "", engine: str = "", sql: str = "") -> None:
        super().__init__(what, at=at, hint=hint)
        self.engine = engine
        self.sql = sql

    def __str__(self) -> str:
        said = [("engine", self.engine), ("sql", self.sql)]
        more = [f"  {f'{name}:':<8}{text}".replace(NEW_LINE, f"{NEW_LINE}{' ' * 10}") for name, text in said if text]
        return NEW_LINE.join([super().__str__(), *more])


class WarehouseError(RelspecError):
    """RS402: the warehouse can't be opened, read or written."""

    code = "RS402"


class ProjectionError(RelspecError):
    """RS501: the graph can't be exported to another tool, for instance because names collide."""

    code = "RS501"


class CompileError(RelspecError):
    """RS199: several problems in one catalog; ``errors`` holds each of them."""

    code = "RS199"

    def __init__(self, errors: Iterable[RelspecError]) -> None:
        self.errors = tuple(single for error in errors for single in all_of(error))
        super().__init__(f"{len(self.errors)} problems in the catalog")

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(str(error) for error in self.errors)])


def all_of(error: RelspecError) -> tuple[RelspecError, ...]:
    """The single errors in an error: those of a ``CompileError``, else the error itself."""
    return error.errors if isinstance(error, CompileError) else (error,)


def raise_all(errors: Sequence[RelspecError]) -> None:
    """Raise the error if there is one, or a ``CompileError`` with all of them if there are several."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise CompileError(errors)


@dataclass(frozen=True, slots=True)
class SourceLocation:
    """A line of a file, and a column if known; printed relative to the working folder if the file is inside it."""

    file: str
    line: int
    column: int | None = None

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}" + (f", column {self.column}" if self.column else "")


def shown_path(path: str | Path) -> str:
    """A path for a message: relative to the working folder if it is inside it, else absolute."""
    full = Path(path).absolute()
    return str(full.relative_to(Path.cwd()) if full.is_relative_to(Path.cwd()) else full)
