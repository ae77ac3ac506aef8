"""Law 11 by injected faults: a full disk, a write that fails, an engine that fails in the middle of a publish."""

import re
from collections.abc import Callable
from pathlib import Path
from random import Random

import duckdb
import pytest

from tests.support.catalogs import text_block
from tests.support.shards import shard_id
from tests.system.chaos_process import ChaosProject, Ended
from tests.system.chaos_state import State, look, outcome
from tests.system.chaos_victim import WORKERS, Victim

FAULTS_EACH = 4
FULL = re.compile(r"File too large|invalidated because of a previous fatal error")


# -- a full disk -------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(max(1, metafunc.config.getoption("kills") // 20)), ids=shard_id)


def test_when_the_disk_is_full_each_table_is_old_or_new_with_its_record_and_the_next_run_completes(
    shard: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    random = Random(f"full {shard}")  # noqa: S311 - not for secrets
    victim = Victim(tmp_path, random)
    for number in range(FAULTS_EACH):
        if number:
            victim.edit()
        size = victim.project.database.stat().st_size
        ended = victim.project.run(*WORKERS, largest_file=random.randint(size // 2, size * 9 // 8))
        left = victim.hold(ended)
        victim.counts["full disks"] += 1
        if left.old:
            victim.counts["full disks that left tasks old"] += 1
            assert ended.code == 1, ended.log
            assert FULL.search(ended.log), ended.log
            assert ended.failed, ended.log
            assert ended.failed <= left.old
        else:
            assert ended.code == 0, ended.log
        victim.come_to_an_end()
    victim.close()
    for name, count in victim.counts.items():
        record_property(name, count)


# -- an engine that fails ----------------------------------------------------------------------------------------------

MODULE = text_block("""
    from pathlib import Path
    from relspec_core import TaskCatalog, task

    NUMBER, FAULTY = {number}, {faulty}

    @task
    def whole(ctx):
        return ctx.sql(f"SELECT id, id % 100 AS part, {{NUMBER}} AS number FROM numbers")

    @task
    def cast(ctx):
        last = "CASE WHEN id = 299999 THEN 'none' ELSE id::VARCHAR END::BIGINT" if FAULTY else "id"
        return ctx.sql(f"SELECT {{last}} AS id, part, number FROM whole")

    @task
    def pair(ctx):
        late = "CASE WHEN id = 299999 THEN error('no such part') END::BIGINT" if FAULTY else "NULL::BIGINT"
        return {{
            "first": ctx.sql("SELECT part, count(*) AS n, max(number) AS number FROM whole GROUP BY part"),
            "second": ctx.sql(f"SELECT id, number, {{late}} AS late FROM whole"),
        }}

    @task
    def reader(ctx):
        return ctx.sql("SELECT number, count(*) AS n FROM cast GROUP BY number")

    @task
    def other(ctx):
        return ctx.sql("SELECT part, sum(id)::BIGINT AS total, max(number) AS number FROM whole GROUP BY part")

    catalog = TaskCatalog([whole, cast, pair, reader, other])
""")
OUTPUTS = {
    "whole": ("whole",),
    "cast": ("cast",),
    "pair": ("first", "second"),
    "reader": ("reader",),
    "other": ("other",),
}


def project_in(folder: Path) -> ChaosProject:
    """Built once, without a fault."""
    project = ChaosProject(root=folder)
    project.write(MODULE.format(number=1, faulty=False))
    with duckdb.connect(project.database) as con:
        con.execute("CREATE TABLE numbers AS SELECT range AS id FROM range(300_000)")
    assert project.run(*WORKERS).code == 0
    return project


def edited_and_run(project: ChaosProject, *, faulty: bool) -> tuple[Ended, State]:
    project.write(MODULE.format(number=2, faulty=faulty))
    return project.run(*WORKERS), look(project.database, OUTPUTS)


def test_a_task_that_fails_in_its_last_row_publishes_nothing_and_blocks_only_its_readers(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    peaceful, project = project_in(tmp_path / "peaceful"), project_in(tmp_path / "faulty")
    before = look(project.database, OUTPUTS)
    _, after = edited_and_run(peaceful, faulty=False)

    ended, found = edited_and_run(project, faulty=True)
    left = outcome(found, before, after, OUTPUTS)
    assert (left.old, left.new) == ({"cast", "pair", "reader"}, {"whole", "other"})
    assert (ended.code, ended.failed, ended.ran) == (1, {"cast", "pair"}, {"whole", "other"})
    assert re.search(r"task 'cast' failed: .*Could not convert string 'none' to INT64", ended.log)
    assert re.search(r"task 'pair' failed: .*no such part", ended.log)
    assert "blocked reader: task 'reader' waits for task 'cast', which failed or is blocked" in ended.log

    ended, found = edited_and_run(project, faulty=False)
    assert (ended.code, ended.begun) == (0, {"cast", "pair", "reader"})
    assert outcome(found, before, after, OUTPUTS).old == frozenset()
    assert found.others == {"numbers"}
    record_property("engine errors in the middle of a publish", 2)


# -- a write that fails ------------------------------------------------------------------------------------------------

# Where DuckDB's log is to be there is a folder, made once the database is open: its first write to the disk fails.
UNWRITABLE = """
@task
def in_the_way(ctx):
    Path("warehouse.duckdb.wal").mkdir()
    return ctx.sql("SELECT 1 AS one")
"""


def test_when_the_log_can_not_be_written_all_is_as_it_was_and_the_next_run_completes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    peaceful, project = project_in(tmp_path / "peaceful"), project_in(tmp_path / "unwritable")
    before = look(project.database, OUTPUTS)
    _, after = edited_and_run(peaceful, faulty=False)

    module = MODULE.format(number=2, faulty=False)
    project.write(module.replace("catalog =", f"{UNWRITABLE}\ncatalog =").replace("([whole", "([in_the_way, whole"))
    ended = project.run(*WORKERS)
    project.database.with_name("warehouse.duckdb.wal").rmdir()
    assert (ended.code, ended.ran) == (1, frozenset()), ended.log
    assert "[RS401] the run failed: " in ended.log
    assert "warehouse.duckdb.wal" in ended.log
    assert look(project.database, OUTPUTS) == before

    ended, found = edited_and_run(project, faulty=False)
    assert (ended.code, ended.ran) == (0, set(OUTPUTS)), ended.log
    assert outcome(found, before, after, OUTPUTS).old == frozenset()
    record_property("write errors", 1)
