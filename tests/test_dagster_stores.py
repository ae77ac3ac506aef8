"""The evidence sensor on sources in stores: a real web server that comes and goes, and real ticks."""

import json
import socket
import time
from pathlib import Path

import dagster as dg
import pytest

from relspec_core import SourceSpec, TaskCatalog
from relspec_core.errors import SourceError
from relspec_dagster.store_questions import StoreQuestions
from tests.catalogs import sql_task
from tests.dagster_ticks import Ticks
from tests.stores import ANN, BOB, WebStore


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
    assert "names waits for people, which is not there" in ticks.skipped()
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
    assert "people, which can't be read now: the store of source 'people' can't be asked: Cannot connect to" in said
    assert json.loads(str(ticks.cursor))["reported"].get("people", 0) == 0
    (tmp_path / "pets.csv").write_bytes(b"pet\nrex\n")
    assert ticks.work() == ("animals",)
    web.start()
    assert ticks.work() == ("names",)
    assert "names" not in ticks.skipped()


def test_a_store_that_does_not_answer_keeps_nobody_waiting_and_a_late_answer_counts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/people.csv"
        questions = StoreQuestions(SourceSpec("people", path=url))
        with pytest.raises(SourceError, match="the store of source 'people' does not answer"):
            questions.answer(until=time.monotonic() + 0.2)
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nETag: one\r\nConnection: close\r\n\r\n")
        found = questions.answer(until=time.monotonic() + 10)
    assert found is not None
    assert found.stored[url].mark == "ETag one"
