"""Staging: one task per raw file. Good names, true types, money in dollars, and no business rules yet."""

import ibis
from ibis import _

from relspec_core import TaskBuildContext, task

OWNERS = ("team:data-platform",)


def dollars(cents: ibis.Deferred) -> ibis.Deferred:
    """Whole cents as an exact decimal number of dollars."""
    return (cents / 100).cast("decimal(16, 2)")


@task(group="staging", owners=OWNERS, tags={"pii": "name"})
def stg_customers(ctx: TaskBuildContext) -> ibis.Table:
    """Customers, one row each."""
    return ctx.table("raw_customers").select(customer_id=_.id, customer_name=_.name)


@task(group="staging", owners=OWNERS)
def stg_locations(ctx: TaskBuildContext) -> ibis.Table:
    """Stores, one row each, including those that have yet to open."""
    return ctx.table("raw_stores").select(
        location_id=_.id,
        location_name=_.name,
        tax_rate=_.tax_rate.cast("decimal(6, 4)"),
        opened_on=_.opened_at.date(),
    )


@task(group="staging", owners=OWNERS)
def stg_products(ctx: TaskBuildContext) -> ibis.Table:
    """The menu, one row per product."""
    return ctx.table("raw_products").select(
        product_id=_.sku,
        product_name=_.name,
        product_description=_.description,
        is_food=_.type == "jaffle",
        is_drink=_.type == "beverage",
        price=dollars(_.price),
    )


@task(group="staging", owners=OWNERS)
def stg_supplies(ctx: TaskBuildContext) -> ibis.Table:
    """What one unit of a product takes, one row per supply and product."""
    return ctx.sql("""
        SELECT
            id AS supply_id,
            sku AS product_id,
            name AS supply_name,
            CAST(cost / 100 AS DECIMAL(16, 2)) AS supply_cost,
            perishable AS is_perishable
        FROM raw_supplies
    """)


@task(group="staging", owners=OWNERS)
def stg_orders(ctx: TaskBuildContext) -> ibis.Table:
    """Orders, one row each, with the money that was paid."""
    return ctx.table("raw_orders").select(
        order_id=_.id,
        customer_id=_.customer,
        location_id=_.store_id,
        ordered_at=_.ordered_at,
        ordered_on=_.ordered_at.date(),
        subtotal=dollars(_.subtotal),
        tax_paid=dollars(_.tax_paid),
        order_total=dollars(_.order_total),
    )


@task(group="staging", owners=OWNERS)
def stg_order_items(ctx: TaskBuildContext) -> ibis.Table:
    """Products within orders, one row per unit sold."""
    return ctx.table("raw_items").select(order_item_id=_.id, order_id=_.order_id, product_id=_.sku)


@task(group="staging", owners=OWNERS)
def stg_tweets(ctx: TaskBuildContext) -> ibis.Table:
    """Tweets with their sentiment, which the shop's fans and critics give away in their opening words."""
    sentiment = ibis.cases(
        (_.content.startswith("Jaffles from the Jaffle Shop are"), "positive"),
        (_.content.startswith("Jaffle Shop again."), "negative"),
        else_="neutral",
    )
    return ctx.table("raw_tweets").select(
        tweet_id=_.id, customer_id=_.user_id, tweeted_at=_.tweeted_at, sentiment=sentiment
    )
