"""The database under Dagster: who holds it, how long a step waits, what is tried again, and other engines."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb
import ibis
import pytest

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from relspec_core.database_lock import DatabaseHeldError
from relspec_dagster import RelspecDuckDBResource, RelspecResource, build_definitions
from tests.test_dagster_definitions import being_written, edges

HELD_FOR = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(float(sys.argv[2]))"
RAW = SourceSpec("raw", schema={"id": "int32", "text": "string"})


def ids(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw").select("id")


def numbers(ctx: TaskBuildContext) -> ibis.Table:
    """What can't be built, as the text is no number."""
    raw = ctx.table("raw")
    return raw.select(number=raw.text.cast("int64"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE raw AS SELECT 1 AS id, 'one' AS text")
    return path


def run_of(definitions: dg.Definitions, name: str) -> dg.ExecuteInProcessResult:
    return dg.materialize([definitions.resolve_assets_def(name)], raise_on_error=False)


def error_of(result: dg.ExecuteInProcessResult, name: str) -> str:
    """What a step failed with, with the engine's own error behind it."""
    failure = result.failure_data_for_node(name)
    assert failure is not None
    assert failure.error is not None
    return str(failure.error.cause or failure.error)


def tries_of(result: dg.ExecuteInProcessResult) -> int:
    again = dg.DagsterEventType.STEP_UP_FOR_RETRY
    return 1 + sum(event.event_type == again for event in result.all_node_events)


def test_a_step_waits_for_who_holds_the_file_as_long_as_is_said_and_then_names_that_process(database: Path) -> None:
    definitions = build_definitions(TaskCatalog([TaskSpec("ids", ids)], [RAW]), database=database, wait=0.2)
    with being_written(database):
        said = error_of(run_of(definitions, "ids"), "ids")
    assert "[RS402] the warehouse can't be opened: process " in said
    assert "holds it, also after 0.2 s" in said
    assert "wait for that process, or end it; RelspecDuckDBResource(wait=0.4) waits for longer." in said
    assert run_of(definitions, "ids").success


def test_a_task_with_retries_is_tried_again_after_a_fault_that_may_pass_and_after_no_other(database: Path) -> None:
    tasks = [TaskSpec("ids", ids, retries=3), TaskSpec("numbers", numbers, retries=3)]
    definitions = build_definitions(TaskCatalog(tasks, [RAW]), database=database, wait=0)
    with subprocess.Popen(
        [sys.executable, "-c", HELD_FOR, str(database), "1"], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        result = run_of(definitions, "ids")
    assert result.success
    assert tries_of(result) > 1
    wrong = run_of(definitions, "numbers")
    assert "[RS401] task 'numbers' failed" in error_of(wrong, "numbers")
    assert tries_of(wrong) == 1


def test_the_duckdb_resource_closes_its_connection_whatever_the_body_raises(database: Path) -> None:
    resource = RelspecDuckDBResource(database=str(database), wait=0)
    with pytest.raises(duckdb.BinderException), resource.get_connection() as connection:
        connection.execute("SELECT nothing FROM raw")
    with duckdb.connect(database, read_only=True) as connection:  # refused while it is open for writing
        assert connection.execute("SELECT count(*) FROM raw").fetchall() == [(1,)]
    with being_written(database), pytest.raises(DatabaseHeldError), resource.get_connection():
        pass


def test_another_engine_is_shown_and_a_run_says_that_it_cant_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.sqlite"
    backend = ibis.sqlite.connect(path)
    backend.raw_sql("CREATE TABLE raw (id INTEGER, text TEXT)").close()
    backend.disconnect()
    monkeypatch.setenv("SHOP_URL", f"sqlite://{path}")
    definitions = build_definitions(
        TaskCatalog([TaskSpec("ids", ids)]), database=RelspecResource(url=dg.EnvVar("SHOP_URL"))
    )
    assert edges(definitions) == {"ids": {"raw"}}
    key = dg.AssetKey("ids")
    found = definitions.resolve_assets_def(key)
    assert found.get_asset_spec(key).kinds == {"sqlite", "ibis"}
    assert found.get_asset_spec(key).metadata["dagster/table_name"] == "ids"
    assert found.op.pool is None
    assert definitions.executor is None
    assert "[RS402] tables can't be written with the sqlite backend" in error_of(run_of(definitions, "ids"), "ids")


def test_duckdb_by_its_url_is_an_engine_like_others_and_is_written(database: Path) -> None:
    definitions = build_definitions(
        TaskCatalog([TaskSpec("ids", ids)]), database=RelspecResource(url=f"duckdb://{database}")
    )
    assert run_of(definitions, "ids").success
    with duckdb.connect(database, read_only=True) as connection:
        assert connection.execute("FROM ids").fetchall() == [(1,)]
