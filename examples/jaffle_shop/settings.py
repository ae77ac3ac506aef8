"""Paths of the example's raw files and its database."""

import os
import tomllib
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

RAW_TABLES = ("customers", "items", "orders", "products", "stores", "supplies", "tweets")


def data_folder() -> Path:
    """The folder of the raw CSV files: ``JAFFLE_SHOP_DATA``, else ``data`` next to this module."""
    chosen = os.environ.get("JAFFLE_SHOP_DATA")
    return Path(chosen) if chosen else Path(__file__).parent / "data"


def database_path() -> Path:
    """The DuckDB file: ``JAFFLE_SHOP_DATABASE``, else the one that ``[tool.relspec]`` names in the checkout."""
    chosen = os.environ.get("JAFFLE_SHOP_DATABASE")
    if chosen:
        return Path(chosen)
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    return CHECKOUT / settings["tool"]["relspec"]["database"]


def missing_files(folder: Path) -> tuple[str, ...]:
    """Names of the raw files that this folder lacks, sorted; empty when the data is complete."""
    wanted = (f"raw_{table}.csv" for table in RAW_TABLES)
    return tuple(name for name in wanted if not (folder / name).is_file())
