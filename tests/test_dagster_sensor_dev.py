"""The evidence sensor under a real daemon: what arrives over REST starts what it completes, once."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import duckdb

from tests import dagster_arrivals
from tests.dagster_dev import DagsterDev, dagster_dev
from tests.dagster_shop import RAW, shop_database

SECONDS = 90.0
BURST = 100
TICKS = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor {
    sensorState { ticks(limit: 50) { status skipReason error { message } } } } } }
"""
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } assetSelection { path } } } } }"
RELOAD = """
mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


def test_what_arrives_over_rest_starts_what_it_completes_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with dagster_dev(tmp_path, "-f", dagster_arrivals.__file__, env={"DAGSTER_ARRIVALS": str(tmp_path)}) as server:
        wait_for(server, lambda: "stg_customers waits for raw_customers, which is not there" in last_words(server))
        assert not runs(server)

        arrive(server, tmp_path, "raw_customers", RAW["raw_customers"])
        wait_for(server, lambda: built(server) == {"stg_customers": 1})

        arrive(server, tmp_path, "raw_orders", "id,customer_id,note\n10,1,hot\n")
        wait_for(server, lambda: built(server) == {"stg_customers": 1, "order_notes": 1, "note_lengths": 1})
        wait_for(server, lambda: "stg_orders waits for raw_orders.amount, which is not there" in last_words(server))

        # The missing column comes with a burst of reports, in the midst of which the code location is loaded anew.
        (tmp_path / "raw_orders.csv").write_text(RAW["raw_orders"])
        with ThreadPoolExecutor() as threads:
            burst = threads.submit(lambda: [report(server, "raw_orders") for _ in range(BURST)])
            reloading = threads.submit(post, server.url, {"query": RELOAD, "variables": {"name": server.location}})
            arrive(server, tmp_path, "raw_items", RAW["raw_items"])
            burst.result()
            assert b"WorkspaceLocationEntry" in reloading.result()
        wait_for(server, lambda: last_words(server) == "line_values waits for prices, which is not there")

        expected = {"stg_customers": 1, "stg_orders": 1, "order_notes": 2, "note_lengths": 2}
        again = built(server)
        assert {name: again[name] for name in expected} == expected
        assert again["customer_totals"] == again["order_totals"] == again["order_lines"] == again["line_counts"] == 1
        assert [run["status"] for run in runs(server)] == ["SUCCESS"] * len(runs(server)), server.log.read_text()
        keys = [tag(run, "dagster/run_key") for run in runs(server)]
        assert len(set(keys)) == len(keys)
    with duckdb.connect(shop_database(tmp_path), read_only=True) as connection:
        assert connection.execute("FROM customer_totals ORDER BY id").fetchall() == [
            (1, "Ada", 12),
            (2, "Bo", 0),
            (3, "Cy", 0),
        ]


def arrive(server: DagsterDev, folder: Path, source: str, text: str) -> None:
    """Put a file there, and report it."""
    (folder / f"{source}.csv").write_text(text)
    report(server, source)


def report(server: DagsterDev, source: str) -> None:
    post(server.url.replace("/graphql", f"/report_asset_materialization/{source}"), {})


def post(url: str, body: Mapping[str, Any]) -> bytes:
    headers = {"Content-Type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers)  # noqa: S310 - a local http address
    with urlopen(request, timeout=SECONDS) as response:  # noqa: S310 - as above
        return response.read()


def runs(server: DagsterDev) -> list[Mapping[str, Any]]:
    return server.graphql(RUNS)["runsOrError"]["results"]


def built(server: DagsterDev) -> Counter[str]:
    """How often each asset was asked for by runs that have succeeded."""
    ended = [run for run in runs(server) if run["status"] == "SUCCESS"]
    return Counter("/".join(key["path"]) for run in ended for key in run["assetSelection"])


def tag(run: Mapping[str, Any], key: str) -> str:
    return next(found["value"] for found in run["tags"] if found["key"] == key)


def last_words(server: DagsterDev) -> str:
    """Why the last tick that has ended asked for nothing; empty where it asked for something."""
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": server.location,
        "sensorName": "arrivals",
    }
    ticks = server.graphql(TICKS, {"selector": selector})["sensorOrError"]["sensorState"]["ticks"]
    for tick in ticks:  # while the code location is loaded anew, its sensors can't be reached
        assert tick["status"] != "FAILURE" or "user code server" in tick["error"]["message"], tick
    return next((tick["skipReason"] or "" for tick in ticks if tick["status"] in ("SKIPPED", "SUCCESS")), "")


def wait_for(server: DagsterDev, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{last_words(server)}\n{built(server)}\n{server.log.read_text()}"
        time.sleep(0.2)
