"""Schemas in files: YAML or JSON that maps columns to types, or the schema that a Parquet, Arrow or CSV file has."""

from __future__ import annotations

import json
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import yaml
from parsy import ParseError

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError
from relspec_core.errors import CatalogError, SourceError, raise_all, shown_path
from relspec_core.model.duckdb_types import from_duckdb, schema_from_duckdb, to_duckdb
from relspec_core.sources.source_files import READERS, source_files
from relspec_core.system.compile_cache import CompileCache

MAPPINGS = (".yaml", ".yml", ".json")
ARROW = (".arrow", ".feather", ".ipc")
FILE_HINT = (
    f"give a mapping of columns to types ({', '.join(MAPPINGS)}), or a file that has the columns "
    f"({', '.join([*ARROW, *(suffix for suffix in READERS if suffix not in MAPPINGS)])})."
)
TYPE_HINT = "use Ibis's names, in lower case (int64, string, decimal(16, 2)), or DuckDB's, in upper case (BIGINT)."


def schema_in_file(path: Path) -> ibis.Schema:
    """The columns and types that a file tells, whatever its form.

    Raises:
        CatalogError: RS100, where the file tells no schema. SourceError: RS106, where data can't be read.
    """
    if not path.is_file():
        raise CatalogError(f"there is no file '{path}'", at=shown_path(path), hint=FILE_HINT)
    match path.suffix.lower():
        case suffix if suffix in MAPPINGS:
            return _mapping(path)
        case suffix if suffix in ARROW:
            return _arrow(path)
        case _:
            return _data(path)


def type_named(text: str) -> dt.DataType:
    """The type of that name: Ibis's names are in lower case, DuckDB's in upper; what Ibis does not know is DuckDB's.

    >>> type_named("int64") == type_named("BIGINT")
    True

    Raises:
        CatalogError: RS100, for a name that neither knows.
    """
    if not text[:1].isupper():
        try:
            return dt.dtype(text)
        except ParseError:
            pass
    with DuckDBConnection.scratch() as scratch:
        try:
            return from_duckdb(scratch.type_named(text))
        except EngineError as error:
            raise CatalogError(f"there is no type '{text}'", hint=TYPE_HINT) from error


def name_of_type(kind: dt.DataType) -> str:
    """A name that ``type_named`` gives the type for: Ibis's where that can be read again, else DuckDB's."""
    try:
        if dt.dtype(str(kind)) == kind:
            return str(kind)
    except ParseError:
        pass
    return to_duckdb(kind)


def _mapping(path: Path) -> ibis.Schema:
    try:
        found = _parsed(path)
    except (yaml.YAMLError, ValueError) as error:
        raise CatalogError(
            f"the schema can't be read: {' '.join(str(error).split())}", at=shown_path(path), hint="fix the file."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(kind, str) for kind in found.values()):
        raise CatalogError("the file does not map columns to types", at=shown_path(path), hint=FILE_HINT)
    types: dict[str, dt.DataType] = {}
    problems: list[CatalogError] = []
    for column, kind in found.items():
        try:
            types[column] = type_named(kind)
        except CatalogError as error:
            problems.append(CatalogError(f"column '{column}': {error.what}", at=shown_path(path), hint=error.hint))
    raise_all(problems)
    return ibis.schema(types)


def _parsed(path: Path) -> object:
    text = path.read_text(encoding="utf-8")
    if path.suffix.lower() == ".json":
        return json.loads(text)
    # Every value as it is written: a column may be named 'no'.
    return yaml.load(text, Loader=yaml.BaseLoader) or {}  # noqa: S506 - makes only texts


def _arrow(path: Path) -> ibis.Schema:
    try:
        with pa.memory_map(str(path)) as file:
            try:
                schema = pa.ipc.open_file(file).schema
            except pa.ArrowInvalid:
                file.seek(0)
                schema = pa.ipc.open_stream(file).schema
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"no Arrow schema can be read: {error}", at=shown_path(path), hint="fix the file.") from error
    with DuckDBConnection.scratch() as scratch:
        return schema_from_duckdb(scratch.types_in_arrow(schema.empty_table()))


def _data(path: Path) -> ibis.Schema:
    files = source_files(SourceSpec("proposed", path=path))
    if files is None:
        raise CatalogError(f"there is no file '{path}'", at=shown_path(path), hint=FILE_HINT)
    with DuckDBConnection.scratch() as scratch:
        return files.schema(scratch, cache=CompileCache())
