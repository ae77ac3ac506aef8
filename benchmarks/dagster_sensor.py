"""Cost of a tick of the evidence sensor on a large catalog: with one new file, and with none.

All tables exist and are not rebuilt: each round replaces the file of one source, and the sensor requests
all of its descendants. The time of Dagster's own queries is printed separately.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

import dagster as dg
import duckdb

from benchmarks.rivals import ROOT
from benchmarks.small_tasks import ROWS, SCHEMA, layered
from relspec_core import ExecutionContext, SourceSpec, TaskCatalog, run, task_graph_from_catalog
from relspec_core.engines.duckdb_file import connect
from relspec_core.system.compile_cache import CompileCache
from relspec_dagster.access.plan_loading import load_plans
from relspec_dagster.access.storage import Storage
from relspec_dagster.arrivals.instance_queries import RunsInProgress, reported
from relspec_dagster.arrivals.sensor_tick import EvidenceSensor, SensorTick
from relspec_dagster.translation.projection import project
from relspec_dagster.translation.translator import RelspecTranslator

PLACE = ROOT / "build" / "dagster_sensor"
MILLISECONDS = 50.0
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Milliseconds of one step: wall and CPU time."""

    wall: float
    cpu: float


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tasks", type=int, default=1_000)
    options = parser.parse_args()
    ticks_of_one_arrival(tasks=options.tasks, rounds=options.rounds)


def ticks_of_one_arrival(*, tasks: int, rounds: int) -> None:
    """Time the ticks, and print the medians with the goal."""
    PLACE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=PLACE) as name:
        folder = Path(name)
        catalog, ctx = _catalog(folder, tasks)
        database = folder / "warehouse.duckdb"
        backend = connect(database)
        run(catalog, backend=backend, ctx=ctx, quiet=True)
        backend.disconnect()
        ctx.cache.save()
        _measure(catalog, ctx, database, folder, rounds=rounds)


def _catalog(folder: Path, tasks: int) -> tuple[TaskCatalog, ExecutionContext]:
    """Layers of small tasks over files of a thousand rows."""
    work = layered(tasks)
    _put_file(folder / "one.parquet", rows=1_000)
    for source in work.sources:
        shutil.copyfile(folder / "one.parquet", folder / f"{source}.parquet")
    sources = [SourceSpec(name, schema=SCHEMA, path=folder / f"{name}.parquet") for name in work.sources]
    return TaskCatalog(work.tasks, sources), ExecutionContext(cache=CompileCache(PLACE / f"compiled_{tasks}"))


def _put_file(path: Path, *, rows: int) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({ROWS.format(rows=rows)}) TO '{path}' (FORMAT parquet)")


def _measure(catalog: TaskCatalog, ctx: ExecutionContext, database: Path, folder: Path, *, rounds: int) -> None:
    plans = load_plans(catalog, database=database, ctx=ctx)
    graph = task_graph_from_catalog(plans)
    projection = project(plans, graph, translator=RelspecTranslator(), storage=Storage.of_file(database))
    ticks = SensorTick(EvidenceSensor(), plans=plans, graph=graph, projection=projection, database=database)
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        for key in ticks.sources:
            instance.report_runless_asset_event(dg.AssetMaterialization(key))
        cursor: str | None = None
        first, arrival, idle, dagster = [], [], [], []
        asked = 0

        def tick() -> dg.SensorResult:
            nonlocal cursor
            found = ticks.tick(dg.build_sensor_context(instance=instance, cursor=cursor))
            cursor = found.cursor
            return found

        spent, found = _timed(tick)
        first.append(spent)
        if found.run_requests:
            raise SystemExit("all tables are built, and the first tick asks for some")
        for number in range(rounds):
            _put_file(folder / "raw_0.parquet", rows=1_001 + number)
            spent, found = _timed(tick)
            arrival.append(spent)
            asked = len((found.run_requests or [dg.RunRequest()])[0].asset_selection or ())
            tick()
            idle.append(_timed(tick)[0])
            dagster.append(
                _timed(lambda: (RunsInProgress(ticks.tasks).building(instance), reported(instance, ticks.sources)))[0]
            )
    print(f"\n{len(plans):,} tasks over {len(ticks.sources)} files; medians of {rounds} rounds, in milliseconds\n")
    print(f"  {'':52}{'wall':>8}{'CPU':>8}")
    _print("the first tick of a process", first)
    _print(f"a tick in which a file arrives: {asked} tasks are asked for", arrival)
    _print("a tick in which nothing arrives", idle)
    _print("of each: Dagster's own queries", dagster)
    own = median(spent.cpu for spent in arrival) - median(spent.cpu for spent in dagster)
    verdict = "met" if own <= MILLISECONDS else "MISSED"
    print(f"\n  goal: an arrival less Dagster's queries <= {MILLISECONDS:g} ms of the CPU: {own:.1f}, {verdict}")


def _print(what: str, spent: list[Spent]) -> None:
    print(f"  {what:52}{median(found.wall for found in spent):>8.1f}{median(found.cpu for found in spent):>8.1f}")


def _timed(do: Callable[[], Found]) -> tuple[Spent, Found]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = do()
    return Spent(wall=1e3 * (time.perf_counter() - wall), cpu=1e3 * (time.process_time() - cpu)), found


if __name__ == "__main__":
    main()
