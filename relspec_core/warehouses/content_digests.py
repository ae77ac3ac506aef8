"""Digests of the contents of tables: equal for equal rows in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.model.hashing import digest
from relspec_core.model.names import quoted_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


DIRECTLY_HASHED = frozenset(
    {
        "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
        "UBIGINT", "UHUGEINT", "VARCHAR", "BLOB", "UUID", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS",
        "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTable:
    """A table whose contents are digested.

    Attributes:
        source: the quoted table, or a query in parentheses.
        types: its columns with DuckDB's names of their types.
        groups: its columns, one group per digest.
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
    """A query for the input of ``digests``, in one scan of each table; at least one table."""
    selects: list[str] = []
    for number, table in enumerate(tables):
        listings = [", ".join(_hashed(column, kind) for column, kind in columns) for columns in table.typed]
        # Without the lowest bit DuckDB sums hashes as BIGINT, in five sixths of the time.
        totals = ", ".join(f"sum((hash({listing}) >> 1)::BIGINT)" if listing else "0" for listing in listings)
        selects.append(
            f"SELECT {number} AS number, count(*) AS n, [{totals}]::HUGEINT[] AS totals FROM {table.source}"  # noqa: S608 - quoted
        )
    return " UNION ALL ".join(selects)


def digests(tables: Sequence[ComparedTable], rows: Sequence[tuple[int, int, list[int]]]) -> list[list[str]]:
    """The digests of each table's groups of columns.

    Computed from the row count, the columns' types and a sum of hashes: equal rows do not cancel each other out.

    Args:
        tables: the argument of ``digest_query``.
        rows: the result of that query.
    """
    return [
        [f"{count}:{total}:{digest(columns)}" for total, columns in zip(totals, table.typed, strict=True)]
        for (_, count, totals), table in zip(sorted(rows), tables, strict=True)
    ]


def _hashed(column: str, kind: str) -> str:
    """The expressions to hash of a column, so that different values have different hashes.

    DuckDB's hash does not distinguish a month from its days, 0.0 from -0.0, an enumeration from its numbers, or NULL,
    [] and [NULL] from each other.
    """
    name = quoted_column(column)
    if kind in DIRECTLY_HASHED or kind.startswith("DECIMAL("):
        return name
    return f"{name}, signbit({name})" if kind in ("FLOAT", "DOUBLE") else f"to_json({name})::VARCHAR"
