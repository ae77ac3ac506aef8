"""Databases that an earlier release has written are opened, and nothing in them is rebuilt or lost."""

import json
import zipfile
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import duckdb
import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import RunReport, WarehouseError, run
from relspec_core.evidence_store import EvidenceStore
from relspec_core.planning.run_plan import plan_run
from relspec_core.runs.run_log import RunLog
from relspec_core.staleness.reasons import ChangedOutside
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.snapshot import find_snapshot, snapshot_file, write_snapshot
from tests.cases.databases.make_databases import CATALOGS, sources

DATABASES = Path(__file__).parents[1] / "cases" / "databases"
FAILED = {"sql": ("broken",), "ibis": ()}


@pytest.fixture(params=sorted(CATALOGS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def con(name: str, tmp_path: Path) -> Generator[DuckDBBackend]:
    """A database of commit 7f6e04a, beside the file that it was built from."""
    sources(tmp_path)
    with zipfile.ZipFile(DATABASES / f"{name}.zip") as archive:
        archive.extractall(tmp_path)
    backend = ibis.duckdb.connect(tmp_path / f"{name}.duckdb")
    yield backend
    backend.disconnect()


def test_nothing_of_an_earlier_release_is_rebuilt_or_lost(name: str, con: DuckDBBackend, tmp_path: Path) -> None:
    catalog, warehouse = CATALOGS[name](tmp_path), DuckDBWarehouse(con)
    records, last = EvidenceStore(warehouse).load(), RunLog(warehouse).last()
    tables = {
        table: con.con.execute(f"SELECT count(*) FROM {table}").fetchall() for table in records if table != "cities"
    }
    planned = plan_run(catalog, backend=con)
    codes = {task: found.reason.code for task, found in planned.freshness.items()}
    assert codes == {task: "not_built" if task in FAILED[name] else "unchanged" for task in catalog.names}
    for _ in range(2):
        report = run(catalog, backend=con, quiet=True)
        assert (tuple(report.ran), tuple(report.failed), tuple(report.blocked)) == ((), FAILED[name], ())
    assert last is not None
    assert {task.task: task.outcome for task in last.tasks} == {
        task: "failed" if task in FAILED[name] else "ran" for task in catalog.names
    }
    assert RunLog(warehouse).find(last.number) == last
    assert [found.number for found in RunLog(warehouse).runs().runs] == [3, 2, 1]
    now = EvidenceStore(warehouse).load()
    assert {table: record.version for table, record in now.items()} == {
        table: record.version for table, record in records.items()
    }
    assert {table: con.con.execute(f"SELECT count(*) FROM {table}").fetchall() for table in tables} == tables


def test_an_edit_rebuilds_what_it_concerns_and_no_more(name: str, con: DuckDBBackend, tmp_path: Path) -> None:
    con.con.execute("UPDATE orders SET name = 'eve' WHERE id = 2")

    def ran() -> RunReport:
        return run(CATALOGS[name](tmp_path), backend=con, quiet=True)

    expected = {"sql": ("wide", "narrow"), "ibis": ("split", "initials")}
    assert tuple(ran().ran) == expected[name]
    assert tuple(ran().ran) == ()


def test_a_table_known_by_the_blocks_of_its_file_is_digested_once_and_adopted(tmp_path: Path) -> None:
    sources(tmp_path)
    with zipfile.ZipFile(DATABASES / "sql.zip") as archive:
        archive.extractall(tmp_path)
    con = ibis.duckdb.connect(tmp_path / "sql.duckdb")
    catalog, store = CATALOGS["sql"](tmp_path), EvidenceStore(DuckDBWarehouse(con))
    large = {name: record for name, record in store.load().items() if (record.rows or 0) >= 2_000_000}
    assert large
    assert all("signature" in record.digests for record in large.values())
    assert tuple(run(catalog, backend=con, quiet=True).ran) == ()
    adopted = {name: store.load()[name] for name in large}
    for name, record in adopted.items():
        assert "signature" not in record.digests
        assert json.dumps(sorted(record.schema)) in record.digests
        assert replace(record, digests={}) == replace(large[name], digests={})
    name = next(iter(large))
    con.con.execute(f"UPDATE {name} SET {next(iter(large[name].schema))} = NULL WHERE rowid = 77")
    assert run(catalog, backend=con, quiet=True).ran[name] == str(ChangedOutside(table=name))
    con.disconnect()


@pytest.mark.parametrize("table", ["evidence", "runs", "run_tasks"])
def test_stored_tables_of_a_newer_release_are_refused_and_left_alone(
    con: DuckDBBackend, name: str, tmp_path: Path, table: str
) -> None:
    con.con.execute("CREATE TABLE relspec.schema_versions (name VARCHAR NOT NULL, version INTEGER NOT NULL)")
    con.con.execute("INSERT INTO relspec.schema_versions VALUES (?, 99)", [table])
    before = con.con.execute(f"FROM relspec.{table}").fetchall()
    with pytest.raises(WarehouseError, match=rf"{table}.* 99") as refused:
        run(CATALOGS[name](tmp_path), backend=con, quiet=True)
    assert refused.value.code == "RS402"
    with pytest.raises(WarehouseError):
        RunLog(DuckDBWarehouse(con)).last() if table != "evidence" else EvidenceStore(DuckDBWarehouse(con)).load()
    assert con.con.execute(f"FROM relspec.{table}").fetchall() == before


def test_a_stored_table_that_lacks_columns_is_read_and_gets_them(con: DuckDBBackend, tmp_path: Path, name: str) -> None:
    con.con.execute("ALTER TABLE relspec.runs DROP COLUMN bytes")
    log = RunLog(DuckDBWarehouse(con))
    assert [found.number for found in log.runs().runs] == [1]
    run(CATALOGS[name](tmp_path), backend=con, quiet=True)
    assert [found.number for found in log.runs().runs] == [2, 1]
    assert "bytes" in DuckDBWarehouse(con).own_columns("runs")


def test_a_metadata_snapshot_of_a_newer_release_is_refused(con: DuckDBBackend, name: str, tmp_path: Path) -> None:
    database = tmp_path / f"{name}.duckdb"
    write_snapshot(DuckDBWarehouse(con))
    found = find_snapshot(database)
    assert found is not None
    file = snapshot_file(database)
    head, *rest = file.read_text(encoding="utf-8").split("\n")
    file.write_text("\n".join([json.dumps({**json.loads(head), "form": 99}), *rest]), encoding="utf-8")
    with pytest.raises(WarehouseError, match="99"):
        find_snapshot(database)


def test_the_databases_are_those_of_a_release_without_versions(con: DuckDBBackend) -> None:
    with pytest.raises(duckdb.CatalogException):
        con.con.execute("FROM relspec.schema_versions")
