"""The database under Dagster: who holds it, how long a step waits, what is tried again, and other engines."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType

import dagster as dg
import duckdb
import ibis
import pytest

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from relspec_core.engines.duckdb_file import DatabaseHeldError, connect
from relspec_dagster import RelspecDuckDBResource, RelspecResource, build_definitions
from relspec_dagster.access.warehouse_access import open_warehouse
from tests.dagster.test_definitions import being_written, edges

HELD_FOR = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1]); print('open', flush=True); time.sleep(float(sys.argv[2]))"
RAW = SourceSpec("raw", schema={"id": "int32", "text": "string"})


def ids(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw").select("id")


def numbers(ctx: TaskBuildContext) -> ibis.Table:
    """What can't be built, as the text is no number."""
    raw = ctx.table("raw")
    return raw.select(number=raw.text.cast("int64"))


@ibis.udf.scalar.python
def stopped(number: int) -> int:  # noqa: ARG001
    """Interrupt the process that computes it."""
    raise KeyboardInterrupt


def interrupted(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("ids").select(id=stopped(ctx.table("ids").id.cast("int64")))


def more_ids(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("ids").select(more="id")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE raw AS SELECT 1 AS id, 'one' AS text")
    return path


def run_of(definitions: dg.Definitions, name: str) -> dg.ExecuteInProcessResult:
    return dg.materialize([definitions.resolve_assets_def(name)], raise_on_error=False)


def is_open(database: Path) -> bool:
    """Whether this or another process has the file open for writing."""
    try:
        connect(database, read_only=True).disconnect()
    except DatabaseHeldError:
        return True
    return False


def run_and_look(
    database: Path, *builders: FunctionType, beside: Sequence[dg.AssetsDefinition] = ()
) -> tuple[dg.ExecuteInProcessResult, Mapping[str, bool]]:
    """A run whose steps may keep the file open for a minute, and after which step it was open."""
    catalog = TaskCatalog([TaskSpec(builder.__name__, builder) for builder in builders], [RAW])
    definitions = build_definitions(catalog, database=database)
    after: dict[str, bool] = {}

    @dg.success_hook
    def look(context: dg.HookContext) -> None:
        after[context.op.name] = is_open(database)

    @dg.failure_hook
    def look_after_failure(context: dg.HookContext) -> None:
        after[context.op.name] = is_open(database)

    job = dg.Definitions(
        assets=[*(definitions.assets or ()), *beside],
        asset_checks=definitions.asset_checks,
        resources={
            **(definitions.resources or {}),
            "duckdb": RelspecDuckDBResource(database=str(database), keep_open=60),
        },
        jobs=[dg.define_asset_job("watched", hooks={look, look_after_failure})],
        executor=dg.in_process_executor,
    ).resolve_job_def("watched")
    return job.execute_in_process(raise_on_error=False), after


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


def test_another_engine_is_shown_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shop.sqlite"
    backend = ibis.sqlite.connect(path)
    backend.raw_sql("CREATE TABLE raw (id INTEGER, text TEXT)").close()
    backend.raw_sql("INSERT INTO raw VALUES (1, 'one'), (2, 'two')").close()
    backend.con.commit()
    monkeypatch.setenv("SHOP_URL", f"sqlite://{path}")
    definitions = build_definitions(
        TaskCatalog([TaskSpec("ids", ids), TaskSpec("more", more_ids)]),
        database=RelspecResource(url=dg.EnvVar("SHOP_URL")),
    )
    assert edges(definitions) == {"ids": {"raw"}, "more": {"ids"}}
    key = dg.AssetKey("ids")
    found = definitions.resolve_assets_def(key)
    assert found.get_asset_spec(key).kinds == {"sqlite", "ibis"}
    assert found.get_asset_spec(key).metadata["dagster/table_name"] == "main.ids"
    assert found.op.pool is None
    assert definitions.executor is None
    assert run_of(definitions, "ids").success
    assert run_of(definitions, "more").success
    assert backend.raw_sql("SELECT more FROM more ORDER BY 1").fetchall() == [(1,), (2,)]
    backend.disconnect()


def test_duckdb_by_its_url_is_an_engine_like_others_and_is_written(database: Path) -> None:
    definitions = build_definitions(
        TaskCatalog([TaskSpec("ids", ids)]), database=RelspecResource(url=f"duckdb://{database}")
    )
    assert run_of(definitions, "ids").success
    with duckdb.connect(database, read_only=True) as connection:
        assert connection.execute("FROM ids").fetchall() == [(1,)]


def test_the_steps_of_a_run_share_the_open_file_and_others_write_to_it_between_two_runs(database: Path) -> None:
    result, open_after = run_and_look(database, ids, more_ids)
    assert result.success
    assert open_after["ids"]
    assert open_after["more_ids"]
    assert not is_open(database)
    with being_written(database):
        pass
    with duckdb.connect(database) as connection:
        connection.execute("UPDATE raw SET id = 2; CREATE OR REPLACE TABLE ids AS SELECT 9 AS id")
    again, _ = run_and_look(database, ids, more_ids)
    assert again.success
    with duckdb.connect(database, read_only=True) as connection:
        assert connection.execute("SELECT id, more FROM ids, more_ids").fetchall() == [(2, 2)]


def test_a_step_that_fails_leaves_the_file_closed_and_the_next_one_opens_it_again(database: Path) -> None:
    result, open_after = run_and_look(database, ids, numbers, more_ids)
    assert not result.success
    assert open_after["ids"]
    assert not open_after["numbers"]
    assert {event.step_key for event in result.get_asset_materialization_events()} == {"ids", "more_ids"}
    assert not is_open(database)


def test_a_run_that_is_interrupted_leaves_the_file_closed(database: Path) -> None:
    result, open_after = run_and_look(database, ids, interrupted)
    assert "KeyboardInterrupt" in error_of(result, "interrupted")
    assert open_after["ids"]
    assert not is_open(database)


def test_beside_steps_that_relspec_does_not_know_the_file_is_closed_after_each(database: Path) -> None:
    @dg.asset(deps=["ids"])
    def counted() -> dg.MaterializeResult:
        with duckdb.connect(database) as connection:  # refused in a process that has the file open as Dagster does
            return dg.MaterializeResult(metadata={"rows": connection.execute("FROM ids").fetchall()[0][0]})

    result, open_after = run_and_look(database, ids, beside=[counted])
    assert result.success
    assert not open_after["ids"]


def test_a_file_that_no_step_uses_any_more_is_closed_before_the_run_ends(database: Path) -> None:
    """As where the next step waits for the pool's slot, which a step of another run has that waits for the file."""
    resource = RelspecDuckDBResource(database=str(database), keep_open=0.2)
    with dg.build_resources({"duckdb": resource}) as resources:
        with open_warehouse(resources.duckdb, may_stay=lambda: True) as warehouse:
            time.sleep(0.3)
            assert warehouse.rows("SELECT id FROM raw") == [(1,)]  # not while it is used
        assert not is_open(database)
        with open_warehouse(resources.duckdb, may_stay=lambda: True):
            pass
        deadline = time.monotonic() + 60
        while is_open(database):
            assert time.monotonic() < deadline
            time.sleep(0.01)
