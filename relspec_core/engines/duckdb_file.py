"""A DuckDB file: its state, and opening it while another process may hold it."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.errors import WarehouseError
from relspec_core.model.formatting import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


AGAIN_SECONDS = 0.1
LONGEST_COMMAND = 80
LONGER = "'relspec run --wait SECONDS'"
LOCKED = ("Could not set lock on file", "being used by another process")  # the other one is of Windows
HELD_BY = re.compile(r"lock is held in .*? \(PID (?P<pid>\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a file.

    Attributes:
        pid: None where the system does not tell.
        command: that it was started with, in short; empty where the system does not tell.
    """

    pid: int | None
    command: str = ""

    def __str__(self) -> str:
        if self.pid == os.getpid():
            return "this process"
        name = "another process" if self.pid is None else f"process {self.pid}"
        return f"{name} ({self.command})" if self.command else name


class DatabaseHeldError(WarehouseError):
    """RS402: another process holds the file; ``holder`` says which, ``longer`` what would wait for longer."""

    def __init__(self, path: Path, holder: Holder, *, waited: float, longer: str = LONGER) -> None:
        self.holder = holder
        after = f", also after {waited:g} s" if waited else ""
        super().__init__(
            f"the warehouse can't be opened: {holder} holds it{after}",
            at=str(path),
            hint=f"wait for that process, or end it; {longer} waits for longer.",
        )


def open_database(
    path: Path,
    *,
    read_only: bool,
    wait: float = 0.0,
    say: Callable[[str], None] | None = None,
    config: Mapping[str, Any] | None = None,
) -> ExclusiveDuckDB:
    """The file, opened; tried again while another process holds it.

    Args:
        path: of the file.
        read_only: for reading, which goes together with other readers, and not with a writer.
        wait: maximum seconds to wait; other errors are raised at once.
        say: called once, before waiting, with the process that holds the file and the maximum time.
        config: DuckDB's settings; a process can open a file twice only with the same ones.

    Raises:
        DatabaseHeldError: RS402, where the file is still held after that time, or is open in this process otherwise.
        WarehouseError: RS402, where it can't be opened for another reason.
    """
    deadline, told = time.monotonic() + wait, False
    while True:
        try:
            return ExclusiveDuckDB.open(path, read_only=read_only, config=config)
        except (duckdb.Error, OSError) as error:
            holder = _holder(error)
            if holder is None:
                raise WarehouseError(
                    f"the warehouse can't be opened: {first_line(error)}",
                    at=str(path),
                    hint="check the path and its permissions, and that the file is a DuckDB database.",
                ) from error
            left = deadline - time.monotonic()
            if left <= 0 or holder.pid == os.getpid():
                raise DatabaseHeldError(path, holder, waited=wait) from error
        if say is not None and not told:
            say(f"waiting for {holder}, which holds {path.name}; at most {wait:g} s")
            told = True
        time.sleep(min(AGAIN_SECONDS, left))


def _holder(error: Exception) -> Holder | None:
    """Who holds the file that could not be opened; None where that is not what was wrong."""
    if isinstance(error, duckdb.ConnectionException):
        return Holder(pid=os.getpid())
    if not any(text in str(error) for text in LOCKED):
        return None
    found = HELD_BY.search(str(error))
    pid = int(found["pid"]) if found else 0  # also of a process that can't be seen from here, as in a container
    return Holder(pid=pid, command=_command_of(pid)) if pid else Holder(pid=None)


def _command_of(pid: int) -> str:
    """What a process was started with, less the interpreter and folders; empty where the system does not tell."""
    try:
        found = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
    words = [word for word in found.split("\0") if word]
    if len(words) > 1 and Path(words[0]).name.startswith("python") and not words[1].startswith("-"):
        words = words[1:]
    text = " ".join(" ".join([Path(word).name if at == 0 else word for at, word in enumerate(words)]).split())
    return text if len(text) <= LONGEST_COMMAND else f"{text[:LONGEST_COMMAND]} ..."


def connect(
    database: str | Path,
    *,
    read_only: bool = False,
    wait: float = 0.0,
    say: Callable[[str], None] | None = None,
    config: Mapping[str, Any] | None = None,
) -> ExclusiveDuckDB:
    """Open a DuckDB file; an absent one is created, or treated as empty if it is only read.

    Args:
        database: the file.
        read_only: for reading only.
        wait: the most seconds to wait for another process that holds the file.
        say: called once with the process that holds the file, if there is one.
        config: DuckDB's settings.

    Raises:
        WarehouseError: RS402, where it can't be opened; names the process that holds it where DuckDB tells.
    """
    path = Path(database)
    if read_only and not path.exists():
        return ExclusiveDuckDB.open()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(
            f"the warehouse's folder can't be made: {error}", at=str(path), hint="check the path and its permissions."
        ) from error
    backend = open_database(path, read_only=read_only, wait=wait, say=say, config=config)
    # DuckDB draws its bar on standard output, where commands print their results.
    backend.con.execute("SET enable_progress_bar = false")
    return backend


def file_state(path: str | Path) -> str | None:
    """Equal for equal states of a database's file; None where it has changes that are not yet in it, or is not here."""
    if Path(f"{path}.wal").exists():
        return None
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return f"{found.st_size}:{found.st_mtime_ns}"
