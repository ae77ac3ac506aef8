"""What a code location was compiled against when it was loaded holds in the processes of its runs."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import duckdb
import ibis
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.definitions.repository_definition import RepositoryLoadData

from relspec_core import PlanCatalog, SourceSpec, TaskBuildContext, TaskCatalog, task
from relspec_dagster.access.plan_loading import load_plans
from tests.support.dagster_shop import RAW, shop_catalog, shop_database, write_raw_data


def loaded(catalog: TaskCatalog, database: Path) -> tuple[PlanCatalog, Mapping[str, str]]:
    """The plans as the process that loads a code location gets them, and what that hands to the processes of runs."""
    context = DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)
    with DefinitionsLoadContext.scoped(context):
        plans = load_plans(catalog, database=database, ctx=None)
    return plans, context.get_pending_reconstruction_metadata()


def in_a_run(catalog: TaskCatalog, database: Path, state: Mapping[str, str]) -> PlanCatalog:
    """The plans as the process of a run gets them."""
    handed_over = {key: dg.MetadataValue.code_location_reconstruction(text) for key, text in state.items()}
    data = RepositoryLoadData(reconstruction_metadata=handed_over)
    with DefinitionsLoadContext.scoped(DefinitionsLoadContext(DefinitionsLoadType.RECONSTRUCTION, data)):
        return load_plans(catalog, database=database, ctx=None)


def test_a_run_has_the_plans_of_the_load_when_all_sources_are_gone(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    catalog, database = shop_catalog(tmp_path), shop_database(tmp_path)
    at_load, state = loaded(catalog, database)
    database.unlink()
    for name in RAW:
        (tmp_path / f"{name}.csv").unlink()
    again = in_a_run(catalog, database, state)
    assert [(plan.name, plan.sql, plan.fingerprint, plan.schema) for plan in again] == [
        (plan.name, plan.sql, plan.fingerprint, plan.schema) for plan in at_load
    ]
    assert (again.schemas, again.sources) == (at_load.schemas, at_load.sources)
    assert again.sources["raw_orders"].schema is None
    assert not database.exists()


def test_a_run_of_code_that_has_changed_since_the_load_looks_for_itself(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    database = shop_database(tmp_path)

    @task
    def copied(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table(table).select("sku")

    table, sources = "raw_items", [SourceSpec("raw_items", path=tmp_path / "raw_items.csv")]
    _, state = loaded(TaskCatalog([copied], sources), database)
    table = "prices"
    plans = in_a_run(TaskCatalog([copied], sources), database, state)
    assert plans["copied"].deps.inputs == ("prices",)


def test_types_that_ibis_cannot_read_back_are_looked_up_in_the_run(tmp_path: Path) -> None:
    with duckdb.connect(shop_database(tmp_path)) as connection:
        connection.execute("CREATE TABLE odd AS SELECT {'a b': 1} AS nested, 2 AS plain")

    @task
    def plain(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("odd").select("plain")

    at_load, state = loaded(TaskCatalog([plain]), shop_database(tmp_path))
    again = in_a_run(TaskCatalog([plain]), shop_database(tmp_path), state)
    assert again.schemas == at_load.schemas


def test_a_part_of_the_plans_has_only_what_its_outputs_read(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    plans, _ = loaded(shop_catalog(tmp_path), shop_database(tmp_path))
    part = plans.around(["order_lines"])
    assert [plan.name for plan in part] == ["order_lines"]
    assert part.sources.keys() == part.schemas.keys() == {"raw_items"}
    assert [plan.name for plan in plans.around(["customer_totals"])] == [
        "customer_totals",
        "order_totals",
        "stg_customers",
    ]
