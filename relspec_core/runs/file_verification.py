"""Files of sources, compared once more after the tasks that read them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relspec_core.errors import SourceError
from relspec_core.evidence import Evidence
from relspec_core.evidence_store import EvidenceStore
from relspec_core.sources.source_files import source_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.declaration.source_spec import SourceSpec
    from relspec_core.plan_catalog import PlanCatalog
    from relspec_core.sources.source_files import SourceFiles
    from relspec_core.warehouses.warehouse import Warehouse


def verify_files(
    now: dict[str, Evidence], files: Mapping[str, SourceFiles], plans: PlanCatalog, warehouse: Warehouse
) -> None:
    """Complete the records of tables that read files, where the files are still those that were observed.

    A file may change while tasks read it, and later have the contents again that it had before. So a record first has
    the version of the files that its task was planned with. While it does, the table counts as stale as soon as the
    files have another version, whatever is in them. Each source is listed once here, however many tasks read it. Where
    a process dies before this, the next one finds the version in the record, and compares it.

    Args:
        now: existing evidence; written to.
        files: as observed.
        plans: where the sources are declared.
        warehouse: open for writing, outside of a transaction.
    """
    records = [record for found in now.values() if (record := found.current) is not None]
    marked = [record for record in records if not files.keys().isdisjoint(record.input_digests)]
    read = sorted({name for record in marked for name in record.input_digests if name in files})
    same = {name: files[name].version() for name in read if _is_same(files[name], plans.sources[name])}
    verified = [
        replace(
            record, input_digests={name: old for name, old in record.input_digests.items() if same.get(name) != old}
        )
        for record in marked
        if any(same.get(name) == old for name, old in record.input_digests.items())
    ]
    if verified:
        with warehouse.transaction():
            EvidenceStore(warehouse).record(verified)
        now.update((record.name, Evidence.of(record)) for record in verified)


def _is_same(files: SourceFiles, source: SourceSpec) -> bool:
    try:
        found = source_files(source)
    except SourceError:
        return False
    return found is not None and found.version() == files.version()
