"""Cost of materializing in Dagster: relspec's assets, the same assets written by hand, and DuckDB alone.

By hand means one multi-asset for each task, with its dependencies declared, a check for each of them that reads the
existing columns, and the statement, on the connection of dagster-duckdb's resource. Each is materialized by one run in
this process, on a new instance and a new database file: once with Dagster's history on disk, as in `dagster dev`,
and once in memory, where relspec's share is largest. The contenders are interleaved, and ratios are taken within a
round, where other load slows all alike; their medians are printed. Loading the definitions is not included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import TypeAlias

import dagster as dg
import duckdb
from dagster_duckdb import DuckDBResource

from benchmarks.goals import Goal, Rounds, interleaved, ratio
from benchmarks.running import DUCKDB, PLACE, with_duckdb
from benchmarks.small_tasks import Work, layered
from relspec_core import PlanArtifact, compile_task_catalog
from relspec_core.model.names import quoted_name
from relspec_dagster import build_definitions

BY_HAND, RELSPEC = "Dagster, by hand", "Dagster, relspec"
TASKS = 100
GOAL = Goal(of=RELSPEC, to=BY_HAND, bound=1.15, at_most=True)

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}

# Returns the definitions for tasks on a database file.
Definitions: TypeAlias = Callable[[Work, Path], dg.Definitions]
# Returns Dagster's history, in a folder.
History: TypeAlias = Callable[[str], dg.DagsterInstance]
HISTORIES: Mapping[str, History] = {"on disk": dg.DagsterInstance.local_temp, "in memory": dg.DagsterInstance.ephemeral}


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=TASKS)
    options = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    work = layered(options.tasks)
    with_duckdb(work)  # compiles the plans
    for place, history in HISTORIES.items():
        print(
            f"\n{work.name}, materialized by one run, history {place}; medians of {options.rounds} interleaved rounds\n"
        )
        _materializing(work, history, rounds=options.rounds)


def _materializing(work: Work, history: History, *, rounds: int) -> None:
    """Materialize the same tasks with relspec's definitions and with those written by hand."""
    turns: dict[str, Callable[[], float]] = {
        DUCKDB: lambda: with_duckdb(work).run,
        BY_HAND: lambda: _materialized(work, by_hand, history),
        RELSPEC: lambda: _materialized(work, by_relspec, history),
    }
    spent = interleaved(turns, rounds)
    _table(spent, len(work.tasks))
    print(f"  goal: {GOAL.verdict(spent)}", flush=True)


def _materialized(work: Work, definitions: Definitions, history: History) -> float:
    """Seconds of a run of everything, without loading."""
    with tempfile.TemporaryDirectory(dir=PLACE) as folder, history(folder) as instance:
        database = Path(folder) / "tables.duckdb"
        with duckdb.connect(database) as connection:
            work.load(connection)
        tasks = dg.AssetSelection.assets(*(task.name for task in work.tasks))
        jobs = dg.Definitions(jobs=[dg.define_asset_job("tasks", tasks)])
        job = dg.Definitions.merge(definitions(work, database), jobs).resolve_job_def("tasks")
        start = time.perf_counter()
        result = job.execute_in_process(instance=instance, run_config=QUIET)
        seconds = time.perf_counter() - start
        materialized = len(result.get_asset_materialization_events())
        passed = sum(check.passed for check in result.get_asset_check_evaluations())
    plans = compile_task_catalog(work.catalog, ctx=work.ctx)
    if (materialized, passed) != (len(plans), sum(len(plan.deps.inputs) for plan in plans)):
        raise SystemExit(f"of {work.name} {materialized} were materialized, and {passed} checks passed")
    return seconds


def by_relspec(work: Work, database: Path) -> dg.Definitions:
    """The definitions that relspec builds from the tasks."""
    return build_definitions(work.catalog, database=database, ctx=work.ctx)


def by_hand(work: Work, database: Path) -> dg.Definitions:
    """The same definitions written without relspec, with the statements that relspec executes."""
    plans = compile_task_catalog(work.catalog, ctx=work.ctx)
    return dg.Definitions(
        assets=[*(dg.AssetSpec(name) for name in work.sources), *(_multi_asset(plan) for plan in plans)],
        resources={"duckdb": DuckDBResource(database=str(database))},
        executor=dg.in_process_executor,
    )


def _multi_asset(plan: PlanArtifact) -> dg.AssetsDefinition:
    """A task by hand."""
    statement = f"CREATE OR REPLACE TABLE {quoted_name(plan.name)} AS {plan.sql}"
    required = plan.deps.required_columns

    @dg.multi_asset(
        name=plan.name,
        specs=[dg.AssetSpec(plan.name, deps=list(required), code_version=plan.fingerprint, skippable=True)],
        check_specs=[dg.AssetCheckSpec(f"requires_{name}", asset=plan.name) for name in required],
    )
    def build(duckdb: DuckDBResource) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult]:
        with duckdb.get_connection() as connection:
            missing: dict[str, set[str]] = {}
            for name, columns in required.items():
                there = {column for column, *_ in connection.execute(f"DESCRIBE {name}").fetchall()}
                missing[name] = set(columns) - there
                yield dg.AssetCheckResult(
                    check_name=f"requires_{name}", passed=not missing[name], metadata={"missing": sorted(missing[name])}
                )
            if not any(missing.values()):
                row = connection.execute(statement).fetchone()
                yield dg.MaterializeResult(metadata={"dagster/row_count": row[0] if row else None})

    return build


def _table(rounds: Rounds, tasks: int) -> None:
    print(f"  {'':30}{'seconds':>10}{'ms a task':>12}{f'/ {DUCKDB}':>12}{f'/ {BY_HAND}':>20}")
    for name in rounds[0]:
        seconds = median(spent[name] for spent in rounds)
        ratios = f"{ratio(rounds, name, DUCKDB):>12.2f}{ratio(rounds, name, BY_HAND):>20.2f}"
        print(f"  {name:30}{seconds:>10.2f}{1000 * seconds / tasks:>12.2f}{ratios}")
    print()


if __name__ == "__main__":
    main()
