"""The project of a command: catalog and warehouse, from ``[tool.relspec]`` of the nearest ``pyproject.toml``."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from relspec_core.engines.connection_url import database_at, engine_of
from relspec_core.errors import CatalogError, shown_path
from relspec_core.model.formatting import alternatives
from relspec_core.model.hashing import digest
from relspec_core.projects.catalog_loading import catalog_at, names_folder
from relspec_core.system.cache_folder import CACHE_FOLDER
from relspec_core.task_catalog import TaskCatalog

DEFAULT_DATABASE = "warehouse.duckdb"  # not named like a schema: names in two parts would be ambiguous
SETTINGS = ("catalog", "database")
CATALOG_HINT = (
    "write catalog = 'package.module:attribute' (or a folder of .sql files: './sql') under [tool.relspec] in "
    "pyproject.toml, or give --catalog."
)


VARIABLE = re.compile(r"\$\{?(?P<name>[A-Za-z_]\w*)\}?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The catalog and the database that a command works on.

    Attributes:
        root: the folder that modules are imported from.
        catalog: ``package.module:attribute``, a module whose tasks and sources make the catalog, or the path of a
            folder of ``.sql`` files.
        database: the DuckDB file, or the URL of another engine's database.
    """

    root: Path
    catalog: str
    database: Path | str

    @property
    def cache_file(self) -> Path:
        """The file in which compilations of the catalog are cached."""
        return self.root / CACHE_FOLDER / f"{digest(self.reference)}.pickle"

    @property
    def namespace(self) -> str:
        """The database as OpenLineage names it, without the user and password of a URL."""
        if isinstance(self.database, Path):
            return f"duckdb://{self.database.name}"
        return f"{engine_of(self.database)}://{self.database.rpartition('@')[2].rpartition('://')[2]}"

    @property
    def reference(self) -> str:
        """The catalog's name relative to the project's root."""
        return f"./{os.path.relpath(self.catalog, self.root)}" if names_folder(self.catalog) else self.catalog

    def load(self) -> TaskCatalog:
        """The catalog.

        Raises:
            CatalogError: RS100, if it cannot be imported or is not a catalog.
        """
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))
        return catalog_at(self.catalog)


def find_project(start: Path, *, catalog: str | None = None, database: str | None = None) -> Project:
    """The project that contains a folder; the arguments take precedence over its ``pyproject.toml``.

    Args:
        start: ``pyproject.toml`` is searched here and in the parent folders.
        catalog: replaces the file's; a folder in the file is relative to the file.
        database: replaces the file's, which is relative to the file and may contain environment variables, such as
            ``$SHOP_URL``, to keep a URL with a password out of it.

    Raises:
        CatalogError: RS100, if no catalog is named or the file cannot be read.
    """
    file = next((path for folder in (start, *start.parents) if (path := folder / "pyproject.toml").is_file()), None)
    settings = _settings(file) if file is not None else {}
    root = file.parent if file is not None else start
    named = catalog or settings.get("catalog")
    if catalog is None and named is not None and names_folder(named):
        named = str(root / named)
    if named is None:
        raise CatalogError("no catalog is named", at=shown_path(file or start), hint=CATALOG_HINT)
    own = database_at(_filled_in(settings.get("database", DEFAULT_DATABASE), at=file), root)
    return Project(root=root, catalog=named, database=database_at(database, Path()) if database else own)


def _filled_in(text: str, *, at: Path | None) -> str:
    """A setting with its environment variables expanded."""
    found = os.path.expandvars(text)
    missing = VARIABLE.search(found)
    if missing is not None:
        name = missing["name"]
        raise CatalogError(
            f"the database is '{text}', and the environment variable {name} is not set",
            at=f"[tool.relspec] in {shown_path(at)}" if at else "[tool.relspec]",
            hint=f"set {name}, or name the database with --database.",
        )
    return found


def _settings(file: Path) -> dict[str, str]:
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("relspec", {})
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(
            f"the project file can't be read: {error}", at=shown_path(file), hint="fix its TOML."
        ) from error
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise CatalogError(
            f"[tool.relspec] has an unknown setting '{unknown[0]}'",
            at=shown_path(file),
            hint=alternatives(unknown[0], SETTINGS),
        )
    return settings
