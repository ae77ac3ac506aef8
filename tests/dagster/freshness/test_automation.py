"""Automation by edges: evaluations of the projected assets' conditions, on a real instance and a real DuckDB file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import ibis
import pytest

from relspec_core import RelspecError, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, task
from relspec_core.graph_inference import task_graph_from_catalog
from relspec_dagster import (
    RelspecDuckDBResource,
    RelspecTranslator,
    Source,
    TaskOutput,
    build_definitions,
    edges_ready,
)
from relspec_dagster.access.plan_loading import load_plans
from relspec_dagster.access.storage import Storage
from relspec_dagster.freshness.automation import automate
from relspec_dagster.freshness.automation_sensors import automation_sensors
from relspec_dagster.freshness.evaluation import Evaluation
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.projection import project
from tests.support.dagster_office import ORDERS, notes, orders, totals

AC = dg.AutomationCondition


@task
def prices(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("more").select("id", "price")


@dataclass(slots=True, kw_only=True)
class Ticks:
    """Evaluations of a folder's assets, one after another."""

    folder: Path
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    cursor: Any = None

    def requested(self) -> set[str]:
        """What the next evaluation requests."""
        keys = self.definitions.resolve_asset_graph().materializable_asset_keys
        found = dg.evaluate_automation_conditions(
            self.definitions, self.instance, dg.AssetSelection.assets(*keys), cursor=self.cursor
        )
        self.cursor = found.cursor
        return {key.to_user_string() for key in keys if found.get_num_requested(key)}

    def run(self, *names: str) -> bool:
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(name) for name in names]
        return job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False).success

    def write(self, text: str, *, name: str = "raw") -> None:
        (self.folder / f"{name}.csv").write_text(text)


def ticks(
    folder: Path, *tasks: TaskSpec, automation: AC | None = None, translator: RelspecTranslator | None = None
) -> Ticks:
    schemas = {"raw": {"id": "int64", "amount": "int64", "note": "string"}, "more": {"id": "int64", "price": "int64"}}
    sources = [SourceSpec(name, path=folder / f"{name}.csv", schema=schema) for name, schema in schemas.items()]
    definitions = build_definitions(
        TaskCatalog(tasks, sources),
        database=folder / "office.duckdb",
        automation=automation or edges_ready(),
        translator=translator,
    )
    return Ticks(folder=folder, definitions=definitions, instance=dg.DagsterInstance.ephemeral(tempdir=str(folder)))


def test_what_is_there_with_its_columns_is_requested_in_one_run_and_only_once(tmp_path: Path) -> None:
    found = ticks(tmp_path, orders, totals, notes, prices)
    assert found.requested() == set()
    found.write("id,amount\n1,5\n")
    assert found.requested() == {"orders", "totals"}
    assert found.requested() == set()
    found.write(ORDERS)
    assert found.requested() == {"orders", "totals", "notes"}
    assert found.requested() == set()
    found.write("id,price\n1,3\n", name="more")
    assert found.requested() == {"prices"}


def test_a_change_requests_who_reads_what_changed_and_nobody_else(tmp_path: Path) -> None:
    found = ticks(tmp_path, orders, totals, notes)
    found.write(ORDERS)
    assert found.run(*found.requested())
    assert found.requested() == set()
    found.write("id,amount,note,new\n1,5,hot,1\n2,7,cold,2\n")
    assert found.requested() == set()
    found.write(ORDERS.replace("hot", "warm"))
    assert found.requested() == {"notes"}
    found.write(ORDERS.replace("5", "6"))
    assert found.requested() == {"orders", "totals"}
    assert found.run("orders", "totals")
    assert found.requested() == set()


def test_a_run_that_fails_is_not_requested_again_for_the_same_evidence(tmp_path: Path) -> None:
    def numbers(ctx: TaskBuildContext) -> ibis.Table:
        raw = ctx.table("raw")
        return raw.select("id", number=raw.note.cast("int64"))

    found = ticks(
        tmp_path, TaskSpec("numbers", numbers), TaskSpec("ids", lambda ctx: ctx.table("numbers").select("id"))
    )
    found.write(ORDERS)
    assert found.requested() == {"numbers", "ids"}
    assert not found.run("numbers", "ids")
    assert found.requested() == set()
    found.write("id,amount,note\n1,5,8\n")
    assert found.requested() == {"numbers", "ids"}
    assert found.run("numbers", "ids")
    assert found.requested() == set()


def test_what_was_requested_and_is_gone_is_requested_again(tmp_path: Path) -> None:
    found = ticks(tmp_path, notes)
    found.write(ORDERS)
    assert found.run(*found.requested())
    assert found.requested() == set()
    with duckdb.connect(tmp_path / "office.duckdb") as connection:
        connection.execute("DROP TABLE notes")
    assert found.requested() == {"notes"}


def test_it_composes_with_dagsters_own_conditions(tmp_path: Path) -> None:
    class Mixed(RelspecTranslator):
        def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
            spec = super().get_asset_spec(evidence)
            conditions = {"orders": edges_ready() & AC.missing(), "prices": ~edges_ready()}
            return spec.replace_attributes(automation_condition=conditions.get(spec.key.to_user_string()))

    found = ticks(tmp_path, orders, notes, prices, automation=edges_ready().newly_true(), translator=Mixed())
    assert found.requested() == {"prices"}
    found.write(ORDERS)
    found.write("id,price\n1,3\n", name="more")
    assert found.requested() == {"orders", "notes"}
    assert found.run("orders")
    assert found.requested() == set()
    found.write(ORDERS.replace("hot", "warm"))
    assert found.requested() == {"notes"}


def test_sensors_for_all_conditions_are_there_and_on_each_below_a_limit(tmp_path: Path) -> None:
    copies = [TaskSpec(f"copy_{at}", lambda ctx: ctx.table("raw").select("id"), group="all/copies") for at in range(3)]
    definitions = ticks(tmp_path, orders, *copies).definitions
    found = [one for one in definitions.sensors or () if isinstance(one, dg.AutomationConditionSensorDefinition)]
    assert {one.name for one in found} == {"duckdb_automation_of_all_copies", "duckdb_automation_of_default"}
    assert all(one.default_status == dg.DefaultSensorStatus.RUNNING for one in found)

    plans = load_plans(
        TaskCatalog(copies, [SourceSpec("raw", schema={"id": "int64"})]), database=tmp_path / "x", ctx=None
    )
    graph, storage = task_graph_from_catalog(plans), Storage.of_file(tmp_path / "x")
    projection = project(plans, graph, translator=RelspecTranslator(), storage=storage)
    readers = Consumers.of(projection, plans)
    evaluation = Evaluation(readers, graph, RelspecDuckDBResource(database=str(tmp_path / "x")))
    automated = automate(projection, automation=edges_ready(), evaluation=evaluation)
    sensors = automation_sensors(automated, prefix="duckdb", seconds=None, most=2)
    parts = {one.name: one.asset_selection.resolve(definitions.resolve_asset_graph()) for one in sensors}
    assert parts == {
        "duckdb_automation_of_all_copies_1": {dg.AssetKey("copy_0"), dg.AssetKey("copy_1")},
        "duckdb_automation_of_all_copies_2": {dg.AssetKey("copy_2")},
    }


def test_a_condition_that_nobody_can_tell_the_edges_is_refused(tmp_path: Path) -> None:
    class OfSources(RelspecTranslator):
        def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
            return super().get_asset_spec(evidence).replace_attributes(automation_condition=edges_ready())

    with pytest.raises(RelspecError, match=r"\[RS501\] source 'raw' has the automation condition edges_ready"):
        ticks(tmp_path, orders, translator=OfSources())
