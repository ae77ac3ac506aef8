"""Compilation of a task catalog into plans: canonical trees with inferred dependencies and fingerprints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import ibis

from relspec_core.compilation.column_pruning import prune_internal_tables
from relspec_core.compilation.plan_artifact import PlanArtifact, plan_artifact
from relspec_core.compilation.source_schemas import SourceSchemas
from relspec_core.compilation.task_building import BrokenUpstream, TaskBuilding
from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.backend_tables import dialect_of
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB, require_sql
from relspec_core.engines.sqlglot_build import warn_if_compiled
from relspec_core.errors import RelspecError, SourceError, UnknownColumnError, UnknownTableError, all_of, raise_all
from relspec_core.inferred_deps import InferredDeps, merge_deps
from relspec_core.model.formatting import alternatives
from relspec_core.sources.source_files import SourceListings
from relspec_core.system.compile_cache import CompileCache
from relspec_core.task_catalog import ExecutionContext, TaskCatalog, TaskSpec

if TYPE_CHECKING:
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.evidence import EvidenceCatalog


__all__ = ["InferredDeps", "PlanArtifact", "PlanCatalog", "compile_task_catalog"]


class PlanCatalog:
    """The plans of a catalog; iterates over them by task name, then in the order of a task's outputs.

    ``plan_catalog["revenue"]`` gives the plan of that evidence.

    Args:
        plans: in that order.
        sources: every evidence that plans read and no task writes.
        schemas: of the sources, as used to compile the plans.
        dialect: the SQLGlot dialect of the plans' SQL.
        cache: compilation results, and observations of source files.

    Attributes:
        by_task: the plans of each task's outputs, in order.
    """

    __slots__ = ("_plans", "by_task", "cache", "dialect", "schemas", "sources")

    def __init__(
        self,
        plans: tuple[PlanArtifact, ...],
        *,
        sources: Mapping[str, SourceSpec],
        schemas: Mapping[str, ibis.Schema],
        dialect: str,
        cache: CompileCache | None = None,
    ) -> None:
        self.cache = cache or CompileCache()
        self._plans = {plan.name: plan for plan in plans}
        by_task: dict[str, list[PlanArtifact]] = {}
        for plan in self:
            by_task.setdefault(plan.task.name, []).append(plan)
        self.by_task: Mapping[str, tuple[PlanArtifact, ...]] = {name: tuple(found) for name, found in by_task.items()}
        self.sources = sources
        self.schemas = schemas
        self.dialect = dialect

    def __iter__(self) -> Iterator[PlanArtifact]:
        return iter(self._plans.values())

    def __len__(self) -> int:
        return len(self._plans)

    def __contains__(self, name: object) -> bool:
        return name in self._plans

    def __getitem__(self, name: str) -> PlanArtifact:
        if name in self._plans:
            return self._plans[name]
        raise KeyError(f"no plan writes '{name}'; {alternatives(name, self._plans)}")

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks, by name."""
        return tuple(plans[-1].task for plans in self.by_task.values())

    def of_task(self, name: str) -> tuple[PlanArtifact, ...]:
        """The plans of a task's outputs, in order; empty for an unknown task."""
        return self.by_task.get(name, ())

    def part(self, outputs: Iterable[str]) -> PlanCatalog:
        """The plans of these outputs, with all other tables that they read, including other tasks', as sources."""
        wanted = self._in_order(outputs)
        own = {plan.name for plan in wanted}
        read = sorted({name for plan in wanted for name in plan.deps.inputs} - own)
        schemas = {name: self.schemas[name] if name in self.schemas else self[name].schema for name in read}
        return self._with(wanted, {name: self.sources.get(name) or SourceSpec(name) for name in read}, schemas)

    def around(self, outputs: Iterable[str]) -> PlanCatalog:
        """The plans of these outputs and of their input tables, with the sources that these outputs read."""
        wanted = self._in_order(outputs)
        read = {name for plan in wanted for name in plan.deps.inputs}
        near = self._in_order([*(plan.name for plan in wanted), *(name for name in read if name in self)])
        sources = {name: source for name, source in self.sources.items() if name in read}
        return self._with(near, sources, {name: self.schemas[name] for name in sources})

    def sources_alone(self, names: Iterable[str]) -> PlanCatalog:
        """A catalog of these sources without plans."""
        wanted = set(names)
        sources = {name: source for name, source in self.sources.items() if name in wanted}
        return self._with((), sources, {name: self.schemas[name] for name in sources})

    def _in_order(self, outputs: Iterable[str]) -> list[PlanArtifact]:
        wanted = set(outputs)
        return [plan for name, plan in self._plans.items() if name in wanted]

    def _with(
        self, plans: Iterable[PlanArtifact], sources: Mapping[str, SourceSpec], schemas: Mapping[str, ibis.Schema]
    ) -> PlanCatalog:
        return PlanCatalog(tuple(plans), sources=sources, schemas=schemas, dialect=self.dialect, cache=self.cache)

    def deps_of(self, task: str) -> InferredDeps:
        """The dependencies of a task, over all its outputs."""
        return deps_of(self.of_task(task))


def deps_of(plans: Sequence[PlanArtifact]) -> InferredDeps:
    """The merged dependencies of the plans of one task."""
    return plans[0].deps if len(plans) == 1 else merge_deps(plan.deps for plan in plans)


def compile_task_catalog(
    task_catalog: TaskCatalog,
    *,
    backend: Engine | None = None,
    ctx: ExecutionContext | None = None,
    known: EvidenceCatalog | None = None,
    listings: SourceListings | None = None,
) -> PlanCatalog:
    """Compile every task into plans with inferred dependencies; nothing is executed and nothing is written.

    Args:
        task_catalog: the declared tasks and sources.
        backend: determines the SQL dialect and provides undeclared sources; default: an embedded DuckDB.
        ctx: additional sources, and parameters.
        known: evidence recorded earlier. A task that reads a column that a source has lost since then is compiled
            against the recorded schema, so that it is reported as blocked and other tasks still run.
        listings: the files of sources, if they are observed too; default: listed for this compilation.

    Raises:
        RelspecError: RS1xx or RS2xx; a ``CompileError`` if there are several.
    """
    warn_if_compiled()
    found = compile_what_compiles(task_catalog, backend=backend, ctx=ctx, known=known, listings=listings)
    raise_all([problem for errors in found.errors.values() for problem in errors])
    return found.plans


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialCatalog:
    """The plans of the tasks that compile, and the errors of the others.

    Attributes:
        plans: their inputs may be tables of tasks that have no plan.
        errors: by task; a reader of a task without a plan may have neither a plan nor an error.
        asked: by task, the evidence that its builder requested, read by the plan or not, with its schema.
        whole: the plans before column pruning, with every column of internal tables.
    """

    plans: PlanCatalog
    errors: Mapping[str, tuple[RelspecError, ...]]
    asked: Mapping[str, Mapping[str, ibis.Schema]]
    whole: PlanCatalog


def compile_what_compiles(
    task_catalog: TaskCatalog,
    *,
    backend: Engine | None = None,
    ctx: ExecutionContext | None = None,
    known: EvidenceCatalog | None = None,
    listings: SourceListings | None = None,
    others: PlanCatalog | None = None,
) -> PartialCatalog:
    """Compile the tasks that compile, and collect the errors of the others.

    Args:
        task_catalog: as for ``compile_task_catalog``.
        backend: as for ``compile_task_catalog``.
        ctx: as for ``compile_task_catalog``.
        known: as for ``compile_task_catalog``.
        listings: as for ``compile_task_catalog``.
        others: plans that count as readers of internal tables for tasks that do not compile now. Without them,
            internal tables are not pruned while there are errors, as the columns that a task without a plan needs are
            unknown.

    Raises:
        RelspecError: RS100, RS105 or RS202, for problems of the catalog or the backend as a whole.
    """
    warn_if_compiled()
    engine = ExclusiveDuckDB.open() if backend is None else backend
    require_sql(engine)
    ctx = ctx or ExecutionContext()
    catalog = TaskCatalog(task_catalog.tasks, (*task_catalog.sources, *ctx.sources))
    listings = listings or SourceListings()
    building, plans, errors = _compile(catalog, engine, ctx, listings)
    builds = dict.fromkeys(plans, building)
    lost = any(
        isinstance(problem, UnknownColumnError | UnknownTableError | SourceError)
        for error in errors.values()
        for problem in all_of(error)
    )
    if lost and known is not None and building.schemas.lost_columns(known):
        building, remembered, errors = _compile(catalog, engine, ctx, listings, known)
        plans = {**remembered, **plans}
        builds = {**dict.fromkeys(remembered, building), **builds}

    def catalog_of(found: tuple[PlanArtifact, ...]) -> PlanCatalog:
        return PlanCatalog(found, **_sources_read(found, building.schemas), dialect=dialect_of(engine), cache=ctx.cache)

    whole = catalog_of(tuple(plan for name in sorted(plans) for plan in plans[name]))
    as_written = whole
    if any(task.internal for task in catalog) and (others is not None or not errors):
        as_written = catalog_of(prune_internal_tables(whole, others=others or (), builds=builds))
    return PartialCatalog(
        plans=as_written,
        errors={name: all_of(errors[name]) for name in sorted(errors)},
        asked=building.asked,
        whole=whole,
    )


Compiled: TypeAlias = tuple[TaskBuilding, dict[str, tuple[PlanArtifact, ...]], dict[str, RelspecError]]


def _compile(
    catalog: TaskCatalog,
    backend: Engine,
    ctx: ExecutionContext,
    listings: SourceListings,
    known: EvidenceCatalog | None = None,
) -> Compiled:
    """Compile all tasks once: the build results, and plans and errors by task name."""
    schemas = SourceSchemas(catalog.sources, backend=backend, cache=ctx.cache, listings=listings, known=known)
    building = TaskBuilding(
        catalog=catalog, schemas=schemas, backend=backend, params=dict(ctx.params or {}), cache=ctx.cache
    )
    building.build_all()
    plans: dict[str, tuple[PlanArtifact, ...]] = {}
    errors = dict(building.errors)
    for name in sorted(building.built):
        try:
            plans[name] = tuple(
                plan_artifact(building, building.built[name], output) for output in building.built[name].exprs
            )
        except BrokenUpstream:
            continue
        except RelspecError as error:
            errors[name] = error
    return building, plans, errors


def _sources_read(plans: Collection[PlanArtifact], schemas: SourceSchemas) -> dict[str, dict]:
    """Every evidence that a plan reads and no plan writes, with its schema."""
    written = {plan.name for plan in plans}
    read = sorted({name for plan in plans for name in plan.deps.inputs} - written)
    found = {name: source for name in read if (source := schemas.find(name)) is not None}
    return {
        "sources": {name: source for name, (source, _) in found.items()},
        "schemas": {name: schema for name, (_, schema) in found.items()},
    }
