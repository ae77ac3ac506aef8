"""Catalogs of many small tasks and of few large ones, whose plans DuckDB alone can execute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import duckdb
import ibis

from relspec_core import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec
from relspec_core.system.compile_cache import CompileCache

SOURCES, SMALL, LAYERS = 10, 1_000, 10
SCHEMA = {
    "id": "int64",
    "customer_id": "int64",
    "kind": "string",
    "amount": "decimal(16, 2)",
    "ordered_at": "timestamp",
}
ROWS = (
    "SELECT range AS id, (hash(range) % 1000)::BIGINT AS customer_id, ['new', 'paid', 'sent'][1 + range % 3] AS kind, "
    "(hash(range) % 10000 / 100)::DECIMAL(16, 2) AS amount, TIMESTAMP '2024-01-01' + to_seconds(range) AS ordered_at "
    "FROM range({rows})"
)
ALONE = (
    "SELECT id, customer_id, upper(kind) AS kind, (amount * {number})::DECIMAL(16, 2) AS amount, ordered_at "
    "FROM {left} WHERE amount > {number}"
)
JOINED = (
    "SELECT l.id, l.customer_id, r.kind, (l.amount + r.amount)::DECIMAL(16, 2) AS amount, r.ordered_at "
    "FROM {left} AS l JOIN {right} AS r ON l.id = r.id WHERE l.amount > {number} / 1000"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Tasks, and the sources that they read.

    Attributes:
        name: name in the table.
        tasks: the tasks.
        rows: number of rows of each source.
        sources: names of the sources.
        ctx: caches compiled plans, so that planning again is quick.
    """

    name: str
    tasks: tuple[TaskSpec, ...]
    rows: int
    sources: tuple[str, ...]
    ctx: ExecutionContext = field(default_factory=lambda: ExecutionContext(cache=CompileCache()))

    @property
    def catalog(self) -> TaskCatalog:
        """The catalog for relspec."""
        return TaskCatalog(self.tasks, [SourceSpec(name, schema=SCHEMA) for name in self.sources])

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create the sources, and checkpoint them to the file."""
        for name in self.sources:
            connection.execute(f"CREATE TABLE {name} AS {ROWS.format(rows=self.rows)}")
        connection.execute("CHECKPOINT")


def independent(number: int) -> Work:
    """A catalog of this many small tasks, each over one of a few sources."""
    sources = tuple(f"raw_{at}" for at in range(SOURCES))
    tasks = (
        _task(f"task_{at:04}", ALONE.format(number=1 + at % 50, left=sources[at % SOURCES])) for at in range(number)
    )
    return Work(name=f"{number:,} independent tasks", tasks=tuple(tasks), rows=SMALL, sources=sources)


def layered(number: int) -> Work:
    """A catalog of this many small tasks in layers, each over two tables of the layer above."""
    width = number // LAYERS
    sources = tuple(f"raw_{at}" for at in range(width))
    above, tasks = sources, []
    for layer in range(LAYERS):
        names = tuple(f"task_{layer}_{at:04}" for at in range(width))
        for at, name in enumerate(names):
            tasks.append(_task(name, JOINED.format(number=at, left=above[at], right=above[(at + 1) % width])))
        above = names
    return Work(name=f"{number:,} tasks in {LAYERS} layers", tasks=tuple(tasks), rows=SMALL, sources=sources)


def large(number: int, *, rows: int) -> Work:
    """Few tasks over one large source, each of which keeps every row."""
    texts = (
        f"SELECT id + {at} AS id, customer_id, upper(kind) AS kind, amount * {at + 1} AS amount, ordered_at FROM raw_0"
        for at in range(number)
    )
    tasks = tuple(_task(f"task_{at:02}", text) for at, text in enumerate(texts))
    return Work(name=f"{number} tasks of {rows:,} rows", tasks=tasks, rows=rows, sources=("raw_0",))


def _task(name: str, text: str) -> TaskSpec:
    def build(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql(text)

    builder: Callable[[TaskBuildContext], ibis.Table] = build
    return TaskSpec(name, builder)
