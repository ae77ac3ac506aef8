"""Remote files by URL, through fsspec: listing, and marks that identify their contents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from relspec_core.declaration.source_urls import WEB, file_name, is_url, url_parts, without_secrets
from relspec_core.errors import SourceError
from relspec_core.model.formatting import did_you_mean, listed
from relspec_core.system.timeouts import Progress, answer_in_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


STORES = "relspec"  # the protocol of the bridge through which DuckDB reads them
# File attributes, of various filesystems, that change with the contents.
MARKS = (
    *("ETag", "etag", "e_tag", "md5Hash", "md5", "Content-MD5", "content_md5", "Digest", "crc32c", "CRC", "sha", "hex"),
    *("generation", "VersionId", "version_id", "content_hash", "checksum", "blob_id"),
    *("LastModified", "last_modified", "Last-Modified", "mtime", "modified", "modify", "updated", "date_time"),
)
NOT_FOUND = (404, 410)
HINT_SECONDS = 5.0
MOST_NAMES = 8
MOST_TEXT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """The observed state of a file.

    Attributes:
        path: a local path, or the URL that fsspec opens.
        size: in bytes; None if unknown.
        mark: changes whenever the contents may have changed; None if the storage reports no such attribute.
    """

    path: str
    size: int | None
    mark: str | None


def bridged(path: str) -> str:
    """The path by which DuckDB reads a file: URLs through the bridge, other paths unchanged."""
    return f"{STORES}://{path}" if is_url(path) else path


def stored_files(url: str, *, source: str, progress: Progress | None = None) -> tuple[FileState, ...]:
    """List the files of a URL: a file, all data in a folder, or the matches of a glob; nothing is downloaded.

    There is no timeout here; ``source_files`` has one.

    A glob is matched folder by folder, with one request for each candidate folder, as fsspec's own glob treats an
    unreachable storage as an empty one.

    Args:
        url: with ``*``, ``?``, ``[...]`` and ``**`` as in paths, except that ``?`` is part of web addresses.
        source: the name of the source, for errors.
        progress: records each response of the storage.

    Raises:
        SourceError: RS106, if the storage can't be reached, or needs a package that is not installed.
    """
    try:
        return tuple(_found(url, progress or Progress()))
    except (FileNotFoundError, NotADirectoryError) as error:
        if not is_missing(error):
            raise _unreachable(url, source, error) from error
        return ()
    except SourceError:
        raise
    except Exception as error:
        raise _unreachable(url, source, error) from error


def names_beside(url: str) -> tuple[str, ...]:
    """The names in the folder of a URL; empty if they can't be listed."""

    def names(progress: Progress) -> tuple[str, ...]:
        del progress
        store, path = open_store(url)
        folder = path[: _start_of_glob(url, path)].rpartition("/")[0]
        return tuple(sorted(_name(info) for info in store.ls(folder, detail=True)))

    try:
        return answer_in_time(names, seconds=HINT_SECONDS, name=f"beside {file_name(url)}")
    except Exception:  # noqa: BLE001 - storages can raise anything, and this is for a hint only
        return ()


def described_names(names: Sequence[str]) -> str:
    """A hint with the existing names; empty if there are none."""
    return f"its folder contains {listed(names, most=MOST_NAMES)}; " if names else ""


def open_store(url: str) -> tuple[Any, str]:
    """The filesystem of a URL, with its listing cache invalidated, and the path in it.

    Raises:
        SourceError: RS106, if fsspec does not know the protocol, or a required package is not installed.
    """
    from fsspec.core import url_to_fs  # noqa: PLC0415 - 0.1 s, only for catalogs with such sources

    chain = url.split("::")
    try:
        for start in range(1, len(chain)):
            url_to_fs("::".join(chain[start:]))[0].invalidate_cache()
        store, path = url_to_fs(url, skip_instance_cache=len(chain) > 1)  # archives cache their index for good
    except ImportError as error:
        raise SourceError(
            f"{_protocol(url)} needs a package: {error}", at=url, hint=f"pip install {_package(url, error)}."
        ) from error
    except ValueError as error:
        if not str(error).startswith("Protocol not known"):
            raise
        from fsspec import available_protocols  # noqa: PLC0415 - as above

        guess = did_you_mean(_protocol(url).removesuffix("://"), available_protocols())
        what = f"fsspec does not know the protocol {_protocol(url)}"
        raise SourceError(what, at=url, hint=f"{guess}Fix the URL.") from error
    store.invalidate_cache()
    return store, path


def _package(url: str, error: ImportError) -> str:
    """The package to install for a URL: an extra of fsspec, else the missing module."""
    from importlib.metadata import metadata  # noqa: PLC0415 - only here

    extra = _protocol(url).removesuffix("://")
    if extra in (metadata("fsspec").get_all("Provides-Extra") or ()):
        return f"'fsspec[{extra}]'"
    return str(getattr(error.__cause__ or error, "name", None) or "the package").partition(".")[0]


def is_missing(error: BaseException) -> bool:
    """Whether an error means that a file does not exist; False if its storage is unreachable.

    fsspec's HTTP filesystem reports a refused connection as a file that was not found.
    """
    found: BaseException | None = error
    while found is not None:
        status = _status(found)
        if status is not None:
            return status in NOT_FOUND
        if not isinstance(found, FileNotFoundError | NotADirectoryError | KeyError | StopIteration):
            return False
        found = found.__cause__
    return True


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error, from the attributes that various libraries use."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    for holder in (error, response):
        for name in ("status", "status_code", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int):
                return status
    return None


def _unreachable(url: str, source: str, error: Exception) -> SourceError:
    cause: BaseException = error.__cause__ or error if isinstance(error, FileNotFoundError) else error
    text = next(iter(str(cause).strip().splitlines()), type(cause).__name__)[:MOST_TEXT]
    return SourceError(
        f"the storage of source '{source}' can't be read: {without_secrets(text)}",
        at=url,
        hint="check the address, the network, the credentials that fsspec finds, and that archives are intact.",
    )


def _found(url: str, progress: Progress) -> Iterator[FileState]:
    store, path = open_store(url)
    cut = _start_of_glob(url, path)
    if cut is not None:
        folder = path[:cut]
        infos = _Folders(store, progress).matching(folder, path[cut:].split("/"))
    else:
        info = store.info(path)
        if info["type"] != "directory":
            yield _file(store, url, info)
            return
        folder = f"{path.rstrip('/')}/"
        infos = _Folders(store, progress).data_in(folder)
    for name, info in {info["name"]: info for info in infos}.items():
        try:
            yield _file(store, _url_of(url, folder, name), info)
            progress.note()
        except FileNotFoundError as error:  # it is only in the listing
            if not is_missing(error):
                raise


class _Folders:
    """The folders of a filesystem, each listed once.

    Args:
        store: an fsspec filesystem.
        progress: records each response.
    """

    __slots__ = ("_lists", "_progress", "_store")

    def __init__(self, store: Any, progress: Progress) -> None:  # noqa: ANN401 - fsspec is loaded on use
        self._store = store
        self._progress = progress
        self._lists: dict[str, list[tuple[str, bool, Mapping[str, Any]]]] = {}

    def matching(self, folder: str, segments: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        """The files below a folder whose paths match, segment by segment, with all data in matching folders."""
        segment, *rest = segments
        if segment == "**" and rest:
            yield from self.matching(folder, rest)
        for name, is_folder, info in self._list(folder):
            if name.startswith(".") and not segment.startswith("."):
                continue
            below = f"{info['name'].rstrip('/')}/"
            if segment == "**" and is_folder:
                yield from self.matching(below, segments)
            elif fnmatchcase(name, segment) and is_folder:
                yield from self.matching(below, rest) if rest else self.data_in(below)
            elif fnmatchcase(name, segment) and not rest:
                yield info

    def data_in(self, folder: str) -> Iterator[Mapping[str, Any]]:
        """The data files below a folder, without names that begin with a dot or an underscore."""
        for name, is_folder, info in self._list(folder):
            if name.startswith((".", "_")):
                continue
            if is_folder:
                yield from self.data_in(f"{info['name'].rstrip('/')}/")
            else:
                yield info

    def _list(self, folder: str) -> list[tuple[str, bool, Mapping[str, Any]]]:
        """Sorted names, and whether each is a folder; empty if the folder does not exist."""
        if folder not in self._lists:
            try:
                infos = self._store.ls(folder, detail=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                if not is_missing(error):
                    raise
                infos = []
            self._progress.note()
            inside = [info for info in infos if info["name"].strip("/") != folder.strip("/")]
            found = [(_name(info), info["type"] == "directory", info) for info in inside]
            self._lists[folder] = sorted(found, key=lambda item: item[0])
        return self._lists[folder]


def _file(store: Any, url: str, info: Mapping[str, Any]) -> FileState:  # noqa: ANN401 - fsspec's
    mark = _mark(info)
    if mark is None:  # a listing of links has fewer attributes than the file itself
        info = store.info(info["name"])
        mark = _mark(info)
    if mark is None:
        try:
            mark = str(store.modified(info["name"]))
        except NotImplementedError:
            mark = str(info["created"]) if info.get("created") else None
    return FileState(path=url, size=info.get("size"), mark=mark)


def _mark(info: Mapping[str, Any]) -> str | None:
    return "; ".join(f"{name} {info[name]}" for name in MARKS if info.get(name)) or None


def _name(info: Mapping[str, Any]) -> str:
    name = info["name"].rstrip("/").rpartition("/")[2]
    return unquote(name) if re.match(WEB, info["name"]) else name


def _protocol(url: str) -> str:
    return f"{re.split('::?', url)[0]}://"


def _start_of_glob(url: str, path: str) -> int | None:
    """The offset of the first path segment with a glob; None if there is none."""
    glob = re.search(r"[*[]" if re.match(WEB, url_parts(url)[1]) else r"[*?[]", path)
    return None if glob is None else path.rfind("/", 0, glob.start()) + 1


def _url_of(url: str, folder: str, name: str) -> str:
    """The URL of a file found below the folder of another URL.

    Filesystems omit the server, the bucket's project and the like from the names that they list.
    """
    before, body, after = url_parts(url)
    cut = _start_of_glob(url, body)
    start = f"{body.rstrip('/')}/" if cut is None else body[:cut]
    return f"{before}{start}{name.lstrip('/').removeprefix(folder.lstrip('/'))}{after}"
