"""What compilations worked out, kept for later ones: what is unchanged since then is not worked out again."""

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
    """Values by key, in memory; read from a file and written to it where there is one.

    A key is a digest of all that its value depends on, save the releases of relspec and of the libraries it rests on:
    what others wrote is not read. Losing the file costs time and nothing else, so whatever is wrong with it, it counts
    as empty, and where it can't be written, it is not.

    Args:
        file: in a folder that git ignores; made by ``save``.
    """

    __slots__ = ("_file", "_found", "_new", "_used")

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._found: dict[str, Any] | None = None
        self._used: dict[str, Any] = {}
        self._new = False

    def find(self, key: str) -> Any | None:  # noqa: ANN401 - each key has values of its own type
        """The value that was kept under a key, or None."""
        value = self._used.get(key, self._all().get(key))
        if value is not None:
            self._used[key] = value
        return value

    def keep(self, key: str, value: Any) -> None:  # noqa: ANN401 - as above
        """Keep a value in place of what was kept under that key."""
        self._used[key] = value
        self._new = True

    def take(self, key: str) -> Any | None:  # noqa: ANN401 - as above
        """The value that was kept under a key since the cache was opened, or None; it is kept no longer."""
        return self._used.pop(key, None)

    def apart(self) -> CompileCache:
        """A cache that begins with the values of this one and keeps its own to itself, for what is not to last."""
        other = CompileCache()
        other._found = {**self._all(), **self._used}
        return other

    def save(self) -> None:
        """Write what was kept or found since the cache was opened, and nothing older, if anything of it is new."""
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
            found = pickle.load(stream)  # noqa: S301 - as trusted as the catalog's modules, in whose folder it is
            return found if isinstance(found, dict) else {}
    except Exception:  # noqa: BLE001 - whatever a damaged pickle makes of itself
        return {}


def _stamp() -> bytes:
    """One line that names every release, and the state of relspec's own modules while they are being worked on."""
    own = max(path.stat().st_mtime_ns for path in Path(__file__).parents[1].rglob("*.py"))
    releases = (__version__, ibis.__version__, sqlglot.__version__, duckdb.__version__)
    return f"relspec {own} {sys.version_info[:3]} {releases}\n".encode()
