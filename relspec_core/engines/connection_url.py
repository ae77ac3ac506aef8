"""Databases by URL, on whatever engine ``ibis.connect`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.errors import WarehouseError
from relspec_core.model.formatting import first_line

if TYPE_CHECKING:
    from ibis.backends import BaseBackend


MARK = "://"


def is_url(text: str) -> bool:
    """Whether a database is named by a URL, and not by the path of a file.

    >>> is_url("postgres://host/shop"), is_url("build/shop.duckdb")
    (True, False)
    """
    return MARK in text


def engine_of(url: str) -> str:
    """The engine's name in a URL, which may hold a password behind it."""
    return url.partition(MARK)[0]


def database_at(text: str, folder: Path) -> Path | str:
    """The database that a text names: a URL, or a file, of which a relative path is relative to the folder."""
    return text if is_url(text) else folder / text


def connect_to(url: str) -> BaseBackend:
    """A connection by a URL.

    Raises:
        WarehouseError: RS402, where there is no such engine, its driver is missing, or it can't be reached.
    """
    import ibis  # noqa: PLC0415 - commands on a DuckDB file do without most of it

    try:
        return ibis.connect(url)
    except Exception as error:  # each driver has errors of its own
        raise WarehouseError(
            f"the {engine_of(url)} database can't be reached: {first_line(error)}",
            hint="check the URL, the server and the driver; for PostgreSQL that is pip install 'psycopg[binary]'.",
        ) from error
