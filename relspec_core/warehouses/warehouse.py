"""The interface through which relspec reads and writes the tables of a database, on any engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relspec_core.engines.catalog_snapshot import ObservedContents

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    import ibis

    from relspec_core.compilation.plan_artifact import PlanArtifact
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_connection import DuckDBConnection


SCHEMA = "relspec"  # of relspec's own tables
RECORDS = "evidence"  # relspec's own table of build records


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A table or view that was created.

    Attributes:
        rows: the number of rows of a table; None for a view.
        schema: as the engine reports it, in types that DuckDB has: the form of build records.
        types: DuckDB's names of the columns' types.
    """

    rows: int | None
    schema: ibis.Schema
    types: Mapping[str, str]


class Warehouse(ABC):
    """A database on some engine.

    ``execute`` and ``rows`` take DuckDB's SQL, ``create`` takes the engine's. Every method may raise ``EngineError``.
    The methods are grouped: statements and transactions, the database, the catalog, contents, tables and views, and
    relspec's own tables. The attributes from ``has_rows`` on are capabilities: callers ask them, never the engine.

    Attributes:
        backend: the engine's Ibis backend; its connection is used and left open.
        is_halted: whether statements are refused because a run is being stopped.
        has_rows: whether the rows of tables can be read; if not, only metadata and ``observed`` are known.
        has_cursors: whether ``cursors`` gives connections for several threads at once.
        has_exclusive_access: whether no other process can write while this one has the database open.
        has_storage_info: whether the engine reports the storage used by columns.
        hashes_rows: whether the engine's SQL has a hash of a row.
        compares_contents: whether equal contents have equal digests; if not, contents always count as changed.
        has_transactions: whether transactions cover creating and dropping tables.
    """

    __slots__ = ("backend", "is_halted")

    backend: Engine
    is_halted: bool
    has_rows: bool
    has_cursors: bool
    has_exclusive_access: bool
    has_storage_info: bool
    hashes_rows: bool
    compares_contents: bool
    has_transactions: bool

    @property
    @abstractmethod
    def connection(self) -> DuckDBConnection:
        """A DuckDB connection that reads the files of sources: the warehouse's own, or one to a database in memory."""

    # -- statements and transactions -----------------------------------------------------------------------------------

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run one statement."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query's result."""

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction."""

    @abstractmethod
    def commit(self) -> None:
        """Commit the open transaction."""

    @abstractmethod
    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one."""

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Run the body in a transaction, which is rolled back if the body raises."""
        self.begin()
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.commit()

    @abstractmethod
    def interrupt(self) -> None:
        """Stop the statement that another thread runs on this connection."""

    def halt(self) -> None:
        """Interrupt the running statement, and refuse further ones until ``is_halted`` is reset."""
        self.is_halted = True
        self.interrupt()

    def cursors(self, most: int) -> list[Warehouse]:  # noqa: ARG002 - for engines that have them
        """Connections to the same database, one per thread; empty without ``has_cursors``.

        Args:
            most: the maximum number of connections; at least one.
        """
        return []

    # -- the database --------------------------------------------------------------------------------------------------

    @property
    def as_of(self) -> datetime:
        """The time of the state that is read, in UTC."""
        return datetime.now(UTC)

    @property
    def observed(self) -> ObservedContents:
        """The last observation of contents that cannot be read now; empty if they can be read."""
        return ObservedContents(at=self.as_of)

    @property
    def path(self) -> str | None:
        """The path of the database file; None without a file."""
        return None

    @property
    @abstractmethod
    def location(self) -> str:
        """The database, for messages."""

    def state(self) -> str | None:
        """The ``file_state`` of the database file; None without a file."""
        return None

    def activity_digest(self) -> str | None:
        """A digest that changes soon after any write, without reading tables; None if the engine has none."""
        return None

    @abstractmethod
    def set(self, name: str, value: str) -> None:
        """Change one of DuckDB's settings.

        Raises:
            WarehouseError: RS402, on another engine.
        """

    @contextmanager
    def deferred_checkpoints(self) -> Generator[None]:
        """Checkpoint less often than by default while the body writes, where the engine has checkpoints."""
        yield

    # -- the catalog ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def schemas(self, names: Iterable[str]) -> dict[str, ibis.Schema]:
        """The current schema of each of these tables and views that exists, in types that DuckDB has."""

    @abstractmethod
    def column_types(self, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """DuckDB's names of the columns' types, which are quicker to compare than schemas; without absent tables."""

    @abstractmethod
    def relation_kind(self, name: str) -> str | None:
        """``table``, ``view``, or None if neither exists."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The approximate number of rows by table name in lower case, as far as it is known without counting."""

    @abstractmethod
    def view_signature(self, name: str) -> str | None:
        """The current signature of a view; None if it has none."""

    # -- contents ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """The number of rows of each table."""

    @abstractmethod
    def contents(self, name: str, groups: Sequence[Sequence[str]], *, query: str | None = None) -> list[str]:
        """A digest of the contents of each group of columns, independent of the order of rows; one scan.

        Args:
            name: the table.
            groups: its columns, one group per digest.
            query: a query in DuckDB's SQL, whose rows are digested instead of the table's.
        """

    @abstractmethod
    def contents_of(self, tables: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[str]]]]) -> list[list[str]]:
        """The digests of ``contents`` for several tables, in one statement where the engine can.

        Args:
            tables: by name, each with DuckDB's names of its columns' types, and the groups.
        """

    # -- tables and views ----------------------------------------------------------------------------------------------

    @abstractmethod
    def prepare(self, plan: PlanArtifact, *, functions: bool = True) -> None:
        """Register a plan's in-memory tables and functions with the engine; not inside a transaction.

        Args:
            plan: a task's plan.
            functions: whether to register its functions too, which all cursors of a database share.
        """

    @abstractmethod
    def create_schemas(self, names: Iterable[str]) -> None:
        """Create the missing schemas of tables with these names."""

    @abstractmethod
    def create(self, name: str, sql: str, *, schema: ibis.Schema, kind: str) -> Created:
        """Create or replace a table or view with exactly this schema, in the running transaction."""

    @abstractmethod
    def create_source_view(self, name: str, query: str) -> None:
        """Create a view that reads a source's files under the source's name.

        Raises:
            WarehouseError: RS402, if the engine cannot read files, or the name is taken.
        """

    @abstractmethod
    def sign_view(self, name: str) -> str:
        """Give a new view its signature, which changes with its definition; in the running transaction."""

    # -- relspec's own tables ------------------------------------------------------------------------------------------

    @abstractmethod
    def own_table(self, name: str) -> str:
        """The quoted full name of one of relspec's own tables."""

    @abstractmethod
    def own_columns(self, name: str) -> tuple[str, ...]:
        """The columns of one of relspec's own tables; empty if it does not exist."""

    @abstractmethod
    def create_own_table(self, name: str, columns: Iterable[str]) -> None:
        """Create one of relspec's own tables, empty; an existing one is replaced.

        Args:
            name: the table, without its schema.
            columns: each with its type.
        """

    def lock(self, name: str) -> None:  # noqa: B027 - DuckDB's file has one writing process
        """Lock a table against other processes until the transaction ends, where several can write."""
