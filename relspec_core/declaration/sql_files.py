"""Folders of ``.sql`` files: each a query with an optional YAML header that declares its task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relspec_core.errors import CatalogError, SourceLocation, SqlError, TextPosition, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis

    from relspec_core.declaration.build_context import TaskBuildContext


SUFFIX = ".sql"
COMMENTS = ("/*", "--")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlFile:
    """A file with one query; a builder that returns the query's table.

    Attributes:
        name: the file name without its suffix.
        location: the file's first line.
        text: the file's text with its header blanked out, so that lines and columns are the file's.
        declared: arguments of ``TaskSpec`` from the header.
        dialect: the dialect of the text; None: the backend's.
        dialect_place: the position of the dialect in the header.
    """

    name: str
    location: SourceLocation
    text: str = field(repr=False)
    declared: Mapping[str, Any]
    dialect: str | None = None
    dialect_place: TextPosition | None = None

    def __call__(self, ctx: TaskBuildContext) -> ibis.Table:
        """Return the query's table."""
        try:
            return ctx.sql(self.text, dialect=self.dialect)
        except SqlError as error:
            error.place = error.place or self.dialect_place
            raise


def sql_paths(folder: str | Path) -> list[Path]:
    """Every ``.sql`` file of a folder and its subfolders, sorted, except hidden ones.

    Raises:
        CatalogError: RS100, if there is none.
    """
    root = Path(folder)
    paths = sorted(path for path in root.rglob("*") if _is_sql_file(path, root))
    if not paths:
        what = (
            f"has no {SUFFIX} file" if root.is_dir() else "does not exist" if not root.exists() else "is not a folder"
        )
        raise CatalogError(
            f"folder '{root}' {what}",
            at=shown_path(root),
            hint=f"name a folder with {SUFFIX} files, one for each task.",
        )
    return paths


def _is_sql_file(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() == SUFFIX and not hidden and path.is_file()


def sql_file(path: Path) -> SqlFile:
    """Read a SQL file and its header.

    Raises:
        CatalogError: RS100, if its header is invalid; a ``CompileError`` if several keys are.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"the file can't be read: {error}", at=shown_path(path), hint="save it as UTF-8.") from error
    plain = SqlFile(name=path.stem, location=SourceLocation(str(path.absolute()), 1), text=text, declared={})
    if not text.lstrip().startswith(COMMENTS):
        return plain
    from relspec_core.declaration.sql_header import read_header  # noqa: PLC0415 - the YAML parser is slow to load

    header = read_header(path, text)
    if header is None:
        return plain
    return replace(
        plain,
        text=header.text,
        declared=header.declared,
        dialect=header.dialect,
        dialect_place=header.dialect_place,
    )
