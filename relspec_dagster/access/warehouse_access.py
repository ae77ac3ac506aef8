"""The database while a step works on it: a resource as a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from dagster_duckdb import DuckDBResource

from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.errors import ProjectionError
from relspec_core.warehouses.shared_reading import connect_for_reading
from relspec_core.warehouses.snapshot import snapshot_for_readers
from relspec_core.warehouses.warehouse import Warehouse
from relspec_core.warehouses.warehouse_selection import warehouse_of
from relspec_dagster.access.connection_reuse import ReusedConnection
from relspec_dagster.access.resources import RelspecDuckDBResource, RelspecResource, open_file
from relspec_dagster.access.storage import Storage

Resource: TypeAlias = DuckDBResource | RelspecResource


@contextmanager
def open_warehouse(resource: Resource, *, may_stay: Callable[[], bool]) -> Generator[Warehouse]:
    """The resource's database as a warehouse, for reading and writing.

    It is closed at the end, whatever the body raises. A metadata snapshot as of about the beginning is written for
    processes that read meanwhile.

    Args:
        resource: of the database.
        may_stay: whether the file may stay open behind the body in a run, for as long as ``ReusedConnection`` says. No
            other process can open it meanwhile, and this one only with the same settings.

    Raises:
        DatabaseHeldError: RS402, where another process holds the file for longer than the resource waits.
        WarehouseError: RS402, where another engine's database can't be reached.
    """
    if isinstance(resource, RelspecResource):
        with resource.get_backend() as backend:
            yield warehouse_of(backend)
        return
    held = _held(resource)
    if held is not None:
        with held.use(lambda: _opened(resource), may_stay=may_stay) as warehouse:
            yield warehouse
        return
    with _opened(resource) as warehouse:
        yield warehouse


@contextmanager
def _opened(resource: DuckDBResource) -> Generator[Warehouse]:
    with _closed(open_file(resource)) as warehouse, snapshot_for_readers(warehouse):
        yield warehouse


def _held(resource: DuckDBResource) -> ReusedConnection | None:
    return resource.held if isinstance(resource, RelspecDuckDBResource) else None


@contextmanager
def read_warehouse(resource: Resource, *, say: Callable[[str], None]) -> Generator[Warehouse]:
    """The same for reading only, which waits for nobody: beside a run there is what that has recorded.

    Args:
        resource: of the database.
        say: receives a message where it is not the database itself.

    Raises:
        WarehouseError: RS402, as ``connect_for_reading`` does, and where another engine's database can't be reached.
    """
    if isinstance(resource, RelspecResource):
        with resource.get_backend() as backend:
            yield warehouse_of(backend)
        return
    held = _held(resource)
    if held is not None:  # this process can't open it a second time only to read
        held.close()
    with _closed(connect_for_reading(Path(resource.database), say=say)) as warehouse:
        yield warehouse


@contextmanager
def no_warehouse() -> Generator[Warehouse]:
    """A database in memory, to read files with."""
    with _closed(ExclusiveDuckDB.open()) as warehouse:
        yield warehouse


@contextmanager
def _closed(engine: ExclusiveDuckDB) -> Generator[Warehouse]:
    try:
        yield warehouse_of(engine)
    finally:
        engine.disconnect()


def database_place(database: str | Path | RelspecResource) -> Path | RelspecResource:
    """A file by its absolute path, as the processes of runs may have another working folder.

    Another engine with its settings from the environment looked up.

    Raises:
        ProjectionError: RS501, where the database is in memory.
    """
    if isinstance(database, RelspecResource):
        return database.process_config_and_initialize()
    if str(database).startswith(":memory:") or not str(database):
        raise ProjectionError(
            f"database '{database}' is gone when a step ends",
            at="build_definitions(database=...)",
            hint="give the path of a DuckDB file; it need not exist yet.",
        )
    return Path(database).expanduser().absolute()


def storage_of(place: Path | RelspecResource) -> Storage:
    """What Dagster says of where tables are."""
    return Storage.of_file(place) if isinstance(place, Path) else place.storage
