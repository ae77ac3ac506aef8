"""A warehouse on an engine other than DuckDB, by way of Ibis."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ibis.expr.datatypes as dt
import sqlglot
from sqlglot import exp

from relspec_core.engines.backend_tables import BackendTables
from relspec_core.engines.duckdb_backend import NAME, ExclusiveDuckDB
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import WarehouseError
from relspec_core.fingerprints.user_functions import has_python_functions
from relspec_core.model.duckdb_types import as_written, schema_to_duckdb
from relspec_core.model.hashing import digest
from relspec_core.model.names import quoted_column, quoted_name, quoted_text, table_parts, to_table
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.engine_adapters import adapter_of
from relspec_core.warehouses.warehouse import RECORDS, SCHEMA, Created, Warehouse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    import ibis

    from relspec_core.compilation.plan_artifact import PlanArtifact
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_connection import DuckDBConnection


PLAIN_DECIMAL = (18, 3)
PASSING = "relspec_new_"  # a table that is not yet complete


class IbisWarehouse(Warehouse):
    """A database of another engine.

    Engine-specific operations are in ``engine_adapters``. Without an adapter there are no transactions to rely on: the
    build record of a table is deleted before the table is touched, and written again afterwards.

    Args:
        backend: of an engine with SQL; its connection is used and left open.
    """

    __slots__ = ("_adapter", "_engine", "_files", "_is_stopped", "_schema", "compares_contents", "has_transactions")

    has_rows = True
    has_cursors = False
    has_exclusive_access = False
    has_storage_info = False
    hashes_rows = False

    def __init__(self, backend: Engine) -> None:
        self.backend = backend
        self._engine: Any = backend  # Ibis's base class declares none of what is used here
        self._files: DuckDBWarehouse | None = None  # reads sources' files; opened on first use
        self.is_halted = False
        self._is_stopped = False
        try:
            self._adapter = adapter_of(backend)
            place = BackendTables(backend).place
        except Exception as error:  # each driver has errors of its own
            raise EngineError(str(error)) from error
        self._schema = place[-1] if place else None
        self.compares_contents = self._adapter.row_digest is not None
        self.has_transactions = self._adapter.begin is not None

    def _reader(self) -> DuckDBWarehouse:
        if self._files is None:
            self._files = DuckDBWarehouse(ExclusiveDuckDB.open())
        return self._files

    @property
    def connection(self) -> DuckDBConnection:
        """A connection to a DuckDB database in memory, which reads sources' files."""
        return self._reader().connection

    @property
    def location(self) -> str:
        """The engine's database."""
        return f"the {self.backend.name} database"

    # -- statements and transactions -----------------------------------------------------------------------------------

    def _sql(self, sql: str) -> str:
        """One of relspec's own statements in the SQL of the engine."""
        (found,) = sqlglot.transpile(sql, read=NAME, write=self._engine.dialect)
        return found

    def _run(self, sql: str, *, fetch: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement in the SQL of the engine."""
        if self.is_halted:
            raise KeyboardInterrupt
        try:
            with closing(self._engine.raw_sql(sql)) as found:
                return [tuple(row) for row in found.fetchall()] if fetch else []
        except Exception as error:  # each driver has errors of its own
            if self._adapter.is_interruption(error) and not self._is_stopped:
                raise KeyboardInterrupt from error
            self._is_stopped = False
            raise self._translated(error) from error

    def _translated(self, error: Exception) -> EngineError:
        return EngineError(str(error), is_transient=self._adapter.is_transient(error))

    def execute(self, sql: str) -> None:
        """Run one statement."""
        self._run(self._sql(sql))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query's result."""
        return self._run(self._sql(sql), fetch=True)

    def begin(self) -> None:
        """Open a transaction, if the engine has transactions that cover creating and dropping tables."""
        if self._adapter.begin:
            self._run(self._adapter.begin)

    def commit(self) -> None:
        """Commit the open transaction."""
        if self._adapter.begin:
            self._run("COMMIT")

    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one."""
        if self._adapter.begin:
            with suppress(Exception):  # the error has ended the transaction itself, or the connection
                self._engine.raw_sql("ROLLBACK")

    def interrupt(self) -> None:
        """Stop the statement that another thread runs on this connection."""
        self._is_stopped = True
        self._adapter.interrupt(self.backend)

    def set(self, name: str, value: str) -> None:
        """Refuse DuckDB's settings, which no other engine takes.

        Raises:
            WarehouseError: RS402, always.
        """
        raise WarehouseError(
            f"the {self.backend.name} engine takes no {name} of '{value}' from relspec",
            hint="leave it out; the engine has settings of its own.",
        )

    def activity_digest(self) -> str | None:
        """A digest that changes soon after any write, without reading tables; None if the engine has none."""
        if self._adapter.activity is None:
            return None
        return digest(tuple(map(str, self._run(self._adapter.activity, fetch=True)[0])))

    # -- the catalog ---------------------------------------------------------------------------------------------------

    def schemas(self, names: Iterable[str]) -> dict[str, ibis.Schema]:
        """The current schema of each of these tables and views that exists, in types that DuckDB has."""
        try:
            live = {name: self._adapter.schema(self._engine, name) for name in names}
        except Exception as error:  # each driver has errors of its own
            raise self._translated(error) from error
        return {name: as_written(found) for name, found in live.items() if found is not None}

    def column_types(self, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """DuckDB's names of the columns' types; absent tables are left out."""
        return {name: schema_to_duckdb(schema) for name, schema in self.schemas(names).items()}

    def relation_kind(self, name: str) -> str | None:
        """``table``, ``view``, or None if neither exists."""
        if name not in self.schemas([name]):
            return None
        return "table" if self._definition(name) is None else "view"

    def _full(self, name: str) -> str:
        """A name with its schema: an unqualified one may resolve to another schema of the search path."""
        return name if self._schema is None or len(table_parts(name)) > 1 else f"{self._schema}.{name}"

    def _definition(self, name: str) -> str | None:
        """The definition of a view, as the engine reports it; None for a table."""
        *outer, table = table_parts(self._full(name))
        query = self._adapter.view_definition(table, outer[-1] if outer else None)
        found = self._run(query, fetch=True)
        return str(found[0][0]) if found else None

    def sizes(self) -> dict[str, int]:
        """Empty: sizes would have to be counted."""
        return {}

    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """The number of rows of each table."""
        return {name: self.rows(f"SELECT count(*) FROM {quoted_name(self._full(name))}")[0][0] for name in names}  # noqa: S608 - quoted

    def contents(self, name: str, groups: Sequence[Sequence[str]], *, query: str | None = None) -> list[str]:
        """A digest of the contents of each group of columns; a different one each time if the adapter has no digest."""
        if query is not None:
            return self._reader().contents(name, groups, query=query)
        if self._adapter.row_digest is None:
            return [uuid4().hex for _ in groups]
        found = self.schemas([name])[name]
        sums = ["count(*)", *(self._adapter.row_digest(columns) if columns else "0" for columns in groups)]
        query = f"SELECT {', '.join(sums)} FROM {self._place(name)}"  # noqa: S608 - quoted
        ((count, *totals),) = self._run(query, fetch=True)
        types = schema_to_duckdb(found)
        typed = [tuple((column, types[column]) for column in columns) for columns in groups]
        return [f"{count}:{total}:{digest(columns)}" for total, columns in zip(totals, typed, strict=True)]

    def contents_of(self, tables: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[str]]]]) -> list[list[str]]:
        """The digests of ``contents`` for several tables."""
        return [self.contents(name, groups) for name, (_, groups) in tables.items()]

    def prepare(self, plan: PlanArtifact, *, functions: bool = True) -> None:
        """Register a plan's in-memory tables and functions with the engine; not inside a transaction."""
        # Ibis has no public way to do these without executing the expression.
        if functions and has_python_functions(plan.expr):
            self._engine._register_udfs(plan.expr)  # noqa: SLF001
        for name, table in plan.memory.items():  # the name is a digest of the contents
            if name not in self.schemas([name]):
                try:
                    self._engine._register_in_memory_tables(table)  # noqa: SLF001
                except Exception as error:
                    raise self._translated(error) from error

    def create_schemas(self, names: Iterable[str]) -> None:
        """Create the missing schemas of tables with these names."""
        missing = {".".join(table_parts(name)[:-1]) for name in names} - {"", self._schema or ""}
        if not missing:
            return
        # Some engines require the privilege even if the schema exists.
        for schema in sorted(missing - set(self._engine.list_databases())):
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted_name(schema)}")

    def create(self, name: str, sql: str, *, schema: ibis.Schema, kind: str) -> Created:
        """Create or replace a table or view with exactly this schema, in the running transaction.

        A table with unchanged columns is emptied and filled again, which keeps dependent views, indexes and privileges,
        and needs a transaction. Any other table is built under a temporary name and then renamed.
        """
        self._refuse_long(name)
        self.create_schemas([name])
        name = self._full(name)
        self.lock(name)
        if not self.has_transactions:
            self._forget(name)
        there = self.relation_kind(name)
        if kind == "view":
            with self._in_place_of(name, there):
                self._run(f"CREATE VIEW {self._place(name)} AS {sql}")
            return self._created(name, rows=None)
        *outer, table = table_parts(name)
        passing = ".".join([*outer, f"{PASSING}{digest(name)[:16]}"])
        self.execute(f"DROP TABLE IF EXISTS {quoted_name(passing)}")
        self._create_empty(passing, schema)
        stays = self.has_transactions and there == "table" and self._are_alike(name, passing)
        if stays:
            self.execute(f"DROP TABLE {quoted_name(passing)}")
            self.execute(f"DELETE FROM {quoted_name(name)}")  # noqa: S608 - quoted
        columns = {column: exp.column(column, quoted=True).sql(self._engine.dialect) for column in schema}
        values = columns
        if self._adapter.casts:
            values = {column: f"CAST({quoted} AS {self._type(schema[column])})" for column, quoted in columns.items()}
        into = self._place(name if stays else passing)
        listing, selected = ", ".join(columns.values()), ", ".join(values.values())
        self._run(f"INSERT INTO {into} ({listing}) SELECT {selected} FROM ({sql}) AS plan_rows")  # noqa: S608 - quoted
        if not stays:
            with self._in_place_of(name, there):
                self.execute(f"ALTER TABLE {quoted_name(passing)} RENAME TO {quoted_column(table)}")
        return self._created(name, rows=self.counts([name])[name])

    def _refuse_long(self, name: str) -> None:
        most = self._adapter.most_bytes
        if most is not None and any(len(part.encode()) > most for part in table_parts(name)):
            raise WarehouseError(
                f"the name '{name}' has a part of more than {most} bytes, which {self.backend.name} would cut off",
                at=f"evidence '{name}'",
                hint="give the task, or its output, a shorter name.",
            )

    @contextmanager
    def _in_place_of(self, name: str, kind: str | None) -> Generator[None]:
        """Drop a table or view, which the body creates again; views that read it are recreated unchanged.

        A view of relspec's own that can no longer be created is left out: its plan has changed too.
        """
        if kind is None:
            yield
            return
        *outer, table = table_parts(name)
        query = (
            None if self._adapter.dependents is None else self._adapter.dependents(table, outer[-1] if outer else None)
        )
        readers = [] if query is None else self._run(query, fetch=True)
        for schema, view, _ in reversed(readers):
            self.execute(f"DROP VIEW {quoted_name(f'{schema}.{view}')}")
        self.execute(f"DROP {kind.upper()} {quoted_name(name)}")
        yield
        for schema, view, definition in readers:
            try:
                with self._engine.begin() as cursor:  # a savepoint inside the open transaction
                    cursor.execute(f"CREATE VIEW {quoted_name(f'{schema}.{view}')} AS {definition}")
            except Exception as error:
                if not self._is_own_view(schema, view):
                    raise EngineError(f"view '{schema}.{view}' can no longer read '{name}': {error}") from error

    def _is_own_view(self, schema: str, view: str) -> bool:
        names = f"{quoted_text(view)}, {quoted_text(f'{schema}.{view}')}"
        return bool(self.rows(f"SELECT 1 FROM {self.own_table(RECORDS)} WHERE kind = 'view' AND name IN ({names})"))  # noqa: S608

    def _place(self, name: str) -> str:
        return to_table(self._full(name)).sql(self._engine.dialect)

    def _created(self, name: str, *, rows: int | None) -> Created:
        schema = self.schemas([name])[name]
        return Created(rows=rows, schema=schema, types=schema_to_duckdb(schema))

    def _create_empty(self, name: str, schema: ibis.Schema) -> None:
        names = (exp.column(column, quoted=True).sql(self._engine.dialect) for column in schema)
        columns = (f"{column} {self._type(kind)}" for column, kind in zip(names, schema.values(), strict=True))
        self._run(f"CREATE TABLE {self._place(name)} ({', '.join(columns)})")

    def _type(self, kind: dt.DataType) -> str:
        """The engine's name of a type that holds every value of it.

        A decimal without a precision has 18 digits in DuckDB's SQL, in which plans are bound; here any number.
        Intervals have no unit.
        """
        if kind.is_interval():
            return "INTERVAL"
        if isinstance(kind, dt.Decimal) and (kind.precision, kind.scale) == PLAIN_DECIMAL:
            kind = dt.Decimal(nullable=kind.nullable)
        return self._engine.compiler.type_mapper.to_string(kind)

    def _are_alike(self, name: str, other: str) -> bool:
        """Whether two tables have the same columns."""
        found = self.schemas([name, other])
        return list(found[name].items()) == list(found[other].items())

    def _forget(self, name: str) -> None:
        """Delete a table's build record before the table is touched, so that an incomplete table is built again."""
        names = {name, name.removeprefix(f"{self._schema}.")}
        listing = ", ".join(map(quoted_text, sorted(names)))
        self.execute(f"DELETE FROM {self.own_table(RECORDS)} WHERE name IN ({listing})")  # noqa: S608 - quoted

    def create_source_view(self, name: str, query: str) -> None:  # noqa: ARG002 - for DuckDB
        """Refuse sources with files, which no other engine reads.

        Raises:
            WarehouseError: RS402, always.
        """
        raise WarehouseError(
            f"source '{name}' has a path, and the {self.backend.name} engine can't read its files",
            at=f"source '{name}'",
            hint=f"load them into a table '{name}' and leave the path out, or run on DuckDB.",
        )

    def sign_view(self, name: str) -> str:
        """The signature of a view that was just created, in the running transaction."""
        return self.view_signature(name) or ""

    def view_signature(self, name: str) -> str | None:
        """A hash of a view's definition, as the engine reports it; None if it does not exist."""
        found = self._definition(name)
        return None if found is None else digest(found)

    # -- relspec's own tables ------------------------------------------------------------------------------------------

    def _own(self, name: str) -> str:
        return self._full(f"{SCHEMA}_{name}")

    def own_table(self, name: str) -> str:
        """The quoted name of one of relspec's own tables, in the default schema: creating one requires a privilege."""
        return quoted_name(self._own(name))

    def own_columns(self, name: str) -> tuple[str, ...]:
        """The columns of one of relspec's own tables; empty if it does not exist."""
        own = self._own(name)
        return tuple(self.schemas([own]).get(own, ()))

    def create_own_table(self, name: str, columns: Iterable[str]) -> None:
        """Create one of relspec's own tables, empty; an existing one is replaced."""
        self.execute(f"DROP TABLE IF EXISTS {self.own_table(name)}")
        self.execute(f"CREATE TABLE {self.own_table(name)} ({', '.join(columns)})")

    def lock(self, name: str) -> None:
        """Lock a table against other processes until the transaction ends."""
        if self._adapter.lock is not None:
            self._run(self._adapter.lock(self._full(name)), fetch=True)
