"""PostgreSQL and SQLite under Dagster: arrivals, runs that build what is stale, and steps in processes of their own."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import ibis
import pytest

from relspec_core import TaskCatalog
from relspec_dagster import RelspecResource, build_definitions, edges_ready
from tests.support.catalogs import sql_task
from tests.support.dagster_ticks import Ticks
from tests.support.skip_messages import codes, waiting

ORDERS = "CREATE TABLE raw_orders (order_id BIGINT, customer_id BIGINT, amount DOUBLE PRECISION, note VARCHAR)"
ROWS = "INSERT INTO raw_orders VALUES (1, 1, 2.5, 'a'), (2, 1, 3.5, 'b')"
CATALOG = TaskCatalog(
    [
        sql_task("SELECT order_id, customer_id, amount, upper(note) AS note FROM raw_orders", "stg_orders"),
        sql_task("SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY customer_id", "revenue"),
        sql_task("SELECT order_id, note FROM stg_orders", "notes"),
        sql_task("SELECT note FROM raw_notes", "other_notes"),
    ]
)
URL = "RELSPEC_TEST_URL"


@pytest.fixture(params=["postgres", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        return request.getfixturevalue("postgres")
    return f"sqlite://{tmp_path / 'shop.db'}"


@pytest.fixture
def sql(url: str) -> Callable[[str], list[tuple]]:
    def execute(text: str) -> list[tuple]:
        con: Any = ibis.connect(url)
        cursor = con.raw_sql(text)
        found = [tuple(row) for row in cursor.fetchall()] if text.startswith("SELECT") else []
        cursor.close()
        con.con.commit()
        con.disconnect()
        return found

    execute(ORDERS)
    execute(ROWS)
    execute("CREATE TABLE raw_notes (note VARCHAR)")
    return execute


def test_what_arrives_in_tables_sets_off_its_readers(url: str, sql: Callable[[str], list[tuple]]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(catalog=CATALOG, database=RelspecResource(url=url), instance=instance)
        assert ticks.work() == ("notes", "other_notes", "revenue", "stg_orders")
        place = "main" if url.startswith("sqlite") else f"{url.rpartition('/')[2]}.public"
        notes = ticks.definitions.resolve_assets_def(dg.AssetKey("notes")).get_asset_spec(dg.AssetKey("notes"))
        assert notes.metadata["dagster/table_name"] == f"{place}.notes"
        assert sql("SELECT customer_id, total FROM revenue") == [(1, 6.0)]
        assert codes(ticks.skipped()) == ("unchanged",)
        sql("INSERT INTO raw_notes VALUES ('new')")
        assert until(ticks.work) == ("other_notes",)
        assert sql("SELECT note FROM other_notes") == [("new",)]
        sql("ALTER TABLE raw_orders DROP COLUMN amount")
        sql("INSERT INTO raw_notes VALUES ('newer')")
        assert until(ticks.work) == ("other_notes",)
        missing = {("stg_orders", "raw_orders.amount", "missing_column")}
        assert waiting(ticks.skipped()) == missing
        ticks.reload()
        assert waiting(ticks.skipped()) == missing


def test_automation_by_edges_asks_for_the_readers_of_what_changed(url: str, sql: Callable[[str], list[tuple]]) -> None:
    definitions = build_definitions(CATALOG, database=RelspecResource(url=url), automation=edges_ready())
    keys = definitions.resolve_asset_graph().materializable_asset_keys
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:

        def asked_for(cursor: Any) -> tuple[set[str], Any]:  # noqa: ANN401 - of a module that is private to Dagster
            chosen = dg.AssetSelection.assets(*keys)
            found = dg.evaluate_automation_conditions(definitions, instance, chosen, cursor=cursor)
            return {key.to_user_string() for key in keys if found.get_num_requested(key)}, found.cursor

        assert job.execute_in_process(instance=instance).success
        asked, cursor = asked_for(None)
        assert not asked
        sql("INSERT INTO raw_notes VALUES ('new')")
        sql("ALTER TABLE raw_orders DROP COLUMN amount")
        asked, cursor = asked_for(cursor)
        assert asked == {"other_notes"}


def until(work: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """What is asked for at last: PostgreSQL tells a moment later that rows were written."""
    for _ in range(100):
        if found := work():
            return found
        time.sleep(0.1)
    return ()


def test_a_database_that_cant_be_reached_pauses_the_sensor(postgres: str, postgres_url: str) -> None:
    con: Any = ibis.connect(postgres)
    con.raw_sql(ORDERS).close()
    con.raw_sql("CREATE TABLE raw_notes (note VARCHAR)").close()
    con.disconnect()
    with dg.DagsterInstance.ephemeral() as instance:
        ticks = Ticks(catalog=CATALOG, database=RelspecResource(url=postgres), instance=instance)
        admin: Any = ibis.connect(f"{postgres_url}/postgres")
        admin.raw_sql(f"ALTER DATABASE {postgres.rpartition('/')[2]} ALLOW_CONNECTIONS false").close()
        found = ticks.skipped()
        admin.disconnect()
        assert "the postgres database can't be reached: " in found


def processes_job() -> dg.JobDefinition:
    """The job of all assets, with the executor that Dagster itself takes: a process for each step."""
    found = build_definitions(CATALOG, database=RelspecResource(url=os.environ[URL]))
    jobs = dg.Definitions(jobs=[dg.define_asset_job("everything")])
    return dg.Definitions.merge(found, jobs).resolve_job_def("everything")


def test_steps_run_in_processes_of_their_own(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    con: Any = ibis.connect(postgres)
    for text in (ORDERS, ROWS, "CREATE TABLE raw_notes (note VARCHAR)"):
        con.raw_sql(text).close()
    monkeypatch.setenv(URL, postgres)
    keys = [dg.AssetKey("stg_orders"), dg.AssetKey("revenue")]
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = dg.execute_job(dg.reconstructable(processes_job), instance=instance, asset_selection=keys)
        assert result.success
        events = [entry.dagster_event for entry in instance.all_logs(result.run_id)]
    started = {event.pid for event in events if event is not None and event.is_step_start}
    assert len(started - {os.getpid()}) == 2
    assert con.raw_sql("SELECT customer_id, total FROM revenue").fetchall() == [(1, 6.0)]
    con.disconnect()
