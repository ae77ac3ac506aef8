"""What a task's builder is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis


class TaskBuildContext:
    """What a builder is given: every evidence as an Ibis table, SQL texts as Ibis tables, and parameters.

    Asking for a table is no dependency: only what the final plan reads is.

    Args:
        table: gives an Ibis table for an evidence name.
        sql: gives an Ibis table for a SQL text and its dialect (None: the backend's).
        params: what the caller of the compilation hands to all builders.
    """

    __slots__ = ("_sql", "_table", "params")

    def __init__(
        self,
        *,
        table: Callable[[str], ibis.Table],
        sql: Callable[[str, str | None], ibis.Table],
        params: Mapping[str, Any],
    ) -> None:
        self._table = table
        self._sql = sql
        self.params = params

    def table(self, name: str) -> ibis.Table:
        """The evidence of that name, as a table with its true schema; it need not exist yet.

        Raises:
            UnknownTableError: RS101, with the nearest names.
            CycleError: RS201, if it can only be built from the task that asks.
        """
        return self._table(name)

    def sql(self, text: str, *, dialect: str | None = None) -> ibis.Table:
        """A SQL query over evidence, as an Ibis table.

        Args:
            text: one query; evidence goes by its name.
            dialect: SQLGlot's name of the dialect; the backend's where it is left out.

        Raises:
            SqlError: RS103, where the text does not parse or bind.
            UnknownTableError: RS101. UnknownColumnError: RS102.
        """
        return self._sql(text, dialect)
