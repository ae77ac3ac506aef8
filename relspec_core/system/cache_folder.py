"""The cache folder: files that relspec can recreate, ignored by git."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE_FOLDER = ".relspec_cache"


def write_ignored(file: Path, contents: bytes) -> None:
    """Write a file atomically: concurrent readers find the old or the new contents.

    Args:
        file: its folder is created, and ignored by git, if it does not exist.
        contents: of the file.

    Raises:
        OSError: if it can't be written; an old file is unchanged then.
    """
    if not file.parent.exists():
        file.parent.mkdir(parents=True)
        (file.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    handle, beside = tempfile.mkstemp(dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(contents)
        Path(beside).replace(file)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
