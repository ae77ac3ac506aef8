"""Stores of files for tests: in memory, an archive, and a web server of their own, each with the same few names."""

from __future__ import annotations

import os
import threading
import time
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import fsspec

ANN = b"id,name\n1,ann\n"
BOB = b"id,name\n2,bob\n"


class Store(Protocol):
    """Where a test puts files that relspec reads."""

    def write(self, name: str, data: bytes) -> None:
        """Put a file there, in place of one of that name."""

    def url(self, name: str) -> str:
        """Of a file, a folder or a glob."""


class MemoryStore:
    """fsspec's own; one for the whole process, so that each has a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, name: str, data: bytes) -> None:
        fsspec.filesystem("memory").pipe(f"{self._folder}/{name}", data)

    def url(self, name: str) -> str:
        return f"memory:/{self._folder}/{name}"


class ArchiveStore:
    """A ZIP file, rewritten with each file that is put into it."""

    def __init__(self, folder: Path) -> None:
        self._archive = folder / "all.zip"
        self._files: dict[str, bytes] = {}

    def write(self, name: str, data: bytes) -> None:
        self._files[name] = data
        with zipfile.ZipFile(self._archive, "w") as archive:
            for written, content in self._files.items():
                archive.writestr(written, content)

    def url(self, name: str) -> str:
        return f"zip://{name}::{self._archive}"


class WebStore:
    """A web server that lists its folders, and sends files from their beginning only, as simple ones do.

    Attributes:
        asked: what was asked of it, methods and paths.
        password: that it wants of everybody, if any.
        tells_times: whether it does.
        pause: seconds before each answer.
        answers: while it is not set, every connection is accepted, and nothing is ever sent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._written = 0
        self.asked: list[tuple[str, str]] = []
        self.password: str | None = None
        self.tells_times = True
        self.pause = 0.0
        self.answers = threading.Event()
        self.answers.set()
        self._server: ThreadingHTTPServer | None = None
        self._address = ("127.0.0.1", 0)
        self.start()

    def write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self._written += 1
        seconds = 1_000_000_000 + self._written  # the server tells no parts of them
        os.utime(path, (seconds, seconds))

    def url(self, name: str) -> str:
        return f"http://{self._address[0]}:{self._address[1]}/{name}"

    def start(self) -> None:
        """Answer, at the address of before."""
        self._server = ThreadingHTTPServer(self._address, partial(_Answers, store=self, directory=str(self._folder)))
        self._address = ("127.0.0.1", self._server.server_port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Refuse every connection."""
        self.answers.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Answers(SimpleHTTPRequestHandler):
    def __init__(self, *args: Any, store: WebStore, directory: str) -> None:  # noqa: ANN401 - the server's
        self._store = store
        super().__init__(*args, directory=directory)

    def parse_request(self) -> bool:
        self._store.answers.wait()
        time.sleep(self._store.pause)
        found = super().parse_request()
        if found and self._store.password not in (None, self.headers.get("Authorization")):
            self.send_error(401)
            return False
        self._store.asked.append((self.command, self.path))
        return found

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Last-Modified" or self._store.tells_times:
            super().send_header(keyword, value)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@contextmanager
def web_store(folder: Path) -> Generator[WebStore]:
    """A web server for files in a folder."""
    folder.mkdir()
    store = WebStore(folder)
    try:
        yield store
    finally:
        store.stop()
