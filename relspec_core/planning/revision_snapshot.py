"""The snapshot of a catalog at another git revision, compiled in a process of its own.

``python -m relspec_core.planning.revision_snapshot ROOT CATALOG DATABASE`` prints the snapshot of a project as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relspec_core.engines.connection_url import connect_to, is_url
from relspec_core.engines.duckdb_file import connect
from relspec_core.errors import CatalogError, RelspecError
from relspec_core.plan_catalog import compile_task_catalog
from relspec_core.planning.plan_snapshot import plan_snapshot
from relspec_core.projects.git_revision import at_revision
from relspec_core.projects.project import Project

if TYPE_CHECKING:
    from collections.abc import Sequence


def snapshot_at(revision: str, project: Project) -> dict[str, Any]:
    """What the catalog computed and read at a git revision; the working tree and the warehouse are unchanged.

    The revision's modules are imported in a process of its own, as this process may have imported today's.

    Args:
        revision: as git names it: ``HEAD``, ``main~2``, a hash.
        project: whose catalog; its sources are looked up in today's warehouse and working folder.

    Raises:
        CatalogError: RS100, if git has no such revision, or the catalog did not compile there.
    """
    with at_revision(revision, project) as earlier:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, "-m", __name__, str(earlier.root), earlier.catalog, str(earlier.database)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        reported = done.stderr.strip() or f"the process ended with exit code {done.returncode}"
        raise CatalogError(
            f"the catalog of revision '{revision}' does not compile",
            at=reported,
            hint="compare with another revision.",
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _print_snapshot(arguments: Sequence[str]) -> None:
    root, catalog, database = arguments
    try:
        project = Project(root=Path(root), catalog=catalog, database=database)
        backend = connect_to(database) if is_url(database) else connect(database, read_only=True)
        print(json.dumps(plan_snapshot(compile_task_catalog(project.load(), backend=backend))))  # noqa: T201 - its result
    except RelspecError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _print_snapshot(sys.argv[1:])
