"""A real `dagster dev` on the small shop, spoken to over GraphQL."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from tests import dagster_shop
from tests.dagster_dev import DagsterDev, dagster_dev
from tests.dagster_shop import EDGES, SOURCES, drop_column, shop_database, write_raw_data

ROOT = Path(__file__).parents[1]
CATALOG = """
from pathlib import Path
from tests.dagster_shop import shop_catalog
catalog = shop_catalog(Path(__file__).parent)
"""
GRAPH = "{ assetNodes { assetKey { path } isExecutable dependencyKeys { path } } }"
EVENTS = """
query ($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection { events {
    __typename
    ... on MaterializationEvent { assetKey { path } }
    ... on AssetCheckEvaluationEvent { evaluation { assetKey { path } checkName success description } }
    ... on ExecutionStepSkippedEvent { stepKey }
} } } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run materialized, which steps it skipped, and what its failed checks said, by asset and check."""

    materialized: frozenset[str]
    skipped: frozenset[str]
    complaints: Mapping[tuple[str, str], str]


def test_a_running_dagster_shows_the_inferred_edges_and_skips_only_what_lacks_a_column(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    with dagster_dev(tmp_path, "-f", dagster_shop.__file__, env={"DAGSTER_SHOP": str(tmp_path)}) as server:
        assert edges_shown(server) == EDGES
        assert sources_shown(server) == SOURCES

        assert materialize_all(server) == Outcome(materialized=frozenset(EDGES), skipped=frozenset(), complaints={})

        # The run's own process loads the code again, and finds the columns gone both from the file and from the table.
        drop_column(tmp_path / "raw_orders.csv", "note")
        with duckdb.connect(shop_database(tmp_path)) as connection:
            connection.execute("ALTER TABLE prices DROP COLUMN price")
        outcome = materialize_all(server)
        assert outcome.materialized == EDGES.keys() - {"order_notes", "note_lengths", "line_values"}
        assert outcome.skipped == {"note_lengths"}
        assert outcome.complaints.keys() == {("order_notes", "requires_raw_orders"), ("line_values", "requires_prices")}
        assert "task 'order_notes' reads 'raw_orders.note'" in outcome.complaints["order_notes", "requires_raw_orders"]
        assert "task 'line_values' reads 'prices.price'" in outcome.complaints["line_values", "requires_prices"]


def test_relspec_runs_while_dagster_has_the_code_location_loaded(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    (tmp_path / "dev_shop.py").write_text(CATALOG)
    with dagster_dev(tmp_path, "-f", dagster_shop.__file__, env={"DAGSTER_SHOP": str(tmp_path)}) as server:
        command = Path(sys.executable).with_name("relspec")
        options = ["--catalog", "dev_shop:catalog", "--database", str(shop_database(tmp_path))]
        ran = subprocess.run(
            [sys.executable, command, "run", "--wait", "0", *options],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "waiting" not in ran.stderr
        assert "8 ran, 0 skipped, 0 failed, 0 blocked" in ran.stdout
        assert server.wait(server.launch(["stg_orders"])) == "SUCCESS", server.log.read_text()


def edges_shown(server: DagsterDev) -> Mapping[str, set[str]]:
    """What each asset depends on that Dagster can materialize."""
    nodes = server.graphql(GRAPH)["assetNodes"]
    return {
        name(node["assetKey"]): {name(key) for key in node["dependencyKeys"]} for node in nodes if node["isExecutable"]
    }


def sources_shown(server: DagsterDev) -> set[str]:
    nodes = server.graphql(GRAPH)["assetNodes"]
    assert not any(node["dependencyKeys"] for node in nodes if not node["isExecutable"])
    return {name(node["assetKey"]) for node in nodes if not node["isExecutable"]}


def materialize_all(server: DagsterDev) -> Outcome:
    run = server.launch(tuple(EDGES))
    assert server.wait(run) == "SUCCESS", server.log.read_text()
    events = server.graphql(EVENTS, {"run": run})["logsForRun"]["events"]
    checks = [event["evaluation"] for event in of_type(events, "AssetCheckEvaluationEvent")]
    return Outcome(
        materialized=frozenset(name(event["assetKey"]) for event in of_type(events, "MaterializationEvent")),
        skipped=frozenset(event["stepKey"] for event in of_type(events, "ExecutionStepSkippedEvent")),
        complaints={
            (name(check["assetKey"]), check["checkName"]): check["description"]
            for check in checks
            if not check["success"]
        },
    )


def of_type(events: Sequence[Mapping[str, Any]], typename: str) -> list[Mapping[str, Any]]:
    return [event for event in events if event["__typename"] == typename]


def name(key: Mapping[str, Sequence[str]]) -> str:
    return "/".join(key["path"])
