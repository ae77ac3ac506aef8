"""Changes of tables outside relspec, noticed by digests of their contents; and nothing else is taken for one."""

import json
import random
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile

import duckdb
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import RunReport, TaskCatalog, TaskSpec, run
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_file import connect
from relspec_core.model.names import quoted_name
from relspec_core.staleness.reasons import ChangedOutside
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.support.catalogs import sql_task

ROWS = (
    "SELECT range + {seed} AS id, (hash(range + {seed}) % 1000)::BIGINT AS k, hash(range) % 50 AS size, "
    "{seed} % 3 AS c FROM range({rows})"
)
PLAN = ROWS.format(seed=1, rows=5_000)
CHANGED_OUTSIDE = str(ChangedOutside(table="sizes"))


@dataclass
class Place:
    """A database whose file is closed after whatever is done to it."""

    path: Path

    @contextmanager
    def opened(self) -> Generator[ExclusiveDuckDB]:
        backend = connect(self.path)
        try:
            yield backend
        finally:
            backend.disconnect()

    def run(self, *tasks: TaskSpec) -> RunReport:
        with self.opened() as backend:
            return run(TaskCatalog(tasks), backend=backend, quiet=True)

    def execute(self, *statements: str) -> None:
        with duckdb.connect(self.path) as con:
            for statement in statements:
                con.execute(statement)

    def digests(self, name: str) -> list[str]:
        with duckdb.connect(self.path) as con:
            found = con.execute("SELECT digests FROM relspec.evidence WHERE name = $1", [name]).fetchone()
        return [] if found is None else list(json.loads(found[0]))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "w.duckdb")


TASKS = sql_task(PLAN, "sizes"), sql_task(PLAN.replace("% 50", "% 51"), "other")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("built") / "w.duckdb")
    assert list(place.run(*TASKS).ran) == ["other", "sizes"]
    return place


@pytest.fixture
def copied(built: Place, place: Place) -> Place:
    copyfile(built.path, place.path)
    return place


def test_what_is_done_beside_a_table_is_no_change_of_it(copied: Place) -> None:
    copied.execute("CREATE TABLE unknown AS " + ROWS.format(seed=2, rows=2_000), "DROP TABLE unknown")
    assert not copied.run(*TASKS).ran


@pytest.mark.parametrize(
    "change",
    [
        ["UPDATE sizes SET k = k + 1 WHERE id = 77"],
        ["DELETE FROM sizes WHERE id = 77"],
        ["INSERT INTO sizes SELECT * FROM sizes WHERE id = 77", "DELETE FROM sizes WHERE rowid = 77"],
        ["CREATE OR REPLACE TABLE sizes AS SELECT * REPLACE (c + 1 AS c) FROM sizes"],
        ["UPDATE sizes SET c = c + 1", "CHECKPOINT", "UPDATE sizes SET c = c - 1 WHERE id > 2"],
        ["PRAGMA disable_checkpoint_on_shutdown", "UPDATE sizes SET k = 0 WHERE id = 77"],
    ],
)
def test_a_change_of_a_table_is_noticed(copied: Place, change: list[str]) -> None:
    copied.execute(*change)
    report = copied.run(*TASKS)
    assert report.ran == {"sizes": CHANGED_OUTSIDE}
    assert list(report.skipped) == ["other"]


@pytest.mark.parametrize("name", ["straße", 'si"zes', "stg.si'zes", "of two {} words"])
def test_a_table_may_have_any_name(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path / "İstanbul straße.duckdb")
    task = sql_task(PLAN, name)
    place.run(task)
    place.execute("CREATE TABLE another AS SELECT 1 AS a")
    assert not place.run(task).ran
    place.execute(f"DELETE FROM {quoted_name(name)} WHERE id = 77")
    assert list(place.run(task).ran) == [name]


def test_a_table_is_digested_as_a_whole_and_by_what_each_reader_reads(place: Place) -> None:
    sizes, reader = sql_task(PLAN, "sizes"), sql_task("SELECT sum(k) AS total FROM sizes", "reader")
    place.run(sizes, reader)
    assert place.digests("sizes") == ['["c", "id", "k", "size"]', '["k"]']
    edited = sql_task(PLAN.replace("% 50", "% 51"), "sizes")
    assert list(place.run(edited, reader).ran) == ["sizes"]
    place.execute("UPDATE sizes SET size = 77 WHERE id = 77")
    assert place.run(edited, reader).ran == {"sizes": CHANGED_OUTSIDE}


def test_a_change_of_a_table_in_memory_is_noticed(con: DuckDBBackend) -> None:
    catalog = TaskCatalog([sql_task(PLAN, "sizes")])
    run(catalog, backend=con, quiet=True)
    assert not run(catalog, backend=con, quiet=True).ran
    con.con.execute("UPDATE sizes SET k = k + 1 WHERE id = 77")
    assert run(catalog, backend=con, quiet=True).ran == {"sizes": CHANGED_OUTSIDE}


@dataclass
class Tables:
    """Some tables with the digests and the contents that they had when they were made."""

    digests: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[str, object] = field(default_factory=dict)

    def make(self, backend: ExclusiveDuckDB, name: str, *, seed: int, rows: int) -> None:
        backend.con.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT *, 'text ' || size AS name FROM ({ROWS.format(seed=seed, rows=rows)})"
        )
        self.digests[name] = self._digest(backend, name)
        self.contents[name] = self._rows(backend, name)

    @staticmethod
    def _digest(backend: ExclusiveDuckDB, name: str) -> list[str]:
        return DuckDBWarehouse(backend).contents(name, [("id", "k", "size", "c", "name")])

    @staticmethod
    def _rows(backend: ExclusiveDuckDB, name: str) -> object:
        return backend.con.execute(f"FROM {name} ORDER BY ALL").fetchall()

    def check(self, backend: ExclusiveDuckDB) -> None:
        for name, before in self.digests.items():
            assert (self._digest(backend, name) == before) == (self._rows(backend, name) == self.contents[name])


CHANGES = (
    "UPDATE {name} SET k = k + 1 WHERE id % 5000 = {number}",
    "UPDATE {name} SET c = (c + 1) % 3",
    "UPDATE {name} SET c = c + 1; CHECKPOINT; UPDATE {name} SET c = c - 1",
    "DELETE FROM {name} WHERE id % 5000 = {number}",
    "INSERT INTO {name} SELECT * FROM {name} WHERE id % 5000 = {number}; DELETE FROM {name} WHERE rowid = {number}",
    "BEGIN; UPDATE {name} SET k = k + 1; ROLLBACK",
)
OTHERS = (
    "CREATE OR REPLACE TABLE other AS SELECT * FROM {name} WHERE k < {number}",
    "CREATE OR REPLACE TABLE other AS SELECT * FROM {name}; CHECKPOINT; DROP TABLE other",
    "CHECKPOINT",
    "VACUUM ANALYZE",
    "COMMENT ON TABLE {name} IS '{number}'",
    "BEGIN; DROP TABLE {name}; ROLLBACK",
)


@pytest.mark.parametrize("seed", range(3))
def test_after_any_statements_exactly_the_changed_tables_have_other_digests(place: Place, seed: int) -> None:
    chosen = random.Random(seed)  # noqa: S311 - test data
    tables = Tables()
    with place.opened() as backend:
        for name in ("one", "two"):
            tables.make(backend, name, seed=chosen.randrange(9), rows=chosen.choice([6_000, 9_000]))
    for _ in range(12):
        name, number = chosen.choice(["one", "two"]), chosen.randrange(5000)
        statement = chosen.choice(CHANGES + OTHERS)
        with place.opened() as backend:
            backend.con.execute(statement.format(name=name, number=number))
            tables.check(backend)
            if chosen.random() < 0.3:
                tables.make(backend, name, seed=chosen.randrange(9), rows=chosen.choice([6_000, 9_000]))
        with place.opened() as backend:
            tables.check(backend)
