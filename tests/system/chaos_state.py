"""What a killed run left in its database, held against what was there before it and what it was to make."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from relspec_core.staleness.external_changes import SIGNATURE
from relspec_core.warehouses.duckdb_warehouse import VIEW_MARK
from relspec_core.warehouses.warehouse import RECORDS, SCHEMA
from tests.system.chaos_catalog import digests

# All that a record says of a table, less what differs from run to run: the time, the reason, how long it took.
RECORDED = "task, kind, fingerprint, version, versions, calculations, columns, inputs, reads, digests, input_digests, row_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was recorded of a table.

    Attributes:
        says: of the table, equal for equal builds.
        mark: that a view was signed with, which every build draws again.
        built_at: when.
    """

    says: tuple[object, ...]
    mark: str | None
    built_at: object


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is in a database.

    Attributes:
        contents: a digest of each table that a task writes.
        definitions: the text of each view and the mark on it.
        records: of the same.
        others: tables and views that no task writes.
    """

    contents: Mapping[str, str]
    definitions: Mapping[str, tuple[str, str | None]]
    records: Mapping[str, Record]
    others: frozenset[str]

    def of(self, name: str) -> str | None:
        """What is to appear together with the record: the contents of a table, the text of a view."""
        return self.definitions[name][0] if name in self.definitions else self.contents.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Which tasks are unchanged, and which have been built.

    Attributes:
        old: to be built, and not yet.
        new: built.
    """

    old: frozenset[str]
    new: frozenset[str]


def shown(database: Path, views: Iterable[str]) -> dict[str, str]:
    """A digest of what each view shows."""
    with duckdb.connect(database, read_only=True) as con:
        return digests(con, views)


def look(database: Path, outputs: Mapping[str, tuple[str, ...]]) -> State:
    """What is in a database, by a copy of its files, so that the next run itself has to recover what a kill left.

    Args:
        database: that no process has open.
        outputs: of each task.
    """
    copy = database.parent / "copy"
    copy.mkdir()
    for file in (database, database.with_name(f"{database.name}.wal")):
        if file.exists():
            shutil.copy(file, copy)
    with duckdb.connect(copy / database.name, config={"threads": 1}) as con:
        state = _state(con, [output for found in outputs.values() for output in found])
    shutil.rmtree(copy)
    return state


def outcome(found: State, before: State, after: State, outputs: Mapping[str, tuple[str, ...]]) -> Outcome:
    """The tasks that are old, and those that are new; fails for whatever is neither, or half of each."""
    old, new = set(), set()
    for task, names in outputs.items():
        if all(_says(before, name) == _says(after, name) for name in names):
            assert all(_is_as(name, found, before) for name in names), f"{task} was to be left alone"
        elif all(_is_as(name, found, after) for name in names):
            new.add(task)
        else:
            assert all(_is_as(name, found, before) for name in names), f"{task} is neither old nor new"
            assert all(found.records.get(name) == before.records.get(name) for name in names), task
            old.add(task)
    return Outcome(old=frozenset(old), new=frozenset(new))


def _is_as(name: str, found: State, expected: State) -> bool:
    """Whether a table and its record are both as in another state; a view must have the mark that is recorded, too."""
    record = found.records.get(name)
    signed = name not in found.definitions or (record is not None and found.definitions[name][1] == record.mark)
    return signed and found.of(name) == expected.of(name) and _says(found, name) == _says(expected, name)


def _says(state: State, name: str) -> tuple[object, ...] | None:
    return state.records[name].says if name in state.records else None


def _state(con: duckdb.DuckDBPyConnection, outputs: list[str]) -> State:
    ours = f"WHERE NOT internal AND schema_name <> '{SCHEMA}'"
    views = con.execute(f"SELECT view_name, sql, comment FROM duckdb_views() {ours}").fetchall()
    tables = con.execute(f"SELECT schema_name, table_name FROM duckdb_tables() {ours}").fetchall()
    there = [*(("main", name) for name, *_ in views), *tables]
    return State(
        contents=digests(con, [name for schema, name in tables if schema == "main" and name in outputs]),
        definitions={name: (text, _mark(comment)) for name, text, comment in views if name in outputs},
        records=_records(con),
        others=frozenset(name if schema == "main" else f"{schema}.{name}" for schema, name in there) - set(outputs),
    )


def _records(con: duckdb.DuckDBPyConnection) -> dict[str, Record]:
    place = f"(schema_name, table_name) = ('{SCHEMA}', '{RECORDS}')"
    if not con.execute(f"SELECT 1 FROM duckdb_tables() WHERE {place}").fetchall():
        return {}
    cursor = con.execute(f"SELECT name, built_at, digests, {RECORDED} FROM {SCHEMA}.{RECORDS}")
    found = {}
    for name, built_at, taken, *says in cursor.fetchall():
        mark = json.loads(taken).get(SIGNATURE)
        plain = [value for value in says if mark is None or value != taken]
        found[name] = Record(says=tuple(plain), mark=mark, built_at=built_at)
    return found


def _mark(comment: str | None) -> str | None:
    return None if comment is None else comment.removeprefix(f"{VIEW_MARK} ")
