"""The files of a source are listed once per command, however many tasks read them."""

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec
from relspec_core.evidence_store import EvidenceStore
from relspec_core.planning.run_plan import plan_run
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.support.catalogs import Project, sql_task
from tests.support.stores import ANN, BOB

READERS = 16
CALLS: Counter[str] = Counter()


class CountingFileSystem(MemoryFileSystem):
    """fsspec's own in memory, which counts what it is asked."""

    protocol = "counting"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("counting://", "memory://"))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:  # noqa: ANN401, FBT001, FBT002 - fsspec's
        CALLS["ls"] += 1
        return super().ls(path, detail=detail, **options)

    def info(self, path: str, **options: Any) -> Any:  # noqa: ANN401 - fsspec's
        CALLS["info"] += 1
        return super().info(path, **options)


@pytest.fixture
def project(con: DuckDBBackend) -> Generator[Project]:
    """One source of three files with sixteen readers."""
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    store = fsspec.filesystem("counting")
    for name, data in (("1", ANN), ("2", BOB), ("3", b"id,name\n3,eve\n")):
        store.pipe(f"/people/{name}.csv", data)
    tasks = (sql_task(f"SELECT id + {number} AS id, name FROM people", f"t{number:02}") for number in range(READERS))
    yield Project(con, *tasks, sources=[SourceSpec("people", path="counting://people/*.csv")])
    store.rm("/people", recursive=True)


def test_planning_lists_a_source_once_and_building_once_more(project: Project) -> None:
    CALLS.clear()
    planned = plan_run(project.catalog, backend=project.con)
    assert len(planned.schedule.order) == READERS
    assert (CALLS["ls"], CALLS["info"] <= 3) == (1, True)
    CALLS.clear()
    assert len(project.run().ran) == READERS
    assert (CALLS["ls"], CALLS["info"] <= 6) == (2, True)
    CALLS.clear()
    assert project.run().ran == {}
    assert (CALLS["ls"], CALLS["info"] <= 3) == (1, True)


def test_local_files_are_listed_once_by_an_idle_run(
    con: DuckDBBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(f"id\n{number}\n")
    tasks = [sql_task(f"SELECT id + {number} AS id FROM numbers", f"t{number:02}") for number in range(READERS)]
    project = Project(con, *tasks, sources=[SourceSpec("numbers", path=str(tmp_path / "*.csv"))])
    project.run()
    asked: Counter[str] = Counter()
    stat = Path.stat

    def counted(self: Path, **options: Any) -> Any:  # noqa: ANN401 - as Path's
        asked[self.name] += 1
        return stat(self, **options)

    monkeypatch.setattr(Path, "stat", counted)
    assert project.run().ran == {}
    assert max(asked.values()) <= 3  # its kind, its size and time: not once more for each reader


def test_files_that_change_while_they_are_read_are_read_again(project: Project) -> None:
    """A record has the version of the files that its task was planned with until they were compared once more."""
    store, planned = fsspec.filesystem("counting"), plan_run(project.catalog, backend=project.con)
    changes = iter([b"id,name\n1,mid\n"])

    class Changing(CountingFileSystem):
        def modified(self, path: str) -> Any:  # noqa: ANN401 - fsspec's
            found = super().modified(path)
            if path.endswith("3.csv") and (data := next(changes, None)) is not None:  # right after planning's listing
                store.pipe("/people/1.csv", data)
            return found

    fsspec.register_implementation("counting", Changing, clobber=True)
    assert len(planned.schedule.order) == READERS
    assert len(project.run().ran) == READERS
    records = EvidenceStore(DuckDBWarehouse(project.con)).load()
    assert all("people" in record.input_digests for record in records.values())
    store.pipe("/people/1.csv", ANN)  # the contents that they had when the run was planned
    codes = {found.reason.code for found in plan_run(project.catalog, backend=project.con).freshness.values()}
    assert codes == {"unverified_files"}
    assert len(project.run().ran) == READERS
    assert project.run().ran == {}
    records = EvidenceStore(DuckDBWarehouse(project.con)).load()
    assert not any(record.input_digests for record in records.values())
