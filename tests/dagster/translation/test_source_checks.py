"""Sources in Dagster: one check for all readers, and tables that others' assets write."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest
from dagster_duckdb import DuckDBResource

from relspec_core import RelspecError, SourceSpec, TaskBuildContext, TaskCatalog, task
from relspec_dagster import RelspecSettings, RelspecTranslator, build_definitions
from relspec_dagster.translation.source_checks import HAS_WHAT_READERS_NEED
from tests.dagster.test_definitions import being_written, edges
from tests.support.dagster_shop import SOURCES, drop_column, shop_database, shop_definitions, write_raw_data


def check_sources(definitions: dg.Definitions, *sources: str) -> dg.ExecuteInProcessResult:
    keys = [dg.AssetCheckKey(dg.AssetKey(source), HAS_WHAT_READERS_NEED) for source in sources]
    job = dg.define_asset_job("chosen", selection=dg.AssetSelection.checks(*keys))
    both = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    return both.resolve_job_def("chosen").execute_in_process()


def said(result: dg.ExecuteInProcessResult) -> Mapping[str, str]:
    """What each failed check said."""
    return {
        found.asset_key.to_user_string(): found.description or ""
        for found in result.get_asset_check_evaluations()
        if not found.passed
    }


def test_sources_are_checked_for_all_of_their_readers_by_one_op_beside_whoever_writes(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    definitions = shop_definitions(tmp_path)
    assert said(check_sources(definitions, *SOURCES)) == {}

    drop_column(tmp_path / "raw_orders.csv", "id")
    (tmp_path / "raw_items.csv").unlink()
    with duckdb.connect(shop_database(tmp_path)) as connection:
        connection.execute("ALTER TABLE prices ALTER price TYPE VARCHAR")
    result = check_sources(definitions, *SOURCES)
    assert len(result.all_node_events) > 0
    assert {event.step_key for event in result.all_node_events} == {"duckdb_sources"}
    assert said(result) == {
        "raw_orders": "task 'order_notes' reads 'raw_orders.id', which 'raw_orders' lacks; it has 'customer_id', 'amount', 'note'\n"
        "task 'stg_orders' reads 'raw_orders.id', which 'raw_orders' lacks; it has 'customer_id', 'amount', 'note'",
        "raw_items": "task 'order_parts' waits for 'raw_items', which does not exist",
        "prices": "task 'line_values' reads 'prices.price' as int32, but it is string; "
        "cast it in the plan, or give 'prices' its old type back",
    }
    assert said(check_sources(definitions, "raw_customers", "prices")).keys() == {"prices"}

    with being_written(shop_database(tmp_path)):  # files can be looked at all the same
        assert said(check_sources(definitions, "raw_orders", "raw_customers")).keys() == {"raw_orders"}
    assert dg.materialize([definitions.resolve_assets_def("stg_customers")]).success
    with being_written(shop_database(tmp_path)):  # of which the run has left what it saw
        assert said(check_sources(definitions, "prices", "raw_customers")).keys() == {"prices"}


@task
def revenue(ctx: TaskBuildContext) -> ibis.Table:
    """What orders bring."""
    return ctx.table("raw_orders").select("amount")


def ingesting(key: dg.AssetKey, table_name: str) -> dg.AssetsDefinition:
    """An asset of somebody else, with what dagster-dbt says of a model that is a table and has its columns described."""
    columns = [dg.TableColumn("id", "BIGINT"), dg.TableColumn("amount", "?", description="In cents.")]
    spec = dg.AssetSpec(
        key,
        skippable=True,
        code_version="b8f2",
        kinds={"dbt", "duckdb"},
        metadata={
            "dagster-dbt/materialization_type": "table",
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/table_name": table_name,
            "dagster/storage_kind": "duckdb",
            "dagster_dbt/unique_id": "model.jaffle.raw_orders",
        },
    )

    @dg.multi_asset(name="ingest", specs=[spec], can_subset=True)
    def ingest(duckdb: DuckDBResource) -> dg.MaterializeResult:
        with duckdb.get_connection() as connection:
            connection.execute("CREATE OR REPLACE TABLE raw_orders AS SELECT 1 AS id, 5 AS amount")
        return dg.MaterializeResult(asset_key=key, metadata={"unique_id": "model.jaffle.raw_orders"})

    return ingest


TABLE_NAMES = {"table name": "SHOP.main.raw_orders", "schema and table": "main.raw_orders"}


@pytest.mark.parametrize("way", [*TABLE_NAMES, "key of the settings", "same key"])
def test_a_source_that_another_asset_writes_is_that_asset(tmp_path: Path, way: str) -> None:
    database = tmp_path / "shop.duckdb"
    key = dg.AssetKey(["raw_orders"]) if way == "same key" else dg.AssetKey(["jaffle", "raw", "orders"])
    others = ingesting(key, TABLE_NAMES.get(way, "elsewhere"))
    settings = (
        RelspecSettings(source_keys={"raw_orders": ["jaffle", "raw", "orders"]})
        if way == "key of the settings"
        else RelspecSettings(attach_to=[dg.Definitions(assets=[others])])
    )
    catalog = TaskCatalog([revenue], [SourceSpec("raw_orders", schema={"id": "int32", "amount": "int32"})])
    ours = build_definitions(catalog, database=database, translator=RelspecTranslator(settings=settings))
    job = dg.define_asset_job("everything", selection=dg.AssetSelection.all())
    merged = dg.Definitions.merge(ours, dg.Definitions(assets=[others], jobs=[job]))
    assert edges(merged) == {key.to_user_string(): set(), "revenue": {key.to_user_string()}}
    assert not merged.resolve_asset_graph().external_asset_keys
    result = merged.resolve_job_def("everything").execute_in_process()
    passed = {(found.asset_key, found.check_name): found.passed for found in result.get_asset_check_evaluations()}
    assert passed == {(key, HAS_WHAT_READERS_NEED): True, (dg.AssetKey("revenue"), "requires_raw_orders"): True}
    with duckdb.connect(database, read_only=True) as connection:
        assert connection.execute("FROM revenue").fetchall() == [(5,)]


def test_a_source_of_another_code_location_is_depended_on_and_not_declared(tmp_path: Path) -> None:
    settings = RelspecSettings(source_keys={"raw_orders": "dlt_orders"})
    catalog = TaskCatalog([revenue], [SourceSpec("raw_orders", schema={"amount": "int32"})])
    definitions = build_definitions(
        catalog, database=tmp_path / "shop.duckdb", translator=RelspecTranslator(settings=settings)
    )
    assert edges(definitions) == {"revenue": {"dlt_orders"}}
    assert not [spec for spec in definitions.assets or () if isinstance(spec, dg.AssetSpec)]


def test_attachments_that_lead_nowhere_or_to_two_assets_are_refused(tmp_path: Path) -> None:
    catalog = TaskCatalog([revenue], [SourceSpec("raw_orders", schema={"amount": "int32"})])

    def build(settings: RelspecSettings) -> dg.Definitions:
        return build_definitions(
            catalog, database=tmp_path / "shop.duckdb", translator=RelspecTranslator(settings=settings)
        )

    with pytest.raises(
        RelspecError, match=r"\[RS501\] no task reads a source 'raw_order'\n(.*\n)*.*did you mean 'raw_orders'"
    ):
        build(RelspecSettings(source_keys={"raw_order": "dlt_orders"}))
    twice = [dg.AssetSpec(name, metadata={"dagster/table_name": "shop.main.raw_orders"}) for name in ("a", "b")]
    with pytest.raises(
        RelspecError, match=r"\[RS501\] source 'raw_orders' is the table 'shop.main.raw_orders'.*'a' and 'b'"
    ):
        build(RelspecSettings(attach_to=twice))
