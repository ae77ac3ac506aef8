"""Digests of what is in tables: equal for equal rows, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.model.hashing import digest
from relspec_core.model.names import quoted_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


HASHED_AS_THEY_ARE = frozenset(
    {
        "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
        "UBIGINT", "UHUGEINT", "VARCHAR", "BLOB", "UUID", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS",
        "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """What digests are taken of.

    Attributes:
        source: the table, or a query in parentheses, as SQL writes it.
        types: its columns with DuckDB's names of their types.
        groups: of columns; each is to have one digest.
    """

    source: str
    types: Mapping[str, str]
    groups: Sequence[Sequence[str]]

    @property
    def typed(self) -> list[tuple[tuple[str, str], ...]]:
        """The groups, each column with its type."""
        folded = {column.casefold(): kind for column, kind in self.types.items()}
        return [tuple((column, folded[column.casefold()]) for column in columns) for columns in self.groups]


def digest_query(tables: Sequence[ComparedTable]) -> str:
    """The one query that reads all that ``digests`` needs, in one scan of each table; there is at least one."""
    selects: list[str] = []
    for number, table in enumerate(tables):
        listings = [", ".join(_hashed(column, kind) for column, kind in columns) for columns in table.typed]
        # Less one bit, DuckDB sums them as BIGINT, in five sixths of the time.
        totals = ", ".join(f"sum((hash({listing}) >> 1)::BIGINT)" if listing else "0" for listing in listings)
        selects.append(
            f"SELECT {number} AS number, count(*) AS n, [{totals}]::HUGEINT[] AS totals FROM {table.source}"  # noqa: S608 - quoted
        )
    return " UNION ALL ".join(selects)


def digests(tables: Sequence[ComparedTable], rows: Sequence[tuple[int, int, list[int]]]) -> list[list[str]]:
    """For each table the digests of its groups.

    Made of the row count, the columns' types and a sum of hashes: equal rows do not cancel each other out.

    Args:
        tables: as they were given to ``digest_query``.
        rows: what that query gave.
    """
    return [
        [f"{count}:{total}:{digest(columns)}" for total, columns in zip(totals, table.typed, strict=True)]
        for (_, count, totals), table in zip(sorted(rows), tables, strict=True)
    ]


def _hashed(column: str, kind: str) -> str:
    """What to hash of a column, so that other values have other hashes.

    DuckDB's hash takes months for days, 0.0 for -0.0, an enumeration for its numbers, and NULL, [] and [NULL] for one.
    """
    name = quoted_column(column)
    if kind in HASHED_AS_THEY_ARE or kind.startswith("DECIMAL("):
        return name
    return f"{name}, signbit({name})" if kind in ("FLOAT", "DOUBLE") else f"to_json({name})::VARCHAR"
