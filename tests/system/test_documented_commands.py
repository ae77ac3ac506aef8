"""The output that docs/commands.md shows is that of the commands on the example."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from examples.jaffle_shop.generate import generate
from examples.jaffle_shop.settings import data_folder
from relspec_core.cli import main

PAGE = Path("docs/commands.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"```text\n\$ relspec (.+)\n((?:(?!```).*\n)+)```", PAGE))
DEPEND_ON_SCHEMAS_ONLY = [
    command
    for command in SHOWN
    if command.split()[0] in {"impact", "contract", "lineage"} and "--schema" not in command
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A database that does not exist yet; the example's raw data are generated if they do not exist."""
    generate(data_folder())
    return tmp_path / "warehouse.duckdb"


def relspec(command: str, database: Path) -> str:
    return CliRunner().invoke(main, [*command.split(), "--database", str(database)]).output


@pytest.mark.parametrize("command", DEPEND_ON_SCHEMAS_ONLY)
def test_a_command_prints_what_the_page_shows(command: str, shop: Path) -> None:
    assert relspec(command, shop) == SHOWN[command]


def test_a_catalog_without_problems_is_checked_as_the_page_shows(shop: Path) -> None:
    assert f"$ relspec check\n{relspec('check', shop)}```" in PAGE


def test_a_proposed_schema_is_evaluated_as_the_page_shows(shop: Path) -> None:
    contract = shop.with_name("raw_orders.yaml")
    contract.write_text(relspec("contract raw_orders", shop).replace("store_id:", "store:"), encoding="utf-8")
    (command,) = (command for command in SHOWN if "--schema" in command)
    assert relspec(command.replace(contract.name, str(contract)), shop) == SHOWN[command]


def test_fixtures_are_printed_as_the_page_shows(shop: Path) -> None:
    (shown,) = re.findall(r"```python\n(.+?)```", PAGE, flags=re.DOTALL)
    assert relspec("fixtures locations", shop) == shown
