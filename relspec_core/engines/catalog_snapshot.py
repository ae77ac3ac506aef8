"""Metadata of a database, for readers that can't open it while another process writes to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedContents:
    """What a run observed of contents when it planned.

    Attributes:
        at: when, in UTC.
        changed: the tables of tasks that had been changed outside relspec.
        sources: for each source the version of what was read, by the columns that were read, sorted.
    """

    at: datetime
    changed: frozenset[str] = frozenset()
    sources: Mapping[str, Mapping[tuple[str, ...], str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogSnapshot:
    """The tables of a database, without their rows.

    Attributes:
        process: the id of the process that took the snapshot.
        at: when, in UTC.
        database: DuckDB's name of it.
        columns: of its tables and views: database, schema, table, column, and DuckDB's name of the type, in order.
        observed: by the last run; empty if there was none.
    """

    process: int
    at: datetime
    database: str
    columns: tuple[tuple[str, str, str, str, str], ...]
    observed: ObservedContents
