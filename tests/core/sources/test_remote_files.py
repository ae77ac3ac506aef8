import io
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import fsspec.config
import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec
from relspec_core.declaration.source_urls import file_name
from relspec_core.errors import CatalogError, SourceError
from relspec_core.sources.remote_files import stored_files
from relspec_core.sources.source_files import source_files
from tests.support.catalogs import Project, plan_of, sql_task
from tests.support.stores import ANN, BOB, ArchiveStore, MemoryStore, Store, WebStore


@pytest.fixture(params=["memory", "archive", "web"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    match request.param:
        case "memory":
            return MemoryStore(tmp_path)
        case "web":
            return request.getfixturevalue("web")
        case _:
            return ArchiveStore(tmp_path)


def parquet(**columns: list[object]) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    return written.getvalue()


def names_of(files: str) -> list[str]:
    return [unquote(file_name(file.path)) for file in stored_files(files, source="people")]


def test_sources_in_stores_are_read_and_left_as_files_on_this_machine_are(store: Store, con: DuckDBBackend) -> None:
    store.write("people/1.csv", ANN)
    store.write("pets.csv", b"pet\nrex\n")
    project = Project(
        con,
        sql_task("SELECT name FROM people", "names"),
        sql_task("SELECT id FROM people", "ids"),
        sql_task("SELECT pet FROM pets", "animals"),
        sources=[SourceSpec("people", path=store.url("people/*.csv")), SourceSpec("pets", path=store.url("pets.csv"))],
    )
    assert tuple(project.run().ran) == ("animals", "ids", "names")
    assert tuple(project.run().ran) == ()
    store.write("people/1.csv", b"id,name\n1,eve\n")
    assert project.run().ran == {"names": "reads people.name, which changed"}
    store.write("people/2.csv", BOB)
    assert tuple(project.run().ran) == ("ids", "names")
    assert project.sql("FROM names ORDER BY 1") == [("bob",), ("eve",)]
    store.write("people/2.csv", b"id\n2\n")
    store.write("people/1.csv", b"id\n1\n")
    assert tuple(project.run().blocked) == ("names",)


def test_a_parquet_file_written_anew_is_not_read_from_an_earlier_look(store: Store, con: DuckDBBackend) -> None:
    store.write("people.parquet", parquet(name=["ann"]))
    source = SourceSpec("people", path=store.url("people.parquet"))
    project = Project(con, sql_task("SELECT name FROM people", "names"), sources=[source])
    project.run()
    store.write("people.parquet", parquet(name=["bob"]))
    project.run()
    assert project.sql("FROM names") == [("bob",)]


def test_globs_and_folders_give_what_they_give_on_this_machine(store: Store, tmp_path: Path) -> None:
    files = (
        "in/a.csv",
        "in/deep/er/b.csv",
        "in/deep/c.txt",
        "in/.hidden.csv",
        "in/_SUCCESS",
        "in/[1].csv",
        "out/d.csv",
    )
    for name in files:
        store.write(name, ANN)
        (tmp_path / "local" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "local" / name).write_bytes(ANN)
    folders = () if isinstance(store, WebStore) else ("in", "out/")  # a page is no folder
    for pattern in (*folders, "in/*.csv", "in/**/*.csv", "**/*.csv", "in/*/c.*", "in/**", "*/[a-d].csv", "none/*.csv"):
        found = source_files(SourceSpec("people", path=tmp_path / "local" / pattern))
        local = [] if found is None else sorted(Path(file).name for file in found.files)
        assert sorted(names_of(store.url(pattern))) == local, pattern


def test_a_view_of_a_store_can_be_read_by_the_next_process(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    people, pets = ArchiveStore(tmp_path), ArchiveStore(tmp_path / "other")
    people.write("in.csv", ANN)
    pets.write("in.csv", b"pet\nrex\n")
    for note in ("first", "second"):
        con = ibis.duckdb.connect(tmp_path / "warehouse.duckdb")
        project = Project(
            con,
            sql_task("SELECT name, pet FROM people, pets", "seen", kind="view"),
            sql_task(f"SELECT name, pet, '{note}' AS note FROM seen", "kept"),
            sources=[SourceSpec("people", path=people.url("in.csv")), SourceSpec("pets", path=pets.url("in.csv"))],
        )
        assert project.run("kept").ok
        assert project.sql("FROM kept") == [("ann", "rex", note)]
        con.disconnect()


def test_a_missing_file_is_reported_with_its_url_and_the_names_in_its_folder(store: Store) -> None:
    store.write("in/people.csv", ANN)
    with pytest.raises(SourceError, match=r"in/persons\.csv[\s\S]*'people.csv'"):
        plan_of("SELECT id FROM people", [SourceSpec("people", path=store.url("in/persons.csv"))])


@pytest.mark.parametrize("name", ["people.csv", "*.csv"])
def test_a_store_that_refuses_is_not_taken_for_an_empty_one(web: WebStore, name: str) -> None:
    assert stored_files(web.url(name), source="people") == ()
    web.stop()
    with pytest.raises(SourceError, match=r"'people'.*Cannot connect to host"):
        stored_files(web.url(name), source="people")


def test_a_server_that_accepts_and_never_answers_is_waited_for_until_the_timeout_of_its_source(
    web: WebStore, con: DuckDBBackend
) -> None:
    web.write("people.csv", ANN)
    source = SourceSpec("people", path=web.url("people.csv"), schema={"name": "string"}, timeout=0.3)
    project = Project(con, sql_task("SELECT name FROM people", "names"), sources=[source])
    web.answers.clear()
    with pytest.raises(SourceError) as caught:
        project.run()
    assert str(caught.value) == (
        "[RS106] the store of source 'people' does not answer within 0.3 s\n"
        f"  at:   {web.url('people.csv')}\n"
        "  next: check the address, the network and the store itself, or give it longer: "
        "SourceSpec('people', timeout=0.6, ...)."
    )
    web.answers.set()
    assert tuple(project.run().ran) == ("names",)


def test_a_store_that_goes_on_answering_may_take_longer_than_for_one_answer(web: WebStore) -> None:
    for number in range(8):
        web.write(f"in/{number}/people.csv", ANN)
    web.pause = 0.2
    source = SourceSpec("people", path=web.url("in/*/people.csv"), timeout=1.2)
    began = time.monotonic()
    found = source_files(source)
    assert time.monotonic() - began > 1.2
    assert found is not None
    assert len(found.files) == 8


def test_readers_of_a_storage_without_versions_are_built_with_that_reason(web: WebStore, con: DuckDBBackend) -> None:
    web.tells_times = False
    web.write("people.csv", ANN)
    source = SourceSpec("people", path=web.url("people.csv"))
    project = Project(con, sql_task("SELECT name FROM people", "names"), sources=[source])
    project.run()
    assert project.run().ran == {
        "names": "reads name of 'people', whose store tells neither times nor checksums, so that it may have changed"
    }


@pytest.mark.parametrize(("protocol", "package"), [("smb", "'fsspec[smb]'"), ("box", "boxfs")])
def test_a_protocol_whose_package_is_missing_names_it(protocol: str, package: str) -> None:
    with pytest.raises(SourceError) as caught:
        stored_files(f"{protocol}://shop/people.csv", source="people")
    assert caught.value.what.startswith(f"{protocol}:// needs a package: ")
    assert caught.value.hint == f"pip install {package}."


def test_an_unknown_protocol_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SourceError, match=r"memry://[\s\S]*'memory'"):
        stored_files("memry://people.csv", source="people")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://ann:hunter2@shop.example/people.csv",
        "https://shop.example/people.csv?day=1&X-Amz-Signature=hunter2",
        "zip://people.csv::https://shop.example/all.zip?sig=hunter2",
    ],
)
def test_a_credential_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(CatalogError, match="RS100") as caught:
        SourceSpec("people", path=url)
    assert "hunter2" not in str(caught.value)
    assert SourceSpec("people", path="github://org:repo@main/people.csv?keyword=a").paths


def test_credentials_that_fsspec_finds_are_used_and_neither_shown_nor_stored(
    web: WebStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    web.password = "hunter2"  # noqa: S105 - a test's
    web.write("people.csv", ANN)
    source = SourceSpec("people", path=web.url("people.csv"))
    database = tmp_path / "warehouse.duckdb"
    con = ibis.duckdb.connect(database)
    project = Project(con, sql_task("SELECT name FROM people", "names"), sources=[source])
    with pytest.raises(SourceError, match="401"):
        project.run()
    monkeypatch.setitem(fsspec.config.conf, "http", {"headers": {"Authorization": "hunter2"}})
    assert project.run().ok
    con.disconnect()
    assert b"hunter2" not in database.read_bytes()
    assert "hunter2" not in "".join(capsys.readouterr())


def test_files_on_this_machine_are_read_without_loading_fsspec(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes(ANN)
    script = f"""
import sys
from relspec_core import SourceSpec, TaskCatalog, TaskSpec
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.planning.run_plan import plan_run
source = SourceSpec("people", path="file://{tmp_path}/people.csv")
catalog = TaskCatalog([TaskSpec("names", lambda ctx: ctx.sql("SELECT name FROM people"))], [source])
assert plan_run(catalog, backend=ExclusiveDuckDB.open()).action("names") == "run"
assert not [name for name in sys.modules if name.startswith("fsspec")]
"""
    subprocess.run([sys.executable, "-c", script], check=True)
