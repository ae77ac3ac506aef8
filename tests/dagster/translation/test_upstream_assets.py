"""Sources that dlt loads: real pipelines into the catalog's DuckDB file, and the assets that dagster-dlt makes of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import dlt
import duckdb
import pytest
from dagster_dlt import DagsterDltResource, dlt_assets

from relspec_core import RelspecError, SourceSpec, TaskCatalog
from relspec_dagster import EvidenceSensor, RelspecSettings, RelspecTranslator, build_definitions
from relspec_dagster.translation.source_checks import HAS_WHAT_READERS_NEED
from tests.dagster.test_definitions import edges
from tests.support.catalogs import sql_task
from tests.support.dagster_ticks import asked_for, only_request
from tests.support.skip_messages import waiting

# Dagster looks so for the settings of a resource that has none.
pytestmark = pytest.mark.filterwarnings("ignore:The `__fields__` attribute is deprecated")

ORDERS = "shop_raw.raw_orders"
LOADED = dg.AssetKey("dlt_shop_rawOrders")
CATALOG = TaskCatalog(
    [
        sql_task(f"SELECT customer_id, sum(amount) AS total FROM {ORDERS} GROUP BY ALL", "totals"),
        sql_task(f"SELECT note FROM {ORDERS}", "notes"),
    ],
    [SourceSpec(ORDERS, schema={"customer_id": "int64", "amount": "int64", "note": "string"})],
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch off the telemetry of dlt."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")


def loading(folder: Path, *rows: dict[str, Any], name: str = "shop", dataset: str = "shop_raw") -> dg.AssetsDefinition:
    """A pipeline that puts these rows in place of those of before, into the table `raw_orders`, as dlt spells it."""

    @dlt.source(name=name)
    def shop() -> Iterator[Any]:
        yield dlt.resource(list(rows), name="rawOrders", write_disposition="replace")

    pipeline = dlt.pipeline(
        pipeline_name=name,
        pipelines_dir=str(folder / "dlt"),
        dataset_name=dataset,
        destination=dlt.destinations.duckdb(str(folder / "shop.duckdb")),
    )

    @dlt_assets(dlt_source=shop(), dlt_pipeline=pipeline, name=f"load_{name}")
    def load(context: dg.AssetExecutionContext, dlt: DagsterDltResource) -> Iterator[Any]:
        yield from dlt.run(context=context)

    return load


def definitions_on(folder: Path, *loads: dg.AssetsDefinition, catalog: TaskCatalog = CATALOG) -> dg.Definitions:
    ours = build_definitions(
        catalog,
        database=folder / "shop.duckdb",
        translator=RelspecTranslator(RelspecSettings(attach_to=loads)),
        evidence_sensor=EvidenceSensor(name="arrivals"),
    )
    return dg.Definitions.merge(ours, dg.Definitions(assets=loads, resources={"dlt": DagsterDltResource()}))


def test_what_dlt_loads_is_one_asset_and_starts_exactly_the_readers_of_its_columns(tmp_path: Path) -> None:
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    cursor = None

    def tick(definitions: dg.Definitions) -> Any:  # noqa: ANN401 - Dagster has no public name for it
        nonlocal cursor
        context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=definitions)
        found = definitions.resolve_sensor_def("arrivals").evaluate_tick(context)
        cursor = found.cursor
        return found

    def run(definitions: dg.Definitions, *keys: dg.AssetKey) -> dict[str, bool]:
        job = definitions.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, asset_selection=list(keys))
        return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}

    row = {"customerId": 1, "amount": 5}
    first = definitions_on(tmp_path, loading(tmp_path, row))
    assert edges(first).items() >= {"totals": {"dlt_shop_rawOrders"}, "notes": {"dlt_shop_rawOrders"}}.items()
    assert first.resolve_asset_graph().external_asset_keys == {dg.AssetKey("shop_rawOrders")}  # where dlt loads from
    assert waiting(tick(first).skip_message) == {("notes and totals", ORDERS, "missing_evidence")}

    assert run(first, LOADED) == {HAS_WHAT_READERS_NEED: False}
    request = only_request(tick(first))
    assert asked_for([request]) == ("totals",)
    assert request.tags["relspec/arrived"] == ORDERS
    assert run(first, *(request.asset_selection or ())) == {"requires_shop_raw_raw_orders": True}
    assert ("notes", f"{ORDERS}.note", "missing_column") in waiting(tick(first).skip_message)

    second = definitions_on(tmp_path, loading(tmp_path, {**row, "note": "hot"}))
    assert run(second, LOADED) == {HAS_WHAT_READERS_NEED: True}
    request = only_request(tick(second))
    assert asked_for([request]) == ("notes",)
    run(second, *(request.asset_selection or ()))
    with duckdb.connect(tmp_path / "shop.duckdb", read_only=True) as connection:
        assert connection.execute("FROM totals, notes").fetchall() == [(1, 5, "hot")]


def test_a_table_that_dlt_makes_of_lists_in_rows_is_after_the_asset_that_is_loaded_with_it(tmp_path: Path) -> None:
    lists = [SourceSpec(f"{ORDERS}__lines{more}", schema={"sku": "string"}) for more in ("", "__parts")]
    catalog = TaskCatalog([sql_task(f"SELECT sku FROM {source.name}", source.name[9:]) for source in lists], lists)
    graph = definitions_on(tmp_path, loading(tmp_path), catalog=catalog).resolve_asset_graph()
    for source in lists:
        assert graph.get(dg.AssetKey(source.name.split("."))).parent_keys == {LOADED}


def test_a_table_of_the_same_name_in_another_dataset_is_another_table(tmp_path: Path) -> None:
    definitions = definitions_on(tmp_path, loading(tmp_path, dataset="elsewhere"))
    assert edges(definitions)["totals"] == {"shop_raw/raw_orders"}
    with pytest.raises(RelspecError, match=r"\[RS501\] .*'dlt_shop_rawOrders' and 'dlt_more_rawOrders'"):
        definitions_on(tmp_path, loading(tmp_path), loading(tmp_path, name="more"))
