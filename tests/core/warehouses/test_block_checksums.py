"""How a large table is known by what its file holds, without being read."""

import json
import random
import subprocess
import sys
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
from relspec_core.warehouses.duckdb_warehouse import SIGNED_ROWS, DuckDBWarehouse
from tests.support.catalogs import sql_task

ROWS = (
    "SELECT range + {seed} AS id, (hash(range + {seed}) % 1000)::BIGINT AS k, hash(range) % 50 AS size, "
    "{seed} % 3 AS c FROM range({rows})"
)
LARGE = ROWS.format(seed=1, rows=SIGNED_ROWS)
CHANGED_OUTSIDE = str(ChangedOutside(table="large"))


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


TASKS = sql_task(LARGE, "large"), sql_task(LARGE.replace("% 50", "% 51"), "other")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("built") / "w.duckdb")
    assert list(place.run(*TASKS).ran) == ["large", "other"]
    return place


@pytest.fixture
def copied(built: Place, place: Place) -> Place:
    copyfile(built.path, place.path)
    return place


def test_what_somebody_else_does_beside_a_large_table_is_no_change_of_it(copied: Place) -> None:
    assert copied.digests("large") == ["signature"]
    copied.execute("CREATE TABLE unknown AS " + ROWS.format(seed=2, rows=200_000), "DROP TABLE unknown")
    assert not copied.run(*TASKS).ran


@pytest.mark.parametrize(
    "change",
    [
        ["UPDATE large SET k = k + 1 WHERE id = 77"],
        ["DELETE FROM large WHERE id = 77"],
        ["INSERT INTO large SELECT * FROM large WHERE id = 77", "DELETE FROM large WHERE rowid = 77"],
        ["CREATE OR REPLACE TABLE large AS SELECT * REPLACE (c + 1 AS c) FROM large"],  # a constant is in no block
        ["UPDATE large SET c = c + 1", "CHECKPOINT", "UPDATE large SET c = c - 1 WHERE id > 2"],
        ["PRAGMA disable_checkpoint_on_shutdown", "UPDATE large SET k = 0 WHERE id = 77"],
    ],
)
def test_what_somebody_else_changes_in_a_large_table_is_noticed(copied: Place, change: list[str]) -> None:
    copied.execute(*change)
    report = copied.run(*TASKS)
    assert report.ran == {"large": CHANGED_OUTSIDE}
    assert list(report.skipped) == ["other"]


def test_rows_that_change_places_in_the_same_blocks_are_noticed(place: Place) -> None:
    found: list[tuple[object, str | None]] = []
    values = "SELECT range AS id, hash({}) AS v FROM range(1000000)"  # too random to be compressed
    swapped = values.format("CASE range WHEN 1000 THEN 1001 WHEN 1001 THEN 1000 ELSE range END")
    for rows in (values.format("range"), values.format("range"), swapped):
        with place.opened() as backend:  # the second table is written beside the first, the third where that was
            backend.con.execute(f"SET threads = 1; CREATE OR REPLACE TABLE large AS {rows}")
            places = (
                "SELECT list((column_path, row_group_id, block_id, block_offset)) FROM pragma_storage_info('large')"
            )
            found.append((backend.con.execute(places).fetchone(), DuckDBWarehouse(backend).signature("large", "table")))
    (first, before), _, (last, after) = found
    assert first == last
    assert None not in (before, after)
    assert before != after


@pytest.mark.parametrize("name", ["straße", 'la"rge', "stg.la'rge", "of two {} words"])
def test_a_large_table_may_have_any_name(tmp_path: Path, name: str) -> None:
    place = Place(tmp_path / "İstanbul straße.duckdb")
    task = sql_task(LARGE, name)
    place.run(task)
    place.execute("CREATE TABLE another AS SELECT 1 AS a")
    assert not place.run(task).ran
    place.execute(f"DELETE FROM {quoted_name(name)} WHERE id = 77")
    assert list(place.run(task).ran) == [name]


def test_of_a_large_table_that_is_read_only_what_is_read_is_digested(place: Place) -> None:
    large, reader = sql_task(LARGE, "large"), sql_task("SELECT sum(k) AS total FROM large", "reader")
    place.run(large, reader)
    assert place.digests("large") == ['["k"]', "signature"]
    edited = sql_task(LARGE.replace("% 50", "% 51"), "large")
    assert list(place.run(edited, reader).ran) == ["large"]
    place.execute("UPDATE large SET size = 77 WHERE id = 77")
    assert place.run(edited, reader).ran == {"large": CHANGED_OUTSIDE}


def test_a_large_table_of_which_it_is_not_known_what_has_happened_is_built_again(place: Place) -> None:
    task = sql_task(LARGE, "large")
    place.run(task)
    # As a process leaves it that dies between publishing a table and looking at what the file holds of it.
    place.execute("""UPDATE relspec.evidence SET digests = '{"signature": ""}'""")
    assert place.run(task).ran == {"large": CHANGED_OUTSIDE}
    assert not place.run(task).ran


def test_a_large_table_that_the_next_checkpoint_rearranges_has_a_digest(place: Place) -> None:
    # Without an order each part comes into row groups of its own, and the smallest of them do not stay as they are.
    parts = " UNION ALL ".join(f"FROM range({rows})" for rows in (SIGNED_ROWS, 50, 50, 50, 50))
    task = sql_task(f"SELECT range AS n FROM ({parts})", "large")
    with place.opened() as backend:
        backend.con.execute("SET threads = 2; SET preserve_insertion_order = false")
        run(TaskCatalog([task]), backend=backend, quiet=True)
    assert place.digests("large") == ['["n"]']
    place.execute("CREATE TABLE another AS SELECT 1 AS a")
    assert not place.run(task).ran
    place.execute("UPDATE large SET n = 5 WHERE n = 7")
    assert place.run(task).ran == {"large": CHANGED_OUTSIDE}


def test_a_large_table_in_memory_has_a_digest(con: DuckDBBackend) -> None:
    catalog = TaskCatalog([sql_task(LARGE, "large")])
    run(catalog, backend=con, quiet=True)
    assert not run(catalog, backend=con, quiet=True).ran
    con.con.execute("UPDATE large SET k = k + 1 WHERE id = 77")
    assert run(catalog, backend=con, quiet=True).ran == {"large": CHANGED_OUTSIDE}


def test_to_look_at_the_file_leaves_it_locked(place: Place) -> None:
    with place.opened() as backend:
        run(TaskCatalog([sql_task(LARGE, "large")]), backend=backend, quiet=True)
        warehouse = DuckDBWarehouse(backend)
        assert warehouse.signature("large", "table")
        script = f"import duckdb; duckdb.connect({str(place.path)!r})"
        tried = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "lock" in tried.stderr


@dataclass
class Tables:
    """Some tables, of which it is known what was found of them when they were made.

    Attributes:
        signatures: of each table then; None where nothing can be told.
        contents: the same of its rows.
        touched: those to which something was done since.
    """

    place: Place
    signatures: dict[str, str | None] = field(default_factory=dict)
    contents: dict[str, object] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)

    def make(self, backend: ExclusiveDuckDB, name: str, *, seed: int, rows: int) -> None:
        backend.con.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT *, 'text ' || size AS name FROM ({ROWS.format(seed=seed, rows=rows)})"
        )
        self.signatures[name] = DuckDBWarehouse(backend).signature(name, "table")
        self.contents[name] = self._rows(backend, name)
        self.touched.discard(name)

    @staticmethod
    def _rows(backend: ExclusiveDuckDB, name: str) -> object:
        return backend.con.execute(f"SELECT count(*), sum(hash(COLUMNS(*)::VARCHAR)) FROM {name}").fetchone()

    def check(self, backend: ExclusiveDuckDB) -> None:
        """No changed table counts as unchanged, and every untouched one does."""
        for name, before in self.signatures.items():
            is_same = before is not None and DuckDBWarehouse(backend).signature(name, "table") == before
            assert not is_same or self._rows(backend, name) == self.contents[name]
            assert is_same or name in self.touched or before is None


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
def test_whatever_is_done_no_table_counts_as_it_was_that_is_not(place: Place, seed: int) -> None:
    chosen = random.Random(seed)  # noqa: S311 - test data
    tables = Tables(place)
    with place.opened() as backend:
        for name in ("one", "two"):
            tables.make(backend, name, seed=chosen.randrange(9), rows=chosen.choice([130_000, 260_000]))
    for _ in range(12):
        name, number = chosen.choice(["one", "two"]), chosen.randrange(5000)
        statement = chosen.choice(CHANGES + OTHERS)
        with place.opened() as backend:
            backend.con.execute(statement.format(name=name, number=number))
            tables.touched |= {name} if statement in CHANGES else set()
            tables.check(backend)
            if name in tables.touched and chosen.random() < 0.3:
                tables.make(backend, name, seed=chosen.randrange(9), rows=chosen.choice([130_000, 260_000]))
        with place.opened() as backend:
            tables.check(backend)
