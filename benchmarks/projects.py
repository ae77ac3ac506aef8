"""Generated projects of any size with the same cost per task."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, compile_task_catalog

LAYERS = 5
SCHEMA = {
    "id": "int64",
    "customer_id": "int64",
    "kind": "string",
    "ordered_at": "timestamp",
    "amount": "float64",
    "note": "string",
}


def _joined(left: str, right: str) -> Callable[[TaskBuildContext], ir.Table]:
    def build(ctx: TaskBuildContext) -> ir.Table:
        orders, others = ctx.table(left), ctx.table(right)
        totals = others.group_by("customer_id").agg(total=others.amount.sum())
        found = orders.filter(orders.amount > 0).inner_join(totals, "customer_id")
        return found.select("id", "customer_id", "kind", "ordered_at", amount=found.amount / found.total, note="note")

    return build


def _ranked(left: str, right: str) -> Callable[[TaskBuildContext], ir.Table]:
    def build(ctx: TaskBuildContext) -> ir.Table:
        orders, others = ctx.table(left), ctx.table(right)
        latest = orders.mutate(
            place=ibis.row_number().over(group_by=orders.customer_id, order_by=orders.ordered_at.desc())
        )
        kept = latest.filter(latest.place < 10, latest.id.isin(others.id))
        return kept.mutate(note=kept.note.upper()).select(*SCHEMA)

    return build


def _sql(template: str) -> Callable[[str, str], Callable[[TaskBuildContext], ir.Table]]:
    def written(left: str, right: str) -> Callable[[TaskBuildContext], ir.Table]:
        text = template.format(left=left, right=right)
        return lambda ctx: ctx.sql(text)

    return written


SHAPES = (
    _joined,
    _sql(
        "WITH totals AS (SELECT customer_id, sum(amount) AS total FROM {right} GROUP BY customer_id) "
        "SELECT o.id, o.customer_id, o.kind, o.ordered_at, o.amount / t.total AS amount, o.note "
        "FROM {left} AS o JOIN totals AS t ON o.customer_id = t.customer_id WHERE o.kind <> 'test'"
    ),
    _ranked,
    _sql(
        "SELECT id, customer_id, CASE WHEN amount > 100 THEN 'large' ELSE kind END AS kind, ordered_at, "
        "sum(amount) OVER (PARTITION BY customer_id ORDER BY ordered_at) AS amount, note "
        "FROM {left} WHERE id IN (SELECT id FROM {right} WHERE amount > 0)"
    ),
)


def project(size: int) -> TaskCatalog:
    """A project of this many tasks in layers, each over two of the previous layer; half of them Ibis, half SQL."""
    width = size // LAYERS
    tasks: list[TaskSpec] = []
    for number in range(size):
        layer, place = divmod(number, width)
        before = "source" if layer == 0 else f"task_{layer - 1}"
        left, right = f"{before}_{place:04}", f"{before}_{(place + 1) % width:04}"
        shape = SHAPES[(layer + place) % len(SHAPES)]
        tasks.append(TaskSpec(f"task_{layer}_{place:04}", shape(left, right)))
    return TaskCatalog(tasks, [SourceSpec(f"source_{place:04}", schema=SCHEMA) for place in range(width)])


def cost_per_task(catalog: TaskCatalog) -> float:
    """CPU seconds per task of compiling a catalog."""
    backend = ibis.duckdb.connect()
    gc.collect()
    start = time.process_time()
    compile_task_catalog(catalog, backend=backend)
    spent = time.process_time() - start
    backend.disconnect()
    return spent / len(catalog)
