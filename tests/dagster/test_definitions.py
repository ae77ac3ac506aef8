"""What a catalog looks like in Dagster, before anything runs."""

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest
from dagster._core.definitions.utils import DISALLOWED_NAMES
from dagster_duckdb import DuckDBResource

from relspec_core import RelspecError, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, run, task
from relspec_core.engines.duckdb_file import connect
from relspec_dagster import RelspecSettings, RelspecTranslator, Source, TaskOutput, build_definitions
from relspec_dagster.translation.names import RESERVED, op_names
from relspec_dagster.translation.source_checks import HAS_WHAT_READERS_NEED
from tests.support.dagster_shop import EDGES, SOURCES, shop_database, shop_definitions, write_raw_data

WRITER = "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    folder = tmp_path_factory.mktemp("shop")
    write_raw_data(folder)
    return shop_definitions(folder)


def edges(definitions: dg.Definitions) -> dict[str, set[str]]:
    """What each asset that Dagster can materialize depends on."""
    graph = definitions.resolve_asset_graph()
    return {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }


def spec(definitions: dg.Definitions, name: str) -> dg.AssetSpec:
    key = dg.AssetKey(name.split("/"))
    return definitions.resolve_assets_def(key).get_asset_spec(key)


def records(value: object) -> list[Mapping[str, object]]:
    """The rows of a table in metadata."""
    assert isinstance(value, dg.TableMetadataValue)
    return [record.data for record in value.records]


def copy_of(
    source: str, *, name: str = "copy", owners: tuple[str, ...] = (), cron: str | None = None, group: str | None = None
) -> TaskSpec:
    """A task that selects a column of a source."""
    return TaskSpec(name, lambda ctx: ctx.table(source).select("id"), owners=owners, cron=cron, group=group)


def declared(*names: str) -> list[SourceSpec]:
    return [SourceSpec(name, schema={"id": "int64"}) for name in names]


def test_each_output_depends_on_exactly_what_its_plan_reads(definitions: dg.Definitions) -> None:
    assert edges(definitions) == EDGES


def test_each_edge_is_one_check_on_the_asset_that_reads_and_each_source_has_one(definitions: dg.Definitions) -> None:
    found = {(key.asset_key.to_user_string(), key.name) for key in definitions.resolve_asset_graph().asset_check_keys}
    assert found == {
        *((asset, f"requires_{read}") for asset, sources in EDGES.items() for read in sources),
        *((source, HAS_WHAT_READERS_NEED) for source in SOURCES),
    }


def test_sources_are_external_assets_that_tell_their_columns_and_who_reads_which(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.external_asset_keys} == SOURCES
    orders, prices = graph.get(dg.AssetKey("raw_orders")), graph.get(dg.AssetKey("prices"))
    assert orders.description == "The file raw_orders."
    assert (orders.kinds, prices.kinds) == ({"csv"}, {"duckdb"})
    assert prices.metadata["dagster/table_name"] == "shop.main.prices"
    assert [column.name for column in prices.metadata["dagster/column_schema"].columns] == ["sku", "price", "currency"]
    assert {(row["task"], row["column"]) for row in records(orders.metadata["relspec/required_columns"])} == {
        *(("order_notes", column) for column in ("id", "note")),
        *(("stg_orders", column) for column in ("amount", "customer_id", "id")),
    }


def test_an_asset_says_what_its_task_declares(definitions: dg.Definitions) -> None:
    customers = spec(definitions, "stg_customers")
    assert customers.description == "Customers with their names."
    assert customers.owners == ("team:shop",)
    assert customers.tags["pii"] == "name"
    assert customers.group_name == "staging"
    assert customers.kinds == {"duckdb", "ibis"}
    assert spec(definitions, "customer_totals").kinds == {"duckdb", "sql"}
    assert spec(definitions, "note_lengths").kinds == {"duckdb", "ibis", "view"}


def test_an_asset_says_what_was_inferred_of_its_plan(definitions: dg.Definitions) -> None:
    totals = spec(definitions, "customer_totals")
    metadata = totals.metadata
    assert totals.skippable
    assert totals.code_version == metadata["relspec/fingerprint"]
    assert [column.name for column in metadata["dagster/column_schema"].columns] == ["id", "name", "total"]
    lineage = metadata["dagster/column_lineage"].deps_by_column
    assert lineage["name"] == [dg.TableColumnDep(asset_key=dg.AssetKey("stg_customers"), column_name="name")]
    assert lineage["total"] == [dg.TableColumnDep(asset_key=dg.AssetKey("order_totals"), column_name="total")]
    assert {(row["evidence"], row["column"]) for row in records(metadata["relspec/required_columns"])} == {
        ("stg_customers", "id"),
        ("stg_customers", "name"),
        ("order_totals", "customer_id"),
        ("order_totals", "total"),
    }
    assert metadata["relspec/sql"].value.startswith("```sql\nSELECT")
    (reference,) = metadata["dagster/code_references"].code_references
    assert Path(reference.file_path).name == "dagster_shop.py"
    assert "def customer_totals" in "".join(
        Path(reference.file_path).read_text().splitlines()[reference.line_number :][:1]
    )


def test_a_task_that_reads_rows_only_says_so(definitions: dg.Definitions) -> None:
    (row,) = records(spec(definitions, "line_counts").metadata["relspec/required_columns"])
    assert (row["evidence"], row["column"]) == ("order_lines", "(its rows)")


def test_steps_share_a_process_a_pool_and_one_duckdb_resource(definitions: dg.Definitions) -> None:
    assert definitions.executor is dg.in_process_executor
    assert isinstance((definitions.resources or {})["duckdb"], DuckDBResource)
    assert {definitions.resolve_assets_def(name).op.pool for name in EDGES} == {"duckdb_shop"}


def test_tasks_with_the_same_cron_share_a_schedule_that_is_off_at_first(definitions: dg.Definitions) -> None:
    daily = definitions.resolve_schedule_def("cron_0_6_any_any_any_schedule")
    assert daily.cron_schedule == "0 6 * * *"
    assert daily.execution_timezone == "UTC"
    assert daily.default_status == dg.DefaultScheduleStatus.STOPPED
    assert scheduled(definitions, "cron_0_6_any_any_any") == {"stg_orders", "order_notes"}
    assert scheduled(definitions, "cron_30_6_any_any_1_to_5") == {"order_lines", "order_totals"}


def scheduled(definitions: dg.Definitions, job: str) -> set[str]:
    selected = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    return {key.to_user_string() for key in selected}


def test_a_cron_that_does_not_exist_is_refused_with_its_task(tmp_path: Path) -> None:
    catalog = TaskCatalog([copy_of("raw", cron="0 25 * * *")], declared("raw"))
    with pytest.raises(RelspecError, match=r"\[RS501\].*cron '0 25") as refused:
        build_definitions(catalog, database=tmp_path / "new.duckdb")
    assert "task 'copy' defined in tests/dagster/test_definitions.py" in str(refused.value)


def test_a_translator_changes_keys_and_the_edges_lineage_and_checks_follow(tmp_path: Path) -> None:
    class Prefixed(RelspecTranslator):
        def get_asset_spec(self, evidence: TaskOutput | Source) -> dg.AssetSpec:
            found = super().get_asset_spec(evidence)
            return found.replace_attributes(key=found.key.with_prefix("shop"), deps=["forgotten"], skippable=False)

    catalog = TaskCatalog([copy_of("raw")], declared("raw"))
    definitions = build_definitions(catalog, database=tmp_path / "new.duckdb", translator=Prefixed())
    assert edges(definitions) == {"shop/copy": {"shop/raw"}}
    copy = spec(definitions, "shop/copy")
    assert copy.skippable
    (column,) = copy.metadata["dagster/column_lineage"].deps_by_column["id"]
    assert column.asset_key == dg.AssetKey(["shop", "raw"])
    assert definitions.resolve_asset_graph().asset_check_keys == {
        dg.AssetCheckKey(dg.AssetKey(["shop", "copy"]), "requires_raw"),
        dg.AssetCheckKey(dg.AssetKey(["shop", "raw"]), HAS_WHAT_READERS_NEED),
    }


def test_settings_give_prefixes_and_groups_and_leave_out_checks_and_sql(tmp_path: Path) -> None:
    settings = RelspecSettings(
        key_prefix=["shop", "marts"],
        source_key_prefix="landing",
        group="marts",
        source_group="raw_data",
        source_checks=False,
        show_sql=False,
    )
    catalog = TaskCatalog([copy_of("raw.data"), copy_of("copy", name="own", group="mine")], declared("raw.data"))
    definitions = build_definitions(
        catalog, database=tmp_path / "new.duckdb", translator=RelspecTranslator(settings=settings)
    )
    assert edges(definitions) == {"shop/marts/copy": {"landing/raw/data"}, "shop/marts/own": {"shop/marts/copy"}}
    graph = definitions.resolve_asset_graph()
    groups = {key.path[-1]: graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert groups == {"copy": "marts", "own": "mine", "data": "raw_data"}
    assert {key.name for key in graph.asset_check_keys} == {"requires_raw_data", "requires_copy"}
    assert "relspec/sql" not in spec(definitions, "shop/marts/copy").metadata


def test_a_task_s_pool_retries_and_kinds_go_to_dagster(tmp_path: Path) -> None:
    task = TaskSpec("slow", copy_of("raw").build, pool="slow_ones", retries=3, kinds=("report",))
    definitions = build_definitions(TaskCatalog([task], declared("raw")), database=tmp_path / "new.duckdb")
    op = definitions.resolve_assets_def("slow").op
    assert op.pool == "slow_ones"
    assert op.retry_policy == dg.RetryPolicy(max_retries=3, delay=0.5, backoff=dg.Backoff.EXPONENTIAL)
    assert spec(definitions, "slow").kinds == {"duckdb", "ibis", "report"}


def test_names_that_dagster_refuses_are_mapped(tmp_path: Path) -> None:
    names = ("staging.orders", "größe in mm", "config", "a-b")
    catalog = TaskCatalog([copy_of("raw.data", name=name) for name in names], declared("raw.data"))
    found = edges(build_definitions(catalog, database=tmp_path / "new.duckdb"))
    assert found.keys() == {"staging/orders", "gr__e_in_mm", "config_", "a-b"}
    assert all(read == {"raw/data"} for read in found.values())


def test_the_words_that_dagster_reserves_are_known() -> None:
    assert set(op_names(DISALLOWED_NAMES).values()).isdisjoint(DISALLOWED_NAMES)
    assert RESERVED < DISALLOWED_NAMES


def test_checks_on_evidence_with_names_that_become_alike_stay_apart(tmp_path: Path) -> None:
    def both(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("raw.a").select("id").union(ctx.table("raw_a").select("id"))

    catalog = TaskCatalog([TaskSpec("both", both)], declared("raw.a", "raw_a"))
    definitions = build_definitions(catalog, database=tmp_path / "new.duckdb")
    names = {key.name for key in definitions.resolve_asset_graph().asset_check_keys}
    assert len(names - {HAS_WHAT_READERS_NEED}) == 2


def test_two_tables_that_would_be_one_asset_are_refused(tmp_path: Path) -> None:
    catalog = TaskCatalog([copy_of("raw", name="a b"), copy_of("raw", name="a_b")], declared("raw"))
    with pytest.raises(RelspecError, match=r"\[RS501\] 'a b' and 'a_b' would be one asset"):
        build_definitions(catalog, database=tmp_path / "new.duckdb")


def test_an_owner_that_dagster_refuses_is_told_with_its_task(tmp_path: Path) -> None:
    catalog = TaskCatalog([copy_of("raw", owners=("nobody",))], declared("raw"))
    with pytest.raises(RelspecError, match=r"\[RS501\] Dagster does not take task 'copy'.*'nobody'"):
        build_definitions(catalog, database=tmp_path / "new.duckdb")


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(RelspecError, match=r"\[RS501\] database ':memory:' is gone"):
        build_definitions(TaskCatalog([copy_of("raw")], declared("raw")), database=":memory:")


def test_loading_makes_no_file(tmp_path: Path) -> None:
    build_definitions(TaskCatalog([copy_of("raw")], declared("raw")), database=tmp_path / "folder" / "new.duckdb")
    assert not list(tmp_path.iterdir())


def test_loading_finds_undeclared_tables_and_leaves_the_database_to_others(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    build_definitions(TaskCatalog([prices_only]), database=shop_database(tmp_path))
    with being_written(shop_database(tmp_path)):
        pass


def test_loading_needs_a_database_that_is_being_written_to_only_for_what_it_alone_knows(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    with being_written(shop_database(tmp_path)):
        definitions = build_definitions(
            TaskCatalog([copy_of("raw")], declared("raw")), database=shop_database(tmp_path)
        )
        assert edges(definitions) == {"copy": {"raw"}}
        with pytest.raises(RelspecError, match=r"\[RS402\].*is being written to.*'prices'"):
            build_definitions(TaskCatalog([prices_only]), database=shop_database(tmp_path))


def test_loading_beside_a_writer_takes_what_the_last_run_recorded_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_raw_data(tmp_path)
    engine = connect(shop_database(tmp_path))
    assert run(TaskCatalog([prices_only]), backend=engine, quiet=True).ok
    engine.disconnect()
    with being_written(shop_database(tmp_path)):
        definitions = build_definitions(TaskCatalog([prices_only]), database=shop_database(tmp_path))
    assert edges(definitions) == {"prices_only": {"prices"}}
    assert f"holds shop.duckdb: this is what process {os.getpid()} recorded at" in caplog.text


def test_loading_works_while_this_process_writes(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    with duckdb.connect(shop_database(tmp_path)):
        build_definitions(TaskCatalog([copy_of("raw")], declared("raw")), database=shop_database(tmp_path))


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "shop.duckdb").write_text("no database " * 1000)
    with pytest.raises(RelspecError, match=r"\[RS402\].*can't be opened"):
        build_definitions(TaskCatalog([prices_only]), database=shop_database(tmp_path))


@task
def prices_only(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("prices").select("price")


@contextmanager
def being_written(database: Path) -> Generator[None]:
    """Another process that has the database open for writing."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        yield
