"""A task as it is declared: a calculation with a name, and what people and schedulers are to know of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from relspec_core.declaration.build_context import TaskBuildContext
from relspec_core.declaration.sql_files import SqlFile
from relspec_core.errors import CatalogError, SourceLocation
from relspec_core.model.formatting import did_you_mean
from relspec_core.model.names import is_evidence_name

if TYPE_CHECKING:
    import ibis


Kind: TypeAlias = Literal["table", "view"]
KINDS: tuple[Kind, ...] = ("table", "view")
Built: TypeAlias = "ibis.Table | Mapping[str, ibis.Table]"
Builder: TypeAlias = Callable[[TaskBuildContext], Built]
NAME_HINT = "use one to three parts joined by dots, such as 'orders' or 'staging.orders'."
CRON_FIELDS = 5


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
        kinds: words that Dagster shows on its tables, beside the engine and the language.
        cron: five fields; when the task is due by itself.
        deterministic: the author's word that the same inputs give the same table, although relspec doubts it.
        early_cutoff: whether readers are left alone where a build of this task gives them what they read before.
        timeout: the most seconds that a build may take; as the run says where left out.
        retries: how often it is tried again after a fault that may pass; as the run says where left out.
        pool: in Dagster, the pool in which its op waits for others; that of the database where left out.
        internal: whether its tables are for other tasks only: those that tasks read are written with just the columns
            that these need. None: as the catalog says.
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
    kinds: tuple[str, ...] = field(default=(), kw_only=True)
    cron: str | None = field(default=None, kw_only=True)
    deterministic: bool = field(default=False, kw_only=True)
    early_cutoff: bool = field(default=True, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    retries: int | None = field(default=None, kw_only=True)
    pool: str | None = field(default=None, kw_only=True)
    internal: bool | None = field(default=None, kw_only=True)
    location: SourceLocation | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "location", _location_of(self.build))
        if self.outputs is not None:
            object.__setattr__(self, "outputs", tuple(self.outputs))
        object.__setattr__(self, "owners", tuple(self.owners))
        object.__setattr__(self, "kinds", tuple(self.kinds))
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
    kinds: Iterable[str] = (),
    cron: str | None = None,
    deterministic: bool = False,
    early_cutoff: bool = True,
    timeout: float | None = None,
    retries: int | None = None,
    pool: str | None = None,
    internal: bool | None = None,
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
    kinds: Iterable[str] = (),
    cron: str | None = None,
    deterministic: bool = False,
    early_cutoff: bool = True,
    timeout: float | None = None,
    retries: int | None = None,
    pool: str | None = None,
    internal: bool | None = None,
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
            kinds=tuple(kinds),
            cron=cron,
            deterministic=deterministic,
            early_cutoff=early_cutoff,
            timeout=timeout,
            retries=retries,
            pool=pool,
            internal=internal,
        )

    return decorate if build is None else decorate(build)


def _problem_of_task(spec: TaskSpec) -> tuple[str, str] | None:  # noqa: PLR0911 - one case for each problem
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
    if spec.retries is not None and (not isinstance(spec.retries, int) or spec.retries < 0):
        return f"it can't be tried again {spec.retries} times", "give a whole number from 0, or leave 'retries' out."
    if not callable(spec.build):
        return "its builder can't be called", "give a function of one argument, the build context."
    return None


def _location_of(build: Builder) -> SourceLocation | None:
    if isinstance(build, SqlFile):
        return build.location
    code = getattr(inspect.unwrap(build), "__code__", None)
    return SourceLocation(code.co_filename, code.co_firstlineno) if code else None
