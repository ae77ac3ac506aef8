import os
from pathlib import Path

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.errors import SourceError
from relspec_core.sources.source_files import SourceFiles, source_files
from relspec_core.system.compile_cache import CompileCache
from tests.support.catalogs import Project, plan_of, sql_task


def written(path: Path, text: str = "id,name\n1,ann\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def files_of(source: SourceSpec) -> SourceFiles:
    found = source_files(source)
    assert found is not None
    return found


def schema_of(source: SourceSpec) -> ibis.Schema:
    with DuckDBConnection.scratch() as connection:
        return files_of(source).schema(connection, cache=CompileCache())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("people.csv", "id,name\n1,ann\n"),
        ("people.CSV", "id,name\n1,ann\n"),
        ("people.tsv", "id\tname\n1\tann\n"),
        ("people.txt", "id;name\n1;ann\n"),
        ("people.json", '[{"id": 1, "name": "ann"}]'),
        ("people.jsonl", '{"id": 1, "name": "ann"}\n{"id": 2, "name": "bob"}\n'),
        ("people.ndjson", '{"id": 1, "name": "ann"}\n'),
        ("it's people.csv", "id,name\n1,ann\n"),
    ],
)
def test_a_file_is_read_by_its_suffix(tmp_path: Path, name: str, text: str) -> None:
    source = SourceSpec("people", path=written(tmp_path / name, text))
    assert schema_of(source) == ibis.schema({"id": "int64", "name": "string"})


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst", ".parquet", ".pq"])
def test_a_compressed_or_columnar_file_is_read_by_its_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"people{suffix}"
    options = {".csv.gz": "(COMPRESSION gzip)", ".csv.zst": "(COMPRESSION zstd)"}.get(suffix, "(FORMAT parquet)")
    with DuckDBConnection.scratch() as connection:
        connection.execute(f"COPY (SELECT 1::BIGINT AS id, 'ann' AS name) TO '{path}' {options}")
    assert schema_of(SourceSpec("people", path=path)) == ibis.schema({"id": "int64", "name": "string"})


def test_globs_and_lists_give_all_files_sorted_and_each_once(tmp_path: Path) -> None:
    paths = [written(tmp_path / name) for name in ("b/2.csv", "a/1.csv", "a/deep/3.csv")]
    source = SourceSpec("people", path=(str(tmp_path / "**" / "*.csv"), str(paths[0])))
    assert files_of(source).files == tuple(sorted(str(path) for path in paths))


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    path = written(tmp_path / "people[1].csv")
    assert files_of(SourceSpec("people", path=path)).files == (str(path),)


def test_a_relative_path_starts_at_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "people.csv")
    monkeypatch.chdir(tmp_path)
    assert files_of(SourceSpec("people", path="people.csv")).files == (str(tmp_path / "people.csv"),)


def test_a_declared_type_takes_precedence_over_the_detected_one(tmp_path: Path) -> None:
    source = SourceSpec("people", path=written(tmp_path / "people.csv"), schema={"id": "string", "not_there": "date"})
    assert schema_of(source) == ibis.schema({"id": "string", "name": "string"})


def test_a_source_without_a_path_has_no_files() -> None:
    assert source_files(SourceSpec("people")) is None


def test_a_missing_file_of_a_declared_source_compiles(tmp_path: Path) -> None:
    source = SourceSpec("people", path=tmp_path / "none.csv", schema={"id": "int64"})
    assert plan_of("SELECT id FROM people", [source]).deps.inputs == ("people",)


def test_a_missing_file_of_an_undeclared_source_is_an_error_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        plan_of("SELECT id FROM people", [SourceSpec("people", path=tmp_path / "none*.csv")])
    assert caught.value.code == "RS106"
    assert f"source 'people' has no file at {tmp_path}/none*.csv" in str(caught.value)


def test_an_unknown_suffix_is_an_error_with_the_known_ones(tmp_path: Path) -> None:
    source = SourceSpec("people", path=written(tmp_path / "people.xlsx"))
    with pytest.raises(SourceError, match=r"files of an unknown kind: people.xlsx[\s\S]*\.csv, \.tsv"):
        source_files(source)


def test_a_file_that_can_not_be_read_is_an_error_with_its_path(tmp_path: Path) -> None:
    path = written(tmp_path / "people.parquet", "no parquet")
    with pytest.raises(SourceError, match="source 'people' can't be read") as caught:
        plan_of("SELECT * FROM people", [SourceSpec("people", path=path)])
    assert str(path) in str(caught.value)


def test_the_version_changes_with_a_file_s_size_or_time_and_with_the_set_of_files(tmp_path: Path) -> None:
    path = written(tmp_path / "1.csv")
    source = SourceSpec("people", path=tmp_path / "*.csv")
    first = files_of(source).version()
    assert files_of(source).version() == first
    os.utime(path, ns=(1, 1))
    touched = files_of(source).version()
    written(tmp_path / "2.csv")
    assert len({first, touched, files_of(source).version()}) == 3


def test_only_the_readers_of_a_changed_file_are_built_again(tmp_path: Path, con: DuckDBBackend) -> None:
    people = written(tmp_path / "people.csv")
    pets = written(tmp_path / "pets.csv", "pet\nrex\n")
    project = Project(
        con,
        sql_task("SELECT name FROM people", "names"),
        sql_task("SELECT count(*) AS n FROM names", "how_many"),
        sql_task("SELECT pet FROM pets", "animals"),
        sources=[SourceSpec("people", path=people), SourceSpec("pets", path=pets)],
    )
    assert tuple(project.run().ran) == ("animals", "names", "how_many")
    written(people, "id,name\n1,ann\n2,bob\n")
    report = project.run()
    assert tuple(report.ran) == ("names", "how_many")
    assert report.ran["names"] == "reads people.name, which changed"
    assert tuple(report.skipped) == ("animals",)
    assert project.sql("FROM how_many") == [(2,)]


def test_a_file_that_lost_a_column_blocks_its_readers_only(tmp_path: Path, con: DuckDBBackend) -> None:
    people = written(tmp_path / "people.csv")
    project = Project(
        con,
        sql_task("SELECT name FROM people", "names"),
        sql_task("SELECT id FROM people", "ids"),
        sources=[SourceSpec("people", path=people)],
    )
    project.run()
    written(people, "id\n1\n2\n")
    report = project.run()
    assert tuple(report.ran) == ("ids",)
    assert tuple(report.blocked) == ("names",)
    assert report.blocked["names"].startswith("task 'names' reads 'people.name', which 'people' lacks")
    written(people, "id,name\n1,ann\n2,bob\n")
    assert tuple(project.run().blocked) == ()
    assert project.sql("FROM names ORDER BY 1") == [("ann",), ("bob",)]


def test_a_file_that_is_gone_blocks_its_readers_only(tmp_path: Path, con: DuckDBBackend) -> None:
    people = written(tmp_path / "people.csv")
    project = Project(
        con,
        sql_task("SELECT name FROM people", "names"),
        sql_task("SELECT 1 AS one", "other"),
        sources=[SourceSpec("people", path=people)],
    )
    project.run()
    people.unlink()
    report = project.run()
    assert report.blocked == {"names": "task 'names' waits for 'people', which does not exist"}
    assert tuple(report.skipped) == ("other",)
    assert project.sql("FROM names") == [("ann",)]


def test_a_table_of_the_warehouse_is_never_replaced_by_a_source_s_files(tmp_path: Path, con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE people AS SELECT 7 AS id")
    source = SourceSpec("people", path=written(tmp_path / "people.csv"))
    project = Project(con, sql_task("SELECT id FROM people", "ids"), sources=[source])
    report = project.run()
    assert "source 'people' has a path, but the warehouse has a table of that name already" in report.failed["ids"]
    assert project.sql("FROM people") == [(7,)]
