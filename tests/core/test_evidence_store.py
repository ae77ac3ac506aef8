from datetime import UTC, datetime

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import compile_task_catalog
from relspec_core.evidence import BuildRecord, Versions
from relspec_core.evidence_store import EvidenceStore
from relspec_core.staleness.freshness import own_calculations, table_version
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse
from tests.support.catalogs import Project, build_record, sql_task


@pytest.fixture
def warehouse(con: DuckDBBackend) -> Warehouse:
    return DuckDBWarehouse(con)


def test_an_empty_warehouse_has_no_record_and_reading_creates_none(warehouse: Warehouse) -> None:
    assert dict(EvidenceStore(warehouse).load()) == {}
    assert dict(EvidenceStore(warehouse).known_sources()) == {}
    assert warehouse.rows("SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'relspec'") == [(0,)]


def test_a_record_comes_back_as_it_was_written(warehouse: Warehouse) -> None:
    record = BuildRecord(
        name="staging.it's",
        schema=ibis.schema(
            {"Weird Col": "int64", "d": "decimal(12, 2)", "s": "struct<x: array<string>>", "at": "timestamp('UTC', 6)"}
        ),
        rows=3,
        version="v",
        task="it's a task",
        kind="view",
        fingerprint="f",
        versions=Versions(rows="r", columns={"Weird Col": "w"}),
        calculations=Versions(rows="c"),
        inputs={"b": Versions(rows="2", columns={"x": "3"}), "a": Versions(rows="1")},
        digests={"Weird Col, d": "3:12"},
        input_digests={"b": "4:13"},
        reads={"a": {"id": "BIGINT"}, "b": {}},
        built_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        seconds=0.5,
        because="'a' changed\nsince",
    )
    store = EvidenceStore(warehouse)
    store.prepare()
    store.record([record])
    assert dict(store.load()) == {"staging.it's": record}


def test_a_record_takes_the_place_of_its_predecessor(warehouse: Warehouse) -> None:
    store = EvidenceStore(warehouse)
    store.prepare()
    for rows in (1, 2):
        store.record([build_record("a", rows=rows)])
    assert [record.rows for record in store.load().values()] == [2]


def test_known_sources_have_the_columns_that_were_read_of_them_by_anyone(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders AS SELECT 1 AS id, 'x' AS note, 2.5::DECIMAL(9, 2) AS amount, 3 AS unread")
    Project(
        con, sql_task("SELECT id FROM orders", "ids"), sql_task("SELECT note, amount, ids.id FROM orders, ids", "notes")
    ).run()
    known = EvidenceStore(DuckDBWarehouse(con)).known_sources()
    assert list(known) == ["orders"]
    assert dict(known["orders"].schema.items()) == {
        "id": ibis.dtype("int32"), "note": ibis.dtype("string"), "amount": ibis.dtype("decimal(9, 2)")
    }  # fmt: skip


def test_a_run_records_what_it_built_from_what_and_why(con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders AS SELECT range AS id, 'x' AS note FROM range(4)")
    started = datetime.now(UTC)
    project = Project(con, sql_task("SELECT id FROM orders WHERE note = 'x'", "ids"))
    project.run()
    plan = compile_task_catalog(project.catalog, backend=con)["ids"]
    record = EvidenceStore(DuckDBWarehouse(con)).load()["ids"]
    assert (record.task, record.kind, record.rows, record.because) == ("ids", "table", 4, "'ids' does not exist yet")
    assert record.columns == ("id",)
    assert record.reads == {"orders": {"id": "BIGINT", "note": "TEXT"}}
    assert tuple(record.inputs) == ("orders",)
    assert record.built_at >= started.replace(microsecond=0)
    assert (record.fingerprint, record.calculations) == (plan.fingerprint, own_calculations(plan))
    assert record.version == table_version(plan, record.versions)


def test_a_view_records_no_row_count(con: DuckDBBackend) -> None:
    Project(con, sql_task("SELECT 1 AS one", "one", kind="view")).run()
    record = EvidenceStore(DuckDBWarehouse(con)).load()["one"]
    assert (record.kind, record.rows) == ("view", None)
