"""Peak memory of runs by the size of their tables, each in a process of its own with a memory limit for DuckDB."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from benchmarks.building_tools import shell
from benchmarks.rivals import ROOT
from benchmarks.small_tasks import large
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.execution import run_planned
from relspec_core.planning.run_plan import plan_run
from relspec_core.runs.options import RunOptions
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

PLACE = ROOT / "build" / "running"
SIZES = (500_000, 4_000_000, 16_000_000)
LIMIT = 512


def main() -> None:
    """Measure one size, or all sizes in separate processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, help="measure this size only, and print its megabytes")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    if options.rows is not None:
        print(_megabytes(options.rows))
        return
    print(f"\nPeak memory of a run of 2 tasks and 2 workers, with a DuckDB limit of {LIMIT} MB\n")
    print(f"  {'rows of each table':30}{'MB':>10}")
    peaks = []
    for rows in SIZES:
        command = [sys.executable, "-m", "benchmarks.peak_memory", "--rows", str(rows)]
        peaks.append(int(shell(command, folder=ROOT, settings={"PYTHONPATH": str(ROOT)})[1]))
        print(f"  {rows:<30,}{peaks[-1]:>10}", flush=True)
    more = peaks[-1] - peaks[0]
    print(f"\n  goal: more for {SIZES[-1]:,} rows than for {SIZES[0]:,} <= {LIMIT} MB: {more}, ", end="")
    print("met" if more <= LIMIT else "MISSED")


def _megabytes(rows: int) -> int:
    """The peak memory of this process, after it built two tables with this many rows."""
    work = large(2, rows=rows)
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        engine = ExclusiveDuckDB.open(Path(folder) / "tables.duckdb")
        engine.con.execute(f"SET memory_limit = '{LIMIT}MB'")
        work.load(engine.con)
        planned = plan_run(work.catalog, backend=engine, ctx=work.ctx)
        report = run_planned(planned, warehouse=DuckDBWarehouse(engine), options=RunOptions(workers=2, quiet=True))
        engine.disconnect()
    report.raise_if_failed()
    unit = 1024 if sys.platform == "linux" else 1024 * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


if __name__ == "__main__":
    main()
