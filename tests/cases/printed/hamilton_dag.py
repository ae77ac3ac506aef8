"""The task graph of examples.jaffle_shop.catalog:catalog, for Apache Hamilton.

Written by relspec from inferred dependencies; set HAMILTON_DAG_OUTPUT to write it again.
Each function brings one task's tables up to date in the warehouse and gives their evidence.

    dr = driver.Builder().with_modules(module).build()
    dr.execute(["customer_sentiment"])  # this, what it needs, and nothing else

Sources are inputs, which may be left out; given a path, a source is read from there:

    dr.execute(["customer_sentiment"], inputs={"raw_customers": "other/file.csv"})

Another warehouse, or parameters:

    .with_config({"relspec_run": HamiltonRun(CATALOG, "other.duckdb")})
"""

from hamilton.function_modifiers import extract_fields, tag
from relspec_core import Evidence, HamiltonRun, SourceInput

CATALOG = "examples.jaffle_shop.catalog:catalog"
DATABASE = "build/none.duckdb"


def relspec_run() -> HamiltonRun:
    """The compiled catalog and its warehouse; give another in a driver's config."""
    return HamiltonRun(CATALOG, DATABASE)


@tag(
    task="customer_sentiment",
    evidence="customer_sentiment",
    required_columns=[
        "customers.customer_id",
        "customers.lifetime_spend",
        "stg_tweets.customer_id",
        "stg_tweets.sentiment",
        "stg_tweets.tweeted_at",
    ],
    fingerprint="07e5549b3bfba1f6d603f2b8259ef5f5",
)
def customer_sentiment(
    relspec_run: HamiltonRun,
    customers: Evidence,
    stg_tweets: Evidence,
) -> Evidence:
    """What tweeting customers think of the shop and spend there, one row per customer who ever tweeted."""
    relspec_read = {"customers": customers, "stg_tweets": stg_tweets}
    return relspec_run.build("customer_sentiment", relspec_read)["customer_sentiment"]


@tag(
    task="customers",
    evidence="customers",
    required_columns=[
        "orders.customer_id",
        "orders.order_total",
        "orders.ordered_at",
        "orders.subtotal",
        "orders.tax_paid",
        "stg_customers.customer_id",
        "stg_customers.customer_name",
    ],
    fingerprint="f10196add81ddaf1221b11bd2c4df148",
)
def customers(
    relspec_run: HamiltonRun,
    orders: Evidence,
    stg_customers: Evidence,
) -> Evidence:
    """Customers with their lifetime values, one row per customer."""
    relspec_read = {"orders": orders, "stg_customers": stg_customers}
    return relspec_run.build("customers", relspec_read)["customers"]


@tag(
    task="daily_revenue",
    evidence="daily_revenue",
    required_columns=[
        "orders.location_id",
        "orders.ordered_on",
        "orders.subtotal",
        "orders.supply_cost",
        "stg_locations.location_id",
        "stg_locations.location_name",
    ],
    fingerprint="b0c6f27497b8470405450998debc3575",
)
def daily_revenue(
    relspec_run: HamiltonRun,
    orders: Evidence,
    stg_locations: Evidence,
) -> Evidence:
    """Revenue by store and day of trade, with the average of its last seven days and the total so far."""
    relspec_read = {"orders": orders, "stg_locations": stg_locations}
    return relspec_run.build("daily_revenue", relspec_read)["daily_revenue"]


@tag(
    task="locations",
    evidence="locations",
    required_columns=[
        "orders.customer_id",
        "orders.location_id",
        "orders.subtotal",
        "orders.supply_cost",
        "stg_locations.location_id",
        "stg_locations.location_name",
        "stg_locations.opened_on",
        "stg_locations.tax_rate",
    ],
    fingerprint="13d5de1d2fe296ce4bc967f3c1d4b867",
)
def locations(
    relspec_run: HamiltonRun,
    orders: Evidence,
    stg_locations: Evidence,
) -> Evidence:
    """Stores with their trade so far, one row per store; a store that has yet to open has no orders."""
    relspec_read = {"orders": orders, "stg_locations": stg_locations}
    return relspec_run.build("locations", relspec_read)["locations"]


@tag(
    task="order_items",
    evidence="order_items",
    required_columns=[
        "products.is_drink",
        "products.is_food",
        "products.price",
        "products.product_id",
        "products.supply_cost",
        "stg_order_items.order_id",
        "stg_order_items.order_item_id",
        "stg_order_items.product_id",
    ],
    fingerprint="ef3f56bd4c3e5430d5dbd52f0959a31d",
)
def order_items(
    relspec_run: HamiltonRun,
    products: Evidence,
    stg_order_items: Evidence,
) -> Evidence:
    """Every unit sold with its price and supply cost, one row per unit."""
    relspec_read = {"products": products, "stg_order_items": stg_order_items}
    return relspec_run.build("order_items", relspec_read)["order_items"]


@tag(
    task="orders",
    evidence="orders",
    required_columns=[
        "order_items.is_drink",
        "order_items.is_food",
        "order_items.order_id",
        "order_items.price",
        "order_items.supply_cost",
        "stg_orders.customer_id",
        "stg_orders.location_id",
        "stg_orders.order_id",
        "stg_orders.order_total",
        "stg_orders.ordered_at",
        "stg_orders.ordered_on",
        "stg_orders.subtotal",
        "stg_orders.tax_paid",
    ],
    fingerprint="e482704d9eb4d5ced67631702abdad81",
)
def orders(
    relspec_run: HamiltonRun,
    order_items: Evidence,
    stg_orders: Evidence,
) -> Evidence:
    """Orders with their items, cost and place in the customer's history, one row per order."""
    relspec_read = {"order_items": order_items, "stg_orders": stg_orders}
    return relspec_run.build("orders", relspec_read)["orders"]


@tag(target_="orders_by_kind", task="orders_by_kind")
@tag(
    target_="food_orders",
    task="orders_by_kind",
    evidence="food_orders",
    required_columns=[
        "orders.customer_id",
        "orders.food_count",
        "orders.food_revenue",
        "orders.is_food_order",
        "orders.location_id",
        "orders.order_id",
        "orders.ordered_on",
    ],
    fingerprint="99ba57a03ed1cd06285adb562fbaddf1",
)
@tag(
    target_="drink_orders",
    task="orders_by_kind",
    evidence="drink_orders",
    required_columns=[
        "orders.customer_id",
        "orders.drink_count",
        "orders.drink_revenue",
        "orders.is_drink_order",
        "orders.location_id",
        "orders.order_id",
        "orders.ordered_on",
    ],
    fingerprint="4bfb7488bffdc18867b18559859f092a",
)
@extract_fields({"food_orders": Evidence, "drink_orders": Evidence})
def orders_by_kind(relspec_run: HamiltonRun, orders: Evidence) -> dict[str, Evidence]:
    """Orders with food and orders with drinks, each with that share of its money; many orders are in both tables."""
    relspec_built = relspec_run.build("orders_by_kind", {"orders": orders})
    return {
        "food_orders": relspec_built["food_orders"],
        "drink_orders": relspec_built["drink_orders"],
    }


@tag(
    task="products",
    evidence="products",
    required_columns=[
        "stg_products.is_drink",
        "stg_products.is_food",
        "stg_products.price",
        "stg_products.product_description",
        "stg_products.product_id",
        "stg_products.product_name",
        "stg_supplies.product_id",
        "stg_supplies.supply_cost",
    ],
    fingerprint="ff7f13d2b55e674cf5f1e23a58e6cf67",
)
def products(
    relspec_run: HamiltonRun,
    stg_products: Evidence,
    stg_supplies: Evidence,
) -> Evidence:
    """The menu with what each product costs to make and earns, one row per product."""
    relspec_read = {"stg_products": stg_products, "stg_supplies": stg_supplies}
    return relspec_run.build("products", relspec_read)["products"]


@tag(
    task="quiet_customers",
    evidence="quiet_customers",
    required_columns=[
        "customers.customer_id",
        "customers.customer_name",
        "customers.customer_type",
        "customers.first_ordered_at",
        "customers.last_ordered_at",
        "customers.lifetime_spend",
        "customers.lifetime_spend_pretax",
        "customers.lifetime_tax_paid",
        "customers.order_count",
        "stg_tweets.customer_id",
    ],
    fingerprint="591593c2ce0f755a2ecc86e0579aceff",
)
def quiet_customers(
    relspec_run: HamiltonRun,
    customers: Evidence,
    stg_tweets: Evidence,
) -> Evidence:
    """Customers who never tweeted, one row each; a view, so it takes no space of its own."""
    relspec_read = {"customers": customers, "stg_tweets": stg_tweets}
    return relspec_run.build("quiet_customers", relspec_read)["quiet_customers"]


@tag(
    task="stg_customers",
    evidence="stg_customers",
    required_columns=["raw_customers.id", "raw_customers.name"],
    fingerprint="346fcb3e5f5ce13770838e73ab6a64a8",
)
def stg_customers(
    relspec_run: HamiltonRun,
    raw_customers: SourceInput = None,
) -> Evidence:
    """Customers, one row each."""
    relspec_read = {"raw_customers": raw_customers}
    return relspec_run.build("stg_customers", relspec_read)["stg_customers"]


@tag(
    task="stg_locations",
    evidence="stg_locations",
    required_columns=[
        "raw_stores.id",
        "raw_stores.name",
        "raw_stores.opened_at",
        "raw_stores.tax_rate",
    ],
    fingerprint="8df70fdef3e23d4bf0a61798da51d2f5",
)
def stg_locations(
    relspec_run: HamiltonRun,
    raw_stores: SourceInput = None,
) -> Evidence:
    """Stores, one row each, including those that have yet to open."""
    relspec_read = {"raw_stores": raw_stores}
    return relspec_run.build("stg_locations", relspec_read)["stg_locations"]


@tag(
    task="stg_order_items",
    evidence="stg_order_items",
    required_columns=["raw_items.id", "raw_items.order_id", "raw_items.sku"],
    fingerprint="e9825b72c55984213918b62cb60ca861",
)
def stg_order_items(
    relspec_run: HamiltonRun,
    raw_items: SourceInput = None,
) -> Evidence:
    """Products within orders, one row per unit sold."""
    relspec_read = {"raw_items": raw_items}
    return relspec_run.build("stg_order_items", relspec_read)["stg_order_items"]


@tag(
    task="stg_orders",
    evidence="stg_orders",
    required_columns=[
        "raw_orders.customer",
        "raw_orders.id",
        "raw_orders.order_total",
        "raw_orders.ordered_at",
        "raw_orders.store_id",
        "raw_orders.subtotal",
        "raw_orders.tax_paid",
    ],
    fingerprint="4564f07ba9193a00c851d5a8fe0c88a9",
)
def stg_orders(relspec_run: HamiltonRun, raw_orders: SourceInput = None) -> Evidence:
    """Orders, one row each, with the money that was paid."""
    return relspec_run.build("stg_orders", {"raw_orders": raw_orders})["stg_orders"]


@tag(
    task="stg_products",
    evidence="stg_products",
    required_columns=[
        "raw_products.description",
        "raw_products.name",
        "raw_products.price",
        "raw_products.sku",
        "raw_products.type",
    ],
    fingerprint="3d3f1115d8fcf007d4cb8101e74a8ef4",
)
def stg_products(
    relspec_run: HamiltonRun,
    raw_products: SourceInput = None,
) -> Evidence:
    """The menu, one row per product."""
    relspec_read = {"raw_products": raw_products}
    return relspec_run.build("stg_products", relspec_read)["stg_products"]


@tag(
    task="stg_supplies",
    evidence="stg_supplies",
    required_columns=[
        "raw_supplies.cost",
        "raw_supplies.id",
        "raw_supplies.name",
        "raw_supplies.perishable",
        "raw_supplies.sku",
    ],
    fingerprint="ec4d22561ab307542317be6c850e03ab",
)
def stg_supplies(
    relspec_run: HamiltonRun,
    raw_supplies: SourceInput = None,
) -> Evidence:
    """What one unit of a product takes, one row per supply and product."""
    relspec_read = {"raw_supplies": raw_supplies}
    return relspec_run.build("stg_supplies", relspec_read)["stg_supplies"]


@tag(
    task="stg_tweets",
    evidence="stg_tweets",
    required_columns=[
        "raw_tweets.content",
        "raw_tweets.id",
        "raw_tweets.tweeted_at",
        "raw_tweets.user_id",
    ],
    fingerprint="5f210ba062d4ca8fe014026ab234a53c",
)
def stg_tweets(relspec_run: HamiltonRun, raw_tweets: SourceInput = None) -> Evidence:
    """Tweets with their sentiment, which the shop's fans and critics give away in their opening words."""
    return relspec_run.build("stg_tweets", {"raw_tweets": raw_tweets})["stg_tweets"]


@tag(
    task="supplies",
    evidence="supplies",
    required_columns=[
        "order_items.product_id",
        "stg_supplies.is_perishable",
        "stg_supplies.product_id",
        "stg_supplies.supply_cost",
        "stg_supplies.supply_id",
        "stg_supplies.supply_name",
    ],
    fingerprint="4b0477e37c70b30d494a6127e24160f8",
)
def supplies(
    relspec_run: HamiltonRun,
    order_items: Evidence,
    stg_supplies: Evidence,
) -> Evidence:
    """Supplies with what was used of them and what that cost, one row per supply."""
    relspec_read = {"order_items": order_items, "stg_supplies": stg_supplies}
    return relspec_run.build("supplies", relspec_read)["supplies"]
