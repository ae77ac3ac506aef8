"""Evidence names: one to three parts joined by dots, the way SQL writes ``catalog.schema.table``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Iterable


MOST_PARTS = 3
MEMORY_PREFIX = "relspec_memory_"


def table_parts(name: str) -> tuple[str, ...]:
    """The parts of an evidence name, outermost first.

    >>> table_parts("staging.orders")
    ('staging', 'orders')
    """
    return tuple(name.split("."))


def is_evidence_name(name: str) -> bool:
    """Whether a text can name evidence: one to three parts that are not empty."""
    parts = table_parts(name)
    return len(parts) <= MOST_PARTS and all(part.strip() == part and part for part in parts)


def to_table(name: str) -> exp.Table:
    """The SQLGlot table, quoted, for an evidence name."""
    parts = table_parts(name)
    names = ("this", "db", "catalog")
    return exp.Table(
        **{key: exp.to_identifier(part, quoted=True) for key, part in zip(names, reversed(parts), strict=False)}
    )


def from_table(table: exp.Table) -> str:
    """The dotted name of a SQLGlot table, as spelled in its text."""
    return ".".join(part.name for part in table.parts)


def quoted_name(name: str) -> str:
    """The evidence name quoted for a DuckDB statement.

    >>> quoted_name("staging.orders")
    '"staging"."orders"'
    """
    return ".".join(map(quoted_column, table_parts(name)))


def quoted_column(name: str) -> str:
    """The column name, which may contain any character, quoted for a DuckDB statement.

    >>> quoted_column("Weird Col")
    '"Weird Col"'
    """
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A text as a SQL string literal.

    >>> quoted_text("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


class NameIndex:
    """Lookup of the declared spelling of a name for engines that ignore case.

    Args:
        names: the declared spellings; the first one wins if two differ only by case.
        ignore_case: whether the engine's catalog ignores case.
    """

    def __init__(self, names: Iterable[str], *, ignore_case: bool) -> None:
        self._ignore_case = ignore_case
        self._spelling: dict[str, str] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Add a declared name."""
        self._spelling.setdefault(self._key(name), name)

    def _key(self, name: str) -> str:
        return name.casefold() if self._ignore_case else name

    def find(self, name: str) -> str | None:
        """The declared spelling, or None."""
        return self._spelling.get(self._key(name))
