"""A catalog as it was in another git revision: unpacked beside, and compiled in a process of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relspec_core.errors import CatalogError

if TYPE_CHECKING:
    from relspec_core.projects.project import Project


# Modules come from the revision, relative paths of data from the folder that the user works in.
SCRIPT = """
import json, os, sys
from pathlib import Path
from relspec_core import Project, RelspecError, compile_task_catalog, plan_snapshot
from relspec_core.engines.connection_url import connect_to, is_url
from relspec_core.engines.duckdb_file import connect

root, folder, catalog, database = sys.argv[1:]
os.chdir(folder)
try:
    project = Project(root=Path(root), catalog=catalog, database=database)
    backend = connect_to(database) if is_url(database) else connect(database, read_only=True)
    plans = compile_task_catalog(project.load(), backend=backend)
    print(json.dumps(plan_snapshot(plans)))
except RelspecError as error:
    sys.exit(str(error))
"""


def snapshot_at(revision: str, project: Project) -> dict[str, Any]:
    """What the catalog computed and read in a git revision; neither the working tree nor the warehouse is changed.

    Args:
        revision: as git names it: ``HEAD``, ``main~2``, a hash.
        project: whose catalog; its sources are looked up in the warehouse and in the working folder of today.

    Raises:
        CatalogError: RS100, where git has no such revision, or the catalog did not compile there.
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
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", SCRIPT, str(root), str(Path.cwd()), catalog, str(project.database)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        said = done.stderr.strip() or "it failed without a word"
        raise CatalogError(
            f"the catalog of revision '{revision}' does not compile", at=said, hint="compare with another revision."
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _link_ignored(top: Path, folder: Path) -> None:
    """Let what git ignores, such as data, be found beside the revision's files, as links."""
    listed = _git(top, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory").decode()
    for name in filter(None, listed.split("\0")):
        if Path(name).name == "__pycache__":
            continue  # Python would take what it compiled of today's modules for the revision's
        link = folder / name.rstrip("/")
        if link.parent.is_dir() and not link.exists():
            link.symlink_to(top / name.rstrip("/"))


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)  # noqa: S603, S607 - git, by its name
    except FileNotFoundError as error:
        raise CatalogError("there is no git here", hint="install it, or compare with a saved plan.") from error
    if done.returncode != 0:
        raise CatalogError(
            f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}",
            at=str(folder),
            hint="name a revision that git knows, or a file that 'relspec plan --json' wrote.",
        )
    return done.stdout
