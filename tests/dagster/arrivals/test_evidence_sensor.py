"""What the evidence sensor asks for, and what it says it waits for: real ticks on a real instance and a real DuckDB file."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest

from relspec_core import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, run, task
from relspec_core.engines.duckdb_file import connect
from relspec_core.errors import WarehouseError
from relspec_dagster import RelspecTranslator, Source, TaskOutput, build_evidence_sensor
from tests.support.dagster_arrivals import declared_shop
from tests.support.dagster_shop import EDGES, RAW, drop_column, shop_catalog, shop_database, write_raw_data
from tests.support.dagster_ticks import Ticks, asked_for, only_request
from tests.support.skip_messages import codes, waiting


@pytest.fixture
def empty(tmp_path: Path) -> Ticks:
    """The shop before anything has arrived; all of its sources are declared."""
    return ticks(declared_shop(tmp_path), tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Ticks:
    """The shop with everything there and built, by relspec itself, which takes a fifth of the time."""
    write_raw_data(tmp_path)
    found = ticks(shop_catalog(tmp_path), tmp_path)
    run_itself(found)
    assert codes(found.skipped()) == ("unchanged",)
    return found


def ticks(catalog: TaskCatalog, folder: Path) -> Ticks:
    instance = dg.DagsterInstance.ephemeral(tempdir=str(folder))
    return Ticks(catalog=catalog, database=shop_database(folder), instance=instance)


def run_itself(shop: Ticks) -> None:
    backend = connect(shop.file)
    run(shop.catalog, backend=backend, quiet=True).raise_if_failed()
    backend.disconnect()


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.csv").write_text(text)


def change_warehouse(folder: Path, *statements: str) -> None:
    with duckdb.connect(shop_database(folder)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_partial_arrival_starts_only_what_it_completes(empty: Ticks, tmp_path: Path) -> None:
    said = empty.skipped()
    assert ("stg_customers", "raw_customers", "missing_evidence") in waiting(said)
    assert ("order_notes and stg_orders", "raw_orders", "missing_evidence") in waiting(said)
    write(tmp_path, "raw_customers", RAW["raw_customers"])
    assert empty.work() == ("stg_customers",)
    write(tmp_path, "raw_orders", "id,customer_id,note\n10,1,hot\n")
    assert empty.work() == ("note_lengths", "order_notes")
    assert ("stg_orders", "raw_orders.amount", "missing_column") in waiting(empty.skipped())
    write(tmp_path, "raw_orders", RAW["raw_orders"])
    empty.report("raw_orders")
    assert empty.work() == ("note_lengths", "order_notes", "stg_orders")
    write(tmp_path, "raw_items", RAW["raw_items"])
    assert empty.work() == ("customer_totals", "line_counts", "order_lines", "order_totals")
    assert waiting(empty.skipped()) == {("line_values", "prices", "missing_evidence")}
    change_warehouse(tmp_path, "CREATE TABLE prices AS SELECT 'toast' AS sku, 3 AS price, 'EUR' AS currency")
    assert empty.work() == ("line_values",)
    assert codes(empty.skipped()) == ("unchanged",)


def test_everything_is_asked_for_at_once_where_nothing_is_built(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    found = ticks(shop_catalog(tmp_path), tmp_path)
    assert found.work() == tuple(sorted(EDGES))
    assert codes(found.skipped()) == ("unchanged",)


def test_only_the_readers_of_a_changed_column_are_asked_for(shop: Ticks, tmp_path: Path) -> None:
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    assert shop.work() == ("note_lengths", "order_notes")
    write(tmp_path, "raw_customers", RAW["raw_customers"].replace("Bern", "Rome"))
    assert codes(shop.skipped()) == ("unchanged",)
    change_warehouse(tmp_path, "UPDATE prices SET currency = 'CHF'")
    assert codes(shop.skipped()) == ("unchanged",)
    change_warehouse(tmp_path, "UPDATE prices SET price = 4 WHERE sku = 'tea'")
    assert shop.work() == ("line_values",)


def test_a_column_that_goes_is_waited_for_and_comes_back(shop: Ticks, tmp_path: Path) -> None:
    drop_column(tmp_path / "raw_orders.csv", "note")
    assert waiting(shop.skipped()) == {("order_notes", "raw_orders.note", "missing_column")}
    write(tmp_path, "raw_orders", RAW["raw_orders"])
    assert codes(shop.skipped()) == ("unchanged",)


def test_what_is_asked_for_says_what_set_it_off(shop: Ticks, tmp_path: Path) -> None:
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("5", "6"))
    request = only_request(shop.tick())
    assert request.tags["relspec/arrived"] == "raw_orders"
    assert request.tags["dagster/sensor_name"] == "arrivals"


def test_a_burst_of_reports_is_one_tick_and_one_request(shop: Ticks, tmp_path: Path) -> None:
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    shop.report("raw_orders", times=200)  # a thousand: tests/system/test_dagster_live.py
    started = time.monotonic()
    assert shop.work() == ("note_lengths", "order_notes")
    assert time.monotonic() - started < 30
    shop.skipped()
    assert len(shop.requested) == 1


def test_the_same_evidence_is_asked_for_once_also_by_a_new_process_and_without_a_cursor(
    empty: Ticks, tmp_path: Path
) -> None:
    write(tmp_path, "raw_customers", RAW["raw_customers"])
    first = only_request(empty.tick())
    empty.cursor = None
    empty.reload()
    again = only_request(empty.tick())
    assert first.run_key == again.run_key


@pytest.fixture
def failing(tmp_path: Path) -> Ticks:
    """A task that fails as long as a text is no number, one before it and one after it."""

    @task
    def texts(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("raw").select("id", "text")

    @task
    def numbers(ctx: TaskBuildContext) -> ibis.Table:
        found = ctx.table("texts")
        return found.select("id", number=found.text.cast("int64"))

    @task
    def sums(ctx: TaskBuildContext) -> ibis.Table:
        found, more = ctx.table("numbers"), ctx.table("more")
        return found.join(more, "id").agg(total=found.number.sum())

    write(tmp_path, "raw", "id,text\n1,one\n2,2\n")
    write(tmp_path, "more", "id\n1\n")
    sources = [
        SourceSpec("raw", path=tmp_path / "raw.csv", schema={"id": "int64", "text": "string"}),
        SourceSpec("more", path=tmp_path / "more.csv"),
    ]
    return ticks(TaskCatalog([texts, numbers, sums], sources), tmp_path)


def test_a_task_that_failed_waits_for_new_evidence_and_holds_back_what_is_after_it(
    failing: Ticks, tmp_path: Path
) -> None:
    assert failing.work() == ("numbers", "sums", "texts")
    said = failing.skipped()
    assert ("numbers and sums", "", "already_requested") in waiting(said)
    write(tmp_path, "more", "id\n2\n")
    assert ("numbers", "", "already_requested") in waiting(failing.skipped())
    write(tmp_path, "raw", "id,text\n1,1\n2,2\n")
    assert failing.work() == ("numbers", "sums", "texts")
    assert codes(failing.skipped()) == ("unchanged",)


def test_a_failed_task_is_tried_again_when_its_source_is_reported_anew(failing: Ticks) -> None:
    failing.work()
    failing.skipped()
    failing.report("raw")
    assert failing.work() == ("numbers", "sums")
    failing.skipped()


def test_what_no_run_has_begun_with_is_asked_for_again_by_another_key(failing: Ticks) -> None:
    first = only_request(failing.tick())
    failing.lose(first)
    again = only_request(failing.tick())
    assert asked_for([again]) == asked_for([first])
    assert again.run_key != first.run_key
    failing.launch(again)
    assert ("numbers and sums", "", "already_requested") in waiting(failing.skipped())


def test_what_no_run_ever_begins_with_is_not_asked_for_without_end(failing: Ticks) -> None:
    requests = [only_request(failing.tick())]
    while len(requests) < 4:
        failing.lose(requests[-1])
        failing.reload()
        requests.append(only_request(failing.tick()))
    assert len({request.run_key for request in requests}) == 4
    failing.lose(requests[-1])
    assert ("texts, numbers and sums", "", "already_requested") in waiting(failing.skipped())


@pytest.mark.parametrize("lost", ["cursor", "form", "memory"])
def test_a_failed_task_is_not_asked_for_again_when_the_sensor_has_forgotten_it(failing: Ticks, lost: str) -> None:
    failing.work()
    failing.skipped()
    if lost != "memory":
        failing.cursor = None if lost == "cursor" else json.dumps({"form": 0})
    failing.reload()
    assert ("numbers and sums", "", "already_requested") in waiting(failing.skipped())


def test_a_dropped_table_is_asked_for_again_although_the_evidence_is_the_same(shop: Ticks, tmp_path: Path) -> None:
    change_warehouse(tmp_path, "DROP TABLE order_lines")
    assert shop.work() == ("order_lines", "order_totals")
    change_warehouse(tmp_path, "DELETE FROM order_notes WHERE id = 10")
    assert shop.work() == ("order_notes",)
    assert codes(shop.skipped()) == ("unchanged",)


def test_evidence_that_becomes_what_it_was_before_is_asked_for_each_time(shop: Ticks, tmp_path: Path) -> None:
    for text in ("mild", "hot", "mild"):
        write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", text))
        assert shop.work() == ("note_lengths", "order_notes")
    assert len(shop.requested) == 3


def test_what_a_run_in_progress_builds_is_held_until_it_has_ended(shop: Ticks, tmp_path: Path) -> None:
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    running = shop.instance.create_run_for_job(
        job, asset_selection=frozenset({dg.AssetKey("order_notes")}), status=dg.DagsterRunStatus.STARTED
    )
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild").replace("5", "6"))
    assert shop.ask() == ("customer_totals", "order_lines", "order_totals", "stg_orders")
    assert f"order_notes: in run {running.run_id[:8]}, which is in progress" in shop.skipped()
    shop.instance.report_run_canceled(running)
    assert shop.work() == ("note_lengths", "order_notes")


def test_a_run_of_a_whole_job_is_seen_to_build_its_assets(shop: Ticks, tmp_path: Path) -> None:
    job = dg.define_asset_job("notes", selection=dg.AssetSelection.assets("order_notes", "note_lengths"))
    definitions = dg.Definitions.merge(shop.definitions, dg.Definitions(jobs=[job]))
    running = shop.instance.create_run_for_job(definitions.resolve_job_def("notes"), status=dg.DagsterRunStatus.STARTED)
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    assert f"in run {running.run_id[:8]}, which is in progress" in shop.skipped()


def test_what_may_come_out_differently_each_time_is_asked_for_when_something_arrives(tmp_path: Path) -> None:
    @task
    def drawn(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("raw").mutate(chance=ibis.random())

    @task
    def winners(ctx: TaskBuildContext) -> ibis.Table:
        found = ctx.table("drawn")
        return found.filter(found.chance > 0.5)

    write(tmp_path, "raw", "id\n1\n2\n")
    found = ticks(TaskCatalog([drawn, winners], [SourceSpec("raw", path=tmp_path / "raw.csv")]), tmp_path)
    assert found.work() == ("drawn", "winners")
    assert codes(found.skipped()) == ("unchanged",)
    write(tmp_path, "raw", "id\n1\n3\n")
    assert found.work() == ("drawn", "winners")
    assert codes(found.skipped()) == ("unchanged",)


# What an op does while it builds a table.
HOLD = """
import sys
from relspec_core.engines.duckdb_file import connect
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.snapshot import write_snapshot
warehouse = DuckDBWarehouse(connect(sys.argv[1]))
write_snapshot(warehouse)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def hold(tmp_path: Path) -> Generator[Callable[[], Callable[[], None]]]:
    """Lets another process hold the shop's database for writing, and gives what ends that."""
    holders: list[subprocess.Popen[str]] = []

    def begin() -> Callable[[], None]:
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(shop_database(tmp_path))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return lambda: holder.communicate("\n") and None

    yield begin
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_beside_a_writer_nothing_is_asked_for_and_nothing_is_passed_over(
    shop: Ticks, tmp_path: Path, hold: Callable[[], Callable[[], None]]
) -> None:
    shop.report("prices")
    shop.skipped()
    before = json.loads(str(shop.cursor))["reported"]
    change_warehouse(tmp_path, "UPDATE prices SET price = 9")
    release = hold()
    shop.report("prices")
    shop.report("raw_orders")
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    said = shop.skipped()
    assert "holds shop.duckdb: this is what it recorded at" in said
    assert "note_lengths and order_notes" in said
    after = json.loads(str(shop.cursor))["reported"]
    assert after["prices"] == before["prices"]
    assert "raw_orders" in after
    release()
    assert shop.work() == ("line_values", "note_lengths", "order_notes")


def test_beside_a_run_of_dagsters_the_rest_is_asked_for_on_what_was_recorded(
    shop: Ticks, tmp_path: Path, hold: Callable[[], Callable[[], None]]
) -> None:
    release = hold()
    job = shop.definitions.resolve_implicit_global_asset_job_def()
    shop.instance.create_run_for_job(
        job, asset_selection=frozenset({dg.AssetKey("order_notes")}), status=dg.DagsterRunStatus.STARTED
    )
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild").replace("5", "6"))
    assert shop.ask() == ("customer_totals", "order_lines", "order_totals", "stg_orders")
    shop.reload()
    shop.cursor = None
    assert shop.ask() == ("customer_totals", "order_lines", "order_totals", "stg_orders")
    release()


def test_a_file_that_can_not_be_read_is_tried_again(shop: Ticks, tmp_path: Path) -> None:
    orders = tmp_path / "raw_orders.csv"
    orders.unlink()
    orders.mkdir()
    (orders / "part.unknown").write_text("half of it")
    assert "raw_orders, which can't be read now: source 'raw_orders' has files of an unknown kind" in shop.skipped()
    shop.report("raw_orders")
    shop.skipped()
    assert json.loads(str(shop.cursor))["reported"].get("raw_orders", 0) == 0
    (orders / "part.unknown").unlink()
    orders.rmdir()
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    assert shop.work() == ("note_lengths", "order_notes")


def test_what_a_tick_has_read_before_it_failed_is_read_again(shop: Ticks, tmp_path: Path) -> None:
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    database = shop_database(tmp_path)
    whole = database.read_bytes()
    database.write_bytes(b"no database")
    with pytest.raises(WarehouseError, match="is a DuckDB database"):
        shop.tick()
    database.write_bytes(whole)
    assert shop.work() == ("note_lengths", "order_notes")


def test_a_relspec_run_meanwhile_leaves_nothing_to_ask_for(shop: Ticks, tmp_path: Path) -> None:
    write(tmp_path, "raw_orders", RAW["raw_orders"].replace("hot", "mild"))
    run_itself(shop)
    assert codes(shop.skipped()) == ("unchanged",)


def test_a_sensor_of_its_own_asks_by_the_keys_that_a_translator_gave(tmp_path: Path) -> None:
    class Prefixed(RelspecTranslator):
        def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
            spec = super().get_asset_spec(evidence)
            return spec.replace_attributes(key=spec.key.with_prefix("warehouse"))

    write_raw_data(tmp_path)
    sensor = build_evidence_sensor(
        shop_catalog(tmp_path),
        database=shop_database(tmp_path),
        ctx=ExecutionContext(),
        translator=Prefixed(),
        minimum_interval_seconds=1,
        tags={"team": "shop"},
    )
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    result = sensor(dg.build_sensor_context(instance=instance))
    assert isinstance(result, dg.SensorResult)
    request = only_request(result)
    assert set(request.asset_selection or ()) == {dg.AssetKey(["warehouse", name]) for name in EDGES}
    assert request.tags["team"] == "shop"
    assert (sensor.name, sensor.minimum_interval_seconds) == ("relspec_evidence", 1)
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
