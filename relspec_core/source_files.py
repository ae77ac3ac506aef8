"""Sources whose data are files: how DuckDB reads them, their schema, and a version that changes when they do."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import ibis

from relspec_core.column_types import schema_from_duckdb, schema_to_duckdb, to_duckdb
from relspec_core.errors import SourceError
from relspec_core.fingerprint import digest
from relspec_core.names import quoted_column, quoted_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.compile_cache import CompileCache
    from relspec_core.task_catalog import SourceSpec

READERS: Mapping[str, str] = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".txt": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".json": "read_json",
    ".jsonl": "read_json",
    ".ndjson": "read_json",
}
COMPRESSIONS = (".gz", ".zst")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFiles:
    """The files of one source.

    Attributes:
        name: of the source.
        files: absolute paths, sorted; at least one.
        reader: DuckDB's table function for them.
        declared: the declared types of columns; others are read from the data.
    """

    name: str
    files: tuple[str, ...]
    reader: str
    declared: Mapping[str, dt.DataType]

    def select(self, schema: ibis.Schema) -> str:
        """A query that reads the files with exactly these columns and types."""
        types = schema_to_duckdb(schema)
        columns = ", ".join(quoted_column(name) for name in types)
        return f"SELECT {columns} FROM {self._call(types)}"  # noqa: S608 - names and paths are quoted

    def schema(self, connection: duckdb.DuckDBPyConnection, *, cache: CompileCache) -> ibis.Schema:
        """The columns that the files have now; a declared type goes before the one found in the data.

        Args:
            connection: any; nothing of its database is read.
            cache: what was found in the same files, as they are now, before: to look takes a while.

        Raises:
            SourceError: RS106, where DuckDB can't read them.
        """
        key = digest(("files", self._call({}), self.version()))
        found = cache.find(key)
        if found is None:
            found = self._described(connection)
            cache.keep(key, found)
        declared = {name: to_duckdb(kind) for name, kind in self.declared.items() if name in found}
        return schema_from_duckdb({**found, **declared})

    @property
    def size(self) -> int:
        """Of all files together, in bytes."""
        return sum(stat.st_size for stat in self._stats())

    def version(self) -> str:
        """A hash of each file's path, size and time of change; no file is opened."""
        pairs = zip(self.files, self._stats(), strict=True)
        return digest(tuple((path, str(stat.st_size), str(stat.st_mtime_ns)) for path, stat in pairs))

    def _stats(self) -> list[os.stat_result]:
        try:
            return [Path(path).stat() for path in self.files]
        except OSError as error:
            raise SourceError(
                f"a file of source '{self.name}' can't be read: {error.strerror}",
                at=str(error.filename),
                hint="put it back, or mend the path.",
            ) from error

    def _described(self, connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
        try:
            rows = connection.execute(f"DESCRIBE FROM {self._call({})}").fetchall()
        except duckdb.Error as error:
            raise SourceError(
                f"source '{self.name}' can't be read: {str(error).splitlines()[0]}",
                at=", ".join(self.files),
                hint="mend the file, or declare the source's schema.",
            ) from error
        return {row[0]: row[1] for row in rows}

    def _call(self, types: Mapping[str, str]) -> str:
        paths = ", ".join(quoted_text(path) for path in self.files)
        options = []
        if self.reader == "read_csv":
            options.append("header = true")
        if self.reader == "read_csv" and types:
            pairs = ", ".join(f"{quoted_text(name)}: {quoted_text(kind)}" for name, kind in types.items())
            options.append(f"types = {{{pairs}}}")
        if len(self.files) > 1:
            options.append("union_by_name = true")
        return f"{self.reader}({', '.join([f'[{paths}]', *options])})"


def source_files(source: SourceSpec) -> SourceFiles | None:
    """The files behind a source now; None where it has no path, or no file is there.

    Raises:
        SourceError: RS106, where their suffix is unknown.
    """
    found = sorted({file for path in source.paths for file in _matches(path)})
    if not found:
        return None
    files = sorted({str(Path(file).resolve()) for file in found})
    return SourceFiles(
        name=source.name, files=tuple(files), reader=_reader(source, found[0]), declared=dict(source.schema or {})
    )


def no_files(source: SourceSpec) -> SourceError:
    """RS106, for a source whose schema nothing tells because its files are not there."""
    return SourceError(
        f"source '{source.name}' has no file at {' or '.join(source.paths)}",
        at=f"source '{source.name}'",
        hint="put the file there, mend the path (relative ones start at the working folder), or declare the schema.",
    )


def _matches(path: str) -> list[str]:
    found = [path] if Path(path).is_file() else glob.glob(path, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return [file for name in found for file in ([name] if not Path(name).is_dir() else _files_in(Path(name)))]


def _files_in(folder: Path) -> list[str]:
    """The data in a folder, such as Spark writes; less what is hidden, or marked as none by an underscore."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]


def _reader(source: SourceSpec, file: str) -> str:
    suffixes = [suffix.lower() for suffix in Path(file).suffixes if suffix.lower() not in COMPRESSIONS]
    reader = READERS.get(suffixes[-1]) if suffixes else None
    if reader is None:
        raise SourceError(
            f"source '{source.name}' has files of an unknown kind: {Path(file).name}",
            at=file,
            hint=f"use one of {', '.join(READERS)}.",
        )
    return reader
