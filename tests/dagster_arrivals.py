"""The shop of the Dagster tests before anything has arrived, with a sensor that looks every second.

`dagster dev -f` loads this very file; the folder then comes from DAGSTER_ARRIVALS.
"""

import os
from pathlib import Path

import dagster as dg

from relspec_core import SourceSpec, TaskCatalog
from relspec_dagster import EvidenceSensor, build_definitions
from tests.dagster_shop import shop_catalog, shop_database

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


if "DAGSTER_ARRIVALS" in os.environ:
    arrivals = Path(os.environ["DAGSTER_ARRIVALS"])
    defs = build_definitions(
        declared_shop(arrivals),
        database=shop_database(arrivals),
        evidence_sensor=EvidenceSensor(
            name="arrivals", minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING
        ),
    )
