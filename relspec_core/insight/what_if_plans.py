"""Plans as they would be over evidence of other schemas: compiled, never run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import ibis

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.insight.column_reference import columns_of
from relspec_core.model.formatting import listed
from relspec_core.model.schemas import same_type
from relspec_core.plan_catalog import PartialCatalog, compile_what_compiles
from relspec_core.task_catalog import ExecutionContext, TaskCatalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.graph_inference import TaskGraph
    from relspec_core.insight.schema_change import EvidenceChange
    from relspec_core.plan_catalog import PlanCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCompiler:
    """Compiles tasks over evidence of given schemas, whatever the warehouse and the files have.

    Attributes:
        sources: declared ones; of those that have no given schema a builder may still ask for the schema.
        backend: whose dialect the plans are in.
        ctx: more sources, parameters, and what earlier compilations worked out.
    """

    sources: tuple[SourceSpec, ...]
    backend: Engine
    ctx: ExecutionContext

    def compile(self, plans: PlanCatalog, tasks: Iterable[str], schemas: Mapping[str, ibis.Schema]) -> PartialCatalog:
        """The plans of some tasks of a compiled catalog, with what is wrong with the others of them.

        Args:
            plans: of the catalog, which say for certain what each task writes.
            tasks: which of them to compile.
            schemas: of the evidence that they read, less what they write.
        """
        wanted = frozenset(tasks)
        given = [SourceSpec(name, schema=schema) for name, schema in schemas.items()]
        others = [source for source in (*self.sources, *self.ctx.sources) if source.name not in schemas]
        catalog = TaskCatalog([task for task in plans.tasks if task.name in wanted], [*given, *others])
        ctx = replace(self.ctx, sources=())
        return compile_what_compiles(catalog, backend=self.backend, ctx=ctx, others=plans)

    def with_lost_columns(self, plans: PlanCatalog) -> PlanCatalog:
        """The same plans, all over one schema of each source: with the columns that it has lost since the last run.

        Those that could do without were compiled without. Where not all compile with them, the plans as they are.
        """
        found = self.compile(plans, [task.name for task in plans.tasks], plans.schemas)
        return found.plans if len(found.plans) == len(plans) else plans


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """What a task would write otherwise than it does now.

    Attributes:
        evidence: the table.
        lost: columns that it would not have any more.
        new: columns that it does not have now.
        retyped: columns that it would have with another type.
        moved: whether the same columns would be in another order.
    """

    evidence: str
    lost: tuple[str, ...]
    new: tuple[str, ...]
    retyped: Mapping[str, dt.DataType]
    moved: bool

    def __str__(self) -> str:
        parts = [
            *([f"without {listed(self.lost)}"] if self.lost else []),
            *([f"with new {listed(self.new)}"] if self.new else []),
            *(f"with '{column}' as {kind}" for column, kind in self.retyped.items()),
        ]
        same = "with its columns in another order" if self.moved else "from other columns"
        return f"'{self.evidence}' {' and '.join(parts) or same}"


def table_change(evidence: str, now: ibis.Schema, then: ibis.Schema) -> TableChange:
    """What a table of one schema would have otherwise than it has now."""
    return TableChange(
        evidence=evidence,
        lost=tuple(name for name in now if name not in then),
        new=tuple(name for name in then if name not in now),
        retyped={name: kind for name, kind in then.items() if name in now and not same_type(now[name], kind)},
        moved=tuple(now) != tuple(then),
    )


def plans_after(
    change: EvidenceChange, *, plans: PlanCatalog, graph: TaskGraph, compiler: PlanCompiler
) -> PartialCatalog:
    """The plans of all tasks as they would be after a change, with what would be wrong with those that have none.

    The task that writes the evidence is left out: it would have to be another one. Where the evidence would be gone,
    or has the columns that it has now, no plan is another one.
    """
    if change.schema is None or change.schema == columns_of(change.evidence, graph):
        return PartialCatalog(plans=plans, errors={}, asked={}, whole=plans)
    writer = graph.producer(change.evidence)
    written = () if writer is None else graph.outputs_of(writer)
    schemas = {name: columns_of(name, graph) for name in (*graph.sources, *written)}
    tasks = [task for task in graph.tasks if task != writer]
    return compiler.compile(plans, tasks, {**schemas, change.evidence: change.schema})


def compiles_without(
    task: str,
    columns: Mapping[str, frozenset[str]],
    changes: Mapping[str, EvidenceChange],
    *,
    plans: PlanCatalog,
    graph: TaskGraph,
    compiler: PlanCompiler,
) -> bool:
    """Whether a task would compile, by itself, where columns of what it reads had other names.

    Then it names none of them: it takes whatever columns there are.

    Args:
        task: by its name.
        columns: by evidence.
        changes: the evidence that would have another schema by then.
        plans: of the catalog as it is.
        graph: of these.
        compiler: of the same catalog.
    """
    others = [name for name in graph.evidence if graph.producer(name) != task]
    then = {name: changes[name].schema if name in changes else columns_of(name, graph) for name in others}
    schemas = {name: schema for name, schema in then.items() if schema is not None}
    renamed = {name: _under_other_names(schemas[name], found) for name, found in columns.items()}
    return not compiler.compile(plans, [task], {**schemas, **renamed}).errors


def _under_other_names(schema: ibis.Schema, columns: frozenset[str]) -> ibis.Schema:
    mark = "_" * (1 + max((len(name) for name in schema), default=0))
    return ibis.schema({f"{name}{mark}" if name in columns else name: kind for name, kind in schema.items()})
