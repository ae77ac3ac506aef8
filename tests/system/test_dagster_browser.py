"""What people see: the pages of a real `dagster dev` in a real browser; kept as pictures in build/screenshots."""

from collections.abc import Generator
from pathlib import Path

import dagster as dg
import pytest
from playwright.sync_api import expect

from tests.support import dagster_shop
from tests.support.browser import DagsterPages, dagster_pages
from tests.support.dagster_dev import dagster_dev
from tests.support.dagster_shop import EDGES, RAW, SOURCES, drop_column, shop_definitions, write_raw_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def pages(folder: Path) -> Generator[DagsterPages]:
    """The pages after two runs: one of everything, and one of a few assets after the raw files have changed."""
    home = folder / "dagster_home"
    home.mkdir()
    write_raw_data(folder)
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        run_in(instance, folder, dg.AssetSelection.all())
        drop_column(folder / "raw_orders.csv", "note")
        (folder / "raw_items.csv").write_text(RAW["raw_items"].replace("toast,2", "toast,4"))
        run_in(instance, folder, dg.AssetSelection.assets("order_notes", "order_lines"))
    with (
        dagster_dev(folder, "-f", dagster_shop.__file__, env={"DAGSTER_SHOP": str(folder)}) as server,
        dagster_pages(server.url.removesuffix("/graphql")) as found,
    ):
        yield found


def run_in(instance: dg.DagsterInstance, folder: Path, selection: dg.AssetSelection) -> None:
    """Run a selection with the raw data that there are, into the history that the server then shows."""
    job = dg.define_asset_job("chosen", selection=selection)
    definitions = dg.Definitions.merge(shop_definitions(folder), dg.Definitions(jobs=[job]))
    assert definitions.resolve_job_def("chosen").execute_in_process(instance=instance).success


def test_the_asset_graph_draws_an_arrow_for_each_inferred_edge_and_no_other(pages: DagsterPages) -> None:
    assert pages.edges_drawn([*EDGES, *SOURCES]) == {**EDGES, **{name: set() for name in SOURCES}}
    expect(pages.drawn_in("red", "order_notes")).to_be_visible()
    expect(pages.drawn_in("green", "line_counts")).to_be_visible()
    pages.save("lineage")


def test_the_page_of_an_asset_shows_its_columns_what_it_requires_and_its_sql(pages: DagsterPages) -> None:
    pages.open_asset("line_values")
    assert [row[:2] for row in pages.table("Column name")] == [
        ["order_id", "int64"],
        ["sku", "string"],
        ["worth", "int64"],
    ]
    assert pages.table("evidence", within=pages.metadata("relspec/required_columns")) == [
        ["order_lines", "order_id", "int64", "identity"],
        ["order_lines", "quantity", "int64", "transformation"],
        ["order_lines", "sku", "string", "identity, join"],
        ["prices", "price", "int32", "transformation"],
        ["prices", "sku", "string", "join"],
    ]
    expect(pages.metadata("relspec/sql")).to_have_text(
        'SELECT "t2"."order_id" AS "order_id", "t2"."sku" AS "sku", "t2"."quantity" * "t3"."price" AS "worth" '
        'FROM "order_lines" AS "t2" INNER JOIN "prices" AS "t3" ON "t2"."sku" = "t3"."sku"'
    )
    pages.metadata("relspec/sql").scroll_into_view_if_needed()
    pages.save("asset")


def test_the_checks_of_an_asset_are_its_edges_and_have_passed(pages: DagsterPages) -> None:
    pages.open_asset("line_values", "checks")
    for check, description in (
        (
            "requires_order_lines",
            "Gate: this table is not built until 'order_lines' has what its plan reads, order_id, quantity, sku.",
        ),
        ("requires_prices", "Gate: this table is not built until 'prices' has what its plan reads, price, sku."),
    ):
        pages.page.get_by_text(check, exact=True).first.click()
        expect(pages.page.get_by_text(description)).to_be_visible()
        expect(pages.page.get_by_text("Passed", exact=True).last).to_be_visible()
    pages.save("checks")


def test_a_blocked_asset_names_the_column_that_is_missing(pages: DagsterPages) -> None:
    pages.open_asset("order_notes", "checks")
    said = "task 'order_notes' reads 'raw_orders.note', which 'raw_orders' lacks; it has 'id', 'customer_id', 'amount'"
    expect(pages.page.get_by_text(said)).to_be_visible()
    expect(pages.page.get_by_text("Failed", exact=True).last).to_be_visible()
    pages.save("blocked")


def test_an_asset_that_reads_nothing_of_what_changed_is_fresh_and_says_why(pages: DagsterPages) -> None:
    pages.open_asset("order_lines", "lineage")
    expect(pages.node("line_values").get_by_text("Unsynced")).to_be_visible()
    for name in ("order_lines", "line_counts"):
        expect(pages.node(name).get_by_text("Materialized")).to_be_visible()
    expect(pages.node("line_counts").get_by_text("Unsynced")).to_have_count(0)
    pages.save("fresh")
    pages.open_asset("line_counts")
    expect(pages.metadata("relspec/carried_forward")).to_have_text(
        "carried forward: reads nothing of 'order_lines' that changed; it reads its rows, no column"
    )
    pages.metadata("relspec/carried_forward").scroll_into_view_if_needed()
    pages.save("carried_forward")
