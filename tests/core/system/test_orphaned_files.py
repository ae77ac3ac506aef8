import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ibis

from relspec_core import TaskCatalog, run
from tests.support.catalogs import sql_task

SPILLING = """
import duckdb
connection = duckdb.connect("w.duckdb", config={"memory_limit": "150MB", "threads": 1})
connection.execute("CREATE TABLE t AS SELECT hash(range) AS h, repeat('x', 40) || range AS s FROM range(30_000_000) ORDER BY h")
"""


def test_what_a_killed_process_spilled_to_disk_is_removed_by_the_next_run(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", SPILLING], cwd=tmp_path)
    spilled = tmp_path / "w.duckdb.tmp"
    until = time.monotonic() + 60
    while not list(spilled.glob("*")) and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = list(spilled.glob("*"))
    assert left
    for file in left:  # relspec was loaded before this process began
        os.utime(file, (0, 0))
    backend = ibis.duckdb.connect(tmp_path / "w.duckdb")
    run(TaskCatalog([sql_task("SELECT 1 AS a", "one")]), backend=backend, quiet=True).raise_if_failed()
    backend.disconnect()
    assert list(spilled.glob("*")) == []
