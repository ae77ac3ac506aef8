"""What engines do each in its own way, of what relspec needs of them beyond plain SQL."""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ibis.common.exceptions import TableNotFound

from relspec_core.names import quoted_column, quoted_text, table_parts
from relspec_core.source_schemas import BackendTables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import ibis

    from relspec_core.duckdb_engine import Engine

DIGEST = "relspec_digest"
STEPS = 1_000_000  # of SQLite's machine between two looks at what has come: some milliseconds


def _of_information_schema(table: str, schema: str | None) -> str:
    place = f" AND table_schema = {quoted_text(schema)}" if schema else ""
    return f"SELECT view_definition FROM information_schema.views WHERE table_name = {quoted_text(table)}{place}"  # noqa: S608


def _schema_by_ibis(backend: Any, name: str) -> ibis.Schema | None:  # noqa: ANN401 - Ibis's base class declares little
    found = BackendTables(backend).find(name)
    return None if found is None else found.schema


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWays:
    """The ways of an engine; left out, those of one of which nothing more is known.

    Attributes:
        schema: of the table or view of a name; None where there is none.
        begin: opens a transaction in which tables can be made and dropped; None where there is none.
        activity: SQL that gives a row, another one soon after anything was written; None where there is no such thing.
        row_digest: SQL that makes one value of all rows' values of some columns, equal for equal rows in any order;
            None where there is no such thing.
        view_definition: SQL that gives what a view in a schema is, in one row; none for a table.
        dependents: SQL that gives the views that keep a table of a schema from being dropped, those that read others
            last: schema, name and definition of each. None where they don't.
        lock: SQL that lets nobody else take the lock of that name until the transaction ends; None: a transaction that
            writes has the database for itself, or there is none.
        interrupt: stops the statement that another thread runs.
        is_interruption: whether an error means that the statement was stopped by ``interrupt`` or by Ctrl-C.
    """

    schema: Callable[[Any, str], ibis.Schema | None] = _schema_by_ibis
    begin: str | None = None
    activity: str | None = None
    row_digest: Callable[[Sequence[str]], str] | None = None
    view_definition: Callable[[str, str | None], str] = _of_information_schema
    dependents: Callable[[str, str | None], str] | None = None
    lock: Callable[[str], str] | None = None
    interrupt: Callable[[Any], None] = lambda backend: None  # noqa: ARG005 - it can't be stopped
    is_interruption: Callable[[Exception], bool] = lambda error: False  # noqa: ARG005


def ways_of(backend: Engine) -> EngineWays:
    """The ways of a backend's engine; what it needs for them is made known to it."""
    if backend.name == "sqlite":
        _teach_sqlite(backend)
    return WAYS.get(backend.name, EngineWays())


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


# The server counts rows that were written, a moment later; a table that was emptied or made anew has another file.
POSTGRES_ACTIVITY = """
WITH tables AS (SELECT relid, n_tup_ins + n_tup_upd + n_tup_del AS rows FROM pg_stat_user_tables)
SELECT (SELECT sum(rows) FROM tables),
  (SELECT md5(string_agg(relid::text || ' ' || pg_relation_filenode(relid), ',' ORDER BY relid)) FROM tables),
  (SELECT md5(string_agg(concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod), ',' ORDER BY attrelid, attnum))
    FROM pg_attribute WHERE attrelid >= 16384)
"""


def _postgres_digest(columns: Sequence[str]) -> str:
    row = f"ROW({', '.join(map(quoted_column, columns))})::text"
    return f"sum(('x' || left(md5({row}), 15))::bit(60)::bigint)"


def _postgres_view(table: str, schema: str | None) -> str:
    place = f"AND nspname = {quoted_text(schema)}" if schema else ""
    return (
        "SELECT pg_get_viewdef(pg_class.oid) FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid "  # noqa: S608
        f"WHERE relkind IN ('v', 'm') AND relname = {quoted_text(table)} {place}"
    )


def _postgres_dependents(table: str, schema: str | None) -> str:
    place = ".".join(map(quoted_column, filter(None, (schema, table))))
    return (
        "WITH RECURSIVE readers AS ("  # noqa: S608 - quoted
        "SELECT refobjid AS read, ev_class AS reader FROM pg_depend JOIN pg_rewrite ON objid = pg_rewrite.oid "
        "WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND ev_class <> refobjid), "
        f"found AS (SELECT reader, 1 AS depth FROM readers WHERE read = {quoted_text(place)}::regclass "
        "UNION SELECT readers.reader, depth + 1 FROM found JOIN readers ON readers.read = found.reader) "
        "SELECT nspname, relname, pg_get_viewdef(pg_class.oid) FROM found JOIN pg_class ON pg_class.oid = reader "
        "JOIN pg_namespace ON relnamespace = pg_namespace.oid WHERE relkind = 'v' "
        "GROUP BY 1, 2, 3 ORDER BY max(depth), 1, 2"
    )


def _postgres_lock(name: str) -> str:
    return f"SELECT pg_advisory_xact_lock(hashtextextended({quoted_text(f'relspec {name}')}, 0))"


# -- SQLite ------------------------------------------------------------------------------------------------------------


class SQLiteDigest:
    """An aggregate function: a sum of hashes, so that equal rows do not cancel each other out."""

    def __init__(self) -> None:
        self._total = 0

    def step(self, *values: object) -> None:
        """One more row."""
        self._total += int.from_bytes(hashlib.blake2b(repr(values).encode(), digest_size=8).digest(), "big")

    def finalize(self) -> str:
        """The sum, which SQLite's numbers would be too small for."""
        return str(self._total)


def _sqlite_schema(backend: Any, name: str) -> ibis.Schema | None:  # noqa: ANN401
    """As Ibis 12 does it, which also ends the transaction that is open."""
    *outer, table = table_parts(name)
    with closing(backend.con.cursor()) as cursor:
        try:
            return backend._inspect_schema(cursor, table, outer[-1] if outer else None)  # noqa: SLF001
        except TableNotFound:
            return None


def _sqlite_digest(columns: Sequence[str]) -> str:
    return f"{DIGEST}({', '.join(map(quoted_column, columns))})"


def _sqlite_view(table: str, schema: str | None) -> str:
    master = f"{quoted_column(schema)}.sqlite_master" if schema else "sqlite_master"
    return f"SELECT sql FROM {master} WHERE type = 'view' AND lower(name) = lower({quoted_text(table)})"  # noqa: S608


def _teach_sqlite(backend: Any) -> None:  # noqa: ANN401 - Ibis's base class declares no connection
    backend.con.create_aggregate(DIGEST, -1, SQLiteDigest)
    # A call of Python's now and then lets it see that Ctrl-C has come, which SQLite then tells as an error.
    backend.con.set_progress_handler(lambda: None, STEPS)
    # Else a table can't take the place of one that views read.
    backend.con.execute("PRAGMA legacy_alter_table = ON")


WAYS = {
    "postgres": EngineWays(
        begin="BEGIN",
        activity=POSTGRES_ACTIVITY,
        row_digest=_postgres_digest,
        view_definition=_postgres_view,
        dependents=_postgres_dependents,
        lock=_postgres_lock,
        interrupt=lambda backend: backend.con.cancel(),
    ),
    "sqlite": EngineWays(
        schema=_sqlite_schema,
        begin="BEGIN IMMEDIATE",
        row_digest=_sqlite_digest,
        view_definition=_sqlite_view,
        interrupt=lambda backend: backend.con.interrupt(),
        is_interruption=lambda error: str(error) == "interrupted",
    ),
}
