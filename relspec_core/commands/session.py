"""The session of a command: project, warehouse, and exit codes for outcomes and errors."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

from relspec_core.engines.connection_url import connect_to
from relspec_core.engines.duckdb_file import connect
from relspec_core.engines.engine_error import EngineError
from relspec_core.engines.sqlglot_build import CompiledSqlglotWarning, is_compiled, notice
from relspec_core.errors import NotReadyError, RelspecError, TaskFailedError, WarehouseError
from relspec_core.exports.hamilton_module import write_if_asked
from relspec_core.projects.project import Project, find_project
from relspec_core.runs.report import Terminated
from relspec_core.staleness.external_changes import settle
from relspec_core.system.compile_cache import CompileCache
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouses.shared_reading import connect_for_reading, read_schemas

if TYPE_CHECKING:
    from collections.abc import Generator

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.graph_inference import TaskGraph
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.task_catalog import TaskCatalog


DONE, FAILED, UNUSABLE, WOULD_RUN = 0, 1, 2, 3
INTERRUPTED, TERMINATED = 130, 143
P = ParamSpec("P")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, kw_only=True)  # without slots, so that cached_property can store the catalog
class Session:
    """A project, opened for one command."""

    project: Project
    ctx: ExecutionContext

    @cached_property
    def catalog(self) -> TaskCatalog:
        """The project's catalog."""
        return self.project.load()

    @contextmanager
    def backend(self, *, read_only: bool, wait: float = 0.0, quiet: bool = False) -> Generator[Engine]:
        """The warehouse, closed at the end; results of compilation are cached for the next command.

        Args:
            read_only: open it for reading; while another process writes to it, its metadata snapshot.
            wait: maximum seconds to wait for another process, before writing.
            quiet: print nothing while waiting.
        """
        database = self.project.database
        if isinstance(database, str):
            backend = connect_to(database)
        elif read_only:
            backend = connect_for_reading(database, say=_say)
        else:
            backend = connect(database, wait=wait, say=None if quiet else _say)
        with self._closing(backend):
            yield backend

    @contextmanager
    def schemas(self) -> Generator[Engine]:
        """The schemas of the warehouse without its rows, for commands that only compile plans; its file is closed."""
        database = self.project.database
        backend = connect_to(database) if isinstance(database, str) else read_schemas(database, say=_say)
        with self._closing(backend):
            yield backend

    @contextmanager
    def _closing(self, backend: Engine) -> Generator[None]:
        try:
            yield
        finally:
            backend.disconnect()
            if isinstance(self.project.database, Path):
                settle(self.project.database, self.ctx.cache)
            self.ctx.cache.save()

    def write_hamilton_module(self, graph: TaskGraph, plans: PlanCatalog) -> None:
        """Write the graph as a Hamilton module if the environment asks for it."""
        database = self.project.database if isinstance(self.project.database, Path) else None
        write_if_asked(graph, plans, os.environ, catalog=self.project.catalog, database=database)


def _say(text: str) -> None:
    """Print a message to standard error, apart from the result."""
    click.echo(text, err=True)


def command(function: Callable[Concatenate[Session, P], int]) -> Callable[..., None]:
    """A command on a catalog, which is loaded first."""

    @wraps(function)
    def loaded(session: Session, *args: P.args, **kwargs: P.kwargs) -> int:
        _ = session.catalog
        return function(session, *args, **kwargs)

    return project_command(loaded)


def project_command(function: Callable[Concatenate[Session, P], int]) -> Callable[..., None]:
    """A command that finds its project and turns outcomes and errors into exit codes."""

    @click.option("--catalog", metavar="MODULE:ATTRIBUTE|FOLDER", help="The catalog (default: from pyproject.toml).")
    @click.option(
        "--database",
        metavar="PATH|URL",
        help="The DuckDB file or the URL of another database (default: from pyproject.toml).",
    )
    @wraps(function)
    def wrapped(catalog: str | None, database: str | None, *args: P.args, **kwargs: P.kwargs) -> None:
        if is_compiled():
            click.echo(f"warning: {notice()}", err=True)
            warnings.simplefilter("ignore", CompiledSqlglotWarning)
        try:
            project = find_project(Path.cwd(), catalog=catalog, database=database)
            ctx = ExecutionContext(cache=CompileCache(project.cache_file))
            sys.exit(function(Session(project=project, ctx=ctx), *args, **kwargs))
        except (TaskFailedError, NotReadyError) as error:
            click.echo(str(error), err=True)
            sys.exit(FAILED)
        except RelspecError as error:
            click.echo(str(error), err=True)
            sys.exit(UNUSABLE)
        except EngineError as error:  # not caused by a task or a source
            first = error.first_line
            hint = "check that it is complete, and that you may read its tables and relspec's own."
            click.echo(str(WarehouseError(f"the database refused: {first}", hint=hint)), err=True)
            sys.exit(UNUSABLE)
        except KeyboardInterrupt as stop:
            click.echo("interrupted", err=True)
            sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)

    return wrapped
