"""Tables never pass through Python: what a run takes of memory does not grow with them beyond DuckDB's own limit."""

import resource
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from relspec_core import TaskCatalog, run
from relspec_core.engines.duckdb_file import connect
from relspec_core.runs.options import RunOptions
from tests.support.catalogs import sql_task
from tests.system.chaos_process import FORKS

LIMIT = 200  # MB, of DuckDB
MARGIN = 100  # MB, for what DuckDB does not count: blocks of its allocator, stacks of its threads
SMALL, LARGE = 1_000_000, 10_000_000
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what getrusage gives
CATALOG = TaskCatalog(
    [
        sql_task("SELECT id, part, amount + 1 AS amount, three, four FROM numbers WHERE id % 100 <> 0", "cleaned"),
        sql_task("SELECT part, sum(amount)::BIGINT AS total, max(three) AS last FROM cleaned GROUP BY part", "totals"),
    ]
)


def run_all(database: Path) -> None:
    backend = connect(database)
    report = run(CATALOG, backend=backend, options=RunOptions(quiet=True, memory_limit=f"{LIMIT}MB"))
    assert tuple(report.ran) == ("cleaned", "totals"), report
    backend.disconnect()


def read_all(database: Path) -> None:
    with duckdb.connect(database) as con:
        con.execute(f"SET memory_limit = '{LIMIT}MB'")
        assert con.execute("FROM numbers").to_arrow_table().num_rows


def measure(work: Callable[[Path], None], database: Path, answer: Path) -> None:
    """Write the most memory that this process ever had, in MB, to a file."""
    work(database)
    answer.write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT // 1_000_000))


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    found = {rows: tmp_path_factory.mktemp("memory") / f"{rows}.duckdb" for rows in (SMALL, LARGE)}
    for rows, database in found.items():
        with duckdb.connect(database) as con:
            con.execute(
                "CREATE VIEW numbers AS SELECT range AS id, range % 1000 AS part, range * 17 AS amount, range + 3 AS three, "
                f"range + 4 AS four FROM range({rows})"
            )
    return found


def megabytes(work: Callable[[Path], None], database: Path) -> int:
    """The most memory of a process of its own that does some work."""
    answer = database.with_suffix(".megabytes")
    process = FORKS.Process(target=measure, args=(work, database, answer))
    process.start()
    process.join()
    assert process.exitcode == 0
    return int(answer.read_text())


def test_the_peak_memory_of_a_run_does_not_grow_with_its_tables_beyond_duckdbs_limit(
    databases: dict[int, Path], record_property: Callable[[str, object], None]
) -> None:
    small, large = (megabytes(run_all, databases[rows]) for rows in (SMALL, LARGE))
    record_property(f"MB of memory for tables of {SMALL:,} rows", small)
    record_property(f"MB for {LARGE:,} rows", large)
    assert large <= small + LIMIT + MARGIN


def test_a_table_that_passes_through_python_would_take_more_than_that(databases: dict[int, Path]) -> None:
    small, large = (megabytes(read_all, databases[rows]) for rows in (SMALL, LARGE))
    assert large > small + LIMIT + MARGIN
