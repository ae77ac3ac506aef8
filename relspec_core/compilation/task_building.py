"""Execution of builders, once each, upstream tasks on demand."""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir

from relspec_core.compilation.sql_query import SqlQuery, read_sql, unknown_column
from relspec_core.declaration.sql_files import SqlFile
from relspec_core.engines.backend_tables import dialect_of
from relspec_core.errors import (
    BuilderError,
    CycleError,
    RelspecError,
    SourceLocation,
    TextPosition,
    UnknownTableError,
    all_of,
)
from relspec_core.model.formatting import alternatives, first_line, listed
from relspec_core.model.names import NameIndex, table_parts
from relspec_core.sql.binding import scratch_database
from relspec_core.sql.identifiers import ignores_case
from relspec_core.task_catalog import TaskBuildContext, TaskCatalog, TaskSpec, second_writer, source_writer

if TYPE_CHECKING:
    from relspec_core.compilation.source_schemas import SourceSchemas
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.engines.duckdb_connection import DuckDBConnection
    from relspec_core.system.compile_cache import CompileCache


MISSING_COLUMN = re.compile(r"Column '(?P<column>.+?)' is not found in table\. Existing columns: (?P<columns>.*)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTask:
    """The result of a task's builder.

    Attributes:
        task: the declaration, with all outputs known.
        exprs: the expression of each output, in order.
    """

    task: TaskSpec
    exprs: Mapping[str, ir.Table]


class BrokenUpstream(Exception):  # noqa: N818 - a signal: the cause is reported where it arose
    """Signal that a task can't be built because an upstream task has no plan."""


class WaitsForCaller(Exception):  # noqa: N818 - a signal: the task is built later
    """Signal that a task, built to find out its outputs, reads the task that is being built."""


@dataclass(slots=True, kw_only=True)
class TaskBuilding:
    """Calls all builders of a catalog and collects their results.

    Attributes:
        catalog: tasks to build.
        schemas: of the sources.
        backend: determines the default SQL dialect.
        params: for the builders.
        cache: results of earlier compilations.
        built: results by task name.
        errors: errors by task name; a task whose upstream failed has none of its own.
        texts: every SQL text by its operation in the expressions.
        asked: the evidence that each builder requested, read or not, with its schema.
    """

    catalog: TaskCatalog
    schemas: SourceSchemas
    backend: Engine
    params: Mapping[str, object]
    cache: CompileCache
    built: dict[str, BuiltTask] = field(default_factory=dict)
    errors: dict[str, RelspecError] = field(default_factory=dict)
    texts: dict[ops.Node, SqlQuery] = field(default_factory=dict)
    asked: dict[str, dict[str, ibis.Schema]] = field(default_factory=dict)
    _opened: DuckDBConnection | None = None
    _stack: list[str] = field(default_factory=list)
    _called: set[str] = field(default_factory=set)
    _search_from: int = 0
    _writers: dict[str, str] = field(default_factory=dict)
    _spelling: NameIndex = field(default_factory=lambda: NameIndex((), ignore_case=False))

    def build_all(self) -> None:
        """Build every task; errors are collected in ``errors``."""
        self._writers = {output: task.name for task in self.catalog for output in task.declared_outputs}
        ignore_case = ignores_case(dialect_of(self.backend))
        self._spelling = NameIndex([*self._writers, *self.schemas.declared], ignore_case=ignore_case)
        for task in self.catalog:
            self._build(task)

    def schema_of(self, name: str) -> tuple[str, ibis.Schema]:
        """The declared spelling and the schema of evidence; builds the task that writes it if necessary.

        Raises:
            UnknownTableError: RS101. CycleError: RS201. BrokenUpstream: if the writer has no plan.
        """
        plain = self.schemas.plain(name)
        found = self._spelling.find(plain) or self.schemas.live_spelling(plain)
        writer = self._writers.get(found)
        if writer is not None:
            return found, self._written(writer, found)
        source = self.schemas.find(found)
        if source is not None:
            return found, source[1]
        if self._build_undeclared():
            return self.schema_of(name)
        names = sorted({*self._writers, *self.schemas.names})
        raise UnknownTableError(
            f"task '{self._stack[-1]}' reads table '{name}', which no task writes and no source declares",
            hint=f"{alternatives(name, names)} Fix the name, or declare it as a source.",
        )

    def schema_for(self, name: str, task: TaskSpec) -> ibis.Schema:
        """The schema of a table that a finished plan reads.

        Raises:
            UnknownTableError: RS101. BrokenUpstream: if the writer has no plan.
        """
        self._stack.append(task.name)
        try:
            return self.schema_of(name)[1]
        except RelspecError as error:
            error.at = error.at or task.where
            raise
        finally:
            self._stack.pop()

    def _written(self, writer: str, output: str) -> ibis.Schema:
        if writer in self._stack:
            if self._stack.index(writer) < self._search_from:
                raise WaitsForCaller(writer)
            raise CycleError([*self._stack[self._stack.index(writer) :], writer])
        self._build(self.catalog[writer])
        built = self.built.get(writer)
        if built is None:
            raise BrokenUpstream(writer) if writer in self._called else WaitsForCaller(writer)
        return built.exprs[output].schema()

    def _build_undeclared(self) -> bool:
        """Build the tasks that may have undeclared outputs; return whether any was built.

        A task that reads a task on the stack is postponed; that is not a cycle, as nothing reads it yet.
        """
        left = [task for task in self.catalog if task.outputs is None and task.name not in self._called]
        outer, self._search_from = self._search_from, len(self._stack)
        try:
            for task in left:
                self._build(task)
        finally:
            self._search_from = outer
        return any(task.name in self._called for task in left)

    def _build(self, task: TaskSpec) -> None:
        if task.name in self._called:
            return
        self._called.add(task.name)
        self._stack.append(task.name)
        self.asked[task.name] = {}
        try:
            self.built[task.name] = self._outcome(task, self._call(task))
        except BrokenUpstream:
            pass
        except WaitsForCaller:
            self._called.discard(task.name)
        except RelspecError as error:
            self.errors[task.name] = error
        finally:
            self._stack.pop()

    def _call(self, task: TaskSpec) -> object:
        context = TaskBuildContext(table=self._table, sql=self._sql, params=self.params)
        try:
            return task.build(context)
        except (BrokenUpstream, WaitsForCaller):
            raise
        except RelspecError as error:
            at = _at(task, error)
            for problem in all_of(error):
                complete(problem, task, at=at)
            raise
        except Exception as error:
            raise self._builder_error(task, error) from error

    def _table(self, name: str) -> ir.Table:
        spelled, schema = self.schema_of(name)
        self.asked[self._stack[-1]][spelled] = schema
        return unbound(spelled, schema)

    def _sql(self, text: str, dialect: str | None) -> ir.Table:
        def schema_of(name: str) -> tuple[str, ibis.Schema]:
            spelled, schema = self.schema_of(name)
            self.asked[self._stack[-1]][spelled] = schema
            return spelled, schema

        target = dialect_of(self.backend)
        found = read_sql(
            text,
            dialect=dialect or target,
            target=target,
            schema_of=schema_of,
            scratch=self._scratch,
            cache=self.cache,
        )
        # Not by the backend's own method, which would load the backend.
        text_of = ops.SQLQueryResult(found.sql, found.schema, self.backend)  # ty: ignore[abstract-class-instantiation] - it is not abstract
        self.texts[text_of] = found
        return text_of.to_expr()

    def _scratch(self) -> DuckDBConnection:
        """The database that binds SQL texts, opened on first use, as opening takes longer than compiling a plan."""
        self._opened = self._opened or scratch_database()
        return self._opened

    def _outcome(self, task: TaskSpec, value: object) -> BuiltTask:
        if isinstance(value, ir.Table) and len(task.declared_outputs) == 1:
            exprs = {task.declared_outputs[0]: value}
        elif isinstance(value, Mapping) and value and all(isinstance(table, ir.Table) for table in value.values()):
            exprs = {str(name): table for name, table in value.items()}
        else:
            raise BuilderError(
                f"task '{task.name}' returns a {_kind_of(value)}, not {_wanted(task)}",
                at=task.where,
                hint="return an Ibis table, or a mapping of output names to Ibis tables.",
            )
        outputs = task.outputs or tuple(exprs)
        if set(outputs) != set(exprs):
            raise BuilderError(
                f"task '{task.name}' declares {listed(outputs)} and returns {listed(exprs)}",
                at=task.where,
                hint="make the declared outputs and the keys of the returned mapping agree.",
            )
        self._claim(task, outputs)
        return BuiltTask(task=replace(task, outputs=outputs), exprs={output: exprs[output] for output in outputs})

    def _claim(self, task: TaskSpec, outputs: tuple[str, ...]) -> None:
        if task.outputs is None and self._writers.get(task.name) == task.name and task.name not in outputs:
            del self._writers[task.name]
        for output in outputs:
            writer = self._writers.setdefault(output, task.name)
            self._spelling.add(output)
            if writer != task.name:
                raise second_writer(output, self.catalog[writer], task)
            if output in self.schemas.declared:
                raise source_writer(output, task)

    def _builder_error(self, task: TaskSpec, error: Exception) -> RelspecError:
        at = _at(task, error)
        owner = getattr(error, "obj", None)
        if isinstance(error, AttributeError) and isinstance(owner, ir.Table) and isinstance(error.name, str):
            columns = tuple(owner.columns)
            return unknown_column(
                error.name, evidence=self._evidence_with(task, columns), columns=columns, at=at, task=task.name
            )
        missing = MISSING_COLUMN.search(str(error))
        if missing:
            columns = tuple(re.findall(r"'([^']*)'", missing["columns"]))
            return unknown_column(
                missing["column"], evidence=self._evidence_with(task, columns), columns=columns, at=at, task=task.name
            )
        return BuilderError(
            f"task '{task.name}' raised {type(error).__name__}: {first_line(error)}",
            at=at,
            hint="fix the builder.",
        )

    def _evidence_with(self, task: TaskSpec, columns: tuple[str, ...]) -> str | None:
        """The evidence with exactly these columns that the task requested; None if there is not exactly one."""
        found = [name for name, schema in self.asked[task.name].items() if tuple(schema) == columns]
        return found[0] if len(found) == 1 else None


def unbound(name: str, schema: ibis.Schema) -> ir.Table:
    """An unbound Ibis table of a name and schema."""
    *outer, table = table_parts(name)
    return ibis.table(
        schema, name=table, catalog=outer[0] if len(outer) > 1 else None, database=outer[-1] if outer else None
    )


def complete(error: RelspecError, task: TaskSpec, *, at: str) -> None:
    """Add the task and its location to an error of its plan, in place.

    Args:
        error: modified in place.
        task: the task whose plan has the error.
        at: the task with its line; replaced by the position in the file if its SQL text is a file.
    """
    match task.build, error.place:
        case SqlFile() as file, TextPosition() as place:
            found = [f"task '{task.name}' at {SourceLocation(file.location.file, place.line, place.column)}"]
        case _, TextPosition() as place:
            found = [at, str(place)]
        case _:
            found = [at]
    error.at = "; ".join(filter(None, [*found, error.at]))
    error.what = error.what.replace("the query", f"task '{task.name}'", 1)


def _at(task: TaskSpec, error: BaseException) -> str:
    """The task with the innermost line of its file in the error's traceback."""
    if task.location is None:
        return task.where
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == task.location.file
    ]
    location = SourceLocation(task.location.file, lines[-1] or task.location.line) if lines else task.location
    return f"task '{task.name}' at {location}"


def _kind_of(value: object) -> str:
    if isinstance(value, Mapping):
        kinds = sorted({type(item).__name__ for item in value.values()})
        return f"mapping of {len(value)} ({', '.join(kinds) or 'empty'})"
    return type(value).__name__


def _wanted(task: TaskSpec) -> str:
    if task.outputs and len(task.outputs) > 1:
        return f"a mapping of tables for {listed(task.outputs)}"
    return "a table"
