"""Whatever arrives in whatever order, the sensor asks for just what relspec itself would run, and nothing twice."""

import tempfile
from pathlib import Path

import dagster as dg
import duckdb
import ibis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, task
from relspec_core.engines.duckdb_file import connect
from relspec_core.planning.run_plan import plan_run
from tests.support.dagster_ticks import Ticks

FILES = {
    "full": "id,amount,note\n1,5,hot\n2,7,cold\n",
    "other amounts": "id,amount,note\n1,6,hot\n2,7,cold\n",
    "other notes": "id,amount,note\n1,5,mild\n2,7,cold\n",
    "without amounts": "id,note\n1,hot\n2,cold\n",
    "without notes": "id,amount\n1,5\n2,7\n",
}
TABLES = {
    "full": "CREATE OR REPLACE TABLE rates AS SELECT 1 AS id, 2 AS rate, 'x' AS source",
    "other rates": "CREATE OR REPLACE TABLE rates AS SELECT 1 AS id, 3 AS rate, 'x' AS source",
    "other sources": "CREATE OR REPLACE TABLE rates AS SELECT 1 AS id, 2 AS rate, 'y' AS source",
    "without rates": "CREATE OR REPLACE TABLE rates AS SELECT 1 AS id, 'x' AS source",
    "gone": "DROP TABLE IF EXISTS rates",
    "built table dropped": "DROP TABLE IF EXISTS amounts",
}
SOURCES = {
    "orders": {"id": "int64", "amount": "int64", "note": "string"},
    "rates": {"id": "int32", "rate": "int32", "source": "string"},
}
ARRIVALS = st.one_of(
    st.tuples(st.just("file"), st.sampled_from([*FILES, "gone"])),
    st.tuples(st.just("table"), st.sampled_from([*TABLES])),
    st.tuples(st.just("report"), st.sampled_from([*SOURCES])),
    st.tuples(st.just("lose"), st.sampled_from(["memory", "cursor", "both"])),
)


@task
def amounts(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").select("id", "amount")


@task
def notes(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").select("id", "note")


@task
def worth(ctx: TaskBuildContext) -> ibis.Table:
    found = ctx.table("amounts").join(ctx.table("rates"), "id")
    return found.agg(worth=(found.amount * found.rate).sum())


@given(rounds=st.lists(st.lists(ARRIVALS, min_size=1, max_size=3), min_size=1, max_size=3))
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_exactly_what_is_stale_and_ready_is_asked_for_once(rounds: list[list[tuple[str, str]]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [
            SourceSpec("orders", schema=SOURCES["orders"], path=folder / "orders.csv"),
            SourceSpec("rates", schema=SOURCES["rates"]),
        ]
        found = Ticks(
            catalog=TaskCatalog([amounts, notes, worth], sources),
            database=folder / "laws.duckdb",
            instance=dg.DagsterInstance.ephemeral(tempdir=name),
        )
        for arrivals in rounds:
            for kind, what in arrivals:
                arrive(found, folder, kind, what)
            expected = would_run(found)
            launched = len(found.requested)
            assert found.work() == expected
            assert found.requested[launched:] == ([expected] if expected else [])
            assert would_run(found) == found.work() == ()


def arrive(found: Ticks, folder: Path, kind: str, what: str) -> None:
    file = folder / "orders.csv"
    match kind:
        case "file" if what == "gone":
            file.unlink(missing_ok=True)
        case "file":
            file.write_text(FILES[what])
        case "table":
            with duckdb.connect(found.file) as connection:
                connection.execute(TABLES[what])
        case "report":
            found.report(what)
        case _:
            found.cursor = found.cursor if what == "memory" else None
            if what != "cursor":
                found.reload()


def would_run(found: Ticks) -> tuple[str, ...]:
    """What ``relspec run`` would build now."""
    backend = connect(found.file, read_only=True)
    try:
        return tuple(sorted(plan_run(found.catalog, backend=backend).schedule.order))
    finally:
        backend.disconnect()
