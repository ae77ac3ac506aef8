"""What users declare: tasks, sources, and the catalog that holds them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from relspec_core.build_context import TaskBuildContext
from relspec_core.compile_cache import CompileCache
from relspec_core.errors import CatalogError, RelspecError, SecondWriterError, did_you_mean, raise_all
from relspec_core.names import is_evidence_name
from relspec_core.schemas import schema_of
from relspec_core.source_location import SourceLocation
from relspec_core.sql_files import SqlFile, sql_file, sql_paths

if TYPE_CHECKING:
    import ibis

Kind: TypeAlias = Literal["table", "view"]
KINDS: tuple[Kind, ...] = ("table", "view")
Built: TypeAlias = "ibis.Table | Mapping[str, ibis.Table]"


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A named calculation that produces evidence.

    Attributes:
        name: of the task; unique in its catalog.
        build: gives the plan, or a plan for each output; called once for each compilation.
        outputs: evidence names. None: the task's own name, or the keys where the builder returns a mapping.
        kind: ``table`` (written) or ``view`` (defined).
        description: in Markdown; shown wherever the task is.
        owners: e-mail addresses, or ``team:name``.
        tags: free labels.
        group: for showing and selecting together.
        cron: five fields; when the task is due by itself.
        deterministic: the author's word that the same inputs give the same table, although relspec doubts it.
        early_cutoff: whether readers are left alone where a build of this task gives them what they read before.
        timeout: the most seconds that a build may take; as the run says where left out.
        location: where the builder stands; found, not given.
    """

    name: str
    build: Callable[[TaskBuildContext], Built]
    outputs: tuple[str, ...] | None = field(default=None, kw_only=True)
    kind: Kind = field(default="table", kw_only=True)
    description: str = field(default="", kw_only=True)
    owners: tuple[str, ...] = field(default=(), kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    cron: str | None = field(default=None, kw_only=True)
    deterministic: bool = field(default=False, kw_only=True)
    early_cutoff: bool = field(default=True, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    location: SourceLocation | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", _location_of(self.build))
        if self.outputs is not None:
            object.__setattr__(self, "outputs", tuple(self.outputs))
        object.__setattr__(self, "owners", tuple(self.owners))
        problem = _problem_of_task(self)
        if problem:
            raise CatalogError(f"task '{self.name}': {problem[0]}", at=self.where, hint=problem[1])

    @property
    def where(self) -> str:
        """The task with its file and line, for messages."""
        return f"task '{self.name}' defined in {self.location}" if self.location else f"task '{self.name}'"

    @property
    def declared_outputs(self) -> tuple[str, ...]:
        """The outputs as far as they are known before the builder is called."""
        return self.outputs or (self.name,)


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Evidence that no task produces.

    Attributes:
        name: of the evidence.
        schema: its columns with their types, in any form that ``schema_of`` takes; None: read from the data.
        path: file, glob, or several of them (CSV, Parquet or JSON, by suffix); None: a table in the warehouse.
        description: in Markdown.
        owners: e-mail addresses, or ``team:name``.
        tags: free labels.
        group: for showing and selecting together.
    """

    name: str
    schema: Any = field(default=None, kw_only=True)
    path: str | Path | tuple[str, ...] | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    owners: tuple[str, ...] = field(default=(), kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    group: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not is_evidence_name(self.name):
            raise CatalogError(f"'{self.name}' can't name a source", at=f"source '{self.name}'", hint=NAME_HINT)
        if self.schema is not None:
            object.__setattr__(self, "schema", schema_of(self.schema, name=self.name))

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths and globs, as texts."""
        match self.path:
            case None:
                return ()
            case str() | Path():
                return (str(self.path),)
            case _:
                return tuple(str(path) for path in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionContext:
    """What a compilation is given beside the catalog.

    Attributes:
        sources: declared here instead of, or as well as, in the catalog.
        params: handed to every builder as ``ctx.params``.
        cache: what earlier compilations worked out.
    """

    sources: tuple[SourceSpec, ...] = ()
    params: Mapping[str, Any] | None = None
    cache: CompileCache = field(default_factory=CompileCache, compare=False)


class TaskCatalog:
    """Tasks and sources by name, in name order, whatever the order of their declaration.

    Raises:
        CatalogError: RS100, for a name used twice. SecondWriterError: RS202.
    """

    __slots__ = ("sources", "tasks")

    def __init__(self, tasks: Iterable[TaskSpec], sources: Iterable[SourceSpec] = ()) -> None:
        self.tasks = tuple(sorted(_distinct(tasks), key=lambda task: task.name))
        self.sources = tuple(sorted(_distinct(sources), key=lambda source: source.name))
        raise_all([*_name_problems(self.tasks, self.sources), *_writer_problems(self.tasks, self.sources)])

    @classmethod
    def from_modules(cls, *modules: ModuleType | str) -> TaskCatalog:
        """Every task and source that stands as a global in these modules, and in the modules of these packages.

        Args:
            modules: modules, packages, or their dotted names.
        """
        values = [value for module in _with_submodules(modules) for value in vars(module).values()]
        return cls(
            [value for value in values if isinstance(value, TaskSpec)],
            [value for value in values if isinstance(value, SourceSpec)],
        )

    @classmethod
    def from_folder(cls, folder: str | Path, *, sources: Iterable[SourceSpec] = ()) -> TaskCatalog:
        """A task for every ``.sql`` file in a folder and the folders in it.

        The file's name is the task's and its table's: ``revenue.sql``, or ``staging.orders.sql`` for the table
        ``orders`` in the schema ``staging``. Folders are for people and name nothing. A header in YAML may declare
        ``kind``, ``description``, ``owners``, ``tags``, ``group``, ``cron``, and the SQLGlot ``dialect`` of the text::

            /* ---
            kind: view
            cron: "0 6 * * *"
            --- */
            SELECT ...

        Args:
            folder: relative to the working folder.
            sources: that the tasks read, where they have to be declared.

        Raises:
            CatalogError: RS100, for a folder without any such file, and for a header that can't be used; a
                ``CompileError`` holds several.
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
        return cls(tasks, sources)

    def __add__(self, other: TaskCatalog) -> TaskCatalog:
        """The tasks and sources of both."""
        return TaskCatalog((*self.tasks, *other.tasks), (*self.sources, *other.sources))

    def __getitem__(self, name: str) -> TaskSpec:
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(f"no task '{name}'; {did_you_mean(name, self.names)}there are {', '.join(self.names)}")

    def __iter__(self) -> Iterator[TaskSpec]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def names(self) -> tuple[str, ...]:
        """The task names, sorted."""
        return tuple(task.name for task in self.tasks)


Builder: TypeAlias = Callable[[TaskBuildContext], Built]


@overload
def task(build: Builder, /) -> TaskSpec: ...


@overload
def task(
    *,
    name: str | None = None,
    outputs: Iterable[str] | None = None,
    kind: Kind = "table",
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    group: str | None = None,
    cron: str | None = None,
    deterministic: bool = False,
    early_cutoff: bool = True,
    timeout: float | None = None,
) -> Callable[[Builder], TaskSpec]: ...


def task(  # noqa: PLR0913 - as many as a TaskSpec has attributes
    build: Builder | None = None,
    /,
    *,
    name: str | None = None,
    outputs: Iterable[str] | None = None,
    kind: Kind = "table",
    description: str | None = None,
    owners: Iterable[str] = (),
    tags: Mapping[str, str] | None = None,
    group: str | None = None,
    cron: str | None = None,
    deterministic: bool = False,
    early_cutoff: bool = True,
    timeout: float | None = None,
) -> TaskSpec | Callable[[Builder], TaskSpec]:
    """A function ``(ctx) -> ibis.Table`` as a task, with or without arguments to the decorator.

    Name and output default to the function's name, the description to its docstring.
    """

    def decorate(function: Builder) -> TaskSpec:
        return TaskSpec(
            name or getattr(function, "__name__", ""),
            function,
            outputs=None if outputs is None else tuple(outputs),
            kind=kind,
            description=(inspect.getdoc(function) or "") if description is None else description,
            owners=tuple(owners),
            tags=dict(tags or {}),
            group=group,
            cron=cron,
            deterministic=deterministic,
            early_cutoff=early_cutoff,
            timeout=timeout,
        )

    return decorate if build is None else decorate(build)


NAME_HINT = "use one to three parts joined by dots, such as 'orders' or 'staging.orders'."
CRON_FIELDS = 5


def _problem_of_task(spec: TaskSpec) -> tuple[str, str] | None:
    """What is wrong with a task by itself, and what to do."""
    names = (spec.name, *(spec.outputs or ()))
    unusable = [name for name in names if not isinstance(name, str) or not is_evidence_name(name)]
    if unusable:
        return f"'{unusable[0]}' can't name a task or its output", NAME_HINT
    if spec.outputs is not None and len(set(spec.outputs)) != max(len(spec.outputs), 1):
        return "outputs are empty or named twice", "name each output once, or leave 'outputs' out."
    if spec.kind not in KINDS:
        return f"kind '{spec.kind}' is unknown", f"{did_you_mean(spec.kind, KINDS)}There are {' and '.join(KINDS)}."
    if spec.cron is not None and len(spec.cron.split()) != CRON_FIELDS and not spec.cron.startswith("@"):
        return (
            f"cron '{spec.cron}' does not have five fields",
            "write minute, hour, day, month and weekday: '0 6 * * *'.",
        )
    if not callable(spec.build):
        return "its builder can't be called", "give a function of one argument, the build context."
    return None


def _location_of(build: Builder) -> SourceLocation | None:
    if isinstance(build, SqlFile):
        return build.location
    code = getattr(inspect.unwrap(build), "__code__", None)
    return SourceLocation(code.co_filename, code.co_firstlineno) if code else None


def _distinct(specs: Iterable[Any]) -> list[Any]:
    """Each object once: a task imported into a second module is the same task."""
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
                yield SecondWriterError(
                    f"task '{spec.name}' writes '{output}', which is declared as a source",
                    at=spec.where,
                    hint=f"rename the task's output, or remove the source '{output}'.",
                )


def second_writer(output: str, first: TaskSpec, second: TaskSpec) -> SecondWriterError:
    """RS202, for two tasks that write one evidence."""
    return SecondWriterError(
        f"'{output}' is written by two tasks: '{first.name}' and '{second.name}'",
        at=f"{first.where}; {second.where}",
        hint="give one of them another output name; every evidence has one writer.",
    )


def _with_submodules(modules: Iterable[ModuleType | str]) -> Iterator[ModuleType]:
    for named in modules:
        module = importlib.import_module(named) if isinstance(named, str) else named
        yield module
        if hasattr(module, "__path__"):
            for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
                yield importlib.import_module(found.name)
