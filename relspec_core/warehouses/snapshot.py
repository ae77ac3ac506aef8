"""The metadata snapshot of a database file, for readers while another process writes to the file.

It is a file in the folder that git ignores: relspec's own tables, the columns of all tables and views, and what the
last run observed of contents when it planned. A new snapshot replaces the previous one atomically, so that readers find
one or the other and wait for nobody.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from relspec_core.engines.catalog_snapshot import CatalogSnapshot, ObservedContents
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB, SnapshotDuckDB
from relspec_core.engines.duckdb_catalog import COLUMNS
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError
from relspec_core.model.names import quoted_column, quoted_text
from relspec_core.system.cache_folder import CACHE_FOLDER, write_ignored
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.stored_table import VERSIONS, newer_version
from relspec_core.warehouses.warehouse import RECORDS, SCHEMA, Warehouse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence


FORM = 1  # of the file; another release's may differ
RUNS = 20
MOMENT = 1.0  # seconds
COPIED: Mapping[str, str] = {  # of relspec's own tables, each with what chooses the rows
    RECORDS: "",
    VERSIONS: "",
    "runs": f"QUALIFY dense_rank() OVER (ORDER BY number DESC) <= {RUNS}",
    "run_tasks": f"QUALIFY dense_rank() OVER (ORDER BY run DESC) <= {RUNS}",
}


def snapshot_file(database: str | Path) -> Path:
    """The path of a database file's snapshot."""
    return Path(database).parent / CACHE_FOLDER / f"{Path(database).name}.json"


def write_snapshot(warehouse: Warehouse, *, observed: ObservedContents | None = None) -> None:
    """Write the snapshot of a warehouse that this process has open for writing.

    Does nothing if the file is unchanged since the last snapshot. If it can't be written, for example on a full disk,
    the last snapshot stays, with its time. Takes some milliseconds, and 0.1 s for a thousand tables.

    Args:
        warehouse: open for writing, outside of a transaction; one in memory has no snapshot.
        observed: by the run that is about to begin, when it planned; left out, what the last run observed is kept.
    """
    path = warehouse.path
    if path is None:
        return
    file = snapshot_file(path)
    with suppress(OSError):
        if observed is None and _is_newer(file, Path(path)):
            return
        parts = _parts(warehouse, observed or _last_observed(file))
        write_ignored(file, "\n".join(json.dumps(part, default=str) for part in parts).encode())


@contextmanager
def snapshot_for_readers(warehouse: Warehouse) -> Generator[None]:
    """Write a snapshot while the body has the file open for writing; skip it for short bodies.

    Many short bodies in sequence would spend most of their time on snapshots. So none is taken at first if the last one
    was taken within ``MOMENT``. If the body is still running after that time, one is taken by a connection of its own,
    with what was committed by then. Readers are at most twice ``MOMENT`` behind.

    Args:
        warehouse: as for ``write_snapshot``.
    """
    path = warehouse.path
    if path is None:
        yield
        return
    if not _is_recent(snapshot_file(path)):
        write_snapshot(warehouse)
    cursor = ExclusiveDuckDB(warehouse.connection.cursor().raw)
    later = Timer(MOMENT, _write_later, [cursor])
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        cursor.disconnect()


def _write_later(engine: ExclusiveDuckDB) -> None:
    with suppress(EngineError):  # the last snapshot stays
        write_snapshot(DuckDBWarehouse(engine))


def _is_recent(file: Path) -> bool:
    with suppress(FileNotFoundError):
        return abs(time.time() - file.stat().st_mtime) < MOMENT
    return False


def _is_newer(file: Path, database: Path) -> bool:
    """Whether a database is unchanged since its snapshot was taken."""
    if not file.exists() or Path(f"{database}.wal").exists():
        return False
    return file.stat().st_mtime_ns >= database.stat().st_mtime_ns


def _last_observed(file: Path) -> ObservedContents | None:
    """What the last snapshot says was observed; on its first line."""
    try:
        with file.open(encoding="utf-8") as stream:
            return _observed(json.loads(stream.readline()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):  # damaged, or of another release
        return None


def _parts(
    warehouse: Warehouse, observed: ObservedContents | None
) -> tuple[dict[str, Any], list[tuple[str, str, str, str]], dict[str, Any]]:
    """The lines of a snapshot: its origin and what was observed, the columns of tables, and relspec's own tables."""
    ((database,),) = warehouse.rows("SELECT current_database()")
    columns = [(schema, *rest) for place, schema, *rest in warehouse.rows(COLUMNS) if place == database]
    own: dict[str, dict[str, str]] = {}
    for schema, table, column, kind in columns:
        if schema == SCHEMA and table in COPIED:
            own.setdefault(table, {})[column] = kind
    place = f"{quoted_column(database)}.{SCHEMA}"
    head = {
        "form": FORM,
        "database": database,
        "process": os.getpid(),
        "at": datetime.now(UTC).isoformat(),
        "seen": None
        if observed is None
        else {
            "at": observed.at.isoformat(),
            "changed": sorted(observed.changed),
            "sources": {
                name: [[version, *read] for read, version in sorted(versions.items())]
                for name, versions in sorted(observed.sources.items())
            },
        },
    }
    return (
        head,
        [row for row in columns if row[0] != SCHEMA],
        {
            table: {"columns": types, "rows": warehouse.rows(f"FROM {place}.{table} {COPIED[table]}")}
            for table, types in own.items()
        },
    )


def find_snapshot(database: str | Path) -> SnapshotDuckDB | None:
    """The snapshot of a database file; None if there is none that can be read."""
    try:
        head, columns, own = map(json.loads, snapshot_file(database).read_text(encoding="utf-8").split("\n"))
        return _engine(_snapshot(head, columns), own)
    except OSError:
        return None
    except (ValueError, LookupError, TypeError, EngineError):  # damaged, or of another release
        return None


def without_rows(warehouse: Warehouse) -> SnapshotDuckDB:
    """A snapshot of an open warehouse."""
    head, columns, own = _parts(warehouse, None)
    return _engine(_snapshot(head, columns), own)


def _snapshot(head: Mapping[str, Any], columns: Iterable[Sequence[str]]) -> CatalogSnapshot:
    at = datetime.fromisoformat(head["at"])
    return CatalogSnapshot(
        process=head["process"],
        at=at,
        database=head["database"],
        columns=tuple((head["database"], schema, table, column, kind) for schema, table, column, kind in columns),
        observed=_observed(head) or ObservedContents(at=at),
    )


def _engine(snapshot: CatalogSnapshot, own: Mapping[str, Any]) -> SnapshotDuckDB:
    """A database in memory, of the same name, with relspec's own tables and no others."""
    engine = SnapshotDuckDB(snapshot=snapshot)
    connection, place = DuckDBConnection(engine.con), quoted_column(snapshot.database)
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {place}; USE {place}; CREATE SCHEMA {place}.{SCHEMA}")
    for table, found in own.items():
        _restore(connection, f"{place}.{SCHEMA}.{table}", found["columns"], found["rows"])
    return engine


def _observed(head: Mapping[str, Any]) -> ObservedContents | None:
    """What was observed.

    Raises:
        WarehouseError: RS402, for a file of a newer relspec.
    """
    if head["form"] > FORM:
        raise newer_version("metadata snapshot", found=head["form"], known=FORM, at=head["database"])
    seen = head["seen"]
    if seen is None:
        return None
    return ObservedContents(
        at=datetime.fromisoformat(seen["at"]),
        changed=frozenset(seen["changed"]),
        sources={
            name: {tuple(read): version for version, *read in versions} for name, versions in seen["sources"].items()
        },
    )


def _restore(
    connection: DuckDBConnection, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> None:
    """Create one of relspec's own tables with its rows."""
    listing = ", ".join(f"{quoted_column(column)} {kind}" for column, kind in columns.items())
    connection.execute(f"CREATE TABLE {table} ({listing})")
    if rows:
        texts = (", ".join("NULL" if value is None else quoted_text(str(value)) for value in row) for row in rows)
        connection.execute(f"INSERT INTO {table} VALUES {', '.join(f'({text})' for text in texts)}")  # noqa: S608 - quoted
