"""Declarations of tasks: named calculations with metadata for people and schedulers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from relspec_core.declaration.build_context import TaskBuildContext
from relspec_core.declaration.sql_files import SqlFile
from relspec_core.errors import CatalogError, SourceLocation
from relspec_core.model.formatting import alternatives
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
        build: returns the plan, or a plan for each output; called once for each compilation.
        outputs: evidence names. None: the task's own name, or the keys of the mapping that the builder returns.
        kind: ``table`` (written) or ``view`` (defined).
        description: in Markdown; shown wherever the task is shown.
        owners: e-mail addresses, or ``team:name``.
        tags: free labels.
        group: a label for display and selection.
        kinds: labels that Dagster shows on its tables, in addition to the engine and the language.
        cron: cron schedule of five fields.
        deterministic: assertion that the same inputs give the same table, where relspec detects nondeterminism.
        early_cutoff: whether readers are skipped if a build of this task leaves the values that they read unchanged.
        timeout: maximum seconds of a build; default: that of the run.
        retries: retries after transient failures; default: that of the run.
        pool: Dagster pool of its op; default: the pool of the database.
        internal: whether its tables are for other tasks only, so that they are written with only the columns that
            their readers need. None: the default of the catalog.
        location: where the builder is defined; detected.
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
        """The outputs that are known before the builder is called."""
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
    """Turn a function ``(ctx) -> ibis.Table`` into a task; a decorator with or without arguments.

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
    """The first problem of a task's declaration, with a hint."""
    names = (spec.name, *(spec.outputs or ()))
    unusable = [name for name in names if not isinstance(name, str) or not is_evidence_name(name)]
    if unusable:
        return f"'{unusable[0]}' is not a valid name of a task or its output", NAME_HINT
    if spec.outputs is not None and len(set(spec.outputs)) != max(len(spec.outputs), 1):
        return "outputs are empty or repeated", "name each output once, or omit 'outputs'."
    if spec.kind not in KINDS:
        return f"kind '{spec.kind}' is unknown", alternatives(spec.kind, KINDS)
    if spec.cron is not None and len(spec.cron.split()) != CRON_FIELDS and not spec.cron.startswith("@"):
        return (
            f"cron '{spec.cron}' does not have five fields",
            "write minute, hour, day, month and weekday: '0 6 * * *'.",
        )
    if spec.retries is not None and (not isinstance(spec.retries, int) or spec.retries < 0):
        return f"retries {spec.retries} is not a whole number from 0", "set a whole number from 0, or omit 'retries'."
    if not callable(spec.build):
        return "its builder is not callable", "use a function of one argument, the build context."
    return None


def _location_of(build: Builder) -> SourceLocation | None:
    if isinstance(build, SqlFile):
        return build.location
    code = getattr(inspect.unwrap(build), "__code__", None)
    return SourceLocation(code.co_filename, code.co_firstlineno) if code else None
