"""Errors of database engines, independent of the engine and its driver."""

from __future__ import annotations


class EngineError(Exception):
    """A statement that an engine refused or could not complete.

    Raised in place of the driver's own exception, which is the ``__cause__``.

    Args:
        message: the driver's message.
        is_transient: whether the same statement may succeed later: after a conflict, a lost connection, a held lock.
        is_fatal: whether the engine accepts no further statement from this process.
    """

    def __init__(self, message: str, *, is_transient: bool = False, is_fatal: bool = False) -> None:
        self.is_transient = is_transient
        self.is_fatal = is_fatal
        super().__init__(message.strip())

    @property
    def first_line(self) -> str:
        """What went wrong; the class of the driver's exception where that has no message."""
        lines = str(self).splitlines()
        return lines[0] if lines else type(self.__cause__ or self).__name__

    @property
    def details(self) -> str:
        """The message after its first line."""
        return "\n".join(str(self).splitlines()[1:])


class StatementInterruptedError(EngineError):
    """A statement that was stopped by another thread."""


class RelationError(EngineError):
    """A statement that names a relation which does not exist, or which is of another kind."""
