"""What is left beside the warehouse's file for those who can't open it while a run writes to it.

It is a file in the folder that git ignores: relspec's records, the columns of all tables and views, and what the last
run saw of contents when it planned. A new one takes the place of the last one in one step, so that a reader finds the
one or the other and waits for nobody.
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
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_catalog import COLUMNS
from relspec_core.engines.engine_error import EngineError
from relspec_core.model.names import quoted_column, quoted_text
from relspec_core.system.cache_folder import CACHE_FOLDER, write_ignored
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from relspec_core.warehouses.stored_table import VERSIONS, newer_version
from relspec_core.warehouses.warehouse import RECORDS, SCHEMA, Warehouse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence


FORM = 1  # of the file; what has another one was left by another release
RUNS = 20
MOMENT = 1.0  # seconds
COPIED: Mapping[str, str] = {  # of relspec's own tables, each with what chooses the rows
    RECORDS: "",
    VERSIONS: "",
    "runs": f"QUALIFY dense_rank() OVER (ORDER BY number DESC) <= {RUNS}",
    "run_tasks": f"QUALIFY dense_rank() OVER (ORDER BY run DESC) <= {RUNS}",
}


def snapshot_file(database: str | Path) -> Path:
    """Where the snapshot of a file is."""
    return Path(database).parent / CACHE_FOLDER / f"{Path(database).name}.json"


def leave_snapshot(warehouse: Warehouse, *, seen: ObservedContents | None = None) -> None:
    """Leave what is known of a warehouse now to those who can't open it while this process writes to it.

    Where the file is as it was when that was last done, nothing happens. Where it can't be done, as on a full disk, the
    last snapshot stays, which tells how old it is. Some milliseconds, and 0.1 s for a thousand tables.

    Args:
        warehouse: open for writing, outside of a transaction; one in memory leaves nothing.
        seen: what the run that is to begin saw when it planned; left out, what the last one saw is kept.
    """
    path = warehouse.path
    if path is None:
        return
    file = snapshot_file(path)
    with suppress(OSError):
        if seen is None and _is_newer(file, Path(path)):
            return
        seen = seen or _last_sighting(file)
        write_ignored(file, "\n".join(json.dumps(part, default=str) for part in _parts(warehouse, seen)).encode())


@contextmanager
def snapshot_for_others(warehouse: Warehouse) -> Generator[None]:
    """Leave a snapshot to those who look while the body has the file open for writing; do without where it is short.

    Many short bodies one after another would spend most of their time on it. So none is taken at first where the last
    one was taken a moment ago. Where the body still goes on a moment later, one is taken by a connection of its own: it
    has what was written until then. What others find is at most twice ``MOMENT`` behind what there is.

    Args:
        warehouse: as for ``leave_snapshot``.
    """
    path = warehouse.path
    if path is None:
        yield
        return
    if not _is_recent(snapshot_file(path)):
        leave_snapshot(warehouse)
    cursor = ExclusiveDuckDB(warehouse.connection.cursor().raw)
    later = Timer(MOMENT, _leave_meanwhile, [cursor])
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        cursor.disconnect()


def _leave_meanwhile(engine: ExclusiveDuckDB) -> None:
    with suppress(EngineError):  # then the last one stays
        leave_snapshot(DuckDBWarehouse(engine))


def _is_recent(file: Path) -> bool:
    with suppress(FileNotFoundError):
        return abs(time.time() - file.stat().st_mtime) < MOMENT
    return False


def _is_newer(file: Path, database: Path) -> bool:
    """Whether nothing was written to a database since its snapshot was taken."""
    if not file.exists() or Path(f"{database}.wal").exists():
        return False
    return file.stat().st_mtime_ns >= database.stat().st_mtime_ns


def _last_sighting(file: Path) -> ObservedContents | None:
    """What the last snapshot says of it, which is on its first line."""
    try:
        with file.open(encoding="utf-8") as stream:
            return _from_head(json.loads(stream.readline()))
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError):  # damaged, or left by another release
        return None


def _parts(
    warehouse: Warehouse, seen: ObservedContents | None
) -> tuple[dict[str, Any], list[tuple[str, str, str, str]], dict[str, Any]]:
    """The lines of a snapshot: who took it and what was seen, the columns of tables, and relspec's own tables."""
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
        if seen is None
        else {
            "at": seen.at.isoformat(),
            "changed": sorted(seen.changed),
            "sources": {
                name: [[version, *read] for read, version in sorted(versions.items())]
                for name, versions in sorted(seen.sources.items())
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


def find_snapshot(database: str | Path) -> ExclusiveDuckDB | None:
    """The snapshot of a file as a database in memory, with ``recorded``; None where there is none that can be read."""
    try:
        head, columns, own = map(json.loads, snapshot_file(database).read_text(encoding="utf-8").split("\n"))
        return _engine(_recorded(head, columns), own)
    except OSError:
        return None
    except (ValueError, LookupError, TypeError):  # damaged, or left by another release
        return None


def without_rows(warehouse: Warehouse) -> ExclusiveDuckDB:
    """A warehouse's tables, without their rows, and relspec's records, as a database in memory, with ``recorded``."""
    head, columns, own = _parts(warehouse, None)
    return _engine(_recorded(head, columns), own)


def _recorded(head: Mapping[str, Any], columns: Iterable[Sequence[str]]) -> CatalogSnapshot:
    return CatalogSnapshot(
        process=head["process"],
        at=datetime.fromisoformat(head["at"]),
        database=head["database"],
        columns=tuple((head["database"], schema, table, column, kind) for schema, table, column, kind in columns),
        seen=_from_head(head),
    )


def _engine(recorded: CatalogSnapshot, own: Mapping[str, Any]) -> ExclusiveDuckDB:
    """A database in memory, of the same name, with relspec's own tables and no others."""
    engine = ExclusiveDuckDB.open(recorded=recorded)
    place = quoted_column(recorded.database)
    engine.con.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {place}; USE {place}; CREATE SCHEMA {place}.{SCHEMA}")
    for table, found in own.items():
        _restore(engine, f"{place}.{SCHEMA}.{table}", found["columns"], found["rows"])
    return engine


def _from_head(head: Mapping[str, Any]) -> ObservedContents | None:
    """What was seen.

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


def _restore(engine: ExclusiveDuckDB, table: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
    """Make one of relspec's own tables as it was."""
    listing = ", ".join(f"{quoted_column(column)} {kind}" for column, kind in columns.items())
    engine.con.execute(f"CREATE TABLE {table} ({listing})")
    if rows:
        texts = (", ".join("NULL" if value is None else quoted_text(str(value)) for value in row) for row in rows)
        engine.con.execute(f"INSERT INTO {table} VALUES {', '.join(f'({text})' for text in texts)}")  # noqa: S608 - quoted
