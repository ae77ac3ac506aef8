"""Task 'locations' on small tables that hold only what it reads; printed by `relspec fixtures locations`.

Change the values to those that matter, and say at the end which rows you expect. Run it where the catalog can be found:
python -m pytest, in the project's folder.
"""

import ibis

from relspec_core import TaskCatalog, catalog_at, run

TABLES = r"""
CREATE TABLE "orders" ("customer_id" TEXT, "location_id" TEXT, "subtotal" DECIMAL(16, 2), "supply_cost" DECIMAL(38, 2));
INSERT INTO "orders" ("customer_id", "location_id", "subtotal", "supply_cost") VALUES
    ('a', 'a', 1, 1),
    ('b', 'b', 2, 2),
    ('c', 'c', 3, 3);
CREATE TABLE "stg_locations" ("location_id" TEXT, "location_name" TEXT, "tax_rate" DECIMAL(6, 4), "opened_on" DATE);
INSERT INTO "stg_locations" ("location_id", "location_name", "tax_rate", "opened_on") VALUES
    ('a', 'a', 1, '2024-01-01'),
    ('b', 'b', 2, '2024-01-02'),
    ('c', 'c', 3, '2024-01-03');
"""


def test_locations_runs_on_the_columns_that_it_reads() -> None:
    backend = ibis.duckdb.connect()
    backend.con.execute(TABLES)
    task = catalog_at('examples.jaffle_shop.catalog:catalog')['locations']
    run(TaskCatalog([task]), backend=backend, quiet=True).raise_if_failed()
    found = backend.con.execute('FROM "locations" ORDER BY ALL')
    assert [column[0] for column in found.description] == ['location_id', 'location_name', 'tax_rate', 'opened_on', 'order_count', 'customer_count', 'revenue', 'supply_cost']

