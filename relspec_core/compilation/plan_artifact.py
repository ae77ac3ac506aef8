"""The compiled plan of a task's output: canonical query, dependencies and fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.exceptions import IbisError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from relspec_core.compilation.sql_query import SqlQuery, column_error
from relspec_core.compilation.task_building import BuiltTask, TaskBuilding, complete, unbound
from relspec_core.engines.backend_tables import dialect_of
from relspec_core.engines.duckdb_backend import Engine, compiler_of
from relspec_core.errors import (
    SqlError,
    UnsupportedPlanError,
    raise_all,
)
from relspec_core.fingerprints.column_fingerprints import ColumnFingerprints, calculations
from relspec_core.fingerprints.expression_key import RANDOM_NAME, ibis_token
from relspec_core.fingerprints.user_functions import has_python_functions, user_functions
from relspec_core.inferred_deps import InferredDeps, infer_deps
from relspec_core.lineage.canonical_query import UnqualifiableQuery, UnresolvedColumns, plan_tree
from relspec_core.model.formatting import first_line
from relspec_core.model.hashing import Token, digest, schema_token, table_token
from relspec_core.model.names import MEMORY_PREFIX, from_table
from relspec_core.sql.function_catalog import generates_rows
from relspec_core.sql.identifiers import read_tables
from relspec_core.sql.parsing import parse_query
from relspec_core.task_catalog import TaskSpec

TEXT_PREFIX = "relspec_text_"
GENERATED_PREFIX = "relspec_name_"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanArtifact:
    """The plan of one output of a task.

    Attributes:
        name: the evidence that it produces.
        task: the task's declaration, with all outputs known.
        expr: the Ibis expression; ``sql`` is what is executed.
        sql: the canonical text in the backend's dialect, qualified and pruned; this is executed.
        dialect: the SQLGlot dialect of ``sql``.
        deps: the inferred dependencies.
        fingerprint: of the whole calculation; 32 hexadecimal digits.
        calculations: fingerprints of the rows and of each column.
        schema: the schema of the result.
        whole: the schema that the builder returned; internal tables may be written with fewer columns.
        needed: for an internal table, the columns that its readers need, in order; only these count for staleness.
            None: all of them do.
        memory: the in-memory tables that it reads, by their names in ``sql``.
        generates_rows: whether it may process more rows than its tables have.
        input_schemas: the schema of each evidence that it names, the very object that it was compiled against.
    """

    name: str
    task: TaskSpec
    expr: ir.Table
    sql: str
    dialect: str
    deps: InferredDeps
    fingerprint: str
    calculations: ColumnFingerprints
    schema: ibis.Schema
    whole: ibis.Schema
    needed: tuple[str, ...] | None = None
    memory: Mapping[str, ir.Table]
    generates_rows: bool
    input_schemas: Mapping[str, ibis.Schema]

    @property
    def left_out(self) -> tuple[str, ...]:
        """The columns that are pruned because no task needs them, in order."""
        return tuple(column for column in self.whole if column not in self.schema)

    @property
    def ast(self) -> exp.Query:
        """A new SQLGlot tree of ``sql``, owned by the caller."""
        return parse_query(self.sql, dialect=self.dialect)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledQuery:
    """The compiled query of an expression over tables of given schemas.

    Attributes:
        tables: every table that the query names, with the schema that it was compiled against.
        sql: as for ``PlanArtifact``, like the other attributes.
    """

    tables: Mapping[str, ibis.Schema]
    sql: str
    deps: InferredDeps
    fingerprint: str
    calculations: ColumnFingerprints
    generates_rows: bool


def plan_artifact(building: TaskBuilding, built: BuiltTask, output: str) -> PlanArtifact:
    """Compile one output, or take it from the cache if an equal expression was compiled over equal schemas.

    Args:
        building: of the catalog.
        built: the result of the task's builder.
        output: the evidence name.

    Raises:
        RelspecError: RS1xx, for a problem of the plan. BrokenUpstream: if an input has no plan.
    """
    task, expr, dialect = built.task, built.exprs[output], dialect_of(building.backend)
    memory = _memory_tables(expr)
    token = ibis_token(
        expr,
        texts={node: text.token for node, text in building.texts.items()},
        memory={node: table.get_name() for node, table in memory.items()},
    )
    key = digest(("plan", dialect, building.schemas.place, tuple(expr.schema()), token or ()))
    found: CompiledQuery | None = building.cache.find(key) if token is not None else None
    schemas = {name: building.schema_for(name, task) for name in found.tables} if found is not None else {}
    if found is None or schemas != found.tables:
        found = _compiled_query(building, built, output, memory)
        schemas = found.tables
        if token is not None:
            building.cache.keep(key, found)
    if task.kind == "view" and (memory or has_python_functions(expr)):
        raise UnsupportedPlanError(
            f"task '{task.name}' is a view over {'an in-memory table' if memory else 'a Python function'}, "
            "which ends with this process",
            at=task.where,
            hint="make it a table: kind='table'.",
        )
    return PlanArtifact(
        name=output,
        task=task,
        expr=expr,
        sql=found.sql,
        dialect=dialect,
        deps=found.deps,
        fingerprint=found.fingerprint,
        calculations=found.calculations,
        schema=expr.schema(),
        whole=expr.schema(),
        memory={table.get_name(): table for table in memory.values()},
        generates_rows=found.generates_rows,
        input_schemas=schemas,
    )


def _compiled_query(
    building: TaskBuilding, built: BuiltTask, output: str, memory: Mapping[ops.Node, ir.Table]
) -> CompiledQuery:
    task, expr, backend = built.task, built.exprs[output], building.backend
    dialect = dialect_of(backend)
    texts: dict[str, SqlQuery] = {}
    query = _query(_with_stable_names(expr, building, memory, texts), task, backend, texts)
    data = {table.get_name(): table.schema() for table in memory.values()}
    read = [name for name in read_tables(query) if name not in data]
    schemas = {name: building.schema_for(name, task) for name in read}
    mapper = compiler_of(backend).type_mapper
    typed = {
        name: {column: mapper.to_string(kind) for column, kind in schema.items()}
        for name, schema in (*schemas.items(), *data.items())
    }
    schema = expr.schema()
    try:
        tree = plan_tree(query, schemas=typed, dialect=dialect, names=tuple(schema))
    except UnresolvedColumns as error:
        problems = [column_error(problem) for problem in dict.fromkeys(error.problems)]
        for problem in problems:
            complete(problem, task, at=task.where)
        raise_all(problems)
    except UnqualifiableQuery as error:
        raise SqlError(
            f"the plan of task '{task.name}' can't be resolved: {error}",
            at=task.where,
            hint="check its tables and columns.",
        ) from error
    calculated = calculations(tree, schema=schema, functions=user_functions(expr))
    token: Token = ("plan", dialect, schema_token(schema), calculated.token)
    return CompiledQuery(
        tables=schemas,
        sql=tree.ast.sql(dialect, pretty=True),
        deps=infer_deps(tree, outputs=tuple(schema), schemas=schemas),
        fingerprint=digest(token),
        calculations=calculated,
        generates_rows=generates_rows(tree.ast),
    )


def _memory_tables(expr: ir.Table) -> dict[ops.Node, ir.Table]:
    """Every in-memory table of an expression, named by a digest of its contents."""
    found: dict[ops.Node, ir.Table] = {}
    for node in expr.op().find(ops.InMemoryTable):
        name = MEMORY_PREFIX + digest(table_token(node.data.to_pyarrow(node.schema)))
        found[node] = node.copy(name=name).to_expr()
    return found


def _with_stable_names(
    expr: ir.Table, building: TaskBuilding, memory: Mapping[ops.Node, ir.Table], texts: dict[str, SqlQuery]
) -> ir.Table:
    """The expression with in-memory tables, SQL texts and backend tables replaced by tables with stable names."""

    def replaced(node: ops.Node, kwargs: Mapping[str, object] | None) -> ops.Node:
        match node:
            case ops.InMemoryTable():
                return unbound(memory[node].get_name(), node.schema).op()
            case ops.SQLQueryResult() if node in building.texts:
                name = f"{TEXT_PREFIX}{len(texts)}"
                texts[name] = building.texts[node]
                return unbound(name, node.schema).op()
            case ops.DatabaseTable():
                return unbound(_evidence_name(node, building.schemas.place), node.schema).op()
            case _:
                return node.__recreate__(kwargs) if kwargs else node

    return expr.op().replace(replaced).to_expr()


def _evidence_name(table: ops.DatabaseTable, current: tuple[str, ...]) -> str:
    """The evidence name of a backend's table, without the current catalog and schema."""
    outer = tuple(part for part in (table.namespace.catalog, table.namespace.database) if part is not None)
    return ".".join([*(() if outer in (current, current[1:]) else outer), table.name])


def _query(expr: ir.Table, task: TaskSpec, backend: Engine, texts: Mapping[str, SqlQuery]) -> exp.Query:
    """The expression as a tree without shared nodes: Ibis's tree shares nodes, so its text is parsed again."""
    operation = expr.op()
    if isinstance(operation, ops.UnboundTable) and operation.name in texts:
        return texts[operation.name].tree()
    dialect = dialect_of(backend)
    try:
        text = compiler_of(backend).to_sqlglot(expr).sql(dialect)
        query = parse_query(text, dialect=dialect)
    except (IbisError, SqlglotError, NotImplementedError) as error:
        raise UnsupportedPlanError(
            f"task '{task.name}' can't be written in {dialect}'s SQL: {first_line(error)}",
            at=task.where,
            hint="use another operation, or write this part with ctx.sql.",
        ) from error
    _number_generated_names(query)
    if texts:
        _rename_expressions(query)
    for table in list(query.find_all(exp.Table)):
        if from_table(table) in texts:
            table.replace(exp.Subquery(this=texts[from_table(table)].tree(), alias=table.args.get("alias")))
    return query


def _number_generated_names(query: exp.Query) -> None:
    """Replace names that Ibis generates at random, such as those of unnested columns, by numbered ones, in place."""
    names: dict[str, str] = {}
    for identifier in query.find_all(exp.Identifier):
        if RANDOM_NAME.fullmatch(identifier.name):
            identifier.set("this", names.setdefault(identifier.name, f"{GENERATED_PREFIX}{len(names)}"))


def _rename_expressions(query: exp.Expr) -> None:
    """Rename Ibis's common table expressions, in place, so that SQL texts can't refer to them by accident."""
    names = {cte.alias: f"{TEXT_PREFIX}{cte.alias}" for cte in query.find_all(exp.CTE)}
    for cte in query.find_all(exp.CTE):
        cte.set("alias", exp.TableAlias(this=exp.to_identifier(names[cte.alias], quoted=True)))
    for table in query.find_all(exp.Table):
        if not table.db and table.name in names:
            table.set("this", exp.to_identifier(names[table.name], quoted=True))
