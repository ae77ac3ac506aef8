"""Sources whose data are files: how DuckDB reads them, their schema, and a version that changes when they do."""

from __future__ import annotations

import glob
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from relspec_core.declaration.source_urls import file_name, is_url, on_this_machine
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import SourceError
from relspec_core.model.duckdb_types import schema_from_duckdb, schema_to_duckdb, to_duckdb
from relspec_core.model.hashing import digest
from relspec_core.model.names import quoted_column, quoted_text
from relspec_core.sources.remote_files import FileState, bridged, described_names, names_beside, stored_files
from relspec_core.system.timeouts import NoAnswerError, answer_in_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.declaration.source_spec import SourceSpec
    from relspec_core.engines.duckdb_connection import DuckDBConnection
    from relspec_core.system.compile_cache import CompileCache
    from relspec_core.system.timeouts import Progress


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
    """The files of one source, observed when they were listed.

    Attributes:
        name: of the source.
        reader: DuckDB's table function for them.
        declared: the declared types of columns; others are read from the data.
        states: of each file, observed when the files were listed, once.
    """

    name: str
    reader: str
    declared: Mapping[str, dt.DataType]
    states: tuple[FileState, ...]

    def select(self, schema: ibis.Schema) -> str:
        """A query that reads the files with exactly these columns and types."""
        types = schema_to_duckdb(schema)
        columns = ", ".join(quoted_column(name) for name in types)
        return f"SELECT {columns} FROM {self._call(types)}"  # noqa: S608 - names and paths are quoted

    def schema(self, connection: DuckDBConnection, *, cache: CompileCache) -> ibis.Schema:
        """The columns that the files have now; a declared type goes before the one found in the data.

        Args:
            connection: any; nothing of its database is read.
            cache: what was found in the same files, as they are now, before: to look takes a while.

        Raises:
            SourceError: RS106, where DuckDB can't read them.
        """
        self.open_in(connection)
        key = digest(("files", self._call({}), self.version()))
        found = cache.find(key) if self.is_told else None
        if found is None:
            found = self._described(connection)
            cache.keep(key, found)
        declared = {name: to_duckdb(kind) for name, kind in self.declared.items() if name in found}
        return schema_from_duckdb({**found, **declared})

    def open_in(self, connection: DuckDBConnection) -> None:
        """Let a database read them, by whatever connection, wherever they are."""
        if any(is_url(path) for path in self.files):
            from relspec_core.sources.fsspec_bridge import FsspecBridge  # noqa: PLC0415 - it loads fsspec, in 0.1 s

            connection.register(FsspecBridge())

    @property
    def files(self) -> tuple[str, ...]:
        """Absolute paths, then URLs, each sorted; at least one."""
        return tuple(state.path for state in self.states)

    @property
    def listing(self) -> str:
        """What DuckDB calls them, as a list in SQL."""
        return f"[{', '.join(quoted_text(bridged(path)) for path in self.files)}]"

    @property
    def size(self) -> float:
        """Of all files together, in bytes; infinite where a store does not tell it."""
        return sum(math.inf if state.size is None else state.size for state in self.states)

    @property
    def is_told(self) -> bool:
        """Whether another version means other contents, and the same version the same."""
        return all(state.mark is not None for state in self.states)

    def version(self) -> str:
        """A hash of each file's path, size and time of change, or what its store reports instead."""
        return digest(tuple((state.path, str(state.size), str(state.mark)) for state in self.states))

    def _described(self, connection: DuckDBConnection) -> dict[str, str]:
        try:
            return connection.column_types(f"FROM {self._call({})}")
        except EngineError as error:
            raise SourceError(
                f"source '{self.name}' can't be read: {error.first_line}",
                at=", ".join(self.files),
                hint="fix the file, or declare the source's schema.",
            ) from error

    def _call(self, types: Mapping[str, str]) -> str:
        options = []
        if self.reader == "read_csv":
            options.append("header = true")
        if self.reader == "read_csv" and types:
            pairs = ", ".join(f"{quoted_text(name)}: {quoted_text(kind)}" for name, kind in types.items())
            options.append(f"types = {{{pairs}}}")
        if len(self.files) > 1:
            options.append("union_by_name = true")
        return f"{self.reader}({', '.join([self.listing, *options])})"


def source_files(source: SourceSpec) -> SourceFiles | None:
    """The files behind a source now; None where it has no path, or no file is there.

    A store is waited for while it goes on answering, and no longer than the source's ``timeout`` for any one answer.

    Raises:
        SourceError: RS106, where their suffix is unknown, or their store can't be asked, or does not answer.
    """
    if not any(is_url(on_this_machine(path)) for path in source.paths):
        return files_now(source)
    try:
        return answer_in_time(partial(files_now, source), seconds=source.timeout, name=f"store of {source.name}")
    except NoAnswerError as error:
        raise no_answer(source, seconds=error.seconds) from error


def no_answer(source: SourceSpec, *, seconds: float) -> SourceError:
    """RS106, for a source whose store has not answered for so long."""
    return SourceError(
        f"the store of source '{source.name}' does not answer within {seconds:g} s",
        at=", ".join(path for path in source.paths if is_url(path)),
        hint="check the address, the network and the store itself, or give it longer: "
        f"SourceSpec('{source.name}', timeout={2 * source.timeout:g}, ...).",
    )


def files_now(source: SourceSpec, progress: Progress | None = None) -> SourceFiles | None:
    """The same, however long it takes.

    Args:
        source: whose.
        progress: notes when a store has answered one of the requests that this takes.
    """
    paths = [on_this_machine(path) for path in source.paths]
    urls = [path for path in paths if is_url(path)]
    stored = {file.path: file for url in urls for file in stored_files(url, source=source.name, progress=progress)}
    found = sorted({file for path in paths if path not in urls for file in _matches(path)})
    if not found and not stored:
        return None
    local = (_state(file, source) for file in sorted({str(Path(file).resolve()) for file in found}))
    return SourceFiles(
        name=source.name,
        reader=_reader(source, (found or sorted(stored))[0]),
        declared=dict(source.schema or {}),
        states=(*local, *(stored[url] for url in sorted(stored))),
    )


def _state(path: str, source: SourceSpec) -> FileState:
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise SourceError(
            f"a file of source '{source.name}' can't be read: {error.strerror}",
            at=path,
            hint="restore it, or fix the path.",
        ) from error
    return FileState(path=path, size=stat.st_size, mark=str(stat.st_mtime_ns))


class SourceListings:
    """The files of sources, each source listed at most once: what one command, run or tick sees of them.

    Args:
        found: what was listed already, by source; None where no file exists.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Mapping[str, SourceFiles | None] | None = None) -> None:
        self._found = dict(found or {})

    def files(self, source: SourceSpec) -> SourceFiles | None:
        """The files of a source; None where it has no path, or no file exists.

        Raises:
            SourceError: RS106, as ``source_files`` does; it is listed again the next time.
        """
        if source.name not in self._found:
            self._found[source.name] = source_files(source)
        return self._found[source.name]


def open_stores(sources: Iterable[SourceSpec], connection: DuckDBConnection) -> None:
    """Let a database read the views that it has of sources in stores."""
    if any(is_url(path) for source in sources for path in source.paths):
        from relspec_core.sources.fsspec_bridge import FsspecBridge  # noqa: PLC0415 - as above

        connection.register(FsspecBridge())


def no_files(source: SourceSpec) -> SourceError:
    """RS106, for a source whose schema nothing tells because its files are not there."""
    beside = "".join(described_names(names_beside(path)) for path in source.paths if is_url(path))
    return SourceError(
        f"source '{source.name}' has no file at {' or '.join(source.paths)}",
        at=f"source '{source.name}'",
        hint=f"{beside}put the file there, fix the path (relative ones start at the working folder), or declare the "
        "schema.",
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
    name = file_name(file)
    suffixes = [suffix.lower() for suffix in Path(name).suffixes if suffix.lower() not in COMPRESSIONS]
    reader = READERS.get(suffixes[-1]) if suffixes else None
    if reader is None:
        raise SourceError(
            f"source '{source.name}' has files of an unknown kind: {name}",
            at=file,
            hint=f"use one of {', '.join(READERS)}.",
        )
    return reader
