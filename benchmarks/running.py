"""Cost of running: relspec's runner and plain DuckDB with the same statements in the same order.

Planning is not included. The contenders are interleaved, each on a new database file with the same sources, and ratios
are taken within a round, where other load slows all alike; their medians are printed. What was written last is then in
DuckDB's write-ahead log, not yet in the file; the time until the file is closed is printed as well.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import duckdb

from benchmarks.building_tools import DATABASE, BuildingTool, Dbt, SqlMesh
from benchmarks.goals import Goal, Rounds, interleaved, ratio
from benchmarks.rivals import ROOT, RivalFailed
from benchmarks.shop import Model
from benchmarks.small_tasks import Work, independent, large, layered
from relspec_core import compile_task_catalog
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.execution import run_planned
from relspec_core.model.names import quoted_name
from relspec_core.planning.run_plan import RunPlan, plan_run
from relspec_core.runs.options import RunOptions
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse

PLACE = ROOT / "build" / "running"
DUCKDB, ONE, TWO, DBT, SQLMESH = "DuckDB", "relspec, 1 worker", "relspec, 2 workers", "dbt run", "sqlmesh plan"
SMALL_GOALS = (
    Goal(of=ONE, to=DUCKDB, bound=1.3, at_most=True),
    Goal(of=TWO, to=DUCKDB, bound=0.8, at_most=True),
)
# Not slower, within the difference of two measurements of the same work.
LARGE_GOALS = (
    Goal(of=TWO, to=ONE, bound=1.05, at_most=True),
    Goal(of=TWO, to=DUCKDB, bound=1.05, at_most=True),
)
OVERHEAD_GOAL = Goal(of=DBT, to=ONE, bound=10, at_most=False)
MODELS = 100


class Spent(NamedTuple):
    """Seconds of a run: until its last statement has ended, and until the database is closed."""

    run: float
    closed: float


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=1_000, help="of the larger catalogs of small tasks")
    parser.add_argument("--rows", type=int, default=5_000_000, help="of each of twelve large tables")
    parser.add_argument("--rivals", action="store_true", help="install and measure dbt and SQLMesh too")
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    small = (independent(min(MODELS, options.tasks)), independent(options.tasks), layered(options.tasks))
    for work in small:
        _compare(work, rounds=options.rounds, goals=SMALL_GOALS if len(work.tasks) > MODELS else ())
    _compare(large(12, rows=options.rows), rounds=max(3, options.rounds // 2), goals=LARGE_GOALS)
    if options.rivals:
        _rivals(independent(MODELS), rounds=max(3, options.rounds // 2))


def _compare(work: Work, *, rounds: int, goals: Sequence[Goal]) -> None:
    """Run the same statements with DuckDB alone, with one worker and with two."""
    turns: dict[str, Callable[[], Spent]] = {
        DUCKDB: lambda: with_duckdb(work),
        ONE: lambda: with_relspec(work, workers=1),
        TWO: lambda: with_relspec(work, workers=2),
    }
    with_duckdb(work)  # compiles the plans
    both = interleaved(turns, rounds)
    spent = [{name: found.run for name, found in each.items()} for each in both]
    closed = [{name: found.closed for name, found in each.items()} for each in both]
    print(f"\n{work.name}; medians of {rounds} interleaved rounds\n")
    _table(spent, len(work.tasks))
    _table(closed, len(work.tasks), title="until the database is closed")
    for goal in goals:
        print(f"  goal: {goal.verdict(spent)}", flush=True)


def with_duckdb(work: Work) -> Spent:
    """Time of DuckDB for the statements of a run, in the order of its schedule, each in its own transaction."""

    def execute(planned: RunPlan, warehouse: Warehouse) -> None:
        for task in planned.schedule.order:
            for plan in planned.plans.of_task(task):
                name = quoted_name(plan.name)
                warehouse.connection.execute(f"CREATE OR REPLACE TABLE {name} AS {plan.sql}")

    return _spent(work, execute)


def with_relspec(work: Work, *, workers: int) -> Spent:
    """Time of a run, with build records and digests, without planning."""

    def execute(planned: RunPlan, warehouse: Warehouse) -> None:
        report = run_planned(planned, warehouse=warehouse, options=RunOptions(workers=workers, quiet=True))
        report.raise_if_failed()

    return _spent(work, execute)


def _spent(work: Work, execute: Callable[[RunPlan, Warehouse], None]) -> Spent:
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        engine = ExclusiveDuckDB.open(Path(folder) / "tables.duckdb")
        work.load(engine.con)
        planned = plan_run(work.catalog, backend=engine, ctx=work.ctx)
        if len(planned.schedule.order) != len(work.tasks):
            raise SystemExit(f"not all of {work.name} would run:\n{planned.total}")
        start = time.perf_counter()
        execute(planned, DuckDBWarehouse(engine))
        seconds = time.perf_counter() - start
        ((written,),) = engine.con.execute(
            "SELECT count(*) FROM duckdb_tables() WHERE table_name ^@ 'task_'"
        ).fetchall()
        start_closing = time.perf_counter()
        engine.disconnect()
        closing = time.perf_counter() - start_closing
    if written != len(work.tasks):
        raise SystemExit(f"{written} of {work.name} were written")
    return Spent(seconds, seconds + closing)


def _rivals(work: Work, *, rounds: int) -> None:
    """Run the same models with other tools, and print the time per task of each beyond DuckDB's own."""
    turns: dict[str, Callable[[], float]] = {
        DUCKDB: lambda: with_duckdb(work).run,
        ONE: lambda: with_relspec(work, workers=1).run,
    }
    for name, rival in ((DBT, _dbt), (SQLMESH, _sqlmesh)):
        try:
            turns[name] = rival(work)
        except RivalFailed as error:
            print(f"  {error}")
    spent = interleaved(turns, rounds)
    print(f"\nThe same {len(work.tasks)} models; without planning, parsing and start; medians of {rounds} rounds\n")
    _table(spent, len(work.tasks))
    beyond = [{name: max(each[name] - each[DUCKDB], 1e-6) for name in each if name != DUCKDB} for each in spent]
    for name in beyond[0]:
        each = median(spent[name] for spent in beyond) / len(work.tasks)
        print(f"  {name:30}{1000 * each:>10.2f} ms a task beyond DuckDB")
    print(f"\n  goal, of the time beyond DuckDB: {OVERHEAD_GOAL.verdict(beyond)}")


def _dbt(work: Work) -> Callable[[], float]:
    """The duration that dbt reports for its run, without starting and parsing."""
    dbt = Dbt()

    def seconds() -> float:
        _set_up(dbt, work)
        dbt.build()
        return json.loads((dbt.folder / "target" / "run_results.json").read_text())["elapsed_time"]

    return seconds


def _sqlmesh(work: Work) -> Callable[[], float]:
    """The duration of SQLMesh's plan beyond one with nothing to do."""
    sqlmesh = SqlMesh()

    def seconds() -> float:
        _set_up(sqlmesh, work)
        spent, built = sqlmesh.build()
        if built != len(work.tasks):
            raise SystemExit(f"SQLMesh built {built} of {len(work.tasks)}")
        return spent - sqlmesh.plan()[0]

    return seconds


def _set_up(tool: BuildingTool, work: Work) -> None:
    """Recreate the tool's project."""
    tool.folder = PLACE / tool.folder.name
    shutil.rmtree(tool.folder, ignore_errors=True)
    (tool.folder / "models").mkdir(parents=True)
    with duckdb.connect(tool.folder / DATABASE) as connection:
        work.load(connection)
    for plan in compile_task_catalog(work.catalog, ctx=work.ctx):
        tool.write(Model(name=plan.name, kind="table", query=plan.ast, reads=frozenset()))


def _table(rounds: Rounds, tasks: int, *, title: str = "") -> None:
    print(f"  {title:30}{'seconds':>10}{'ms a task':>12}{f'/ {DUCKDB}':>12}")
    for name in rounds[0]:
        seconds = median(spent[name] for spent in rounds)
        print(f"  {name:30}{seconds:>10.2f}{1000 * seconds / tasks:>12.2f}{ratio(rounds, name, DUCKDB):>12.2f}")
    print()


if __name__ == "__main__":
    main()
