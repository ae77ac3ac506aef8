"""Schemas of Ibis, pyarrow and plain values, and the compatibility of types."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import ibis
import ibis.expr.datatypes as dt

from relspec_core.errors import CatalogError
from relspec_core.model.duckdb_types import to_duckdb

if TYPE_CHECKING:
    from collections.abc import Hashable


MOST = 10_000  # pairs of types


def schema_of(value: object, *, name: str) -> ibis.Schema:
    """The Ibis schema of a value that has one.

    Args:
        value: an Ibis table or schema, a pyarrow table, dataset or schema, a data frame, or a mapping of columns to
            types, where a type is an Ibis or pyarrow type, a type's name, or a Python type.
        name: the name of the evidence, for the error.

    Raises:
        CatalogError: RS100, if no schema can be read.
    """
    try:
        return _schema_of(value)
    except Exception as error:
        raise CatalogError(
            f"no schema can be read for '{name}' from a value of type {type(value).__name__}: {error}",
            at=f"source '{name}'",
            hint="give an Ibis table or schema, a pyarrow table, dataset or schema, or a mapping of columns to types.",
        ) from error


def _schema_of(value: Any) -> ibis.Schema:  # noqa: ANN401 - takes whatever carries a schema
    if value is None:
        raise TypeError("it has no schema")
    if isinstance(value, ibis.Schema):
        return value
    if _is_arrow(value, "Schema"):
        return ibis.Schema.from_pyarrow(value)
    if isinstance(value, Mapping):
        return ibis.schema({column: _data_type(kind) for column, kind in value.items()})
    schema = getattr(value, "schema", None)
    if schema is None:
        return ibis.memtable(value).schema()
    return _schema_of(schema() if callable(schema) else schema)


def _data_type(value: Any) -> dt.DataType:  # noqa: ANN401 - as above
    if _is_arrow(value, "DataType"):
        return dt.DataType.from_pyarrow(value)
    return dt.dtype(value)


def _is_arrow(value: object, kind: str) -> bool:
    """Whether a value is an instance of a pyarrow class, without loading pyarrow, which is slow."""
    pyarrow = sys.modules.get("pyarrow")
    return pyarrow is not None and isinstance(value, getattr(pyarrow, kind))


def fits(required: dt.DataType, actual: dt.DataType) -> bool:
    """Whether values of the actual type satisfy the required one: the same type, or a wider one of its family.

    Nullability is ignored. A timestamp without a zone is wider than a date.

    >>> import ibis.expr.datatypes as dt
    >>> fits(dt.int32, dt.int64), fits(dt.int64, dt.int32), fits(dt.int64, dt.string)
    (True, False, False)
    """
    return required is actual or _fits(cast("Hashable", required), cast("Hashable", actual))


@lru_cache(MOST)
def _fits(required: dt.DataType, actual: dt.DataType) -> bool:
    wanted, found = required.copy(nullable=True), actual.copy(nullable=True)
    if wanted == found or wanted.is_null() or to_duckdb(wanted) == to_duckdb(found):  # the same in records
        return True
    if isinstance(wanted, dt.Timestamp) and isinstance(found, dt.Timestamp) and wanted.timezone != found.timezone:
        return False  # castable, but another moment in time
    if isinstance(found, dt.Timestamp) and wanted.is_date():
        return found.timezone is None
    same_family = any(
        getattr(wanted, test)() and getattr(found, test)()
        for test in ("is_integer", "is_floating", "is_decimal", "is_string", "is_timestamp", "is_binary")
    )
    return same_family and wanted.castable(found)


def same_type(kind: dt.DataType, other: dt.DataType) -> bool:
    """Whether two types are equal, ignoring nullability."""
    return kind.copy(nullable=True) == other.copy(nullable=True)
