"""A warehouse on DuckDB."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from relspec_core.engines.duckdb_backend import connection_of, cursor_of
from relspec_core.engines.duckdb_catalog import COLUMNS, DuckDBCatalog
from relspec_core.engines.duckdb_file import file_state
from relspec_core.engines.engine_error import EngineError, RelationError
from relspec_core.errors import WarehouseError
from relspec_core.fingerprints.user_functions import has_python_functions
from relspec_core.model.duckdb_types import as_written, schema_from_duckdb
from relspec_core.model.hashing import digest
from relspec_core.model.names import MEMORY_PREFIX, quoted_column, quoted_name, quoted_text, table_parts
from relspec_core.warehouses.column_casts import cast_query
from relspec_core.warehouses.content_digests import ComparedTable, digest_query, digests
from relspec_core.warehouses.warehouse import SCHEMA, Created, Warehouse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    import ibis

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_connection import DuckDBConnection
    from relspec_core.plan_catalog import PlanArtifact


# The size of DuckDB's write-ahead log at which it checkpoints: by default, and in a run.
CHECKPOINTS, OFTEN, SELDOM = "checkpoint_threshold", "16.0 MiB", "256 MiB"
RELATION_KINDS = ("table", "view")
SOURCE_MARK = "relspec source"
VIEW_MARK = "relspec view"
FEW = 20  # tables that are described one by one
OTHER_KIND = re.compile(
    r"^Catalog Error: Existing object .* is of type (?P<kind>Table|View), trying to replace", re.DOTALL
)


class DuckDBWarehouse(Warehouse):
    """A DuckDB database, through an Ibis backend.

    Args:
        backend: a DuckDB backend; its connection is used and left open.
    """

    __slots__ = ("_connection",)

    has_rows = True
    has_cursors = True
    has_exclusive_access = True
    has_storage_info = True
    hashes_rows = True
    compares_contents = True
    has_transactions = True

    def __init__(self, backend: Engine) -> None:
        connection = connection_of(backend)
        if connection is None:
            raise TypeError(backend.name)
        self.backend = backend
        self._connection = connection
        self.is_halted = False

    @property
    def connection(self) -> DuckDBConnection:
        """The database's own connection."""
        return self._connection

    @property
    def path(self) -> str | None:
        """The path of the database file; None in memory."""
        ((path,),) = self.rows("SELECT path FROM duckdb_databases() WHERE database_name = current_database()")
        return path

    @property
    def location(self) -> str:
        """The path of the database file, or a phrase for one in memory."""
        return self.path or "a database in memory"

    def state(self) -> str | None:
        """The ``file_state`` of the database file; None in memory."""
        path = self.path
        return None if path is None else file_state(path)

    def execute(self, sql: str) -> None:
        """Run one statement."""
        self._refuse_when_halted()
        self._connection.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query's result."""
        self._refuse_when_halted()
        return self._connection.rows(sql)

    def _refuse_when_halted(self) -> None:
        if self.is_halted:
            raise KeyboardInterrupt

    def begin(self) -> None:
        """Open a transaction."""
        self.execute("BEGIN TRANSACTION")

    def commit(self) -> None:
        """Commit the open transaction."""
        self.execute("COMMIT")

    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one."""
        self._connection.roll_back()

    def cursors(self, most: int) -> list[Warehouse]:
        """Connections to the same database, one per thread; a single one if there are temporary tables.

        Only the warehouse's own connection sees those.
        """
        number = 1 if self._has_session_tables() else most
        return [DuckDBWarehouse(cursor_of(self._connection)) for _ in range(number)]

    def _has_session_tables(self) -> bool:
        """Whether there are temporary tables or views, which only this connection sees."""
        return bool(
            self.rows("SELECT 1 FROM duckdb_tables() WHERE temporary LIMIT 1")
            or any(
                not name.startswith(MEMORY_PREFIX)
                for (name,) in self.rows("SELECT view_name FROM duckdb_views() WHERE temporary AND NOT internal")
            )
        )

    def set(self, name: str, value: str) -> None:
        """Change one of DuckDB's settings."""
        self.execute(f"SET {name} = {quoted_text(value)}")

    @contextmanager
    def deferred_checkpoints(self) -> Generator[None]:
        """Checkpoint less often than by default while the body writes.

        A checkpoint goes over all tables while all writers wait; closing the database checkpoints anyway. A threshold
        that the user has set is kept.
        """
        ((threshold,),) = self.rows(f"SELECT current_setting('{CHECKPOINTS}')")
        if threshold != OFTEN:
            yield
            return
        self.set(CHECKPOINTS, SELDOM)
        try:
            yield
        finally:
            if not self.is_halted:  # a statement that cannot be stopped uses the connection
                with suppress(EngineError):  # a database that has failed
                    self.set(CHECKPOINTS, threshold)

    def interrupt(self) -> None:
        """Stop the statement that another thread runs on this connection."""
        self.connection.interrupt()

    def schemas(self, names: Iterable[str]) -> dict[str, ibis.Schema]:
        """The current schema of each of these tables and views that exists."""
        names = tuple(names)
        tables = self._described(names) if len(names) <= FEW else None
        if tables is not None:
            return tables
        catalog = self._read_catalog()
        return {name: found.schema for name in names if (found := catalog.find(name)) is not None}

    def _described(self, names: Iterable[str]) -> dict[str, ibis.Schema] | None:
        """The schemas described one by one; None if one may be a view, whose description can be out of date.

        In a file that was just opened DuckDB takes 50 ms to list the columns of all tables, and 1 ms for one.
        """
        listed = self.rows("SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT internal")
        views = {tuple(part.casefold() for part in place) for place in listed}
        ((*current,),) = self.rows("SELECT current_database(), current_schema()")
        found: dict[str, ibis.Schema] = {}
        for name in names:
            parts = table_parts(name)
            place = (*current[: 3 - len(parts)], *parts)
            if tuple(part.casefold() for part in place) in views:
                return None
            try:
                columns = self.rows(f"DESCRIBE {'.'.join(quoted_column(part) for part in place)}")
            except RelationError:
                continue  # there is no such table
            except EngineError:  # a name that DuckDB binds differently
                return None
            found[name] = schema_from_duckdb({column: kind for column, kind, *_ in columns})
        return found

    def column_types(self, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """DuckDB's names of the columns' types, which are quicker to compare than schemas; without absent tables."""
        catalog = self._read_catalog()
        return {name: found for name in names if (found := catalog.types(name)) is not None}

    def _read_catalog(self) -> DuckDBCatalog:
        return DuckDBCatalog(self._connection, self._connection.rows(COLUMNS))

    def _full_name(self, name: str) -> tuple[str, str, str]:
        """Database, schema and table of an evidence name, in its own case."""
        ((database, schema),) = self.rows("SELECT current_database(), current_schema()")
        parts = table_parts(name)
        place = (*(database, schema)[: 3 - len(parts)], *parts)
        return place[0], place[1], place[2]

    def relation_kind(self, name: str) -> str | None:
        """``table``, ``view``, or None if neither exists."""
        for kind in RELATION_KINDS:
            if self._catalog(kind, name):
                return kind
        return None

    def _catalog(self, kind: str, name: str) -> list[tuple[Any, ...]]:
        """The comment of a table or view, in one row; no row if it does not exist."""
        database, schema, table = (quoted_text(part) for part in self._full_name(name))
        return self.rows(
            f"SELECT comment FROM duckdb_{kind}s() WHERE lower(database_name) = lower({database}) "  # noqa: S608 - quoted
            f"AND lower(schema_name) = lower({schema}) AND lower({kind}_name) = lower({table})"
        )

    def prepare(self, plan: PlanArtifact, *, functions: bool = True) -> None:
        """Register a plan's in-memory tables and functions with the engine.

        Not inside a transaction: DuckDB's client keeps a function registered that a rollback has removed.

        Args:
            plan: a task's plan.
            functions: whether to register its functions too, which all cursors of a database share.
        """
        # Ibis has no public way to do these without executing the expression.
        with self._connection.errors():
            if functions and has_python_functions(plan.expr):
                self.backend._register_udfs(plan.expr)  # noqa: SLF001
            for table in plan.memory.values():
                self.backend._register_in_memory_tables(table)  # noqa: SLF001

    def create(self, name: str, sql: str, *, schema: ibis.Schema, kind: str) -> Created:
        """Create or replace a table or view with exactly this schema, in the running transaction."""
        query, types = cast_query(self._connection, sql, schema)
        found = self._create_or_replace(kind, name, query)
        return Created(rows=found[0][0] if kind == "table" else None, schema=as_written(schema), types=types)

    def create_source_view(self, name: str, query: str) -> None:
        """Create a view that reads a source's files under the source's name; replaced only when its query changes.

        Raises:
            WarehouseError: RS402, if a table or view that relspec did not create has that name.
        """
        mark = f"{SOURCE_MARK} {digest(query)}"
        found = self._catalog("view", name)
        if found == [(mark,)]:
            return
        kind = self.relation_kind(name)
        if kind == "table" or (found and not str(found[0][0]).startswith(SOURCE_MARK)):
            raise WarehouseError(
                f"source '{name}' has a path, but the warehouse has a {kind} of that name already",
                at=f"source '{name}'",
                hint=f"drop the {kind}, rename the source, or leave its path out to read the {kind}.",
            )
        self._create_or_replace("view", name, query)
        self.execute(f"COMMENT ON VIEW {quoted_name(name)} IS '{mark}'")

    def create_schemas(self, names: Iterable[str]) -> None:
        """Create the missing schemas of tables with these names."""
        outer = {".".join(table_parts(name)[:-1]) for name in names}
        for schema in sorted(filter(None, outer)):
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted_name(schema)}")

    def _create_or_replace(self, kind: str, name: str, query: str) -> list[tuple[Any, ...]]:
        """Create a table or view, in place of an existing one of either kind."""
        target = quoted_name(name)
        self.create_schemas([name])
        statement = f"CREATE OR REPLACE {kind.upper()} {target} AS {query}"
        try:
            return self.rows(statement)
        except RelationError as error:
            other = OTHER_KIND.search(str(error))
            if other is None:
                raise
        self.execute(f"DROP {other['kind']} {target}")
        return self.rows(statement)

    def sign_view(self, name: str) -> str:
        """Put a mark on a view that is lost when the view is redefined outside relspec; in the running transaction."""
        mark = uuid4().hex
        self.execute(f"COMMENT ON VIEW {quoted_name(name)} IS {quoted_text(f'{VIEW_MARK} {mark}')}")
        return mark

    def view_signature(self, name: str) -> str | None:
        """The mark on a view; None if it has none."""
        found = self._catalog("view", name)
        comment = str(found[0][0]) if found else ""
        return comment.removeprefix(f"{VIEW_MARK} ") if comment.startswith(VIEW_MARK) else None

    def sizes(self) -> dict[str, int]:
        """The approximate number of rows by table name in lower case, qualified and, if current, unqualified."""
        found: dict[str, int] = {}
        rows = self.rows(
            "SELECT lower(database_name), lower(schema_name), lower(table_name), estimated_size, "
            "schema_name = current_schema() AND database_name = current_database(), "
            "database_name = current_database() FROM duckdb_tables()"
        )
        for database, schema, table, size, is_here, is_near in rows:
            names = [f"{database}.{schema}.{table}"]
            names += [f"{schema}.{table}"] if is_near else []
            names += [table] if is_here else []
            found.update(dict.fromkeys(names, size))
        return found

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """The number of rows of each table."""
        found = list(names)
        if not found:
            return {}
        tables = " UNION ALL ".join(f"SELECT count(*) FROM {quoted_name(name)}" for name in found)  # noqa: S608 - quoted
        return dict(zip(found, (rows for (rows,) in self.rows(tables)), strict=True))

    def contents(self, name: str, groups: Sequence[Sequence[str]], *, query: str | None = None) -> list[str]:
        """A digest of the contents of each group of columns, independent of the order of rows; one scan.

        Args:
            name: the table.
            groups: its columns, one group per digest.
            query: a query, whose rows are digested instead of the table's.
        """
        source = quoted_name(name) if query is None else f"({query})"
        types = {row[0]: row[1] for row in self.rows(f"DESCRIBE FROM {source}")}
        compared = [ComparedTable(source=source, types=types, groups=groups)]
        return digests(compared, self.rows(digest_query(compared)))[0]

    def contents_of(self, tables: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[str]]]]) -> list[list[str]]:
        """The digests of ``contents`` for several tables in one statement, in a fraction of the time.

        Args:
            tables: by name, each with DuckDB's names of its columns' types, and the groups.
        """
        compared = [
            ComparedTable(source=quoted_name(name), types=types, groups=groups)
            for name, (types, groups) in tables.items()
        ]
        return digests(compared, self.rows(digest_query(compared))) if compared else []

    def own_table(self, name: str) -> str:
        """The full name of one of relspec's own tables; the database can have the name of the schema."""
        return f"{self._own_schema()}.{name}"

    def _own_schema(self) -> str:
        ((database,),) = self.rows("SELECT current_database()")
        return f"{quoted_column(database)}.{SCHEMA}"

    def own_columns(self, name: str) -> tuple[str, ...]:
        """The columns of one of relspec's own tables; empty if it does not exist."""
        try:
            return tuple(row[0] for row in self.rows(f"DESCRIBE {self.own_table(name)}"))
        except RelationError:
            return ()

    def create_own_table(self, name: str, columns: Iterable[str]) -> None:
        """Create one of relspec's own tables, empty; an existing one is replaced."""
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {self._own_schema()}")
        self.execute(f"CREATE OR REPLACE TABLE {self.own_table(name)} ({', '.join(columns)})")
