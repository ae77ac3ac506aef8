"""The catalog of declared tasks and sources."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from relspec_core.declaration.build_context import TaskBuildContext
from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.declaration.sql_files import sql_file, sql_paths
from relspec_core.declaration.task_spec import Builder, TaskSpec, task
from relspec_core.errors import CatalogError, RelspecError, SecondWriterError, UnknownTargetError, raise_all
from relspec_core.model.formatting import alternatives
from relspec_core.system.compile_cache import CompileCache

__all__ = ["Builder", "ExecutionContext", "SourceSpec", "TaskBuildContext", "TaskCatalog", "TaskSpec", "task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionContext:
    """Inputs of a compilation in addition to the catalog.

    Attributes:
        sources: declared in addition to those of the catalog.
        params: passed to every builder as ``ctx.params``.
        cache: results of earlier compilations.
    """

    sources: tuple[SourceSpec, ...] = ()
    params: Mapping[str, Any] | None = None
    cache: CompileCache = field(default_factory=CompileCache, compare=False)


class TaskCatalog:
    """Tasks and sources by name, in name order, whatever the order of their declaration.

    Args:
        tasks: in any order.
        sources: in any order.
        internal: the default of ``TaskSpec.internal``.

    Raises:
        CatalogError: RS100, if a name is used twice. SecondWriterError: RS202.
    """

    __slots__ = ("sources", "tasks")

    def __init__(
        self, tasks: Iterable[TaskSpec], sources: Iterable[SourceSpec] = (), *, internal: bool = False
    ) -> None:
        said = _distinct(tasks)
        found = [replace(task, internal=True) if task.internal is None else task for task in said] if internal else said
        self.tasks = tuple(sorted(found, key=lambda task: task.name))
        self.sources = tuple(sorted(_distinct(sources), key=lambda source: source.name))
        raise_all([*_name_problems(self.tasks, self.sources), *_writer_problems(self.tasks, self.sources)])

    @classmethod
    def from_modules(cls, *modules: ModuleType | str, internal: bool = False) -> TaskCatalog:
        """All tasks and sources that are module globals in these modules and in the modules of these packages.

        Args:
            modules: modules, packages, or their dotted names.
            internal: the default of ``TaskSpec.internal``.
        """
        values = [value for module in _with_submodules(modules) for value in vars(module).values()]
        return cls(
            [value for value in values if isinstance(value, TaskSpec)],
            [value for value in values if isinstance(value, SourceSpec)],
            internal=internal,
        )

    @classmethod
    def from_folder(
        cls, folder: str | Path, *, sources: Iterable[SourceSpec] = (), internal: bool = False
    ) -> TaskCatalog:
        """A task for every ``.sql`` file in a folder and its subfolders.

        The file's name is the name of the task and its table: ``revenue.sql``, or ``staging.orders.sql`` for the table
        ``orders`` in the schema ``staging``. Subfolders do not affect names. A YAML header may declare
        ``kind``, ``description``, ``owners``, ``tags``, ``group``, ``kinds``, ``cron``, ``internal``, ``retries``,
        ``pool``, and the SQLGlot ``dialect`` of the text::

            /* ---
            kind: view
            cron: "0 6 * * *"
            --- */
            SELECT ...

        Args:
            folder: relative to the working folder.
            sources: declared sources that the tasks read.
            internal: the default for tasks whose headers do not set it.

        Raises:
            CatalogError: RS100, if the folder has no such file, or a header is invalid; a ``CompileError`` if
                several are.
        """
        tasks: list[TaskSpec] = []
        problems: list[RelspecError] = []
        for path in sql_paths(folder):
            try:
                file = sql_file(path)
                tasks.append(TaskSpec(file.name, file, **file.declared))
            except RelspecError as error:
                problems.append(error)
        raise_all(problems)
        return cls(tasks, sources, internal=internal)

    def __add__(self, other: TaskCatalog) -> TaskCatalog:
        """The union of both catalogs."""
        return TaskCatalog((*self.tasks, *other.tasks), (*self.sources, *other.sources))

    def __getitem__(self, name: str) -> TaskSpec:
        for found in self.tasks:
            if found.name == name:
                return found
        raise KeyError(f"there is no task '{name}'; {alternatives(name, self.names)}")

    def __iter__(self) -> Iterator[TaskSpec]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The task names, sorted."""
        return tuple(found.name for found in self.tasks)


def _distinct(specs: Iterable[Any]) -> list[Any]:
    """Drop repeated objects: a task that is imported into a second module is the same task."""
    return list({id(spec): spec for spec in specs}.values())


def _name_problems(tasks: tuple[TaskSpec, ...], sources: tuple[SourceSpec, ...]) -> Iterator[RelspecError]:
    seen: dict[str, TaskSpec] = {}
    for spec in tasks:
        first = seen.setdefault(spec.name, spec)
        if first is not spec:
            yield CatalogError(
                f"two tasks are named '{spec.name}'",
                at=f"{first.location} and {spec.location}",
                hint="rename one of them.",
            )
    declared: set[str] = set()
    for source in sources:
        if source.name in declared:
            yield CatalogError(
                f"source '{source.name}' is declared twice", at=f"source '{source.name}'", hint="keep one declaration."
            )
        declared.add(source.name)


def _writer_problems(tasks: tuple[TaskSpec, ...], sources: tuple[SourceSpec, ...]) -> Iterator[RelspecError]:
    declared = {source.name for source in sources}
    writers: dict[str, TaskSpec] = {}
    for spec in tasks:
        for output in spec.outputs or ():
            first = writers.setdefault(output, spec)
            if first is not spec and first.name != spec.name:
                yield second_writer(output, first, spec)
            if output in declared:
                yield source_writer(output, spec)


def second_writer(output: str, first: TaskSpec, second: TaskSpec) -> SecondWriterError:
    """RS202: two tasks write one evidence."""
    return SecondWriterError(
        f"'{output}' is written by two tasks: '{first.name}' and '{second.name}'",
        at=f"{first.where}; {second.where}",
        hint="rename the output of one of them; every evidence has one writer.",
    )


def source_writer(output: str, writer: TaskSpec) -> SecondWriterError:
    """RS202: a task writes an evidence that is declared as a source."""
    return SecondWriterError(
        f"task '{writer.name}' writes '{output}', which is declared as a source",
        at=writer.where,
        hint=f"rename the task's output, or remove the source '{output}'.",
    )


def unknown_task(name: str, tasks: Iterable[str]) -> UnknownTargetError:
    """RS302: there is no task of that name, with the nearest name."""
    return UnknownTargetError(f"there is no task '{name}'", hint=alternatives(name, tasks, most=40))


def _with_submodules(modules: Iterable[ModuleType | str]) -> Iterator[ModuleType]:
    for named in modules:
        module = importlib.import_module(named) if isinstance(named, str) else named
        yield module
        if hasattr(module, "__path__"):
            for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
                yield importlib.import_module(found.name)
