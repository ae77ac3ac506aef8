"""Marts: the final tables. Money is in dollars; revenue is before tax."""

import ibis
from ibis import _

from relspec_core import TaskBuildContext, task

OWNERS = ("team:analytics",)


@task(group="marts", owners=OWNERS)
def products(ctx: TaskBuildContext) -> ibis.Table:
    """The menu with what each product costs to make and earns, one row per product."""
    costs = ctx.table("stg_supplies").group_by("product_id").agg(supply_cost=_.supply_cost.sum())
    menu = ctx.table("stg_products").left_join(costs, "product_id")
    return menu.select(
        "product_id",
        "product_name",
        "product_description",
        "is_food",
        "is_drink",
        "price",
        supply_cost=_.supply_cost.coalesce(0),
        margin=_.price - _.supply_cost.coalesce(0),
    )


@task(group="marts", owners=OWNERS)
def order_items(ctx: TaskBuildContext) -> ibis.Table:
    """Every unit sold with its price and supply cost, one row per unit."""
    return ctx.sql("""
        SELECT
            sold.order_item_id,
            sold.order_id,
            sold.product_id,
            products.is_food,
            products.is_drink,
            products.price,
            products.supply_cost
        FROM stg_order_items AS sold
        JOIN products ON products.product_id = sold.product_id
    """)


@task(group="marts", owners=OWNERS, tags={"tier": "gold"})
def orders(ctx: TaskBuildContext) -> ibis.Table:
    """Orders with their items, cost and place in the customer's history, one row per order."""
    baskets = (
        ctx.table("order_items")
        .group_by("order_id")
        .agg(
            food_count=_.is_food.sum(),
            drink_count=_.is_drink.sum(),
            food_revenue=_.price.sum(where=_.is_food),
            drink_revenue=_.price.sum(where=_.is_drink),
            supply_cost=_.supply_cost.sum(),
        )
    )
    history = ibis.window(group_by="customer_id", order_by=["ordered_at", "order_id"])
    placed = ctx.table("stg_orders").left_join(baskets, "order_id")  # some orders have no items
    return placed.select(
        "order_id",
        "customer_id",
        "location_id",
        "ordered_at",
        "ordered_on",
        "subtotal",
        "tax_paid",
        "order_total",
        food_count=_.food_count.coalesce(0),
        drink_count=_.drink_count.coalesce(0),
        food_revenue=_.food_revenue.coalesce(0),
        drink_revenue=_.drink_revenue.coalesce(0),
        supply_cost=_.supply_cost.coalesce(0),
        is_food_order=_.food_count.coalesce(0) > 0,
        is_drink_order=_.drink_count.coalesce(0) > 0,
        customer_order_number=ibis.row_number().over(history) + 1,
    )


@task(group="marts", owners=OWNERS)
def orders_by_kind(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    """Orders with food and orders with drinks, each with its share of the amount; many orders are in both tables."""
    placed = ctx.table("orders")
    keys = ("order_id", "customer_id", "location_id", "ordered_on")
    return {
        "food_orders": placed.filter(_.is_food_order).select(*keys, units=_.food_count, revenue=_.food_revenue),
        "drink_orders": placed.filter(_.is_drink_order).select(*keys, units=_.drink_count, revenue=_.drink_revenue),
    }


@task(group="marts", owners=OWNERS, tags={"tier": "gold", "pii": "name"})
def customers(ctx: TaskBuildContext) -> ibis.Table:
    """Customers with their lifetime values, one row per customer."""
    lifetimes = (
        ctx.table("orders")
        .group_by("customer_id")
        .agg(
            order_count=_.count(),
            first_ordered_at=_.ordered_at.min(),
            last_ordered_at=_.ordered_at.max(),
            lifetime_spend_pretax=_.subtotal.sum(),
            lifetime_tax_paid=_.tax_paid.sum(),
            lifetime_spend=_.order_total.sum(),
        )
    )
    return (
        ctx.table("stg_customers")
        .left_join(lifetimes, "customer_id")
        .select(
            "customer_id",
            "customer_name",
            "first_ordered_at",
            "last_ordered_at",
            order_count=_.order_count.coalesce(0),
            lifetime_spend_pretax=_.lifetime_spend_pretax.coalesce(0),
            lifetime_tax_paid=_.lifetime_tax_paid.coalesce(0),
            lifetime_spend=_.lifetime_spend.coalesce(0),
            customer_type=ibis.cases((_.order_count > 1, "returning"), else_="new"),
        )
    )


@task(group="marts", owners=OWNERS)
def locations(ctx: TaskBuildContext) -> ibis.Table:
    """Stores with their trade so far, one row per store; a store that has yet to open has no orders."""
    return ctx.sql("""
        WITH trade AS (
            SELECT
                location_id,
                COUNT(*) AS order_count,
                COUNT(DISTINCT customer_id) AS customer_count,
                SUM(subtotal) AS revenue,
                SUM(supply_cost) AS supply_cost
            FROM orders
            GROUP BY location_id
        )
        SELECT
            stores.location_id,
            stores.location_name,
            stores.tax_rate,
            stores.opened_on,
            COALESCE(trade.order_count, 0) AS order_count,
            COALESCE(trade.customer_count, 0) AS customer_count,
            COALESCE(trade.revenue, 0) AS revenue,
            COALESCE(trade.supply_cost, 0) AS supply_cost
        FROM stg_locations AS stores
        LEFT JOIN trade ON trade.location_id = stores.location_id
    """)


@task(group="marts", owners=OWNERS)
def supplies(ctx: TaskBuildContext) -> ibis.Table:
    """Supplies with what was used of them and what that cost, one row per supply."""
    sold = ctx.table("order_items").group_by("product_id").agg(units=_.count())
    uses = ctx.table("stg_supplies").left_join(sold, "product_id")
    units = uses.units.coalesce(0)
    return uses.group_by("supply_id", "supply_name", "is_perishable").agg(
        product_count=_.count(),
        units_used=units.sum(),
        total_cost=(units * uses.supply_cost).sum(),
    )


@task(group="marts", owners=OWNERS, tags={"tier": "gold"}, cron="0 6 * * *")
def daily_revenue(ctx: TaskBuildContext) -> ibis.Table:
    """Revenue by store and day of trade, with the average of its last seven days and the total so far."""
    days = (
        ctx.table("orders")
        .group_by("location_id", "ordered_on")
        .agg(order_count=_.count(), revenue=_.subtotal.sum(), supply_cost=_.supply_cost.sum())
    )
    week = ibis.window(group_by="location_id", order_by="ordered_on", preceding=6, following=0)
    so_far = ibis.cumulative_window(group_by="location_id", order_by="ordered_on")
    stores = ctx.table("stg_locations").select("location_id", "location_name")
    return days.join(stores, "location_id").select(
        "location_id",
        "location_name",
        "ordered_on",
        "order_count",
        "revenue",
        gross_profit=_.revenue - _.supply_cost,
        revenue_7_day_average=_.revenue.mean().over(week).cast("decimal(16, 2)"),
        revenue_so_far=_.revenue.sum().over(so_far),
    )


@task(group="marts", owners=OWNERS)
def customer_sentiment(ctx: TaskBuildContext) -> ibis.Table:
    """What tweeting customers think of the shop and spend there, one row per customer who ever tweeted."""
    return ctx.sql("""
        SELECT
            customers.customer_id,
            customers.lifetime_spend,
            COUNT(*) AS tweet_count,
            COUNT(*) FILTER (WHERE tweets.sentiment = 'positive') AS positive_tweet_count,
            COUNT(*) FILTER (WHERE tweets.sentiment = 'negative') AS negative_tweet_count,
            MAX(tweets.tweeted_at) AS last_tweeted_at
        FROM stg_tweets AS tweets
        JOIN customers ON customers.customer_id = tweets.customer_id
        GROUP BY customers.customer_id, customers.lifetime_spend
    """)


@task(kind="view", group="marts", owners=OWNERS, tags={"pii": "name"})
def quiet_customers(ctx: TaskBuildContext) -> ibis.Table:
    """Customers who never tweeted, one row each; a view, so it takes no space of its own."""
    return ctx.table("customers").anti_join(ctx.table("stg_tweets"), "customer_id")
