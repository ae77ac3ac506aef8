"""Engine-specific operations that relspec needs beyond plain SQL: transactions, locks, digests, catalogs."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
from ibis.common.exceptions import TableNotFound

from relspec_core.engines.backend_tables import schema_by_ibis
from relspec_core.model.names import quoted_column, quoted_text, table_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relspec_core.engines.duckdb_backend import Engine


DIGEST = "relspec_digest"
MOST_ARGUMENTS = 100
STEPS = 1_000_000  # of SQLite's virtual machine between two checks for signals: some milliseconds


def _of_information_schema(table: str, schema: str | None) -> str:
    place = f" AND table_schema = {quoted_text(schema)}" if schema else ""
    return f"SELECT view_definition FROM information_schema.views WHERE table_name = {quoted_text(table)}{place}"  # noqa: S608


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAdapter:
    """Engine-specific operations; the defaults suit an engine of which only its SQL is known.

    Attributes:
        initialize: sets up a connection for the other operations.
        schema: the schema of a table or view by name; None if it does not exist.
        begin: the statement that opens a transaction that covers creating and dropping tables; None without one.
        activity: a query for one row that changes soon after any write; None without one.
        row_digest: an aggregate expression over some columns, equal for equal rows in any order; None without one.
        view_definition: a query for the definition of a view by table and schema; no row for a table.
        dependents: a query for the views that keep a table from being dropped, by table and schema: schema, name and
            definition of each, in order of dependency. None if views do not keep it.
        lock: a query that takes the lock of a name until the transaction ends; None if a transaction that writes has
            the database for itself, or if there are no transactions.
        interrupt: stops the statement that another thread runs.
        is_interruption: whether an error means that the statement was stopped by ``interrupt`` or by Ctrl-C.
        is_transient: whether the same statement may succeed later.
        casts: whether inserted values are cast to the types of their columns.
        most_bytes: the maximum length of a name, beyond which the engine truncates it silently; None without a limit.
    """

    initialize: Callable[[Any], None] = lambda backend: None  # noqa: ARG005 - it needs nothing
    schema: Callable[[Any, str], ibis.Schema | None] = schema_by_ibis
    begin: str | None = None
    activity: str | None = None
    row_digest: Callable[[Sequence[str]], str] | None = None
    view_definition: Callable[[str, str | None], str] = _of_information_schema
    dependents: Callable[[str, str | None], str] | None = None
    lock: Callable[[str], str] | None = None
    interrupt: Callable[[Any], None] = lambda backend: None  # noqa: ARG005 - it cannot be stopped
    is_interruption: Callable[[Exception], bool] = lambda error: False  # noqa: ARG005
    is_transient: Callable[[Exception], bool] = lambda error: False  # noqa: ARG005
    casts: bool = True
    most_bytes: int | None = None


def adapter_of(backend: Engine) -> EngineAdapter:
    """The adapter of a backend's engine, initialized on the backend's connection."""
    adapter = ADAPTERS.get(backend.name, EngineAdapter())
    adapter.initialize(backend)
    return adapter


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


# The server counts written rows with a short delay. A table that was truncated or recreated has another file; one that
# replaced another one, or got a partition, is visible in the catalog.
POSTGRES_ACTIVITY = """
WITH tables AS (SELECT relid, n_tup_ins + n_tup_upd + n_tup_del AS rows FROM pg_stat_user_tables)
SELECT (SELECT sum(rows) FROM tables),
  (SELECT md5(string_agg(relid::text || ' ' || pg_relation_filenode(relid), ',' ORDER BY relid)) FROM tables),
  (SELECT md5(string_agg(concat_ws(' ', oid, relname, relnamespace, relkind), ',' ORDER BY oid))
    FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'v', 'm', 'p', 'f')),
  (SELECT md5(string_agg(concat_ws(' ', inhrelid, inhparent, inhdetachpending), ',' ORDER BY inhrelid, inhparent))
    FROM pg_inherits),
  (SELECT md5(string_agg(concat_ws(' ', oid, ev_action), ',' ORDER BY oid)) FROM pg_rewrite WHERE oid >= 16384),
  (SELECT md5(string_agg(concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod), ',' ORDER BY attrelid, attnum))
    FROM pg_attribute WHERE attrelid >= 16384)
"""
# Settings that rows' texts depend on, from which digests are computed.
POSTGRES_TEXTS = (
    "extra_float_digits = 1",
    "datestyle = 'ISO, MDY'",
    "intervalstyle = 'postgres'",
    "bytea_output = 'hex'",
)
POSTGRES_TRANSIENT = ("40001", "40P01", "55P03")  # a conflict, a deadlock, an unavailable lock


def _initialize_postgres(backend: Any) -> None:  # noqa: ANN401 - Ibis's base class declares no connection
    for setting in POSTGRES_TEXTS:
        backend.raw_sql(f"SET {setting}").close()


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
        """The sum as a text: it exceeds SQLite's integers."""
        return str(self._total)


def _sqlite_schema(backend: Any, name: str) -> ibis.Schema | None:  # noqa: ANN401
    """The schema as Ibis 12 finds it, without ending the open transaction as Ibis does."""
    *outer, table = table_parts(name)
    with closing(backend.con.cursor()) as cursor:
        try:
            return backend._inspect_schema(cursor, table, outer[-1] if outer else None)  # noqa: SLF001
        except TableNotFound:
            return None
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error) and "no such table" not in str(error):
                raise
            return ibis.schema({})  # a view that reads a missing table or column


def _sqlite_digest(columns: Sequence[str]) -> str:
    """A call of the aggregate function; many columns share arguments, since a function takes at most 127."""
    names = [quoted_column(column) for column in columns]
    if len(names) > MOST_ARGUMENTS:
        quoted = [f"quote({name})" for name in names]
        names = [" || ',' || ".join(quoted[at : at + MOST_ARGUMENTS]) for at in range(0, len(quoted), MOST_ARGUMENTS)]
    return f"{DIGEST}({', '.join(names)})"


def _sqlite_view(table: str, schema: str | None) -> str:
    master = f"{quoted_column(schema)}.sqlite_master" if schema else "sqlite_master"
    return f"SELECT sql FROM {master} WHERE type = 'view' AND lower(name) = lower({quoted_text(table)})"  # noqa: S608


def _initialize_sqlite(backend: Any) -> None:  # noqa: ANN401 - Ibis's base class declares no connection
    backend.con.create_aggregate(DIGEST, -1, SQLiteDigest)
    # A periodic call into Python lets it notice Ctrl-C, which SQLite then reports as an error.
    backend.con.set_progress_handler(lambda: None, STEPS)
    # Otherwise a table read by views cannot be replaced.
    backend.con.execute("PRAGMA legacy_alter_table = ON")


ADAPTERS = {
    "postgres": EngineAdapter(
        initialize=_initialize_postgres,
        begin="BEGIN",
        activity=POSTGRES_ACTIVITY,
        row_digest=_postgres_digest,
        view_definition=_postgres_view,
        dependents=_postgres_dependents,
        lock=_postgres_lock,
        interrupt=lambda backend: backend.con.cancel(),
        is_transient=lambda error: getattr(error, "sqlstate", None) in POSTGRES_TRANSIENT,
        most_bytes=63,
    ),
    "sqlite": EngineAdapter(
        initialize=_initialize_sqlite,
        schema=_sqlite_schema,
        begin="BEGIN IMMEDIATE",
        row_digest=_sqlite_digest,
        view_definition=_sqlite_view,
        interrupt=lambda backend: backend.con.interrupt(),
        is_interruption=lambda error: str(error) == "interrupted",
        is_transient=lambda error: "database is locked" in str(error),
        casts=False,  # a cast to TIMESTAMP makes a number of a text
    ),
}
