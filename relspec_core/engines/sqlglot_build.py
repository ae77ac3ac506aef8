"""Notices SQLGlot's compiled build, with which Ibis is not compatible."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


DISTRIBUTION = "sqlglotc"
OLDER = "sqlglotrs"  # comes with it, is not used, and without it has SQLGlot ask for it back


class CompiledSqlglotWarning(UserWarning):
    """SQLGlot's compiled build is in use: some plans do not compile that do with the pure one."""


def is_compiled(modules: Mapping[str, ModuleType] | None = None) -> bool:
    """Whether a part of SQLGlot that this process has loaded is machine code.

    Args:
        modules: by name; those of this process where left out.
    """
    return any(
        name.startswith("sqlglot.")
        and isinstance(getattr(getattr(module, "__spec__", None), "loader", None), ExtensionFileLoader)
        for name, module in list((sys.modules if modules is None else modules).items())
    )


def notice() -> str:
    """What is wrong with the compiled build, and the way out."""
    try:
        found = f"{DISTRIBUTION} {version(DISTRIBUTION)}"
    except PackageNotFoundError:
        found = DISTRIBUTION
    return (
        f"SQLGlot's compiled build ({found}) is installed, and Ibis is not compatible with it: interval arithmetic and "
        "uuid fail on DuckDB, and some other dialects fail altogether. "
        f"The way out: pip uninstall {DISTRIBUTION} {OLDER}. SQLGlot works without them, and so does dagster-dbt, "
        "which asks for them as sqlglot[rs]."
    )


@cache  # once for a process, also where the filters of warnings change in between
def warn_if_compiled() -> None:
    """Warn, once for a process, where SQLGlot's compiled build is in use."""
    if is_compiled():
        warnings.warn(notice(), CompiledSqlglotWarning, stacklevel=3)
