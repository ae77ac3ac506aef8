"""A small shop for the Dagster tests: three CSV files, a raw table, eight tasks, and definitions for `dagster dev`.

`dagster dev -f` loads this very file; the shop's folder then comes from DAGSTER_SHOP.
"""

import os
from pathlib import Path

import dagster as dg
import duckdb
import ibis

from relspec_core import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, task
from relspec_dagster import build_definitions
from tests.support.catalogs import compiled_before

RAW = {
    "raw_customers": "id,name,city\n1,Ada,Berlin\n2,Bo,Bern\n3,Cy,Basel\n",
    "raw_orders": "id,customer_id,amount,note\n10,1,5,hot\n11,1,7,cold\n12,2,0,none\n",
    "raw_items": "order_id,sku,quantity\n10,toast,2\n11,toast,1\n11,tea,3\n",
}
PRICES = (
    "CREATE OR REPLACE TABLE prices AS FROM (VALUES ('toast', 3, 'EUR'), ('tea', 2, 'EUR')) t (sku, price, currency)"
)
# What each asset reads: the truth that the inferred graph is compared with.
EDGES = {
    "stg_customers": {"raw_customers"},
    "stg_orders": {"raw_orders"},
    "order_notes": {"raw_orders"},
    "note_lengths": {"order_notes"},
    "order_lines": {"raw_items"},
    "order_totals": {"stg_orders"},
    "customer_totals": {"order_totals", "stg_customers"},
    "line_counts": {"order_lines"},
    "line_values": {"order_lines", "prices"},
}
SOURCES = frozenset({*RAW, "prices"})


@task(group="staging", owners=("team:shop",), tags={"pii": "name"})
def stg_customers(ctx: TaskBuildContext) -> ibis.Table:
    """Customers with their names."""
    return ctx.table("raw_customers").select("id", "name")


@task(group="staging", cron="0 6 * * *")
def stg_orders(ctx: TaskBuildContext) -> ibis.Table:
    """Orders that cost something."""
    raw = ctx.table("raw_orders")
    return raw.filter(raw.amount > 0).select("id", "customer_id", "amount")


@task(cron="0 6 * * *")
def order_notes(ctx: TaskBuildContext) -> ibis.Table:
    """What customers wanted to say."""
    return ctx.table("raw_orders").select("id", "note")


@task(kind="view")
def note_lengths(ctx: TaskBuildContext) -> ibis.Table:
    """How much they wanted to say."""
    notes = ctx.table("order_notes")
    return notes.select("id", letters=notes.note.length())


@task(outputs=("order_lines", "order_totals"), cron="30 6 * * 1-5")
def order_parts(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    """The lines of orders, and their totals."""
    orders, items = ctx.table("stg_orders"), ctx.table("raw_items")
    return {
        "order_lines": items.select("order_id", "sku", "quantity"),
        "order_totals": orders.group_by("customer_id").agg(total=orders.amount.sum()),
    }


@task
def customer_totals(ctx: TaskBuildContext) -> ibis.Table:
    """What each customer spent, also where that is nothing."""
    return ctx.sql("""
        SELECT c.id, c.name, coalesce(t.total, 0) AS total
        FROM stg_customers AS c LEFT JOIN order_totals AS t ON t.customer_id = c.id
    """)


@task
def line_counts(ctx: TaskBuildContext) -> ibis.Table:
    """How many lines there are."""
    return ctx.sql("SELECT count(*) AS lines FROM order_lines")


@task
def line_values(ctx: TaskBuildContext) -> ibis.Table:
    """What each line is worth; the table of prices is declared nowhere."""
    lines, prices = ctx.table("order_lines"), ctx.table("prices")
    priced = lines.join(prices, "sku")
    return priced.select("order_id", "sku", worth=priced.quantity * priced.price)


def shop_catalog(folder: Path) -> TaskCatalog:
    """The tasks on the raw files of a folder."""
    sources = [SourceSpec(name, path=folder / f"{name}.csv", description=f"The file {name}.") for name in RAW]
    tasks = [
        stg_customers,
        stg_orders,
        order_notes,
        note_lengths,
        order_parts,
        customer_totals,
        line_counts,
        line_values,
    ]
    return TaskCatalog(tasks, sources)


def write_raw_data(folder: Path) -> None:
    """The raw files and the raw table, in their initial state."""
    for name, text in RAW.items():
        (folder / f"{name}.csv").write_text(text)
    with duckdb.connect(shop_database(folder)) as connection:
        connection.execute(PRICES)


def shop_database(folder: Path) -> Path:
    return folder / "shop.duckdb"


def drop_column(file: Path, column: str) -> None:
    """Rewrite a CSV file without one of its columns."""
    rows = [line.split(",") for line in file.read_text().splitlines()]
    at = rows[0].index(column)
    file.write_text("".join(",".join([*row[:at], *row[at + 1 :]]) + "\n" for row in rows))


def shop_definitions(folder: Path) -> dg.Definitions:
    ctx = ExecutionContext(cache=compiled_before())
    return build_definitions(shop_catalog(folder), database=shop_database(folder), ctx=ctx)


if "DAGSTER_SHOP" in os.environ:
    defs = shop_definitions(Path(os.environ["DAGSTER_SHOP"]))
