"""Small catalogs for tests, and a project whose tasks can be edited between runs."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import sqlglot
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.backends.sql.datatypes import DuckDBType
from sqlglot import exp

from relspec_core import (
    ExecutionContext,
    PlanArtifact,
    PlanCatalog,
    RunReport,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskGraph,
    TaskSpec,
    compile_task_catalog,
    run,
    task_graph_from_catalog,
)
from relspec_core.evidence import BuildRecord, Versions
from relspec_core.inferred_deps import InferredDeps, infer_deps
from relspec_core.lineage.canonical_query import plan_tree
from relspec_core.sql.identifiers import read_tables
from relspec_core.system.compile_cache import CompileCache
from relspec_core.task_catalog import Builder

ORDERS = SourceSpec(
    "orders", schema={"order_id": "int64", "customer_id": "int64", "amount": "int64", "note": "string", "day": "date"}
)
CUSTOMERS = SourceSpec("customers", schema={"customer_id": "int64", "name": "string", "city": "string"})
SHOP = (ORDERS, CUSTOMERS)


def task_of(build: Builder, name: str = "plan", **declared: Any) -> TaskSpec:  # noqa: ANN401 - as TaskSpec takes them
    return TaskSpec(name, build, **declared)


def sql_task(text: str, name: str = "plan", **declared: Any) -> TaskSpec:  # noqa: ANN401 - as TaskSpec takes them
    def build(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql(text)

    return TaskSpec(name, build, **declared)


@cache
def empty_backend() -> DuckDBBackend:
    """A database that no test writes to."""
    return ibis.duckdb.connect()


def compiled(*tasks: TaskSpec, sources: Iterable[SourceSpec] = SHOP) -> PlanCatalog:
    return compile_task_catalog(TaskCatalog(tasks, sources), backend=empty_backend())


def _spent(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders").group_by("customer_id").agg(total=ibis._.amount.sum())


def _by_city(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    joined = ctx.table("customers").join(ctx.table("spent"), "customer_id")
    totals = joined.group_by("city").agg(total=ibis._.total.sum())
    return {"cities": totals, "marts.big_cities": totals.filter(ibis._.total > 100)}


def shop_graph() -> TaskGraph:
    """Joins, several outputs, a plan that reads rows only, and one whose lineage cannot be resolved."""
    plans = compiled(
        task_of(_spent, "spent"),
        task_of(_by_city, "by_city"),
        sql_task("SELECT count(*) AS n FROM orders", "how_many"),
        sql_task("SELECT * FROM customers UNPIVOT ((v, w) FOR k IN ((city, name)))", "opaque"),
    )
    return task_graph_from_catalog(plans)


def plan_of(plan: Builder | str, sources: Iterable[SourceSpec] = SHOP) -> PlanArtifact:
    """The plan of one task, given by its builder or its SQL text."""
    return compiled(sql_task(plan) if isinstance(plan, str) else task_of(plan), sources=sources)["plan"]


def deps_of_text(
    text: str,
    tables: Mapping[str, Mapping[str, str]],
    outputs: Iterable[str],
    memory: Mapping[str, Mapping[str, str]] | None = None,
) -> InferredDeps:
    """What a DuckDB text reads, without a task or a database.

    Args:
        text: of a query.
        tables: column to DuckDB's name of its type, in order, by table; the query may read few of them.
        outputs: the names of the query's columns.
        memory: more tables, which are no evidence.
    """
    query = sqlglot.parse_one(text, read="duckdb").assert_is(exp.Query)
    read = {name: tables[name] for name in read_tables(query) if name in tables}
    schemas = {
        name: ibis.schema({c: duckdb_type(kind) for c, kind in columns.items()}) for name, columns in read.items()
    }
    return infer_deps(
        plan_tree(query, schemas={**read, **(memory or {})}, dialect="duckdb"), outputs=outputs, schemas=schemas
    )


@cache
def duckdb_type(name: str) -> dt.DataType:
    """The type that DuckDB calls so."""
    return DuckDBType.from_string(name)


def text_block(text: str) -> str:
    return textwrap.dedent(text).strip()


@cache
def compiled_before() -> CompileCache:
    """What any project of this process has compiled: most tests begin with the tasks of the one before."""
    return CompileCache()


def build_record(name: str, *, rows: int = 1, seconds: float = 0.0) -> BuildRecord:
    """The record of a table with one column that a task of the same name has written."""
    unknown = Versions(rows="")
    return BuildRecord(
        name=name,
        task=name,
        schema=ibis.schema({"x": "int32"}),
        rows=rows,
        fingerprint="",
        version="",
        versions=unknown,
        calculations=unknown,
        built_at=datetime(2026, 1, 1, tzinfo=UTC),
        seconds=seconds,
    )


class Project:
    """Tasks on a database, both of which change between runs.

    Args:
        con: the database.
        tasks: to begin with.
    """

    def __init__(self, con: DuckDBBackend, *tasks: TaskSpec, sources: Iterable[SourceSpec] = ()) -> None:
        self.con = con
        self.sources = tuple(sources)
        self.tasks = {task.name: task for task in tasks}
        self.cache = compiled_before()

    @property
    def catalog(self) -> TaskCatalog:
        return TaskCatalog(self.tasks.values(), self.sources)

    def edit(self, name: str, build: Builder | str, **changed: Any) -> None:  # noqa: ANN401 - as TaskSpec takes them
        """Give a task another builder or SQL text."""
        builder = sql_task(build).build if isinstance(build, str) else build
        self.tasks[name] = replace(self.tasks[name], build=builder, **changed)

    def run(self, *targets: str, params: Mapping[str, object] | None = None) -> RunReport:
        ctx = ExecutionContext(params=params, cache=self.cache)
        return run(self.catalog, backend=self.con, ctx=ctx, targets=targets or None, quiet=True)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return self.con.con.execute(text).fetchall()
