"""The folder of what relspec keeps for itself and could make anew; git ignores it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE_FOLDER = ".relspec_cache"


def write_ignored(file: Path, contents: bytes) -> None:
    """Write a file in one step: whoever reads at the same time finds the old one or the new one.

    Args:
        file: in a folder that is made, and that git ignores then, where there is none.
        contents: of the file.

    Raises:
        OSError: where it can't be written; the old one is there then, if there was one.
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
