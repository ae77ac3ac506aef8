"""A pytest module that runs one task on small tables with only the columns that the task reads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ibis

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.engine_error import EngineError
from relspec_core.insight.sample_values import NULL, TEXTS, literal
from relspec_core.model.duckdb_types import schema_to_duckdb
from relspec_core.model.names import quoted_column, quoted_name
from relspec_core.plan_catalog import compile_what_compiles
from relspec_core.sources.schema_files import name_of_type
from relspec_core.sql.binding import empty_table
from relspec_core.task_catalog import TaskCatalog, unknown_task
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.plan_catalog import PartialCatalog, PlanArtifact, PlanCatalog
    from relspec_core.task_catalog import TaskSpec


ROWS = (1, 2, 3)

MODULE = '''\
"""Task {task!r} on small tables with only the columns that it reads; printed by `relspec fixtures {task}`.

Replace the values by those that matter, and assert at the end which rows you expect. Run it in the project's folder,
where the catalog can be imported: python -m pytest.
"""

import ibis

from relspec_core import {names}

TABLES = r"""
{tables}
"""
{sources}

def test_{function}_runs_on_the_columns_that_it_reads() -> None:
    backend = ibis.duckdb.connect()
    backend.con.execute(TABLES)
    task = catalog_at({catalog!r})[{task!r}]
    run(TaskCatalog([task]{given}), backend=backend, quiet=True).raise_if_failed()
{checks}'''

SOURCES = """
# The task's builder refers to columns that its plan does not read: they are declared here, and in no table.
COLUMNS = {columns}
SOURCES = [
    SourceSpec(name, schema={{column: type_named(kind) for column, kind in columns.items()}})
    for name, columns in COLUMNS.items()
]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureTable:
    """An input of a task.

    Attributes:
        name: name of the evidence.
        columns: the columns that the task reads, in the evidence's order; the evidence's first column if it reads none.
        rows: DuckDB literals, in the order of the columns.
    """

    name: str
    columns: ibis.Schema
    rows: tuple[tuple[str, ...], ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements that create and fill the table."""
        types = schema_to_duckdb(self.columns)
        rows = ",\n".join(f"    ({', '.join(row)})" for row in self.rows)
        listing = ", ".join(quoted_column(column) for column in types)
        insert = f"INSERT INTO {quoted_name(self.name)} ({listing}) VALUES\n{rows}"
        return (*empty_table(self.name, types), insert)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFixtures:
    """A task and small tables to run it on; prints itself as a pytest module.

    Attributes:
        task: name of the task.
        catalog: reference of the catalog that contains it.
        tables: its inputs, by name.
        declared: complete schemas of the tables that its builder refers to, if it needs more columns than its plan
            reads; else empty.
        outputs: the columns of each of its outputs.
        refused: the engine's error for every kind of values that was tried; None if the task runs.
    """

    task: str
    catalog: str
    tables: tuple[FixtureTable, ...]
    declared: Mapping[str, ibis.Schema]
    outputs: Mapping[str, tuple[str, ...]]
    refused: str | None

    def __str__(self) -> str:
        tables = [f"{statement};" for table in self.tables for statement in table.statements]
        if self.refused:
            tables.insert(0, f"-- Other values are needed. DuckDB's error with these: {self.refused}")
        columns = {name: _type_names(schema) for name, schema in self.declared.items()}
        return MODULE.format(
            task=self.task,
            function=re.sub(r"\W+", "_", self.task),
            catalog=self.catalog,
            names="SourceSpec, TaskCatalog, catalog_at, run, type_named" if columns else "TaskCatalog, catalog_at, run",
            tables="\n".join(tables).replace('"""', '""" + \'"""\' + r"""'),
            sources=SOURCES.format(columns=json.dumps(columns, indent=4, ensure_ascii=False)) if columns else "",
            given=", SOURCES" if columns else "",
            checks="\n".join(_check(output, columns) for output, columns in self.outputs.items()),
        )

    def to_json(self) -> str:
        """The module and the tables in it, as JSON."""
        data = {
            "task": self.task,
            "tables": {
                table.name: {
                    "columns": _type_names(table.columns),
                    "rows": [list(row) for row in table.rows],
                }
                for table in self.tables
            },
            "outputs": {output: list(columns) for output, columns in self.outputs.items()},
            "refused": self.refused,
            "module": str(self),
        }
        return json.dumps(data, indent=2)


def task_fixtures(task: str, compiled: PartialCatalog, *, catalog: str) -> TaskFixtures:
    """Small tables for the inputs of a task, and a module that runs it on them; tried in a database in memory.

    Args:
        task: name of the task.
        compiled: the compiled catalog.
        catalog: reference that the module loads the catalog by: ``package.module:attribute``, or a folder with a slash.

    Raises:
        UnknownTargetError: RS302.
    """
    plans = compiled.whole  # without column pruning: in the test, the task has no readers
    specs = {spec.name: spec for spec in plans.tasks}
    if task not in specs:
        raise unknown_task(task, specs)
    schemas = _input_schemas(task, plans)
    declared = {} if _same_plans(specs[task], plans, schemas) else {**compiled.asked[task], **_whole(task, plans)}
    tables, refused = _tables_that_run(plans.of_task(task), schemas)
    return TaskFixtures(
        task=task,
        catalog=catalog,
        tables=tables,
        declared=declared,
        outputs={plan.name: tuple(plan.schema) for plan in plans.of_task(task)},
        refused=refused,
    )


def _whole(task: str, plans: PlanCatalog) -> dict[str, ibis.Schema]:
    """The schemas of the inputs, with all columns."""
    return {name: plans[name].schema if name in plans else plans.schemas[name] for name in plans.deps_of(task).inputs}


def _input_schemas(task: str, plans: PlanCatalog) -> dict[str, ibis.Schema]:
    """The schemas of the inputs, with the columns that are read, in the evidence's order; at least one column each."""
    required = plans.deps_of(task).required_columns
    return {
        name: ibis.schema(
            {column: kind for column, kind in schema.items() if column in (required[name] or tuple(schema)[:1])}
        )
        for name, schema in _whole(task, plans).items()
    }


def _same_plans(task: TaskSpec, plans: PlanCatalog, schemas: Mapping[str, ibis.Schema]) -> bool:
    """Whether the task's builder returns the same plans if the inputs have only these columns."""
    sources = [SourceSpec(name, schema=schema) for name, schema in schemas.items()]
    found = compile_what_compiles(TaskCatalog([task], sources)).plans
    return [(plan.name, plan.sql) for plan in found] == [(plan.name, plan.sql) for plan in plans.of_task(task.name)]


def _tables_that_run(
    plans: Iterable[PlanArtifact], schemas: Mapping[str, ibis.Schema]
) -> tuple[tuple[FixtureTable, ...], str | None]:
    """Tables with the first kind of values that the plans run on; else those of the first kind, with the error."""
    kinds = [_tables(schemas, text) for text in (*TEXTS, None)]
    refusals: list[str] = []
    for tables in kinds:
        refusal = _refusal(plans, tables)
        if refusal is None:
            return tables, None
        refusals.append(refusal)
    return kinds[0], refusals[0]


def _tables(schemas: Mapping[str, ibis.Schema], text: Callable[[int], str] | None) -> tuple[FixtureTable, ...]:
    """A table for each schema, with texts of one kind; without a kind, every value is NULL."""
    return tuple(
        FixtureTable(
            name=name,
            columns=schema,
            rows=tuple(
                tuple(NULL if text is None else literal(kind, row, text=text) for kind in schema.values())
                for row in ROWS
            ),
        )
        for name, schema in schemas.items()
    )


def _refusal(plans: Iterable[PlanArtifact], tables: tuple[FixtureTable, ...]) -> str | None:
    """The engine's error when the plans run on these tables; None if they run."""
    warehouse = DuckDBWarehouse(ibis.duckdb.connect())
    try:
        for table in tables:
            for statement in table.statements:
                warehouse.execute(statement)
        for plan in plans:
            warehouse.prepare(plan)
            warehouse.create(plan.name, plan.sql, schema=plan.schema, kind=plan.task.kind)
            warehouse.counts([plan.name])
    except EngineError as error:
        return error.first_line
    finally:
        warehouse.backend.disconnect()
    return None


def _type_names(schema: ibis.Schema) -> dict[str, str]:
    return {column: name_of_type(kind) for column, kind in schema.items()}


def _check(output: str, columns: tuple[str, ...]) -> str:
    statement = f"FROM {quoted_name(output)} ORDER BY ALL"
    return (
        f"    found = backend.con.execute({statement!r})\n"
        f"    assert [column[0] for column in found.description] == {list(columns)!r}\n"
    )
