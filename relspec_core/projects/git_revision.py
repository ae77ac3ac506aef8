"""A project at another git revision, unpacked into a temporary folder."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Generator

    from relspec_core.projects.project import Project


@contextmanager
def at_revision(revision: str, project: Project) -> Generator[Project]:
    """A project whose modules and SQL files are those of a git revision; the folder is removed at the end.

    Args:
        revision: as git names it: ``HEAD``, ``main~2``, a hash.
        project: the project of the working tree; what git ignores, such as data, is linked from there.

    Raises:
        CatalogError: RS100, if git has no such revision or is not installed.
    """
    top = Path(_git(project.root, "rev-parse", "--show-toplevel").decode().strip())
    archive = _git(top, "archive", "--format=tar", revision)
    with tempfile.TemporaryDirectory(prefix="relspec-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        _link_ignored(top, Path(folder))
        root = Path(folder).resolve() / project.root.resolve().relative_to(top.resolve())
        catalog = project.catalog
        if Path(catalog).is_absolute() and Path(catalog).is_relative_to(project.root):
            catalog = str(root / Path(catalog).relative_to(project.root))
        yield replace(project, root=root, catalog=catalog)


def _link_ignored(top: Path, folder: Path) -> None:
    """Link what git ignores, such as data, beside the revision's files."""
    listed = _git(top, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory").decode()
    for name in filter(None, listed.split("\0")):
        if Path(name).name == "__pycache__":
            continue  # Python would take today's compiled modules for the revision's
        link = folder / name.rstrip("/")
        if link.parent.is_dir() and not link.exists():
            link.symlink_to(top / name.rstrip("/"))


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)  # noqa: S603, S607 - git, by its name
    except FileNotFoundError as error:
        raise CatalogError("git is not installed", hint="install it, or compare with a saved plan.") from error
    if done.returncode != 0:
        raise CatalogError(
            f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}",
            at=str(folder),
            hint="name a revision that git knows, or a file that 'relspec plan --json' wrote.",
        )
    return done.stdout
