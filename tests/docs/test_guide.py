"""docs/guide.md against the code."""

from pathlib import Path

from relspec_core.warehouses.engine_adapters import ADAPTERS

GUIDE = Path("docs/guide.md").read_text(encoding="utf-8")


def test_the_table_of_engines_names_each_engine_with_an_adapter() -> None:
    section = GUIDE.partition("\n## Other engines\n")[2].partition("\n## ")[0]
    header = next(line for line in section.splitlines() if line.startswith("| |"))
    assert [name for name in ADAPTERS if name not in header.lower()] == []
