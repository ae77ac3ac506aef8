"""The evidence sensor's read access to the warehouse."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from relspec_core.engines.duckdb_file import DatabaseHeldError, file_state
from relspec_core.errors import WarehouseError
from relspec_core.warehouses.shared_reading import connect_for_reading
from relspec_core.warehouses.warehouse import Warehouse
from relspec_core.warehouses.warehouse_selection import warehouse_of
from relspec_dagster.access.resources import RelspecResource


class WarehouseConnection:
    """A DuckDB file, or another engine's database; only ever read.

    Args:
        database: the file, which need not exist, or the engine.
    """

    __slots__ = ("_database",)

    def __init__(self, database: Path | RelspecResource) -> None:
        self._database = database

    def state(self) -> str | None:
        """Equal for equal states; None where looks do not tell, as while another process writes to a file."""
        if isinstance(self._database, Path):
            return file_state(self._database) if self._database.exists() else "absent"
        with suppress(Exception), self._database.get_backend() as backend:  # each driver has errors of its own
            return warehouse_of(backend).activity_digest()
        return None

    @contextmanager
    def opened(self, say: Callable[[str], None]) -> Generator[Warehouse | None]:
        """The database, or its metadata snapshot, for a moment; None where there is neither.

        Args:
            say: receives a message where it is not the database itself.
        """
        if isinstance(self._database, Path):
            with self._file(self._database, say) as warehouse:
                yield warehouse
            return
        with ExitStack() as stack:
            try:
                backend = stack.enter_context(self._database.get_backend())
            except WarehouseError as error:
                say(error.what)
                yield None
            else:
                yield warehouse_of(backend)

    @staticmethod
    @contextmanager
    def _file(path: Path, say: Callable[[str], None]) -> Generator[Warehouse | None]:
        try:
            engine = connect_for_reading(path, say=say, wait=0.0)
        except DatabaseHeldError as error:
            say(f"{error.holder} holds {path.name}, which has no metadata snapshot")
            yield None
            return
        try:
            yield warehouse_of(engine)
        finally:
            engine.disconnect()
