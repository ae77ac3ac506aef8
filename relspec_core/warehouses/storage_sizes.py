"""The storage that each column of a table takes up, as far as the engine or the files report it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relspec_core.model.names import quoted_name, quoted_text, table_parts
from relspec_core.sources.source_files import source_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relspec_core.declaration.source_spec import SourceSpec
    from relspec_core.sources.source_files import SourceFiles
    from relspec_core.warehouses.warehouse import Warehouse


SEGMENT_COLUMNS = (
    "column_name, persistent, block_id, block_offset, additional_block_ids, segment_type AS kind, count, stats"
)
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
UNIT = 1024
# Bytes of an uncompressed value by the name of its type; for texts, of the longest one.
WIDTH = """CASE
    WHEN stats LIKE '%Max String Length: %'
        THEN try_cast(regexp_extract(stats, 'Max String Length: (\\d+)', 1) AS BIGINT)
    WHEN kind = 'VALIDITY' THEN 0.125
    WHEN kind IN ('BOOLEAN', 'TINYINT', 'UTINYINT') THEN 1
    WHEN kind IN ('SMALLINT', 'USMALLINT') THEN 2
    WHEN kind IN ('INTEGER', 'UINTEGER', 'DATE', 'FLOAT') THEN 4
    WHEN kind IN ('HUGEINT', 'UHUGEINT', 'UUID', 'INTERVAL') OR regexp_matches(kind, '^DECIMAL.(19|[23])') THEN 16
    ELSE 8 END"""
MOST_TABLES = 100  # measured at the end of a run, at a millisecond each


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSizes:
    """Bytes by column.

    Attributes:
        bytes: of the columns whose size is known.
        estimated: whether they are estimates.
    """

    bytes: Mapping[str, int] = field(default_factory=dict)
    estimated: bool = False


def column_sizes(
    evidence: str, columns: Iterable[str], warehouse: Warehouse, *, source: SourceSpec | None = None
) -> StorageSizes:
    """The sizes of an evidence's columns; empty for views, text files and other engines' tables.

    Parquet files report sizes. For DuckDB they are estimated, since columns share its blocks: a segment reaches to the
    next one or to the end of the block, but is no larger than its uncompressed values, which is also the size of
    segments that are not in a block yet.

    Args:
        evidence: the table.
        columns: its columns.
        warehouse: the table's; nothing is written.
        source: its declaration, for a source.
    """
    files = source_files(source) if source is not None else None
    if files is not None:
        return _of_files(files, tuple(columns), warehouse)
    if not warehouse.has_storage_info or warehouse.relation_kind(evidence) != "table":
        return StorageSizes()
    found = _of_blocks([evidence], warehouse)
    return StorageSizes(bytes={column: size for _, column, size in found}, estimated=True)


def bytes_of(warehouse: Warehouse, tables: Iterable[str]) -> dict[str, int]:
    """The bytes of tables: the sum of their columns, estimated as by ``column_sizes``.

    Args:
        warehouse: the tables' warehouse.
        tables: their names; views and absent tables are ignored.

    Returns:
        The bytes by name, of the hundred tables with the most rows. Three queries.
    """
    counts = _row_counts(warehouse, tables)
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:MOST_TABLES]
    found: dict[str, int] = {}
    for name, _, size in _of_blocks(largest, warehouse) if largest else ():
        found[name] = found.get(name, 0) + size
    return found


def size_text(size: int) -> str:
    """A number of bytes in the largest unit that gives at least one.

    >>> size_text(512), size_text(1_310_720)
    ('512 bytes', '1.2 MiB')
    """
    value = float(size)
    for unit in UNITS[:-1]:
        if value < UNIT:
            return f"{size} {unit}" if unit == UNITS[0] else f"{value:.1f} {unit}"
        value /= UNIT
    return f"{value:.1f} {UNITS[-1]}"


def _row_counts(warehouse: Warehouse, tables: Iterable[str]) -> dict[str, int]:
    """The approximate number of rows of those names that are tables."""
    ((database, schema),) = warehouse.rows("SELECT current_database(), current_schema()")
    known: dict[tuple[str, ...], int] = {
        tuple(part.casefold() for part in place): count
        for *place, count in warehouse.rows(
            "SELECT database_name, schema_name, table_name, estimated_size FROM duckdb_tables()"
        )
    }
    parts = {name: table_parts(name) for name in tables}
    places = {name: (*(database, schema)[: 3 - len(found)], *found) for name, found in parts.items()}
    keys = {name: tuple(part.casefold() for part in place) for name, place in places.items()}
    return {name: known[key] for name, key in keys.items() if key in known}


def _of_files(files: SourceFiles, columns: tuple[str, ...], warehouse: Warehouse) -> StorageSizes:
    if files.reader != "read_parquet":
        return StorageSizes()
    files.open_in(warehouse.connection)
    rows = warehouse.connection.rows(
        f"SELECT path_in_schema, sum(total_compressed_size)::BIGINT FROM parquet_metadata({files.listing}) GROUP BY ALL"  # noqa: S608 - quoted
    )
    found = {
        column: [size for path, size in rows if path == column or path.startswith(f"{column}, ")] for column in columns
    }
    return StorageSizes(bytes={column: sum(sizes) for column, sizes in found.items() if sizes})


def _of_blocks(tables: Sequence[str], warehouse: Warehouse) -> list[tuple[str, str, int]]:
    """Table, column and bytes of each column that takes up storage."""
    infos = " UNION ALL ".join(
        f"SELECT {quoted_text(name)} AS name, {SEGMENT_COLUMNS} FROM pragma_storage_info({_literal(name)})"  # noqa: S608 - quoted
        for name in tables
    )
    return warehouse.rows(f"""
        WITH infos AS MATERIALIZED (
            {infos}
        ), block AS (
            SELECT any_value(block_size) AS size FROM pragma_database_size()
        ), segment AS (
            SELECT name, column_name, persistent, block_id, block_offset, len(additional_block_ids) AS more,
                count * {WIDTH} AS most
            FROM infos WHERE NOT persistent OR block_id >= 0
        ), sized AS (
            SELECT name, column_name, persistent, more * size AS more, most,
                lead(block_offset, 1, size) OVER (PARTITION BY block_id ORDER BY block_offset) - block_offset AS own
            FROM segment, block
        )
        SELECT name, column_name,
            sum(CASE WHEN persistent THEN least(own, most) + coalesce(more, 0) ELSE most END)::BIGINT
        FROM sized GROUP BY ALL ORDER BY ALL
    """)  # noqa: S608 - the names are quoted


def _literal(name: str) -> str:
    return quoted_text(quoted_name(name))
