"""What was recorded of a database, for those who can't open it while another process writes to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContents:
    """What a run saw of contents when it planned.

    Attributes:
        at: when, in UTC.
        changed: the tables of tasks that somebody else had changed.
        sources: of each source the version of what was read, by the columns that were read, sorted.
    """

    at: datetime
    changed: frozenset[str] = frozenset()
    sources: Mapping[str, Mapping[tuple[str, ...], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSnapshot:
    """The tables of a database, without their rows.

    Attributes:
        process: the id of the process that recorded them.
        at: when, in UTC.
        database: what DuckDB calls it.
        columns: of its tables and views: database, schema, table, column, and DuckDB's name of the type, in order.
        seen: what the last run saw; None where there was none.
    """

    process: int
    at: datetime
    database: str
    columns: tuple[tuple[str, str, str, str, str], ...]
    seen: ObservedContents | None = None
