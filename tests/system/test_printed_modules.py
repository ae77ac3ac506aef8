"""Modules that an earlier release printed still run; its pytest module is collected from tests/cases/printed as it is."""

from pathlib import Path

from hamilton import driver

from relspec_core import HamiltonRun
from tests.cases.printed import hamilton_dag


def test_a_hamilton_module_that_an_earlier_release_wrote_builds_its_targets(tmp_path: Path) -> None:
    run = HamiltonRun(hamilton_dag.CATALOG, tmp_path / "shop.duckdb")
    graph = driver.Builder().with_modules(hamilton_dag).with_config({"relspec_run": run}).build()
    found = graph.execute(["locations", "customer_sentiment"])
    assert {name: evidence.task for name, evidence in found.items()} == {name: name for name in found}
    assert all(evidence.rows for evidence in found.values())
