"""Runs of the projected assets, in this process, on a real Dagster instance and a real DuckDB file."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import ibis
import pytest

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, run, task
from relspec_dagster import build_definitions
from tests.support.dagster_shop import EDGES, drop_column, shop_catalog, shop_database, shop_definitions, write_raw_data

EVERYTHING = frozenset(EDGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A folder of raw data, the definitions made from it, and the instance that its runs are recorded in."""

    folder: Path
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def run(self, selection: dg.AssetSelection | None = None) -> dg.ExecuteInProcessResult:
        """Run a selection of assets and checks, or everything."""
        job = dg.define_asset_job("chosen", selection=selection or dg.AssetSelection.all())
        definitions = dg.Definitions.merge(self.definitions, dg.Definitions(jobs=[job]))
        return definitions.resolve_job_def("chosen").execute_in_process(instance=self.instance, raise_on_error=False)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a query gives; also shows that no run has left its connection open."""
        with duckdb.connect(shop_database(self.folder), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    write_raw_data(tmp_path)
    return Shop(
        folder=tmp_path,
        definitions=shop_definitions(tmp_path),
        instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)),
    )


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}


def checked(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {(found.asset_key.to_user_string(), found.check_name): found.passed for found in evaluations(result)}


def complaint(result: dg.ExecuteInProcessResult, asset: str, check: str) -> str:
    """What a failed check said."""
    (found,) = (
        one for one in evaluations(result) if (one.asset_key.to_user_string(), one.check_name) == (asset, check)
    )
    assert not found.passed
    assert found.description is not None
    return found.description


def evaluations(result: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
    return list(result.get_asset_check_evaluations())


def assets(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*names)


def checks(pairs: Iterable[tuple[str, str]]) -> dg.AssetSelection:
    return dg.AssetSelection.checks(*(dg.AssetCheckKey(dg.AssetKey(asset), check) for asset, check in pairs))


def test_one_run_builds_everything_each_reader_on_what_the_same_run_wrote(shop: Shop) -> None:
    result = shop.run()
    assert result.success
    assert materialized(result) == EVERYTHING
    assert set(checked(result)) == {(asset, f"requires_{read}") for asset, found in EDGES.items() for read in found}
    assert all(checked(result).values())
    assert shop.rows("FROM customer_totals ORDER BY id") == [(1, "Ada", 12), (2, "Bo", 0), (3, "Cy", 0)]
    assert shop.rows("FROM note_lengths ORDER BY id") == [(10, 3), (11, 4), (12, 4)]


def test_relspec_itself_has_nothing_left_to_do_after_a_run_in_dagster(shop: Shop) -> None:
    for part in ("order_lines", "stg_orders", "order_totals"):
        shop.run(assets(part))
    shop.run(dg.AssetSelection.all() - assets("order_lines", "stg_orders", "order_totals"))
    backend = ibis.duckdb.connect(shop_database(shop.folder))
    try:
        assert not run(shop_catalog(shop.folder), backend=backend, quiet=True).ran
    finally:
        backend.disconnect()


def test_a_materialization_tells_rows_schema_lineage_and_a_version_that_stays_while_nothing_changes(shop: Shop) -> None:
    def of_order_totals(result: dg.ExecuteInProcessResult) -> dg.AssetMaterialization:
        (found,) = result.asset_materializations_for_node("order_parts")[1:]
        return found

    first, again = of_order_totals(shop.run()), of_order_totals(shop.run())
    assert first.metadata["dagster/row_count"].value == 1
    schema, lineage = first.metadata["dagster/column_schema"].value, first.metadata["dagster/column_lineage"].value
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns] == ["customer_id", "total"]
    assert isinstance(lineage, dg.TableColumnLineage)
    assert lineage.deps_by_column["total"] == [
        dg.TableColumnDep(asset_key=dg.AssetKey("stg_orders"), column_name="amount")
    ]
    assert first.tags is not None
    assert again.tags is not None
    assert first.tags["dagster/data_version"] == again.tags["dagster/data_version"]


def test_an_internal_table_has_the_columns_that_other_assets_need(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    whole = shop_catalog(tmp_path)
    catalog = TaskCatalog(whole.tasks, whole.sources, internal=True)
    definitions = build_definitions(catalog, database=shop_database(tmp_path))
    shop = Shop(folder=tmp_path, definitions=definitions, instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)))
    result = shop.run()
    assert materialized(result) == EVERYTHING
    assert all(checked(result).values())
    assert [name for name, *_ in shop.rows("DESCRIBE stg_orders")] == ["customer_id", "amount"]
    (orders,) = result.asset_materializations_for_node("stg_orders")
    schema, lineage = orders.metadata["dagster/column_schema"].value, orders.metadata["dagster/column_lineage"].value
    assert isinstance(schema, dg.TableSchema)
    assert [column.name for column in schema.columns] == ["customer_id", "amount"]
    assert isinstance(lineage, dg.TableColumnLineage)
    assert set(lineage.deps_by_column) == {"customer_id", "amount"}
    backend = ibis.duckdb.connect(shop_database(tmp_path))
    try:
        assert not run(catalog, backend=backend, quiet=True).ran
    finally:
        backend.disconnect()


def test_a_dropped_column_skips_its_readers_and_theirs_with_its_name_and_nothing_else(shop: Shop) -> None:
    drop_column(shop.folder / "raw_orders.csv", "note")
    result = shop.run()
    assert result.success
    assert materialized(result) == EVERYTHING - {"order_notes", "note_lengths"}
    assert [pair for pair, passed in checked(result).items() if not passed] == [("order_notes", "requires_raw_orders")]
    said = complaint(result, "order_notes", "requires_raw_orders")
    assert "'raw_orders.note'" in said
    assert "'id', 'customer_id', 'amount'" in said


def test_an_unmet_edge_of_one_output_holds_back_the_whole_task(shop: Shop) -> None:
    drop_column(shop.folder / "raw_items.csv", "sku")
    result = shop.run()
    assert materialized(result) == {"stg_customers", "stg_orders", "order_notes", "note_lengths"}
    assert [pair for pair, passed in checked(result).items() if not passed] == [("order_lines", "requires_raw_items")]


def test_an_output_alone_waits_for_what_its_own_plan_reads_and_no_more(shop: Shop) -> None:
    drop_column(shop.folder / "raw_items.csv", "sku")
    assert materialized(shop.run(assets("stg_orders", "order_totals"))) == {"stg_orders", "order_totals"}


def test_a_source_that_is_gone_or_has_another_type_fails_its_readers_checks(shop: Shop) -> None:
    (shop.folder / "raw_customers.csv").unlink()
    (shop.folder / "raw_orders.csv").write_text("id,customer_id,amount,note\n10,1,much,hot\n")
    result = shop.run(assets("stg_customers", "stg_orders", "order_notes"))
    assert result.success
    assert materialized(result) == {"order_notes"}
    assert "'raw_customers', which does not exist" in complaint(result, "stg_customers", "requires_raw_customers")
    assert "'raw_orders.amount' as int64, but it is string" in complaint(result, "stg_orders", "requires_raw_orders")


def test_a_code_location_loaded_after_columns_went_is_the_same_and_skips_their_readers(shop: Shop) -> None:
    shop.run()
    drop_column(shop.folder / "raw_orders.csv", "note")
    (shop.folder / "raw_customers.csv").unlink()
    with duckdb.connect(shop_database(shop.folder)) as connection:
        connection.execute("ALTER TABLE prices DROP COLUMN price")
    result = replace(shop, definitions=shop_definitions(shop.folder)).run()
    assert result.success
    assert {pair for pair, passed in checked(result).items() if not passed} == {
        ("order_notes", "requires_raw_orders"),
        ("stg_customers", "requires_raw_customers"),
        ("line_values", "requires_prices"),
    }
    assert materialized(result) == {"stg_orders", "order_lines", "order_totals", "line_counts"}


def test_one_of_two_outputs_is_built_alone(shop: Shop) -> None:
    result = shop.run(assets("order_lines"))
    assert materialized(result) == {"order_lines"}
    assert checked(result) == {("order_lines", "requires_raw_items"): True}
    assert shop.rows("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE 'order%'") == [("order_lines",)]


def test_checks_run_without_building_anything(shop: Shop) -> None:
    wanted = [("order_totals", "requires_stg_orders"), ("order_notes", "requires_raw_orders")]
    result = shop.run(checks(wanted))
    assert result.success
    assert not materialized(result)
    assert checked(result) == dict(zip(wanted, (False, True), strict=True))
    assert shop.rows("SELECT table_name FROM duckdb_tables()") == [("prices",)]


def test_one_output_and_the_check_of_its_sibling_run_together(shop: Shop) -> None:
    result = shop.run(assets("order_lines").without_checks() | checks([("order_totals", "requires_stg_orders")]))
    assert materialized(result) == {"order_lines"}
    assert checked(result) == {("order_totals", "requires_stg_orders"): False}


def test_an_asset_that_is_run_without_its_checks_is_gated_all_the_same(shop: Shop) -> None:
    result = shop.run(assets("customer_totals").without_checks())
    assert result.success
    assert not materialized(result)
    assert not checked(result)


def test_a_task_that_fails_closes_the_database_and_leaves_the_others_alone(tmp_path: Path) -> None:
    (tmp_path / "raw.csv").write_text("id,text\n1,one\n")

    @task
    def bad(ctx: TaskBuildContext) -> ibis.Table:
        raw = ctx.table("raw")
        return raw.select(number=raw.text.cast("int64"))

    @task
    def good(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("raw").select("id")

    catalog = TaskCatalog([bad, good], [SourceSpec("raw", path=tmp_path / "raw.csv")])
    definitions = build_definitions(catalog, database=shop_database(tmp_path))
    shop = Shop(folder=tmp_path, definitions=definitions, instance=dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)))
    result = shop.run()
    assert not result.success
    assert materialized(result) == {"good"}
    failure = result.failure_data_for_node("bad")
    assert failure is not None
    assert failure.error is not None
    assert "[RS401] task 'bad' failed" in str(failure.error.cause or failure.error)
    assert shop.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'") == [("good",)]
