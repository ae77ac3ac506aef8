"""Tables that were changed outside relspec since it recorded them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from relspec_core.engines.duckdb_file import file_state
from relspec_core.evidence import Evidence, TableState
from relspec_core.model.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import ibis

    from relspec_core.engines.catalog_snapshot import ObservedContents
    from relspec_core.system.compile_cache import CompileCache
    from relspec_core.warehouses.warehouse import Warehouse


SIGNATURE = "signature"  # among the digests: that of a view


def columns_key(columns: Iterable[str]) -> str:
    """The name of a digest of these columns."""
    return json.dumps(list(columns))


def whole_table(schema: ibis.Schema) -> tuple[str, ...]:
    """All columns of a table, in the order in which digests name them."""
    return tuple(sorted(schema))


def changed_outside(evidence: Mapping[str, Evidence], warehouse: Warehouse, cache: CompileCache) -> frozenset[str]:
    """The tables and views whose contents, or definition, differ from what was recorded.

    A table without a digest is not compared. Where the database's file is unchanged since it
    was last compared, which is what idle plans find, nothing is read.

    Args:
        evidence: existing tables, each with its columns and row count as recorded.
        warehouse: where the tables are; only read.
        cache: remembers the outcome for this state of the database's file.

    Returns:
        Where the warehouse can only be known by its snapshot, what the last run found, less what was built since.
    """
    if not warehouse.has_rows:
        return _observed_changed(evidence, warehouse.observed)
    state, key = warehouse.state(), _key(evidence, warehouse)
    known = cache.find(key)
    if known is not None and state is not None and known[0] == state:
        return known[1]
    found = frozenset(name for name, recorded in evidence.items() if _is_changed(recorded, warehouse))
    if state is not None:
        cache.keep(key, (state, found))
    return found


def _observed_changed(evidence: Mapping[str, Evidence], observed: ObservedContents) -> frozenset[str]:
    built = (
        name for name, found in evidence.items() if found.record is not None and found.record.built_at > observed.at
    )
    return (observed.changed & evidence.keys()) - frozenset(built)


def nothing_changed(evidence: Mapping[str, Evidence], warehouse: Warehouse, cache: CompileCache) -> None:
    """Remember that all tables are as recorded, so that the next plan need not read them.

    That counts once the database is closed, see ``settle``: only then everything is in its file.

    Args:
        evidence: existing tables; with one that was changed outside relspec there is nothing to remember.
        warehouse: whose file it is in.
        cache: where it is remembered.
    """
    path = warehouse.path
    if path is not None and not any(found.state is TableState.CHANGED for found in evidence.values()):
        cache.keep(_unsettled(path), _key(evidence, warehouse))


def settle(path: str | Path, cache: CompileCache) -> None:
    """Tie what ``nothing_changed`` said to the state that a database's file has now that the database is closed."""
    key = cache.take(_unsettled(str(path)))
    state = file_state(path)
    if key is not None and state is not None:
        cache.keep(key, (state, frozenset()))


def _unsettled(path: str) -> str:
    return digest(("nothing changed", str(Path(path).resolve())))


def _key(evidence: Mapping[str, Evidence], warehouse: Warehouse) -> str:
    tables = sorted((name, found.version or "") for name, found in evidence.items() if found.record is not None)
    return digest(("external changes", warehouse.path or "", tuple(tables)))


def _is_changed(found: Evidence, warehouse: Warehouse) -> bool:
    recorded = found.current
    if recorded is None:
        return False  # known already, or without a record
    if warehouse.relation_kind(recorded.name) != recorded.kind:
        return True
    if recorded.kind == "view":
        return recorded.digests.get(SIGNATURE) != warehouse.view_signature(recorded.name)
    if recorded.digests.get(SIGNATURE) == "":  # an earlier release died before it had signed the table
        return True
    columns = whole_table(recorded.schema)
    before = recorded.digests.get(columns_key(columns))
    return before is not None and [before] != warehouse.contents(recorded.name, [columns])
