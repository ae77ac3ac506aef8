"""The files of sources: polled by sizes and times, and read where these changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.errors import SourceError
from relspec_core.plan_catalog import PlanCatalog
from relspec_core.sources.source_files import SourceFiles, source_files
from relspec_core.staleness.observation import Observation, observe_files
from relspec_core.system.compile_cache import CompileCache
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse
from relspec_dagster.access.storage_polling import PolledStorages

# Of each file its device and number there, its size, and its time of change.
State: TypeAlias = "tuple[tuple[int, int, int, int], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesPoll:
    """The state of the files of sources, from outside.

    Attributes:
        versions: by source; None where there is no file.
        reasons: why the files of a source can't be listed.
        listed: what was listed, by source; not compared.
    """

    versions: Mapping[str, str | None] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[str, SourceFiles | SourceError | None] = field(default_factory=dict, compare=False)


class FilePoller:
    """Polls the sources that are files.

    Args:
        plans: whose sources.
    """

    def __init__(self, plans: PlanCatalog) -> None:
        self._sources = tuple(source for source in plans.sources.values() if source.paths)
        self._storages = PolledStorages(self._sources)
        self._found: dict[str, tuple[State, SourceFiles]] = {}  # what was found where all paths are those of files

    @cached_property
    def scratch(self) -> Warehouse:
        """An empty database, through which DuckDB reads files."""
        return DuckDBWarehouse(ExclusiveDuckDB.open())

    def poll(self) -> FilesPoll:
        """Sizes, times and the like: no file is opened. All storages are polled at once."""
        files: dict[str, SourceFiles | None] = {}
        errors: dict[str, SourceError] = {}
        since = self._storages.ask()
        for source in self._sources:
            name = source.name
            try:
                files[name] = self._storages.files(name, since=since) if name in self._storages else self._local(source)
            except SourceError as error:
                errors[name] = error
        return FilesPoll(
            versions={name: None if found is None else found.version() for name, found in files.items()},
            reasons={name: error.what for name, error in errors.items()},
            listed={**files, **errors},
        )

    def _local(self, source: SourceSpec) -> SourceFiles | None:
        """Its files; those of the last poll where these are the same files in the same state."""
        state = _state_of_files(source)
        kept = self._found.pop(source.name, None)
        if kept is None or kept[0] != state:
            found = source_files(source)
            if state is None or found is None:
                return found
            kept = (state, found)
        self._found[source.name] = kept
        return kept[1]

    def read(self, before: Observation, poll: FilesPoll) -> Observation:
        """The observation with the files that changed; what can't be read is tried again each time."""
        if not self._sources:
            return before
        found = observe_files(before, poll.listed, connection=self.scratch.connection, cache=CompileCache())
        # What a storage reports counts as a version here even where it proves nothing: else each tick would ask again.
        versioned = {
            name: replace(found.evidence[name], version=files.version())
            for name, files in found.files.items()
            if found.evidence[name].version is None
        }
        return replace(found, evidence={**found.evidence, **versioned}) if versioned else found


def _state_of_files(source: SourceSpec) -> State | None:
    """The state of the files at a source's paths, in a small part of the time; None where a path is not just a file."""
    try:
        found = [os.stat(path) for path in source.paths]  # noqa: PTH116 - Path takes twice the time
    except OSError:
        return None
    if not all(stat.S_ISREG(file.st_mode) for file in found):
        return None
    return tuple((file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns) for file in found)
