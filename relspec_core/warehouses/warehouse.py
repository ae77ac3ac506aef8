"""The warehouse: where tables are written and read, and the one thing that the engine is asked through."""

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
RECORDS = "evidence"  # the one of these that says what every other table is


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A table or view that was created.

    Attributes:
        rows: how many a table has; None for a view.
        schema: as the engine tells it, in types that DuckDB has: that is the form of the records.
        types: the same with DuckDB's names of the types.
    """

    rows: int | None
    schema: ibis.Schema
    types: Mapping[str, str]


class Warehouse(ABC):
    """A database on some engine.

    Relspec's own statements are written in DuckDB's SQL, plans in that of the engine.

    Attributes:
        backend: of the engine; its connection is used and left open.
        is_halted: whether statements are refused, as a run is being stopped.
        has_rows: whether the rows of tables can be read; if not, only metadata and ``observed`` are known.
        has_cursors: whether threads can work at the same time, each with a connection of ``cursors``.
        has_exclusive_access: whether no other process can write while this one has the database open.
        has_storage_info: whether the engine reports the storage that columns take up.
        hashes_rows: whether the engine's SQL has a hash of a row.
        compares_contents: whether it tells what is in tables; where it does not, nothing counts as known.
        has_transactions: whether tables can be made and dropped in transactions.
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
        """DuckDB's own, with which sources' files are read: the warehouse's, or of a database in memory."""

    # -- statements ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run one statement."""

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows that a query gives."""

    @abstractmethod
    def begin(self) -> None:
        """Open a transaction."""

    @abstractmethod
    def commit(self) -> None:
        """End the transaction that is open: all of it happens."""

    @abstractmethod
    def roll_back(self) -> None:
        """End the transaction, if one is still open: nothing of it happens."""

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Everything inside happens, or nothing of it."""
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
        """The same; nor does that thread begin another one, until ``is_halted`` is taken back."""
        self.is_halted = True
        self.interrupt()

    def cursors(self, most: int) -> list[Warehouse]:  # noqa: ARG002 - for engines that have them
        """Connections to the same database for as many threads as can work at the same time; none without cursors.

        Args:
            most: of them; at least one.
        """
        return []

    # -- the database --------------------------------------------------------------------------------------------------

    @property
    def as_of(self) -> datetime:
        """The time of the state that is read, in UTC."""
        return datetime.now(UTC)

    @property
    def observed(self) -> ObservedContents:
        """What was last observed of contents that can't be read now; nothing where they can."""
        return ObservedContents(at=self.as_of)

    @property
    def path(self) -> str | None:
        """DuckDB's file; None where there is none."""
        return None

    @property
    @abstractmethod
    def location(self) -> str:
        """The database, for messages."""

    def state(self) -> str | None:
        """As ``file_state`` of that file; None where there is none."""
        return None

    def glance(self) -> str | None:
        """Another one soon after something was written, told without reading tables; None where nothing tells."""
        return None

    @abstractmethod
    def set(self, name: str, value: str) -> None:
        """Change one of DuckDB's settings."""

    @contextmanager
    def few_checkpoints(self) -> Generator[None]:
        """Let the engine put what is written inside into its file less often than it does by itself, if it has one."""
        yield

    # -- tables --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def schemas(self, names: Iterable[str]) -> dict[str, ibis.Schema]:
        """The live schema of each of these tables and views that exists, in types that DuckDB has."""

    @abstractmethod
    def column_types(self, names: Iterable[str]) -> dict[str, Mapping[str, str]]:
        """The same as DuckDB's names of the columns' types, which are quicker to compare than to read."""

    @abstractmethod
    def relation_kind(self, name: str) -> str | None:
        """``table``, ``view`` or, where there is neither, None."""

    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """About how many rows each table has, by its name in lower case, as far as that is known at once."""

    @abstractmethod
    def counts(self, names: Iterable[str]) -> dict[str, int]:
        """The number of rows of each table."""

    @abstractmethod
    def contents(self, name: str, groups: Sequence[Sequence[str]], *, query: str | None = None) -> list[str]:
        """For each group of columns a digest of them together, whatever the order of rows; one scan.

        Args:
            name: of the table.
            groups: of its columns.
            query: what gives the rows on DuckDB, where there is no table.
        """

    @abstractmethod
    def contents_of(self, tables: Mapping[str, tuple[Mapping[str, str], Sequence[Sequence[str]]]]) -> list[list[str]]:
        """The same for several tables at once.

        Args:
            tables: each with DuckDB's names of its columns' types, and the groups.
        """

    @abstractmethod
    def prepare(self, plan: PlanArtifact, *, functions: bool = True) -> None:
        """Make a plan's in-memory tables and functions known to the engine; not inside a transaction.

        Args:
            plan: of a task.
            functions: whether to make its functions known too, which all cursors of a database share.
        """

    @abstractmethod
    def make_schemas(self, names: Iterable[str]) -> None:
        """Create the schemas that tables of these names are to be in, where they are missing."""

    @abstractmethod
    def create(self, name: str, sql: str, *, schema: ibis.Schema, kind: str) -> Created:
        """Create or replace a table or view with exactly this schema; goes into the running transaction."""

    @abstractmethod
    def show_source(self, name: str, query: str) -> None:
        """Let a source's files be read under its name.

        Raises:
            WarehouseError: RS402, where that can't be.
        """

    @abstractmethod
    def sign_view(self, name: str) -> str:
        """The signature of a view, by which a later change of its definition is found; in the running transaction."""

    @abstractmethod
    def view_signature(self, name: str) -> str | None:
        """The signature that a view has now; None where it has none."""

    # -- relspec's own tables ------------------------------------------------------------------------------------------

    @abstractmethod
    def own_table(self, name: str) -> str:
        """One of relspec's own tables, as SQL writes it."""

    @abstractmethod
    def own_columns(self, name: str) -> tuple[str, ...]:
        """The columns of one of relspec's own tables; none where there is no such table."""

    @abstractmethod
    def make_own_table(self, name: str, columns: Iterable[str]) -> None:
        """Make one of relspec's own tables anew; what is in it is lost.

        Args:
            name: of the table.
            columns: each with its type.
        """

    def lock(self, name: str) -> None:  # noqa: B027 - one process has DuckDB's file anyway
        """Keep others from writing to a table until the transaction ends, where several processes may."""
