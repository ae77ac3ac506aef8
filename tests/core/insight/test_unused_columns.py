"""Columns that nobody reads, and what they cost where that is known."""

import json
from pathlib import Path

import ibis
import pytest

from relspec_core import SourceSpec, TaskCatalog, compile_task_catalog, run, task_graph_from_catalog
from relspec_core.insight.unused_columns import UnusedReport, unused_columns
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.storage_sizes import column_sizes
from relspec_core.warehouses.warehouse import Warehouse
from tests.support.catalogs import SHOP, sql_task


def report_of(catalog: TaskCatalog, warehouse: Warehouse) -> UnusedReport:
    plans = compile_task_catalog(catalog, backend=warehouse.backend)
    return unused_columns(catalog, plans=plans, graph=task_graph_from_catalog(plans), warehouse=warehouse)


def test_columns_that_no_task_reads_are_told_and_final_tables_apart() -> None:
    catalog = TaskCatalog(
        [
            sql_task("SELECT order_id, customer_id, amount FROM orders", "stg_orders"),
            sql_task("SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY 1", "revenue"),
            sql_task("SELECT count(*) AS n FROM revenue", "n"),
        ],
        SHOP,
    )
    report = report_of(catalog, DuckDBWarehouse(ibis.duckdb.connect()))
    assert str(report).splitlines() == [
        "columns that no task reads",
        "  orders, a source",
        "    note  string  size unknown",
        "    day  date  size unknown",
        "  revenue, written by task 'revenue'",
        "    customer_id  int64  size unknown",
        "    total  decimal(38, 0)  size unknown",
        "  stg_orders, written by task 'stg_orders'",
        "    order_id  int64  size unknown",
        "final tables, which no task reads at all",
        "  n",
        "declared sources that no task reads",
        "  customers",
        "5 unused columns in 3 tables; their sizes are not known. Leave them out of their tasks, unless somebody outside of this catalog reads them.",
    ]
    assert json.loads(report.to_json())["final"] == ["n"]


def test_a_catalog_without_unused_columns_says_so() -> None:
    catalog = TaskCatalog([sql_task("SELECT * FROM customers", "all_of_them")], SHOP[1:])
    assert (
        str(report_of(catalog, DuckDBWarehouse(ibis.duckdb.connect()))).splitlines()[-1]
        == "0 unused columns in 0 tables"
    )


def test_sizes_in_duckdbs_blocks_are_estimates_near_the_truth(tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    backend = ibis.duckdb.connect(file)
    backend.raw_sql("CREATE TABLE raw AS SELECT i AS id, md5(i::TEXT) AS noise, 1 AS one FROM range(300000) AS r(i)")
    catalog = TaskCatalog(
        [sql_task("SELECT id, noise FROM raw", "staged"), sql_task("SELECT max(id) AS most FROM staged", "most")]
    )
    run(catalog, backend=backend, quiet=True).raise_if_failed()
    backend.raw_sql("CHECKPOINT")
    report = report_of(catalog, DuckDBWarehouse(backend))
    every = [column_sizes(name, [], DuckDBWarehouse(backend)).bytes for name in ("raw", "staged", "most")]
    backend.disconnect()
    sizes = {column.name: column.bytes for table in report.tables for column in table.columns}
    assert set(sizes) == {"one", "noise"}
    assert sizes["one"] is None  # a constant is kept in the table's statistics, and takes up no block
    assert 300_000 * 16 <= (sizes["noise"] or 0) <= 300_000 * 32  # each a hash of 128 bits, written as 32 characters
    assert sum(size for table in every for size in table.values()) == pytest.approx(file.stat().st_size, rel=0.25)
    assert "noise  string  about " in str(report)
    assert "estimated where they lie in DuckDB's blocks" in str(report)


def test_sizes_in_parquet_files_are_those_that_the_files_tell(tmp_path: Path) -> None:
    file = tmp_path / "raw.parquet"
    warehouse = DuckDBWarehouse(ibis.duckdb.connect())
    warehouse.execute(
        f"COPY (SELECT i AS id, {{'a': i, 'b': [i, i]}} AS nested FROM range(1000) AS r(i)) TO '{file}' (FORMAT parquet)"
    )
    source = SourceSpec("raw", path=file)
    found = column_sizes("raw", ["id", "nested"], warehouse, source=source)
    total = warehouse.rows(f"SELECT sum(total_compressed_size) FROM parquet_metadata('{file}')")[0][0]
    assert not found.estimated
    assert set(found.bytes) == {"id", "nested"}
    assert sum(found.bytes.values()) == total


def test_views_and_missing_tables_have_no_size() -> None:
    warehouse = DuckDBWarehouse(ibis.duckdb.connect())
    warehouse.execute("CREATE VIEW v AS SELECT 1 AS a")
    assert column_sizes("v", ["a"], warehouse).bytes == {}
    assert column_sizes("absent", ["a"], warehouse).bytes == {}
