"""The seven raw CSV files. Only their paths are declared: columns and types are read from the files."""

from examples.jaffle_shop.settings import data_folder
from relspec_core import SourceSpec

DATA = data_folder()

raw_customers = SourceSpec("raw_customers", path=DATA / "raw_customers.csv", description="Customers who ever ordered.")
raw_items = SourceSpec("raw_items", path=DATA / "raw_items.csv", description="Single products within orders.")
raw_orders = SourceSpec("raw_orders", path=DATA / "raw_orders.csv", description="Orders, with money in cents.")
raw_products = SourceSpec("raw_products", path=DATA / "raw_products.csv", description="The menu, with prices in cents.")
raw_stores = SourceSpec("raw_stores", path=DATA / "raw_stores.csv", description="Stores, some of them yet to open.")
raw_supplies = SourceSpec(
    "raw_supplies", path=DATA / "raw_supplies.csv", description="What one unit of a product takes, with costs in cents."
)
raw_tweets = SourceSpec("raw_tweets", path=DATA / "raw_tweets.csv", description="What customers said in public.")
