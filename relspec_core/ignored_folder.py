"""The folder of what relspec keeps for itself and could make anew; git ignores it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CACHE_FOLDER = ".relspec_cache"


def make_ignored(folder: Path) -> None:
    """Make a folder that git ignores, where there is none of that name."""
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
