"""The choice of the warehouse class for a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_backend import NAME, SnapshotDuckDB, require_sql
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.ibis_warehouse import IbisWarehouse
from relspec_core.warehouses.snapshot_warehouse import SnapshotWarehouse

if TYPE_CHECKING:
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.warehouses.warehouse import Warehouse


def warehouse_of(backend: Engine) -> Warehouse:
    """The warehouse of a backend.

    Raises:
        UnsupportedPlanError: RS202, for an engine without SQL.
    """
    if isinstance(backend, SnapshotDuckDB):
        return SnapshotWarehouse(backend)
    if backend.name == NAME:
        return DuckDBWarehouse(backend)
    require_sql(backend)
    return IbisWarehouse(backend)
