"""Definitions for ``dagster dev``: the example's catalog on its DuckDB file."""

from examples.jaffle_shop.catalog import catalog
from examples.jaffle_shop.settings import database_path
from relspec_dagster import build_definitions

DATABASE = database_path()
DATABASE.parent.mkdir(parents=True, exist_ok=True)

defs = build_definitions(catalog, database=DATABASE)
