"""What each column of a table takes up on disk, as far as the engine or the files tell."""

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


LOOKED_AT = "column_name, persistent, block_id, block_offset, additional_block_ids, segment_type AS kind, count, stats"
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
UNIT = 1024
# What a value takes up uncompressed, by the name of its type; of texts and the like it is the longest one that counts.
WIDTH = """CASE
    WHEN stats LIKE '%Max String Length: %'
        THEN try_cast(regexp_extract(stats, 'Max String Length: (\\d+)', 1) AS BIGINT)
    WHEN kind = 'VALIDITY' THEN 0.125
    WHEN kind IN ('BOOLEAN', 'TINYINT', 'UTINYINT') THEN 1
    WHEN kind IN ('SMALLINT', 'USMALLINT') THEN 2
    WHEN kind IN ('INTEGER', 'UINTEGER', 'DATE', 'FLOAT') THEN 4
    WHEN kind IN ('HUGEINT', 'UHUGEINT', 'UUID', 'INTERVAL') OR regexp_matches(kind, '^DECIMAL.(19|[23])') THEN 16
    ELSE 8 END"""
MOST_TABLES = 100  # whose blocks are looked at at the end of a run: a millisecond each


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
    """The sizes of an evidence's columns; of views, text files and other engines' tables none is known.

    Parquet files tell them. DuckDB does not: columns share its blocks. What a column has of a block is taken for the
    distance to the next one's beginning or the block's end, and for no more than its values take up uncompressed, which
    is what counts of what is in no block yet.

    Args:
        evidence: the table.
        columns: its columns.
        warehouse: where it is; nothing is written.
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
    """What tables take up: the sum of their columns, estimated as ``column_sizes`` does.

    Args:
        warehouse: where they are.
        tables: their names; views and tables that do not exist are passed over.

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
    """Bytes in the largest unit of which there is at least one.

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
    """About how many rows each of these has that is a table."""
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
    """Table, column and bytes, for each column that takes up any."""
    infos = " UNION ALL ".join(
        f"SELECT {quoted_text(name)} AS name, {LOOKED_AT} FROM pragma_storage_info({_literal(name)})"  # noqa: S608 - quoted
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
