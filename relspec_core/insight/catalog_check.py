"""A whole catalog compiled, bound and run on empty tables, far from the warehouse; every problem in one report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from relspec_core.compilation.source_schemas import SourceSchemas
from relspec_core.engines.duckdb_backend import NAME
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import RelspecError, SourceError, TaskFailedError, UnsupportedPlanError
from relspec_core.model.formatting import listed
from relspec_core.model.names import quoted_name
from relspec_core.plan_catalog import compile_what_compiles
from relspec_core.sources.source_files import SourceListings
from relspec_core.sql.binding import create_empty_table, duckdb_types
from relspec_core.task_catalog import ExecutionContext
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.warehouse import Warehouse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
    from relspec_core.system.compile_cache import CompileCache
    from relspec_core.task_catalog import TaskCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogReport:
    """What is wrong with a catalog.

    Attributes:
        tasks: how many it has.
        ran: the tasks that ran on empty tables, by name.
        problems: of sources and tasks, in that order, by name.
        unchecked: tasks that read what a task with a problem writes, and could not be compiled.
        without_schema: declared sources that have neither a schema nor data, by name.
    """

    tasks: int
    ran: tuple[str, ...]
    problems: tuple[RelspecError, ...]
    unchecked: tuple[str, ...]
    without_schema: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every task compiles and runs."""
        return not self.problems

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.unchecked:
            lines.append(f"not checked, as they read what these write: {listed(self.unchecked, most=40)}")
        if self.without_schema:
            lines.append(
                f"sources without a schema: {listed(self.without_schema, most=40)}; declare it, or bring their data"
            )
        ran = f"{len(self.ran)} of {self.tasks} tasks compile and run on empty tables"
        return "\n".join([*lines, f"{ran}, {len(self.problems)} problems"])

    def to_json(self) -> str:
        """The same as JSON."""
        data = {
            "ok": self.ok,
            "tasks": self.tasks,
            "ran": list(self.ran),
            "problems": [
                {"code": problem.code, "what": problem.what, "at": problem.at, "next": problem.hint}
                for problem in self.problems
            ],
            "unchecked": list(self.unchecked),
            "sources_without_schema": list(self.without_schema),
        }
        return json.dumps(data, indent=2)


def check_catalog(task_catalog: TaskCatalog, *, backend: Engine, ctx: ExecutionContext | None = None) -> CatalogReport:
    """Every problem that shows before there is any data.

    Args:
        task_catalog: what users declared.
        backend: asked for the schemas of sources, and for nothing else; nothing is written to it.
        ctx: more sources, and parameters.

    Raises:
        UnsupportedPlanError: RS202, for plans of another engine: they are tried on DuckDB.
    """
    if backend.name != NAME:
        raise UnsupportedPlanError(
            f"plans are checked on empty tables in DuckDB, and these are written for {backend.name}",
            hint="check the catalog against a DuckDB file; 'relspec plan' compiles it for the engine.",
        )
    ctx = ctx or ExecutionContext()
    listings = SourceListings()
    found = compile_what_compiles(task_catalog, backend=backend, ctx=ctx, listings=listings)
    scratch = DuckDBWarehouse(ibis.duckdb.connect())
    try:
        broken = tuple(_create_tables(found.plans, scratch))
        errors = {**found.errors, **_run_all(found.plans, scratch)}
    finally:
        scratch.backend.disconnect()
    planned = [task.name for task in found.plans.tasks]
    return CatalogReport(
        tasks=len(task_catalog),
        ran=tuple(task for task in planned if task not in errors),
        problems=(*broken, *(problem for task in sorted(errors) for problem in errors[task])),
        unchecked=tuple(task for task in task_catalog.names if task not in planned and task not in errors),
        without_schema=tuple(_without_schema(task_catalog, backend, ctx.cache, listings)),
    )


def _without_schema(
    task_catalog: TaskCatalog, backend: Engine, cache: CompileCache, listings: SourceListings
) -> Iterable[str]:
    schemas = SourceSchemas(task_catalog.sources, backend=backend, cache=cache, listings=listings)
    for source in task_catalog.sources:
        try:
            if schemas.find(source.name) is None:
                yield source.name
        except SourceError:
            yield source.name


def _create_tables(plans: PlanCatalog, scratch: Warehouse) -> Iterable[RelspecError]:
    """Create empty tables for everything that plans read and write; report sources whose types DuckDB refuses."""
    lacking = {
        name: ibis.schema(plan.deps.required_types[name])
        for plan in plans
        for name in plan.deps.inputs
        if name not in plans and name not in plans.schemas
    }
    written = {plan.name: plan.schema for plan in plans}
    for name, columns in duckdb_types({**lacking, **plans.schemas, **written}).items():
        try:
            create_empty_table(scratch.connection, name, columns)
        except EngineError as error:
            yield SourceError(
                f"no empty table like '{name}' can be made: {error.first_line}",
                at=f"evidence '{name}'",
                hint="declare its schema with types that DuckDB can create.",
            )


def _run_all(plans: PlanCatalog, scratch: Warehouse) -> dict[str, tuple[RelspecError, ...]]:
    """What the engine says against plans, by task; none waits for another, as every table is there."""
    errors: dict[str, tuple[RelspecError, ...]] = {}
    for plan in plans:
        try:
            _run(plan, scratch)
        except EngineError as error:
            problem = TaskFailedError(
                f"task '{plan.task.name}' does not run on empty tables: {error.first_line}",
                at=plan.task.where,
                hint=f"fix the plan of '{plan.name}'; its inputs are {listed(plan.deps.inputs)}.",
            )
            errors[plan.task.name] = (*errors.get(plan.task.name, ()), problem)
    return errors


def _run(plan: PlanArtifact, scratch: Warehouse) -> None:
    """Make a plan's table or view, read it, and leave the empty table in its place."""
    scratch.prepare(plan)
    scratch.begin()
    try:
        scratch.create(plan.name, plan.sql, schema=plan.schema, kind=plan.task.kind)
        scratch.rows(f"FROM {quoted_name(plan.name)}")
    finally:
        scratch.roll_back()
