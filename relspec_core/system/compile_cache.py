"""A cache of compilation results, so that unchanged tasks are not compiled again."""

from __future__ import annotations

import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import ibis
import sqlglot

from relspec_core import __version__
from relspec_core.system.cache_folder import write_ignored


class CompileCache:
    """Values by key, in memory and optionally in a file.

    A key is a digest of everything that its value depends on, except the releases of relspec and its dependencies:
    a file of other releases is not read. Losing the file costs only time, so an unreadable file counts as empty, and a
    failure to write it is ignored.

    Args:
        file: in a folder that git ignores; created by ``save``.
    """

    __slots__ = ("_file", "_found", "_new", "_used")

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._found: dict[str, Any] | None = None
        self._used: dict[str, Any] = {}
        self._new = False

    def find(self, key: str) -> Any | None:  # noqa: ANN401 - each key has values of its own type
        """The value stored under a key, or None."""
        value = self._used.get(key, self._all().get(key))
        if value is not None:
            self._used[key] = value
        return value

    def keep(self, key: str, value: Any) -> None:  # noqa: ANN401 - as above
        """Store a value under a key, replacing an earlier one."""
        self._used[key] = value
        self._new = True

    def take(self, key: str) -> Any | None:  # noqa: ANN401 - as above
        """Remove and return the value stored or found under a key since the cache was opened; None if there is none."""
        return self._used.pop(key, None)

    def fork(self) -> CompileCache:
        """A cache that starts with the values of this one and stores new ones in memory only."""
        other = CompileCache()
        other._found = {**self._all(), **self._used}
        return other

    def save(self) -> None:
        """Write the values stored or found since the cache was opened, if any is new; unused older ones are dropped."""
        if self._file is not None and self._new:
            with suppress(OSError, pickle.PicklingError, TypeError, AttributeError):
                write_ignored(self._file, _stamp() + pickle.dumps(self._used, protocol=pickle.HIGHEST_PROTOCOL))
            self._new = False

    def _all(self) -> dict[str, Any]:
        if self._found is None:
            self._found = _read(self._file) if self._file is not None else {}
        return self._found


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            if stream.readline() != _stamp():
                return {}
            found = pickle.load(stream)  # noqa: S301 - as trusted as the catalog's modules in the same folder
            return found if isinstance(found, dict) else {}
    except Exception:  # noqa: BLE001 - a damaged pickle can raise anything
        return {}


def _stamp() -> bytes:
    """One line with all releases, and the modification time of relspec's own modules for its developers."""
    own = max(path.stat().st_mtime_ns for path in Path(__file__).parents[1].rglob("*.py"))
    releases = (__version__, ibis.__version__, sqlglot.__version__, duckdb.__version__)
    return f"relspec {own} {sys.version_info[:3]} {releases}\n".encode()
