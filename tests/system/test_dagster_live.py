"""A real `dagster dev`, webserver and daemon, driven over GraphQL and REST: no request is lost, and none doubled.

One server has all catalogs of `tests.support.dagster_live`. The tests of the shop come in the order of its history: at first
nothing has arrived.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dagster.test_definitions import being_written
from tests.support import dagster_live
from tests.support.dagster_dev import DagsterDev, Run, dagster_dev, dotted
from tests.support.dagster_live import CATALOGS
from tests.support.dagster_office import ORDERS
from tests.support.dagster_shop import EDGES, PRICES, RAW, SOURCES, drop_column, shop_database
from tests.support.skip_messages import codes, waiting
from tests.support.stores import WebStore, web_store

ROOT = Path(__file__).parents[2]
BURST = 100
GREAT_BURST = 1_000
SENSOR_LIMIT = 60.0  # seconds that Dagster gives a tick of a sensor
SCHEDULE = "diary_cron_any_any_any_any_any_schedule"
WITHOUT_NOTE = "id,amount\n1,5\n2,7\n"
CATALOG = """
from pathlib import Path
from tests.support.dagster_arrivals import declared_shop
catalog = declared_shop(Path(__file__).parent)
"""
GRAPH = "{ assetNodes { assetKey { path } isExecutable dependencyKeys { path } } }"
STALE = "{ assetNodes { assetKey { path } staleStatus assetMaterializations(limit: 1) { description } } }"
REPORT = """
a%d: reportRunlessAssetEvents(eventParams: {eventType: ASSET_MATERIALIZATION, assetKey: {path: ["raw_orders"]}}) {
    __typename }
"""
START_SENSOR = "mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }"
STOP_SENSOR = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
SENSOR_ID = "query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { id } } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The server, the folders of its catalogs, and the web server of the market."""

    server: DagsterDev
    folder: Path
    store: WebStore

    def runs_of(self, catalog: frozenset[str]) -> list[Run]:
        """The runs that were asked for any of these assets."""
        return [run for run in self.server.runs() if run.assets & catalog]

    def built(self, catalog: frozenset[str]) -> Counter[str]:
        """How often each of these assets was asked for by runs that have succeeded."""
        return Counter(name for run in self.runs_of(catalog) if run.status == "SUCCESS" for name in run.assets)

    def arrive(self, file: str, text: str) -> None:
        """Put a file there, and report the source that has its name."""
        (self.folder / file).write_text(text)
        self.server.report(Path(file).stem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run materialized, which steps it skipped, and what its failed checks said, by asset and check."""

    materialized: frozenset[str]
    skipped: frozenset[str]
    complaints: Mapping[tuple[str, str], str]


SHOP = frozenset(EDGES)
OFFICE = frozenset({"orders", "totals", "notes"})
TRIALS = frozenset({"readings", "reading_sum", "reading_texts"})
DIARY = frozenset({"days", "day_count"})
MARKET = frozenset({"rates"})


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Generator[Live]:
    folder = tmp_path_factory.mktemp("live")
    for name in CATALOGS:
        (folder / name).mkdir()
    (folder / "office" / "raw.csv").write_text(WITHOUT_NOTE)
    (folder / "diary" / "raw_days.csv").write_text("day\nMonday\n")
    with web_store(folder / "web") as store:
        env = {"DAGSTER_LIVE": str(folder), "DAGSTER_LIVE_STORE": store.url("")}
        with dagster_dev(folder, "-f", dagster_live.__file__, env=env) as server:
            yield Live(server=server, folder=folder, store=store)


def test_what_arrives_over_rest_starts_what_it_completes_and_nothing_is_lost_or_doubled(live: Live) -> None:
    server = live.server
    server.wait_until(lambda: ("stg_customers", "raw_customers", "missing_evidence") in waiting(last_words(live)))
    assert not live.runs_of(SHOP)

    live.arrive("shop/raw_customers.csv", RAW["raw_customers"])
    server.wait_until(lambda: live.built(SHOP) == {"stg_customers": 1})

    live.arrive("shop/raw_orders.csv", "id,customer_id,note\n10,1,hot\n")
    server.wait_until(lambda: live.built(SHOP) == {"stg_customers": 1, "order_notes": 1, "note_lengths": 1})
    server.wait_until(lambda: ("stg_orders", "raw_orders.amount", "missing_column") in waiting(last_words(live)))

    # The missing column comes with a burst of reports, in the midst of which the code location is reloaded.
    (live.folder / "shop" / "raw_orders.csv").write_text(RAW["raw_orders"])
    with ThreadPoolExecutor() as threads:
        burst = threads.submit(lambda: [server.report("raw_orders") for _ in range(BURST)])
        reloading = threads.submit(server.reload)
        live.arrive("shop/raw_items.csv", RAW["raw_items"])
        burst.result()
        reloading.result()
    server.wait_until(lambda: waiting(last_words(live)) == {("line_values", "prices", "missing_evidence")})

    assert live.built(SHOP) == {
        "stg_customers": 1, "stg_orders": 1, "order_notes": 2, "note_lengths": 2,
        "customer_totals": 1, "order_totals": 1, "order_lines": 1, "line_counts": 1,
    }  # fmt: skip
    assert_each_was_asked_for_once(live.runs_of(SHOP))
    with duckdb.connect(shop_database(live.folder / "shop"), read_only=True) as connection:
        assert connection.execute("FROM customer_totals ORDER BY id").fetchall() == [
            (1, "Ada", 12),
            (2, "Bo", 0),
            (3, "Cy", 0),
        ]


def test_a_thousand_arrivals_at_once_are_one_tick_that_asks_for_one_run(live: Live) -> None:
    server, folder = live.server, live.folder / "shop"
    before = live.runs_of(SHOP)
    switch(live, on=False)
    ticks = server.ticks_of_sensor("arrivals")
    (folder / "raw_orders.csv").write_text(RAW["raw_orders"].replace("12,2,0", "12,2,9"))
    reported = server.graphql(f"mutation {{ {' '.join(REPORT % number for number in range(GREAT_BURST))} }}")
    assert [told["__typename"] for told in reported.values()] == ["ReportRunlessAssetEventsSuccess"] * GREAT_BURST
    assert server.ticks_of_sensor("arrivals") == ticks

    switch(live, on=True)
    server.wait_until(lambda: len(server.ticks_of_sensor("arrivals")) > len(ticks))
    tick = server.ticks_of_sensor("arrivals")[-len(ticks) - 1]
    (asked,) = tick["runIds"]
    assert tick["endTimestamp"] - tick["timestamp"] < SENSOR_LIMIT
    assert server.wait(asked) == "SUCCESS"
    server.wait_until(lambda: waiting(last_words(live)) == {("line_values", "prices", "missing_evidence")})
    (run,) = live.runs_of(SHOP)[len(before) :]
    assert run.id == asked
    assert run.assets == {"stg_orders", "order_lines", "order_totals", "customer_totals"}
    assert server.materialized(run.id) == dict.fromkeys(run.assets, 1)
    assert_each_was_asked_for_once(live.runs_of(SHOP))


def test_the_inferred_edges_are_shown_and_only_what_lacks_a_column_is_skipped(live: Live) -> None:
    switch(live, on=False)
    folder = live.folder / "shop"
    for source, text in RAW.items():
        (folder / f"{source}.csv").write_text(text)
    with duckdb.connect(shop_database(folder)) as connection:
        connection.execute(PRICES)
    nodes = live.server.graphql(GRAPH)["assetNodes"]
    edges = {dotted(node["assetKey"]): {dotted(key) for key in node["dependencyKeys"]} for node in nodes}
    assert edges.items() >= {**EDGES, **{name: set() for name in SOURCES}}.items()
    assert {
        dotted(node["assetKey"]) for node in nodes if node["isExecutable"]
    } == SHOP | OFFICE | TRIALS | DIARY | MARKET

    assert materialize_all(live.server) == Outcome(materialized=SHOP, skipped=frozenset(), complaints={})

    # The run's own process loads the code again, and finds the columns gone both from the file and from the table.
    drop_column(folder / "raw_orders.csv", "note")
    with duckdb.connect(shop_database(folder)) as connection:
        connection.execute("ALTER TABLE prices DROP COLUMN price")
    outcome = materialize_all(live.server)
    assert outcome.materialized == SHOP - {"order_notes", "note_lengths", "line_values"}
    assert outcome.skipped == {"note_lengths"}
    assert outcome.complaints.keys() == {("order_notes", "requires_raw_orders"), ("line_values", "requires_prices")}
    assert "task 'order_notes' reads 'raw_orders.note'" in outcome.complaints["order_notes", "requires_raw_orders"]
    assert "task 'line_values' reads 'prices.price'" in outcome.complaints["line_values", "requires_prices"]


def test_relspec_runs_while_dagster_has_the_code_location_loaded(live: Live) -> None:
    folder = live.folder / "shop"
    (folder / "live_shop.py").write_text(CATALOG)
    (folder / "raw_customers.csv").write_text(RAW["raw_customers"].replace("Ada", "Eve"))
    ran = subprocess.run(
        [
            sys.executable,
            Path(sys.executable).with_name("relspec"),
            *("run", "stg_customers", "--wait", "0"),
            *("--catalog", "live_shop:catalog", "--database", str(shop_database(folder))),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "waiting" not in ran.stderr
    assert "1 ran, 0 skipped, 0 failed, 0 blocked" in ran.stdout


def test_a_failed_task_is_asked_for_once_more_when_something_arrives_and_not_before(live: Live) -> None:
    server = live.server
    live.arrive("trials/raw_readings.csv", "id,text\n1,10\n2,many\n")
    server.wait_until(lambda: ("readings and reading_sum", "", "already_requested") in waiting(tried(live)))
    (failed,) = live.runs_of(TRIALS)
    assert (failed.status, failed.assets) == ("FAILURE", TRIALS)
    assert server.materialized(failed.id) == {"reading_texts": 1}
    (error,) = server.events(failed.id, "ExecutionStepFailureEvent")
    assert error["stepKey"] == "readings"
    assert "[RS401] task 'readings' failed" in error["error"]["message"]
    assert not server.events(failed.id, "ExecutionStepUpForRetryEvent")  # the same would only fail again
    ticks = len(server.ticks_of_sensor("readings_arrive"))
    server.wait_until(lambda: len(server.ticks_of_sensor("readings_arrive")) > ticks + 1)
    assert live.runs_of(TRIALS) == [failed]

    live.arrive("trials/raw_readings.csv", "id,text\n1,10\n2,20\n")
    server.wait_until(lambda: codes(tried(live)) == ("unchanged",))
    _, repaired = live.runs_of(TRIALS)
    assert (repaired.status, repaired.assets) == ("SUCCESS", TRIALS)
    assert server.materialized(repaired.id) == dict.fromkeys(TRIALS, 1)
    with duckdb.connect(live.folder / "trials" / "trials.duckdb", read_only=True) as connection:
        assert connection.execute("FROM reading_sum").fetchall() == [(30,)]


def test_a_task_with_retries_is_built_by_a_later_try_once_its_database_is_free(live: Live) -> None:
    server = live.server
    with being_written(live.folder / "trials" / "trials.duckdb"):
        run = server.launch(["reading_texts"])
        server.wait_until(lambda: bool(server.events(run, "ExecutionStepUpForRetryEvent")))
    assert server.wait(run) == "SUCCESS", server.log.read_text()
    assert server.materialized(run) == {"reading_texts": 1}
    server.wait_until(lambda: codes(tried(live)) == ("unchanged",))
    assert live.runs_of(TRIALS)[-1].id == run  # the sensor saw a database that it could not read, and asked for nothing


def test_what_arrives_on_a_web_server_is_asked_for_once_and_while_that_does_not_answer_a_tick_says_so(
    live: Live,
) -> None:
    server, store = live.server, live.store
    server.wait_until(
        lambda: waiting(server.last_words("rates_arrive")) == {("rates", "raw_rates", "missing_evidence")}
    )
    store.answers.clear()
    store.write("raw_rates.csv", b"currency,rate\nEUR,1.25\n")
    silence = f"the store of source 'raw_rates' does not answer within {dagster_live.STORE_TIMEOUT:g} s"
    server.wait_until(lambda: silence in server.last_words("rates_arrive"))
    assert not live.runs_of(MARKET)

    store.answers.set()
    server.wait_until(lambda: codes(server.last_words("rates_arrive")) == ("unchanged",))
    (run,) = live.runs_of(MARKET)
    assert (run.status, server.materialized(run.id)) == ("SUCCESS", {"rates": 1})
    with duckdb.connect(live.folder / "market" / "market.duckdb", read_only=True) as connection:
        assert connection.execute("FROM rates").fetchall() == [("EUR", 1.25)]


def test_automation_runs_readers_of_what_changed_and_carries_the_others_forward(live: Live) -> None:
    server, raw = live.server, live.folder / "office" / "raw.csv"
    assert runs_after(live, 1) == [{"orders", "totals"}]
    assert stale_status(live) == {"orders": "FRESH", "totals": "FRESH", "notes": "MISSING"}

    raw.write_text(ORDERS)
    assert runs_after(live, 2)[1:] == [{"notes"}]

    # A new version of the source, in which no column differs that anybody reads.
    raw.write_text("id,amount,note,more\n1,5,hot,x\n2,7,cold,y\n")
    server.report("raw", version="2")
    server.wait_until(lambda: set(stale_status(live).values()) == {"FRESH"})
    assert described(live, "orders") == "carried forward: reads nothing of 'raw' that changed; it reads amount, id"

    raw.write_text("id,amount,note,more\n1,5,warm,x\n2,7,cold,y\n")
    server.report("raw", version="3")
    assert runs_after(live, 3)[2:] == [{"notes"}]
    server.wait_until(lambda: set(stale_status(live).values()) == {"FRESH"})
    assert len(live.runs_of(OFFICE)) == 3


def test_a_schedule_that_is_due_each_minute_builds_once_and_then_finds_nothing_stale(live: Live) -> None:
    server = live.server
    server.wait_until(lambda: len(server.ticks_of_schedule(SCHEDULE)) > 1)
    *later, first = server.ticks_of_schedule(SCHEDULE)
    (run,) = live.runs_of(DIARY)
    assert (run.job, run.status, run.assets) == ("diary_cron_any_any_any_any_any", "SUCCESS", {"days"})
    assert first["runIds"] == [run.id]
    for tick in later:
        assert tick["status"] == "SKIPPED"
        assert codes(tick["skipReason"]) == ("unchanged",)


def last_words(live: Live) -> str:
    return live.server.last_words("arrivals")


def tried(live: Live) -> str:
    return live.server.last_words("readings_arrive")


def switch(live: Live, *, on: bool) -> None:
    """Switch the shop's sensor on, or off; no tick of it is going on then."""
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": live.server.location,
        "sensorName": "arrivals",
    }
    if on:
        assert live.server.graphql(START_SENSOR, {"selector": selector})["startSensor"]["__typename"] == "Sensor"
        return
    found = live.server.graphql(SENSOR_ID, {"selector": selector})["sensorOrError"]["id"]
    stopped = live.server.graphql(STOP_SENSOR, {"id": found})["stopSensor"]
    assert stopped["__typename"] == "StopSensorMutationResult", stopped
    live.server.wait_for_silence("arrivals")


def assert_each_was_asked_for_once(runs: list[Run]) -> None:
    """All have succeeded, and no two by one run key."""
    assert [run.status for run in runs] == ["SUCCESS"] * len(runs)
    keys = [run.tags["dagster/run_key"] for run in runs]
    assert len(set(keys)) == len(keys)


def materialize_all(server: DagsterDev) -> Outcome:
    run = server.launch(tuple(EDGES))
    assert server.wait(run) == "SUCCESS", server.log.read_text()
    checks = [event["evaluation"] for event in server.events(run, "AssetCheckEvaluationEvent")]
    return Outcome(
        materialized=frozenset(server.materialized(run)),
        skipped=frozenset(event["stepKey"] for event in server.events(run, "ExecutionStepSkippedEvent")),
        complaints={
            (dotted(check["assetKey"]), check["checkName"]): check["description"]
            for check in checks
            if not check["success"]
        },
    )


def runs_after(live: Live, number: int) -> list[frozenset[str]]:
    """What all runs of the office were asked for, once there are so many and all have succeeded."""
    live.server.wait_until(lambda: [run.status for run in live.runs_of(OFFICE)] == ["SUCCESS"] * number)
    return [run.assets for run in live.runs_of(OFFICE)]


def stale_status(live: Live) -> dict[str, str]:
    return {name: node["staleStatus"] for name, node in office_nodes(live).items()}


def described(live: Live, asset: str) -> str | None:
    """What the last materialization of an asset says."""
    return office_nodes(live)[asset]["assetMaterializations"][0]["description"]


def office_nodes(live: Live) -> dict[str, Mapping[str, Any]]:
    nodes = {dotted(node["assetKey"]): node for node in live.server.graphql(STALE)["assetNodes"]}
    return {name: nodes[name] for name in OFFICE}
