"""The shop of the Dagster tests, declared, so that it can be loaded before anything has arrived."""

from pathlib import Path

from relspec_core import SourceSpec, TaskCatalog
from tests.support.dagster_shop import shop_catalog

COLUMNS = {
    "raw_customers": {"id": "int64", "name": "string", "city": "string"},
    "raw_orders": {"id": "int64", "customer_id": "int64", "amount": "int64", "note": "string"},
    "raw_items": {"order_id": "int64", "sku": "string", "quantity": "int64"},
    "prices": {"sku": "string", "price": "int32", "currency": "string"},
}


def declared_shop(folder: Path) -> TaskCatalog:
    """The tasks of the shop on declared sources, so that it compiles while nothing is there."""
    shop = shop_catalog(folder)
    paths = {source.name: source.path for source in shop.sources}
    return TaskCatalog(
        shop.tasks, [SourceSpec(name, schema=columns, path=paths.get(name)) for name, columns in COLUMNS.items()]
    )
