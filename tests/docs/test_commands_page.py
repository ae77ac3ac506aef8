"""docs/commands.md against the command: every command, its function, and its help."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import relspec_core
from relspec_core.cli import MODULES

PAGE = Path("docs/commands.md").read_text(encoding="utf-8")


def command(name: str) -> click.Command:
    return getattr(import_module(f"relspec_core.commands.{MODULES[name]}"), f"{name}_command")


def with_subcommands(found: click.Command) -> Iterator[click.Command]:
    yield found
    if isinstance(found, click.Group):
        yield from found.commands.values()


def test_each_command_has_a_row_and_a_section_and_no_other_has() -> None:
    rows = {name for line in PAGE.splitlines() for name in re.findall(r"^\| `relspec (\w+)", line)}
    sections = set(re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE))
    assert rows == sections == set(MODULES)


def test_each_function_in_the_table_is_public() -> None:
    functions = re.findall(r"^\| `relspec .*?` \| `([\w.]+)` \|", PAGE, flags=re.MULTILINE)
    assert len(functions) >= len(MODULES)
    for function in functions:
        name, _, method = function.partition(".")
        assert name in relspec_core.__all__
        assert not method or hasattr(getattr(relspec_core, name), method)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_each_command_and_option_has_help(name: str) -> None:
    for found in with_subcommands(command(name)):
        assert found.help, found.name
        options = [option for option in found.params if isinstance(option, click.Option)]
        assert [option.name for option in options if not option.help] == []
