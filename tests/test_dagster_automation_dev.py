"""Automation in a real `dagster dev` with its daemon: arrivals start exactly what they are for."""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import dagster as dg

from relspec_core import SourceSpec, TaskCatalog
from relspec_dagster import build_definitions, edges_ready
from tests.dagster_dev import DagsterDev, dagster_dev
from tests.dagster_office import ORDERS, notes, orders, totals

WITHOUT_NOTE = "id,amount\n1,5\n2,7\n"
WAIT_SECONDS = 120.0
RUNS = "{ runsOrError { ... on Runs { results { status assetSelection { path } } } } }"
STALE = "{ assetNodes { assetKey { path } isExecutable staleStatus assetMaterializations(limit: 1) { description } } }"


def definitions(folder: Path) -> dg.Definitions:
    schema = {"id": "int64", "amount": "int64", "note": "string"}
    catalog = TaskCatalog([orders, totals, notes], [SourceSpec("raw", path=folder / "raw.csv", schema=schema)])
    return build_definitions(catalog, database=folder / "office.duckdb", automation=edges_ready(), automation_seconds=1)


if "DAGSTER_OFFICE" in os.environ:
    defs = definitions(Path(os.environ["DAGSTER_OFFICE"]))


def test_arrivals_start_their_readers_and_what_is_not_read_starts_nothing_and_stays_fresh(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_text(WITHOUT_NOTE)
    with dagster_dev(tmp_path, "-f", __file__, env={"DAGSTER_OFFICE": str(tmp_path)}) as server:
        assert runs_after(server, 1) == [{"orders", "totals"}]
        assert stale_status(server) == {"orders": "FRESH", "totals": "FRESH", "notes": "MISSING"}

        raw.write_text(ORDERS)
        assert runs_after(server, 2)[1:] == [{"notes"}]

        # A new version of the source, in which no column differs that anybody reads.
        raw.write_text("id,amount,note,more\n1,5,hot,x\n2,7,cold,y\n")
        report(server, "raw", version="2")
        wait_until(server, lambda: set(stale_status(server).values()) == {"FRESH"})
        assert described(server)["orders"] == (
            "carried forward: reads nothing of 'raw' that changed; it reads amount, id"
        )

        raw.write_text("id,amount,note,more\n1,5,warm,x\n2,7,cold,y\n")
        report(server, "raw", version="3")
        assert runs_after(server, 3)[2:] == [{"notes"}]
        wait_until(server, lambda: set(stale_status(server).values()) == {"FRESH"})
        assert len(runs(server)) == 3


def runs(server: DagsterDev) -> list[tuple[str, set[str]]]:
    """The status of each run, in the order in which they were started, with what it was asked for."""
    found = server.graphql(RUNS)["runsOrError"]["results"]
    return [(run["status"], {"/".join(key["path"]) for key in run["assetSelection"]}) for run in reversed(found)]


def runs_after(server: DagsterDev, number: int) -> list[set[str]]:
    """What all runs were asked for, once there are so many and all have succeeded."""
    wait_until(server, lambda: [status for status, _ in runs(server)] == ["SUCCESS"] * number)
    return [asked for _, asked in runs(server)]


def executable(server: DagsterDev) -> dict[str, Mapping[str, Any]]:
    nodes = server.graphql(STALE)["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node for node in nodes if node["isExecutable"]}


def stale_status(server: DagsterDev) -> dict[str, str]:
    return {name: node["staleStatus"] for name, node in executable(server).items()}


def described(server: DagsterDev) -> dict[str, str | None]:
    """What the last materialization of each asset says."""
    return {name: node["assetMaterializations"][0]["description"] for name, node in executable(server).items()}


def report(server: DagsterDev, asset: str, *, version: str) -> None:
    """A materialization of an asset that something outside of Dagster tells of."""
    url = server.url.replace("/graphql", f"/report_asset_materialization/{asset}")
    body = json.dumps({"data_version": version}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - a local address
    with urlopen(request, timeout=30) as response:  # noqa: S310 - as above
        assert response.status == 200


def wait_until(server: DagsterDev, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"{runs(server)} {stale_status(server)}\n{server.log.read_text()}"
        time.sleep(0.3)
