"""Cost of rebuilding: tables rebuilt after edits, an idle plan from the shell, and digests of contents.

Ratios are taken within a round, where other load slows all alike, and their medians are printed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import ibis

from benchmarks.building_tools import PLACE, BuildingTool, Dbt, Relspec, SqlMesh, relspec, set_up, shell
from benchmarks.goals import Goal, Rounds, ratio
from benchmarks.rivals import ROOT, RivalFailed
from benchmarks.shop import EDITS, Models, models
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

FLOOR, PLAN, SQLMESH_PLAN = "import ibis and connect", "relspec plan", "sqlmesh plan"
IDLE_GOALS = (
    Goal(of=PLAN, to=FLOOR, bound=1.6, at_most=True),
    Goal(of=PLAN, to=SQLMESH_PLAN, bound=0.25, at_most=True),
)
WRITE, DIGEST, EDGE = "write the table", "digests, with two readers", "digest of two columns"
DIGEST_GOAL = Goal(of=DIGEST, to=WRITE, bound=0.15, at_most=True)
TABLE = (
    "SELECT range AS id, hash(range) % 100000 AS customer_id, ['new', 'paid', 'sent'][1 + range % 3] AS kind, "
    "TIMESTAMP '2024-01-01' + to_seconds(range) AS ordered_at, (hash(range) % 10000 / 100)::DECIMAL(16, 2) AS amount, "
    "'note ' || hash(range) % 1000 AS note FROM range({rows})"
)
COLUMNS = ("id", "customer_id", "kind", "ordered_at", "amount", "note")
READ = COLUMNS[:2], COLUMNS[2:5]  # by each of two readers


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the table that is digested")
    parser.add_argument("--rivals", action="store_true", help="install and measure SQLMesh and dbt too")
    options = parser.parse_args()
    rivals = _rivals() if options.rivals else []
    _edits([Relspec(), *rivals])
    _idle(rounds=options.rounds, rivals=rivals)
    _digests(rounds=options.rounds, rows=options.rows)


def _rivals() -> list[BuildingTool]:
    found: list[BuildingTool] = []
    for rival in (SqlMesh, Dbt):
        try:
            found.append(rival())
        except RivalFailed as error:
            print(f"  {error}")
    return found


def _edits(tools: Sequence[BuildingTool]) -> None:
    """Build the example with each tool, then edit it and build it again."""
    current = models()
    for tool in tools:
        set_up(tool, current)
    print(f"\nJaffle Shop, {len(current)} tables as SQL; tables rebuilt and seconds from the shell after each edit\n")
    print(f"  {'':30}{'affected':>12}" + "".join(f"{tool.name:>20}" for tool in tools))
    _built("first build", current, tools, affected=len(current))
    found: dict[str, int] = {}
    for edit in EDITS:
        current = edit.applied(current)
        found[edit.name] = _built(edit.name, current, tools, affected=edit.affected)[0]
    print()
    for edit in EDITS:
        rebuilt = found[edit.name]
        met = "met" if rebuilt <= edit.affected else "MISSED"
        print(f"  goal: {tools[0].name} rebuilds after {edit.name} <= {edit.affected}: {rebuilt}, {met}")


def _built(name: str, wanted: Models, tools: Sequence[BuildingTool], *, affected: int) -> list[int]:
    """Number of tables that each tool rebuilds after an edit; prints a line."""
    counts: list[int] = []
    line = f"  {name:30}{affected:>12}"
    for tool in tools:
        for model in wanted.values():
            tool.write(model)
        seconds, rebuilt = tool.build()
        counts.append(rebuilt)
        line += f"{rebuilt:>12}{seconds:>6.1f} s"
    print(line, flush=True)
    return counts


def _idle(*, rounds: int, rivals: Sequence[BuildingTool]) -> None:
    """Time a plan with nothing to do."""
    database = PLACE / "idle.duckdb"
    database.unlink(missing_ok=True)
    relspec("run", "--quiet", "--database", str(database), folder=ROOT)
    turns: dict[str, Callable[[], tuple[float, str]]] = {
        FLOOR: lambda: shell([sys.executable, "-c", "import ibis; ibis.duckdb.connect()"], folder=ROOT),
        PLAN: lambda: relspec("plan", "--database", str(database), folder=ROOT),
    }
    for rival in rivals:
        if isinstance(rival, SqlMesh):
            turns[SQLMESH_PLAN] = rival.plan
    for turn in turns.values():
        turn()
    spent = [{name: turn()[0] for name, turn in turns.items()} for _ in range(rounds)]
    print(f"\nAn idle plan of the Jaffle Shop from the shell; medians of {rounds} interleaved rounds\n")
    _table(spent, FLOOR)
    for goal in IDLE_GOALS:
        print(f"  goal: {goal.verdict(spent)}")


def _digests(*, rounds: int, rows: int) -> None:
    """Write a table, and digest it as a run does after a build: the columns of each of two readers, and all."""
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        backend = ibis.duckdb.connect(Path(folder) / "digests.duckdb")
        warehouse = DuckDBWarehouse(backend)
        warehouse.execute(f"CREATE TABLE original AS {TABLE.format(rows=rows)}")
        turns: dict[str, Callable[[], object]] = {
            WRITE: lambda: warehouse.execute("CREATE OR REPLACE TABLE written AS FROM original"),
            DIGEST: lambda: warehouse.contents("written", [*READ, tuple(COLUMNS)]),
            EDGE: lambda: warehouse.contents("written", READ[:1]),
        }
        spent = [{name: _seconds(turn) for name, turn in turns.items()} for _ in range(rounds)]
        backend.disconnect()
    print(f"\nA digest of {rows:,} rows, {len(COLUMNS)} columns; medians of {rounds} interleaved rounds\n")
    _table(spent, WRITE)
    print(f"  goal: {DIGEST_GOAL.verdict(spent)}")


def _seconds(turn: Callable[[], object]) -> float:
    start = time.perf_counter()
    turn()
    return time.perf_counter() - start


def _table(rounds: Rounds, floor: str) -> None:
    print(f"  {'':30}{'seconds':>10}{f'/ {floor}':>28}")
    for name in rounds[0]:
        print(f"  {name:30}{median(spent[name] for spent in rounds):>10.2f}{ratio(rounds, name, floor):>28.2f}")
    print()


if __name__ == "__main__":
    main()
