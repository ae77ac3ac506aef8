"""Laws of the projection: the assets and checks are the inferred edges, and a run does what is selected and no more."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relspec_core import compile_task_catalog
from relspec_dagster import build_definitions
from relspec_dagster.translation.names import default_asset_key
from relspec_dagster.translation.source_checks import HAS_WHAT_READERS_NEED
from tests.laws.generated import Generated, catalogs
from tests.support.dagster_shop import EDGES, SOURCES, shop_database, shop_definitions, write_raw_data

CHECKS = [
    *((asset, f"requires_{read}") for asset, sources in sorted(EDGES.items()) for read in sorted(sources)),
    *((source, HAS_WHAT_READERS_NEED) for source in sorted(SOURCES)),
]


def columns_in(spec: dg.AssetCheckSpec, by: str) -> dict[str, tuple[str, ...]]:
    """The columns that a check's own table has, by evidence or by task."""
    table = spec.metadata["relspec/required_columns"]
    assert isinstance(table, dg.TableMetadataValue)
    found: dict[str, tuple[str, ...]] = {}
    for record in table.records:
        column = str(record.data["column"])
        more = () if column == "(its rows)" else (column,)
        found[str(record.data[by])] = (*found.get(str(record.data[by]), ()), *more)
    return found


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(catalogs(least=2, most=6))
def test_assets_and_checks_are_the_inferred_edges_and_no_others(generated: Generated) -> None:
    plans = compile_task_catalog(generated.catalog)
    with TemporaryDirectory() as folder:
        definitions = build_definitions(generated.catalog, database=Path(folder) / "none.duckdb")
    graph = definitions.resolve_asset_graph()
    assert graph.external_asset_keys == {default_asset_key(name) for name in plans.sources}
    assert graph.materializable_asset_keys == {default_asset_key(plan.name) for plan in plans}

    specs = {key: graph.get_check_spec(key) for key in graph.asset_check_keys}
    assert len(specs) == sum(len(plan.deps.inputs) for plan in plans) + len(plans.sources)
    for plan in plans:
        key = default_asset_key(plan.name)
        assert graph.get(key).parent_keys == {default_asset_key(name) for name in plan.deps.inputs}
        checks = [columns_in(spec, "evidence") for spec in specs.values() if spec.asset_key == key]
        inferred = [{name: plan.deps.required_columns[name]} for name in plan.deps.inputs]
        assert sorted(checks, key=str) == sorted(inferred, key=str)
    for source in plans.sources:
        spec = specs[dg.AssetCheckKey(default_asset_key(source), HAS_WHAT_READERS_NEED)]
        reads = {task.name: plans.deps_of(task.name) for task in plans.tasks}
        assert columns_in(spec, "task") == {
            task: deps.required_columns[source] for task, deps in reads.items() if source in deps.inputs
        }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[dg.Definitions, Path, bytes]:
    """The shop's definitions, its database, and what that is when everything was built."""
    folder = tmp_path_factory.mktemp("shop")
    write_raw_data(folder)
    definitions = shop_definitions(folder)
    job = definitions.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process().success
    return definitions, shop_database(folder), shop_database(folder).read_bytes()


def contents(database: Path) -> dict[str, Any]:
    """Of each table when it was last built, if relspec knows, and a digest of its rows."""
    with duckdb.connect(database, read_only=True) as connection:
        built_at = dict(connection.execute("SELECT name, built_at FROM relspec.evidence").fetchall())
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()
        digests = {
            name: connection.execute(f"SELECT sum(hash(t)::HUGEINT) FROM {name} AS t").fetchone() for (name,) in tables
        }
        views = {
            name: None
            for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        }
    return {name: (built_at.get(name), digest) for name, digest in {**digests, **views}.items()}


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.sets(st.sampled_from(sorted(EDGES)), max_size=3),
    st.sets(st.sampled_from(CHECKS), max_size=4),
)
def test_a_run_materializes_and_checks_what_is_selected_and_writes_nothing_else(
    built: tuple[dg.Definitions, Path, bytes], assets: set[str], checks: set[tuple[str, str]]
) -> None:
    definitions, database, everything = built
    if not assets and not checks:
        checks = {CHECKS[0]}
    database.write_bytes(everything)
    before = contents(database)
    job = definitions.resolve_implicit_global_asset_job_def().get_subset(  # as Dagster does for what is launched
        asset_selection={dg.AssetKey(asset) for asset in assets},
        asset_check_selection={dg.AssetCheckKey(dg.AssetKey(asset), check) for asset, check in checks},
    )
    result = job.execute_in_process()
    materialized = {event.asset_key for event in result.get_asset_materialization_events()}
    assert materialized == {dg.AssetKey(asset) for asset in assets}
    evaluated = {(found.asset_key.to_user_string(), found.check_name) for found in result.get_asset_check_evaluations()}
    assert evaluated == checks
    after = contents(database)
    assert {name for name in after if after[name][0] != before[name][0]} == assets
    assert {name: found[1] for name, found in after.items()} == {name: found[1] for name, found in before.items()}
