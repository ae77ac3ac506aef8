"""The evidence sensor on sources in stores: a real web server that comes and goes, and real ticks."""

import json
import socket
import time
from pathlib import Path

import dagster as dg
import pytest

from relspec_core import SourceSpec, TaskCatalog, task
from relspec_core.errors import SourceError
from relspec_dagster import build_definitions, edges_ready
from relspec_dagster.access.storage_polling import StoragePolling
from tests.support.catalogs import sql_task
from tests.support.dagster_ticks import Ticks, asked_for
from tests.support.skip_messages import waiting
from tests.support.stores import ANN, BOB, WebStore


@pytest.fixture
def ticks(web: WebStore, tmp_path: Path) -> Ticks:
    catalog = TaskCatalog(
        [sql_task("SELECT name FROM people", "names"), sql_task("SELECT pet FROM pets", "animals")],
        [
            SourceSpec("people", path=web.url("people/*.csv"), schema={"id": "int64", "name": "string"}),
            SourceSpec("pets", path=tmp_path / "pets.csv", schema={"pet": "string"}),
        ],
    )
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    return Ticks(catalog=catalog, database=tmp_path / "warehouse.duckdb", instance=instance)


def test_files_that_appear_or_change_in_a_store_are_asked_for_and_only_then_downloaded(
    ticks: Ticks, web: WebStore
) -> None:
    assert ("names", "people", "missing_evidence") in waiting(ticks.skipped())
    web.write("people/1.csv", ANN)
    assert ticks.work() == ("names",)
    assert "names" not in ticks.skipped()
    web.asked.clear()
    ticks.skipped()
    assert {method for method, path in web.asked if path.endswith(".csv")} == {"HEAD"}
    web.write("people/1.csv", ANN)  # at another time
    assert "names" not in ticks.skipped()
    web.write("people/2.csv", BOB)
    assert ticks.work() == ("names",)


def test_a_store_that_can_not_be_asked_is_told_and_asked_again_and_nothing_is_lost(
    ticks: Ticks, web: WebStore, tmp_path: Path
) -> None:
    web.write("people/1.csv", ANN)
    assert ticks.work() == ("names",)
    web.write("people/2.csv", BOB)
    ticks.report("people")
    web.stop()
    said = ticks.skipped()
    assert "people" in said
    assert "Cannot connect to" in said
    assert json.loads(str(ticks.cursor))["reported"].get("people", 0) == 0
    (tmp_path / "pets.csv").write_bytes(b"pet\nrex\n")
    assert ticks.work() == ("animals",)
    web.start()
    assert ticks.work() == ("names",)
    assert "names" not in ticks.skipped()


def test_a_store_that_never_answers_lets_automation_wait_and_no_tick_fail(
    web: WebStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    web.write("people.csv", ANN)
    people = SourceSpec("people", path=web.url("people.csv"), schema={"name": "string"}, timeout=0.3)
    names = task(name="names", cron="0 6 * * *")(lambda ctx: ctx.sql("SELECT name FROM people"))
    definitions = build_definitions(
        TaskCatalog([names], [people]), database=tmp_path / "warehouse.duckdb", automation=edges_ready()
    )
    instance = dg.DagsterInstance.local_temp(str(tmp_path))
    chosen = dg.AssetSelection.assets("names")

    web.answers.clear()
    first = dg.evaluate_automation_conditions(definitions, instance, chosen)
    assert first.total_requested == 0
    said = "nothing is requested: [RS106] the store of source 'people' does not answer within 0.3 s"
    assert said in caplog.text

    with dg.build_schedule_context(
        instance=instance,
        repository_def=definitions.get_repository_def(),
        resources=dict(definitions.resources or {}),
    ) as context:
        tick = definitions.resolve_schedule_def("cron_0_6_any_any_any_schedule").evaluate_tick(context)
    assert asked_for(tick.run_requests or ()) == ("names",)  # its op finds out whether the store answers by then

    web.answers.set()
    second = dg.evaluate_automation_conditions(definitions, instance, chosen, cursor=first.cursor)
    assert second.total_requested == 1


def test_a_store_that_does_not_answer_keeps_nobody_waiting_and_a_late_answer_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/people.csv"
        questions = StoragePolling(SourceSpec("people", path=url, timeout=0.2))
        with pytest.raises(SourceError, match=r"the store of source 'people' does not answer within 0\.2 s"):
            questions.answer(since=time.monotonic())
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nETag: one\r\nConnection: close\r\n\r\n")
        found = questions.answer(since=time.monotonic() + 10)
    assert found is not None
    assert found.states[0].mark == "ETag one"
