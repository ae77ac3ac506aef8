"""TPC-H and TPC-DS: data, query texts, and the Ibis expressions that come with Ibis."""

import ast
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import duckdb
import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import PlanArtifact, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, compile_task_catalog
from tests.support.catalogs import duckdb_type, sql_task, task_of

SCALE = 0.01
EMPTY = 0.0
GENERATORS: Mapping[str, str] = {"tpch": "dbgen", "tpcds": "dsdgen"}
LENGTHS: Mapping[str, int] = {"tpch": 22, "tpcds": 99}
# Ibis has no ROLLUP; its suite says of these that they do not build.
NEED_ROLLUP = frozenset({5, 14, 18, 22, 67, 70, 77, 80, 86})


class TpcQuery(NamedTuple):
    """A query of one of the two benchmarks."""

    suite: str
    number: int

    def __str__(self) -> str:
        return f"{self.suite}-{self.number:02}"

    @property
    def text(self) -> str:
        """The text in DuckDB's extension."""
        return _texts(self.suite)[self.number]

    @property
    def ibis_text(self) -> str:
        """The text that Ibis compares its expression with; its column names and casts differ from DuckDB's."""
        short = self.suite.removeprefix("tpc")
        return (_ibis_suites() / "queries" / "duckdb" / short / f"{self.number:02}.sql").read_text()

    def expression(self, ctx: TaskBuildContext) -> ir.Table:
        """The Ibis expression; its function's parameters are named like the tables."""
        build = _ibis_functions(self.suite)[f"test_{self.number:02}"]
        return build(*map(ctx.table, inspect.signature(build).parameters))


QUERIES = tuple(TpcQuery(suite, number) for suite, count in LENGTHS.items() for number in range(1, count + 1))
IBIS_QUERIES = tuple(query for query in QUERIES if query.suite == "tpch" or query.number not in NEED_ROLLUP)


@cache
def warehouse(suite: str, scale: float = SCALE) -> DuckDBBackend:
    """A database with a benchmark's tables, generated once per process in one to three seconds; nobody writes to it."""
    # With one thread, sums of floats and rows of equal rank come in the same order each time.
    backend = ibis.duckdb.connect(threads=1)
    package = files(f"duckdb_extension_{suite}")
    backend.con.load_extension(str(package / "extensions" / f"v{duckdb.__version__}" / f"{suite}.duckdb_extension"))
    backend.con.execute(f"CALL {GENERATORS[suite]}(sf={scale})")
    return backend


@cache
def tables(suite: str) -> Mapping[str, Mapping[str, str]]:
    """The tables of a benchmark: column to type, in order."""
    found: dict[str, dict[str, str]] = {}
    listed = warehouse(suite, EMPTY).con.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY table_name, column_index"
    )
    for table, column, kind in listed.fetchall():
        found.setdefault(table, {})[column] = kind
    return found


@cache
def plan_on(suite: str, plan: TpcQuery | str) -> PlanArtifact:
    """The plan of a query's Ibis expression, or of a SQL text, on a benchmark's tables."""
    task: TaskSpec = sql_task(plan) if isinstance(plan, str) else task_of(plan.expression)
    return compile_task_catalog(TaskCatalog([task], _sources(suite)), backend=warehouse(suite, EMPTY))["plan"]


def answer(query: TpcQuery) -> str:
    """The published rows of a TPC-H query at this scale: a header and a line for each, with bars between the values."""
    published = "SELECT answer FROM tpch_answers() WHERE query_nr = ? AND scale_factor = ?"
    ((text,),) = warehouse(query.suite, EMPTY).con.execute(published, [query.number, SCALE]).fetchall()
    return text


@cache
def _sources(suite: str) -> tuple[SourceSpec, ...]:
    """The tables, declared: to look their many columns up for each query takes a third of the time."""
    return tuple(
        SourceSpec(name, schema={column: duckdb_type(kind) for column, kind in columns.items()})
        for name, columns in tables(suite).items()
    )


@cache
def _texts(suite: str) -> Mapping[int, str]:
    return dict(warehouse(suite, EMPTY).con.execute(f"SELECT query_nr, query FROM {suite}_queries()").fetchall())


def _ibis_suites() -> Traversable:
    return files("ibis.backends.tests.tpc")


@cache
def _ibis_functions(suite: str) -> Mapping[str, Callable[..., ir.Table]]:
    """The functions of a suite, without the decorators that make tests of Ibis's of them."""
    source = (_ibis_suites() / suite.removeprefix("tpc") / "test_queries.py").read_text()
    module = ast.parse(source)
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    names: dict[str, Any] = {}
    exec(compile(module, f"{suite}_queries.py", "exec"), names)  # noqa: S102 - from the Ibis wheel
    return {name: value for name, value in names.items() if name.startswith("test_")}
