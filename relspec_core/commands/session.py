"""What every command needs: its project, its warehouse, and exit codes for outcomes and errors."""

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
import duckdb

from relspec_core.engines.connection_url import connect_to
from relspec_core.engines.duckdb_file import connect
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


@dataclass(frozen=True, kw_only=True)  # without slots, which leave no room for what is loaded when it is asked for
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
        """The warehouse, closed at the end; what was worked out for it is kept for the next command.

        Args:
            read_only: where another process writes to the warehouse, what was recorded of it last.
            wait: the most seconds to wait for another process, in order to write.
            quiet: say nothing of waiting.
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
        """The warehouse without the rows of its tables, for what compiles plans and no more; its file is closed."""
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
        """The graph as a Hamilton module, where the environment asks for it."""
        database = self.project.database if isinstance(self.project.database, Path) else None
        write_if_asked(graph, plans, os.environ, catalog=self.project.catalog, database=database)


def _say(text: str) -> None:
    """Tell the user something that is no part of the result."""
    click.echo(text, err=True)


def command(function: Callable[Concatenate[Session, P], int]) -> Callable[..., None]:
    """A command on a catalog, which is loaded before anything else is done."""

    @wraps(function)
    def loaded(session: Session, *args: P.args, **kwargs: P.kwargs) -> int:
        _ = session.catalog
        return function(session, *args, **kwargs)

    return project_command(loaded)


def project_command(function: Callable[Concatenate[Session, P], int]) -> Callable[..., None]:
    """A command that finds its project, and turns outcomes and errors into exit codes."""

    @click.option("--catalog", metavar="MODULE:ATTRIBUTE|FOLDER", help="The catalog, instead of the project file's.")
    @click.option("--database", metavar="PATH|URL", help="The DuckDB file, or another database.")
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
        except duckdb.Error as error:  # what no task and no source is to blame for
            first = str(error).strip().splitlines()[0]
            hint = "check that it is whole, and that you have the right to read its tables and relspec's own."
            click.echo(str(WarehouseError(f"the database refused: {first}", hint=hint)), err=True)
            sys.exit(UNUSABLE)
        except KeyboardInterrupt as stop:
            click.echo("interrupted", err=True)
            sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)

    return wrapped
