"""Catalogs by reference: ``package.module:attribute``, or a folder of ``.sql`` files."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.errors import CatalogError, shown_path
from relspec_core.model.formatting import did_you_mean, listed
from relspec_core.task_catalog import TaskCatalog

if TYPE_CHECKING:
    from types import ModuleType


def catalog_at(reference: str) -> TaskCatalog:
    """The catalog that ``package.module:attribute`` names, or the tasks and sources of a plain ``package.module``.

    A reference with a slash, such as ``./sql``, is a folder of ``.sql`` files, relative to the working folder.

    Raises:
        CatalogError: RS100, if it cannot be imported, is not a catalog, or is a module without tasks.
    """
    if names_folder(reference):
        return TaskCatalog.from_folder(reference)
    name, _, attribute = reference.partition(":")
    module = _module(name, reference)
    if not attribute:
        tasks = TaskCatalog.from_modules(module)
        if not len(tasks):
            raise _no_task(reference, module)
        return tasks
    found = getattr(module, attribute, None)
    if isinstance(found, TaskCatalog):
        return found
    what = "does not exist" if found is None else f"is a {type(found).__name__}, not a TaskCatalog"
    catalogs = [key for key, value in vars(module).items() if isinstance(value, TaskCatalog)]
    raise CatalogError(
        f"'{reference}' {what}",
        at=_file_of(module) or name,
        hint=f"{did_you_mean(attribute, catalogs)}The module has these catalogs: {listed(catalogs)}.",
    )


def names_folder(reference: str) -> bool:
    """Whether a reference is a path: the name of a module has no slash."""
    return "/" in reference or os.sep in reference


def _module(name: str, reference: str) -> ModuleType:
    hint = "write it as package.module:attribute, and run the command where the package can be imported."
    if not name:
        raise CatalogError(f"'{reference}' names no module", at=f"catalog '{reference}'", hint=hint)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise CatalogError(f"there is no module '{error.name}'", at=f"catalog '{reference}'", hint=hint) from error


def _no_task(reference: str, module: ModuleType) -> CatalogError:
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    texts = next((folder for folder in folders if any(folder.glob("**/*.sql"))), None)
    hint = "define tasks in it with @task, or name a catalog in it as package.module:attribute."
    return CatalogError(
        f"there is no task in '{reference}'",
        at=_file_of(module) or str(texts or reference),
        hint=hint if texts is None else f"a folder of .sql files is written with a slash: './{texts.name}'.",
    )


def _file_of(module: ModuleType) -> str:
    return shown_path(module.__file__) if module.__file__ else ""


def reference_of(catalog: TaskCatalog) -> str | None:
    """``package.module:attribute`` of the first imported module, by name, that holds this catalog; None without one.

    The loaded modules are searched because a catalog does not know its name: it may be built in one module, by a
    function or by ``+``, and assigned in another.
    """
    return next(
        (
            f"{name}:{attribute}"
            for name, module in sorted(sys.modules.items())
            if name != "__main__"
            for attribute, value in list(vars(module).items())
            if value is catalog
        ),
        None,
    )
