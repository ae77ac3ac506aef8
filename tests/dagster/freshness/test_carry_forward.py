"""What Dagster calls stale and fresh: an asset is stale only where it reads something that changed."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecord

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, run, task
from relspec_core.engines.duckdb_file import connect
from relspec_core.graph_inference import task_graph_from_catalog
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_dagster import RelspecTranslator, build_definitions
from relspec_dagster.access.plan_loading import load_plans
from relspec_dagster.access.storage import Storage
from relspec_dagster.freshness.carry_forward import CARRIED_FORWARD, KEEP_UNCHANGED, carry_forward
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.projection import project
from tests.support.dagster_office import ORDERS, totals

ALL = frozenset({"orders", "totals", "big", "notes", "lengths"})


@task
def orders(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw").select("id", "amount", "note")


@task
def big(ctx: TaskBuildContext) -> ibis.Table:
    found = ctx.table("totals")
    return found.filter(found.total > 10)


@task
def notes(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").select("id", "note")


@task
def lengths(ctx: TaskBuildContext) -> ibis.Table:
    found = ctx.table("notes")
    return found.select(letters=found.note.length())


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """A file of orders, the assets that are made from it, and the instance that they are recorded in."""

    folder: Path
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    @property
    def catalog(self) -> TaskCatalog:
        return TaskCatalog([orders, totals, big, notes, lengths], [SourceSpec("raw", path=self.folder / "raw.csv")])

    @property
    def database(self) -> Path:
        return self.folder / "office.duckdb"

    def materialize(self, *names: str, tags: Mapping[str, str] | None = None) -> set[str]:
        """Run these assets, or all, and return those that were rebuilt."""
        before = self.built()
        job = self.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey(name) for name in names] or [*job.asset_layer.selected_asset_keys]
        assert job.execute_in_process(instance=self.instance, asset_selection=keys, tags=tags).success
        return {name for name, at in self.built().items() if before.get(name) != at}

    def built(self) -> Mapping[str, object]:
        if not self.database.exists():
            return {}
        with duckdb.connect(self.database, read_only=True) as connection:
            return dict(connection.execute("SELECT name, built_at FROM relspec.evidence").fetchall())

    def stale(self) -> set[str]:
        """What Dagster calls stale, as its asset graph shows it."""
        graph = self.definitions.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(self.instance, graph, LoadingContextForTest(self.instance))
        keys = graph.materializable_asset_keys
        return {key.to_user_string() for key in keys if resolver.get_status(key).value != "FRESH"}

    def report(self, name: str, *, version: str) -> None:
        """A new materialization of a source, as others report it."""
        event = dg.AssetMaterialization(name, tags={"dagster/data_version": version})
        self.instance.report_runless_asset_event(event)

    def carry(self) -> set[str]:
        """Carry forward what can be, and tell what that is."""
        plans = load_plans(self.catalog, database=self.database, ctx=None)
        graph = task_graph_from_catalog(plans)
        projection = project(plans, graph, translator=RelspecTranslator(), storage=Storage.of_file(self.database))
        engine = connect(self.database, read_only=True)
        try:
            found = carry_forward(self.instance, Consumers.of(projection, plans), DuckDBWarehouse(engine))
        finally:
            engine.disconnect()
        return {key.to_user_string() for key in found}

    def passed(self, name: str) -> set[str]:
        """The checks that its page counts as passed: the last evaluation of each is of the last materialization."""
        return asyncio.run(self._passed(dg.AssetKey(name)))

    async def _passed(self, asset: dg.AssetKey) -> set[str]:
        context = LoadingContextForTest(self.instance)
        checks = [key for key in self.definitions.resolve_asset_graph().asset_check_keys if key.asset_key == asset]
        found = {key.name: await AssetCheckExecutionRecord.gen(context, key) for key in checks}
        return {
            name
            for name, record in found.items()
            if record is not None and await record.targets_latest_materialization(context)
            if record.status.value == "SUCCEEDED"
        }

    def last(self, name: str) -> dg.AssetMaterialization:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None
        assert event.asset_materialization is not None
        return event.asset_materialization


@pytest.fixture
def office(tmp_path: Path) -> Office:
    (tmp_path / "raw.csv").write_text(ORDERS)
    found = Office(
        folder=tmp_path,
        definitions=dg.Definitions(),
        instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)),
    )
    return replace(found, definitions=build_definitions(found.catalog, database=found.database))


def test_a_reader_of_nothing_that_changed_is_carried_forward_and_says_why(office: Office) -> None:
    assert office.materialize() == ALL
    assert office.stale() == set()
    before = office.last("totals")
    (office.folder / "raw.csv").write_text(ORDERS.replace("hot", "warm"))

    assert office.materialize("orders") == {"orders"}
    assert office.stale() == {"notes"}
    carried = office.last("totals")
    assert carried.description == ("carried forward: reads nothing of 'orders' that changed; it reads amount")
    assert carried.metadata[CARRIED_FORWARD].value == carried.description
    assert carried.metadata["dagster/row_count"].value == 1
    assert (carried.tags or {})["dagster/data_version"] == (before.tags or {})["dagster/data_version"]
    assert office.passed("totals") == {"requires_orders"}
    assert CARRIED_FORWARD not in office.last("big").metadata

    assert office.materialize("notes") == {"notes"}
    assert office.stale() == {"lengths"}
    assert office.materialize("lengths") == {"lengths"}
    assert office.stale() == set()


def test_what_came_out_as_it_was_carries_its_readers_forward_in_dagster_and_in_relspec(office: Office) -> None:
    office.materialize()
    (office.folder / "raw.csv").write_text("".join(ORDERS.splitlines(keepends=True)[index] for index in (0, 2, 1)))
    assert office.materialize("orders") == {"orders"}
    assert office.stale() == set()
    backend = connect(office.database)
    try:
        assert not run(office.catalog, backend=backend, quiet=True).ran
    finally:
        backend.disconnect()


def test_a_source_that_is_reported_anew_makes_stale_only_who_reads_what_changed(office: Office) -> None:
    office.materialize()
    (office.folder / "raw.csv").write_text("id,amount,note,more\n1,5,hot,1\n2,7,cold,2\n")
    office.report("raw", version="2")
    assert office.stale() == {"orders"}
    assert office.carry() == {"orders"}
    assert office.passed("orders") == {"requires_raw"}
    assert office.stale() == set()
    assert office.carry() == set()

    (office.folder / "raw.csv").write_text(ORDERS.replace("hot", "warm"))
    office.report("raw", version="3")
    assert office.carry() == set()
    assert office.stale() == {"orders"}


def test_what_is_selected_is_built_unless_the_run_is_told_to_keep_what_is_unchanged(office: Office) -> None:
    office.materialize()
    assert office.materialize() == ALL
    assert office.materialize(tags=KEEP_UNCHANGED) == set()
    (office.folder / "raw.csv").write_text(ORDERS.replace("hot", "warm"))
    assert office.materialize(tags=KEEP_UNCHANGED) == {"orders", "notes", "lengths"}
    assert office.stale() == set()


def test_what_a_run_selects_and_skips_is_carried_forward_too(office: Office) -> None:
    @task
    def extras(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("more").select("id", "price")

    @task
    def both(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("orders").select("id", "amount").join(ctx.table("extras"), "id")

    more = office.folder / "more.csv"
    more.write_text("id,price\n1,3\n")
    raw = SourceSpec("raw", path=office.folder / "raw.csv")
    catalog = TaskCatalog([orders, extras, both], [raw, SourceSpec("more", path=more)])
    office = replace(office, definitions=build_definitions(catalog, database=office.database))
    office.materialize()
    (office.folder / "raw.csv").write_text(ORDERS.replace("hot", "warm"))
    more.write_text("id\n1\n")
    assert office.materialize() == {"orders"}
    assert office.stale() == set()


def test_a_table_that_relspec_built_itself_gets_its_new_version_and_its_readers_are_stale(office: Office) -> None:
    office.materialize()
    (office.folder / "raw.csv").write_text(ORDERS.replace("7", "9"))
    backend = connect(office.database)
    try:
        assert set(run(office.catalog, backend=backend, targets=["totals"], quiet=True).ran) == {"orders", "totals"}
    finally:
        backend.disconnect()
    office.report("raw", version="2")
    assert office.carry() == {"orders", "totals", "notes"}
    assert office.stale() == {"big"}
