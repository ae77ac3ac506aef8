"""What ``dagster dev`` serves: the same catalog as Dagster definitions, on the example's DuckDB file."""

from examples.jaffle_shop.catalog import catalog
from examples.jaffle_shop.settings import database_path
from relspec_dagster import build_definitions

DATABASE = database_path()
DATABASE.parent.mkdir(parents=True, exist_ok=True)

defs = build_definitions(catalog, database=DATABASE)
