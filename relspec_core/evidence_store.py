"""The evidence store: what relspec recorded of each table, kept in the warehouse beside the tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from relspec_core.evidence import BuildRecord, Evidence, EvidenceCatalog, Versions
from relspec_core.model.duckdb_types import schema_from_duckdb, to_duckdb
from relspec_core.model.names import quoted_text
from relspec_core.warehouses.stored_table import StoredTable
from relspec_core.warehouses.warehouse import RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relspec_core.warehouses.warehouse import Warehouse


# What has parts is a text in JSON.
COLUMNS = (
    "name VARCHAR NOT NULL",
    "task VARCHAR",
    "kind VARCHAR NOT NULL",
    "fingerprint VARCHAR",
    "version VARCHAR",
    "versions VARCHAR",
    "calculations VARCHAR",
    "columns VARCHAR NOT NULL",
    "inputs VARCHAR NOT NULL",
    "reads VARCHAR NOT NULL",
    "digests VARCHAR NOT NULL",
    "input_digests VARCHAR NOT NULL",
    "row_count BIGINT",
    "built_at TIMESTAMP NOT NULL",
    "seconds DOUBLE",
    "because VARCHAR NOT NULL",
)
TABLE = StoredTable(name=RECORDS, version=1, columns=COLUMNS)


class Record(NamedTuple):
    """A record, and a hash of it in its stored form."""

    build: BuildRecord
    mark: int


class EvidenceStore:
    """Reads and writes the records.

    Args:
        warehouse: where the records are; nothing is created before the first record.
    """

    __slots__ = ("_table", "_warehouse")

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse
        self._table = warehouse.own_table(RECORDS)

    def load(self, names: Iterable[str] | None = None) -> dict[str, BuildRecord]:
        """Every record, or those of some evidence.

        Raises:
            WarehouseError: RS402, for records of a newer relspec.
        """
        columns = TABLE.selection(self._warehouse)
        if columns is None:
            return {}
        which = "" if names is None else f"WHERE name IN ({', '.join(['NULL', *map(quoted_text, names)])})"
        rows = self._warehouse.rows(f"SELECT {columns} FROM {self._table} {which} ORDER BY name")  # noqa: S608 - quoted
        return {row[0]: _from_row(row) for row in rows}

    def load_changed(self, known: Mapping[str, Record]) -> dict[str, Record]:
        """Every record with a hash of it; those with a known hash are not parsed again, which takes most of the time.

        Raises:
            WarehouseError: RS402, for records of a newer relspec.
        """
        columns = TABLE.selection(self._warehouse)
        if columns is None:
            return {}
        if not self._warehouse.hashes_rows:  # an engine without a hash of a row
            rows = self._warehouse.rows(f"SELECT {columns} FROM {self._table} ORDER BY name")  # noqa: S608 - quoted
            return {row[0]: Record(_from_row(row), hash(row)) for row in rows}
        hashes = dict(self._warehouse.rows(f"SELECT name, hash(found) FROM {self._table} AS found ORDER BY name"))  # noqa: S608
        changed = [name for name, mark in hashes.items() if name not in known or known[name].mark != mark]
        if not changed:
            return {name: known[name] for name in hashes}
        which = f"WHERE name IN ({', '.join(map(quoted_text, changed))})"
        rows = self._warehouse.rows(f"SELECT {columns} FROM {self._table} {which}")  # noqa: S608 - quoted
        new = {row[0]: Record(_from_row(row), hashes[row[0]]) for row in rows}
        return {name: new[name] if name in new else known[name] for name in hashes}

    def known_sources(self) -> EvidenceCatalog:
        """As the function of that name, for the records that there are now."""
        return known_sources(self.load())

    def prepare(self) -> None:
        """Create the table of records, or bring it to this version; before any transaction that is to write some."""
        if not TABLE.is_prepared(self._warehouse):
            with self._warehouse.transaction():
                self._warehouse.lock(RECORDS)
                if not TABLE.is_prepared(self._warehouse):  # no other process has done it meanwhile
                    TABLE.prepare(self._warehouse)

    def record(self, records: Iterable[BuildRecord]) -> None:
        """Put records in place of their predecessors; goes into the running transaction."""
        rows = {record.name: ", ".join(map(_quoted, _to_row(record))) for record in records}
        if not rows:
            return
        # DuckDB takes six times as long to replace a row by its key as to delete it and insert another.
        names = ", ".join(map(quoted_text, rows))
        self._warehouse.execute(f"DELETE FROM {self._table} WHERE name IN ({names})")  # noqa: S608 - quoted
        values = ", ".join(f"({row})" for row in rows.values())
        self._warehouse.execute(f"INSERT INTO {self._table} VALUES {values}")  # noqa: S608 - quoted


def known_sources(records: Mapping[str, BuildRecord]) -> EvidenceCatalog:
    """For everything that a recorded table was built from and that is no recorded table: the columns read of it."""
    columns: dict[str, dict[str, str]] = {}
    for record in records.values():
        for name, read in record.reads.items():
            if name not in records:
                columns.setdefault(name, {}).update(read)
    return EvidenceCatalog(Evidence(name=name, schema=_schema(found)) for name, found in columns.items())


def moment_in_utc(found: datetime | str) -> datetime:
    """A moment as the engine gives it; SQLite has none but as text."""
    moment = datetime.fromisoformat(found) if isinstance(found, str) else found
    return moment.replace(tzinfo=UTC)


def _quoted(value: object) -> str:
    return "NULL" if value is None else quoted_text(str(value))


def _versions(found: Mapping) -> Versions:
    return Versions(rows=found["rows"], columns=found["columns"])


def _plain(found: Versions) -> dict[str, object]:
    return {"rows": found.rows, "columns": dict(found.columns)}


def _schema(columns: Mapping[str, str]) -> ibis.Schema:
    return schema_from_duckdb(columns)


def _to_row(record: BuildRecord) -> list[object]:
    return [
        record.name,
        record.task,
        record.kind,
        record.fingerprint,
        record.version,
        json.dumps(_plain(record.versions)),
        json.dumps(_plain(record.calculations)),
        json.dumps([[column, to_duckdb(kind)] for column, kind in record.schema.items()]),
        json.dumps({name: _plain(found) for name, found in sorted(record.inputs.items())}),
        json.dumps({name: dict(columns) for name, columns in sorted(record.reads.items())}),
        json.dumps(dict(sorted(record.digests.items()))),
        json.dumps(dict(sorted(record.input_digests.items()))),
        record.rows,
        record.built_at.astimezone(UTC).replace(tzinfo=None),
        record.seconds,
        record.because,
    ]


def _from_row(values: Sequence[Any]) -> BuildRecord:
    row = dict(zip(TABLE.names, values, strict=True))
    return BuildRecord(
        name=row["name"],
        schema=_schema(dict(json.loads(row["columns"]))),
        rows=row["row_count"],
        version=row["version"],
        task=row["task"],
        kind=row["kind"],
        fingerprint=row["fingerprint"],
        versions=_versions(json.loads(row["versions"])),
        calculations=_versions(json.loads(row["calculations"])),
        inputs={name: _versions(found) for name, found in json.loads(row["inputs"]).items()},
        reads=json.loads(row["reads"]),
        digests=json.loads(row["digests"]),
        input_digests=json.loads(row["input_digests"]),
        built_at=moment_in_utc(row["built_at"]),
        seconds=row["seconds"],
        because=row["because"],
    )
