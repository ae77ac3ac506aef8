"""The argument of a task's builder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ibis


class TaskBuildContext:
    """The argument of a builder: evidence and SQL queries as Ibis tables, and parameters.

    Requesting a table creates no dependency: only what the final plan reads does.

    Args:
        table: returns the Ibis table for an evidence name.
        sql: returns the Ibis table for a SQL text and its dialect (None: the backend's).
        params: parameters of the compilation, the same for all builders.
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
        """The evidence of that name as a table with its true schema; it need not exist yet.

        Raises:
            UnknownTableError: RS101, with the nearest names.
            CycleError: RS201, if it depends on the requesting task.
        """
        return self._table(name)

    def sql(self, text: str, *, dialect: str | None = None) -> ibis.Table:
        """A SQL query over evidence, as an Ibis table.

        Args:
            text: one query, which refers to evidence by name.
            dialect: the SQLGlot dialect; default: the backend's.

        Raises:
            SqlError: RS103, if the text does not parse or bind.
            UnknownTableError: RS101. UnknownColumnError: RS102.
        """
        return self._sql(text, dialect)
