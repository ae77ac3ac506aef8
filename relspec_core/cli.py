"""The ``relspec`` command.

Exit codes: 0 done; 1 a task failed or is blocked; 2 bad usage, or a catalog that does not compile; 3 a task would run
(only of ``plan``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

from relspec_core import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping


MODULES: Mapping[str, str] = {
    "check": "inspect",
    "contract": "inspect",
    "diff": "catalog",
    "explain": "plan",
    "fixtures": "inspect",
    "graph": "catalog",
    "impact": "inspect",
    "lineage": "inspect",
    "plan": "plan",
    "run": "run",
    "runs": "runs",
    "unused": "inspect",
}


class Commands(click.Group):
    """Loads only the module of the command that is called, to keep the start of the command short."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        """Every command's name, sorted."""
        return sorted(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """A command, or None."""
        if cmd_name not in MODULES:
            return None
        return getattr(import_module(f"relspec_core.commands.{MODULES[cmd_name]}"), f"{cmd_name}_command")


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="relspec")
def main() -> None:
    """Data pipelines whose dependencies are inferred, column by column."""
