"""A filesystem through which DuckDB reads every URL that fsspec opens."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

from fsspec import AbstractFileSystem

from relspec_core.declaration.source_urls import ANSWER_SECONDS, without_secrets
from relspec_core.sources.remote_files import STORES, open_store
from relspec_core.system.timeouts import NoAnswerError, answer_in_time


class FsspecBridge(AbstractFileSystem):
    """Opens a URL with the fsspec filesystem for its protocol.

    Registered with DuckDB directly, that filesystem would serve only one storage of its protocol, be asked for the size
    at every read, and have Parquet files read from DuckDB's cache if it reports no modification times.
    """

    protocol = STORES
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}

    def _open(self, path: str, mode: str = "rb", *_: object, **__: object) -> _StoreFile:
        """A seekable file; remembers its size."""
        if mode != "rb":
            raise ValueError("sources are only read")
        file = _StoreFile(path)
        self._sizes[path] = file.length
        return file

    def size(self, path: str) -> int:
        """The size of an opened file."""
        return self._sizes[str(self._strip_protocol(path))]

    def modified(self, path: str) -> datetime:
        """The current time, so that DuckDB does not use cached contents."""
        del path
        return datetime.now(UTC)

    def glob(self, path: str, maxdepth: int | None = None, **_: object) -> list[str]:
        """The path itself, as files are listed before."""
        del maxdepth
        return [path]


class _StoreFile(io.RawIOBase):
    """A remote file; read as a whole if its server does not support ranges.

    Attributes:
        length: in bytes.
    """

    def __init__(self, url: str) -> None:
        store, path = open_store(url)
        self._store, self._path = store, path
        self._file: Any = _open(store, path, url=url)
        try:
            self.length = self.seek(0, io.SEEK_END)
        except (ValueError, OSError):
            self._read_whole()
            self.length = self.seek(0, io.SEEK_END)
        self.seek(0)

    def read(self, size: int = -1) -> bytes:
        place = self._file.tell()
        try:
            return self._file.read(size)
        except ValueError:
            if isinstance(self._file, io.BytesIO):
                raise
        self._read_whole()
        self._file.seek(place)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _read_whole(self) -> None:
        self._file.close()
        self._file = io.BytesIO(self._store.cat_file(self._path))


def _open(store: Any, path: str, *, url: str) -> Any:  # noqa: ANN401 - fsspec's
    """Open a remote file within a timeout.

    The timeout of reading its contents is fsspec's: a slow response is indistinguishable from none. Filesystems with a
    connection per thread open files in the calling thread, with timeouts of their own.
    """
    if not getattr(store, "async_impl", False):
        return store.open(path, "rb")
    try:
        return answer_in_time(lambda _: store.open(path, "rb"), seconds=ANSWER_SECONDS, name="a file of a store")
    except NoAnswerError as error:
        raise TimeoutError(f"{without_secrets(url)} does not answer within {error.seconds:g} s") from error
