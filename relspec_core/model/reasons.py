"""Reasons as values: why a task cannot run yet, or why it has to run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar


class Reason(ABC):
    """A fact that decides whether a task runs; ``str(reason)`` is its sentence.

    Each kind of reason is a frozen, slotted dataclass whose fields are the facts. The command line, the run log and
    Dagster show the sentence; ``--json`` and tests group by the code.

    Attributes:
        code: the kind of reason in snake_case, such as ``missing_column``. Stable, unlike the sentence.
    """

    __slots__ = ()
    code: ClassVar[str]

    @abstractmethod
    def __str__(self) -> str: ...

    @property
    def data(self) -> dict[str, str]:
        """The code and the sentence, for JSON."""
        return {"code": self.code, "text": str(self)}
