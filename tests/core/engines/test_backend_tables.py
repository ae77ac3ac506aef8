"""The tables of a backend, on a PostgreSQL server whose catalog a role may not read."""

from collections.abc import Generator
from typing import Any

import ibis
import pytest
from ibis.backends import BaseBackend

from relspec_core import TaskCatalog, compile_task_catalog
from relspec_core.engines.backend_tables import BackendTables
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import WarehouseError
from tests.support.catalogs import sql_task


@pytest.fixture
def restricted(postgres: str) -> Generator[BaseBackend]:
    """A connection of a role without the right to read the columns of tables."""
    owner: Any = ibis.connect(postgres)  # Ibis's base class declares no connection
    for statement in (
        "CREATE TABLE orders (id INT)",
        "REVOKE SELECT ON pg_catalog.pg_attribute FROM PUBLIC",
        "DROP ROLE IF EXISTS restricted",
        "CREATE ROLE restricted LOGIN",
    ):
        owner.raw_sql(statement).close()
    owner.con.commit()
    backend = ibis.connect(postgres.replace("relspec@", "restricted@"))
    yield backend
    backend.disconnect()
    owner.disconnect()


def test_errors_of_the_driver_are_engine_errors(restricted: BaseBackend) -> None:
    with pytest.raises(EngineError) as found:
        BackendTables(restricted).find("orders")
    assert "permission denied" in found.value.first_line
    assert found.value.__cause__ is not None


def test_a_task_that_reads_a_table_of_an_unreadable_catalog_reports_the_warehouse(restricted: BaseBackend) -> None:
    with pytest.raises(WarehouseError) as found:
        compile_task_catalog(TaskCatalog([sql_task("SELECT id FROM orders", "ids")]), backend=restricted)
    assert isinstance(found.value.__cause__, EngineError)
