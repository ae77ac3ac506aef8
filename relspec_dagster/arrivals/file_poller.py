"""The files of sources, told by their sizes and times, and read where these have changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.errors import SourceError
from relspec_core.evidence import FILES, Evidence
from relspec_core.sources.source_files import SourceFiles, source_files
from relspec_core.system.compile_cache import CompileCache
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.access.storage_polling import PolledStorages
from relspec_dagster.arrivals.evidence_state import EvidenceState

# Of each file the device and number that it has there, its size, and its time of change.
State: TypeAlias = "tuple[tuple[int, int, int, int], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesPoll:
    """What the files of sources look like from outside.

    Attributes:
        versions: by source; None where there is no file.
        unread: why the files of a source can't be told.
        files: by source, where there are any.
    """

    versions: Mapping[str, str | None] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, SourceFiles] = field(default_factory=dict, compare=False)


class FilePoller:
    """Keeps what is known of the sources that are files.

    Args:
        known: written to.
    """

    __slots__ = ("_found", "_known", "_read", "_sources", "_stores", "_warehouse")

    def __init__(self, known: EvidenceState) -> None:
        self._known = known
        self._sources = tuple(source for source in known.plans.sources.values() if source.paths)
        self._stores = PolledStorages(self._sources)
        self._found: dict[str, tuple[State, SourceFiles, str]] = {}  # what was found where all paths are those of files
        self._read: dict[str, str | None] = {}  # the version of each source that was read
        self._warehouse: Warehouse | None = None  # an empty one, through which DuckDB reads files

    def glance(self) -> FilesPoll:
        """Sizes, times and the like only: no file is opened. All stores are asked at once."""
        versions: dict[str, str | None] = {}
        unread: dict[str, str] = {}
        files: dict[str, SourceFiles] = {}
        since = self._stores.ask()
        for source in self._sources:
            try:
                found, versions[source.name] = (
                    _versioned(self._stores.files(source.name, since=since))
                    if source.name in self._stores
                    else self._on_this_machine(source)
                )
                if found is not None:
                    files[source.name] = found
            except SourceError as error:
                unread[source.name] = error.what
        return FilesPoll(versions=versions, unread=unread, files=files)

    def _on_this_machine(self, source: SourceSpec) -> tuple[SourceFiles | None, str | None]:
        """Its files with their version; those of the last glance where these are the same files in the same state."""
        state = _state_of_files(source)
        kept = self._found.pop(source.name, None)
        if kept is None or kept[0] != state:
            found, version = _versioned(source_files(source))
            if state is None or found is None or version is None:
                return found, version
            kept = (state, found, version)
        self._found[source.name] = kept
        return kept[1:]

    def look(self, glance: FilesPoll) -> set[str]:
        """Read the files that have changed; what could not be read is tried again each time.

        Returns:
            The sources that came, went, or are not as they were.
        """
        changed: set[str] = set()
        for source in self._sources:
            name, version = source.name, glance.versions.get(source.name)
            if name in glance.versions and name in self._read and self._read[name] == version:
                continue
            was_there, why = name in self._known.evidence, self._known.unread.get(name)
            self._known.forget(name)
            self._read.pop(name, None)
            unread = glance.unread.get(name) or self._unreadable(source, version, glance.files.get(name))
            if unread is None:
                self._read[name] = version
            else:
                self._known.forget(name)
                self._known.unread[name] = unread
            if was_there or unread is None or unread != why:
                changed.add(name)
        return changed

    def _unreadable(self, source: SourceSpec, version: str | None, files: SourceFiles | None) -> str | None:
        """Read a source; why that can't be done, or None."""
        if files is None:
            return None
        try:
            if self._warehouse is None:
                self._warehouse = DuckDBWarehouse(ExclusiveDuckDB.open())
            schema = files.schema(self._warehouse.connection, cache=CompileCache())
            self._known.files[source.name] = files
            self._known.evidence[source.name] = Evidence(name=source.name, schema=schema, version=version, kind=FILES)
            self._known.take_versions(self._known.graph.edges_from(source.name), self._warehouse)
        except SourceError as error:
            return error.what
        return None


def _versioned(found: SourceFiles | None) -> tuple[SourceFiles | None, str | None]:
    return found, None if found is None else found.version()


def _state_of_files(source: SourceSpec) -> State | None:
    """The state of the files at a source's paths, in a small part of the time; None where a path is not just a file."""
    try:
        found = [os.stat(path) for path in source.paths]  # noqa: PTH116 - Path takes twice the time
    except OSError:
        return None
    if not all(stat.S_ISREG(file.st_mode) for file in found):
        return None
    return tuple((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns) for file in found)
