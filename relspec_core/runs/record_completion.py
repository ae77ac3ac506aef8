"""Digests for the records of tables that an earlier release knew by the blocks of their file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relspec_core.evidence_store import EvidenceStore
from relspec_core.staleness.external_changes import SIGNATURE, columns_key, whole_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relspec_core.evidence import BuildRecord, Evidence
    from relspec_core.warehouses.warehouse import Warehouse


def complete_records(evidence: Iterable[Evidence], warehouse: Warehouse) -> None:
    """Digest these tables once, and adopt them as they are; ``docs/decisions/0005-block-checksums.md`` has the reasons.

    Args:
        evidence: existing tables; those that are not as recorded are left out.
        warehouse: open for writing, outside of a transaction.
    """
    records = [record for found in evidence if (record := found.current) is not None]
    signed = [record for record in records if record.kind == "table" and SIGNATURE in record.digests]
    if signed:
        with warehouse.transaction():
            EvidenceStore(warehouse).record([_completed(record, warehouse) for record in signed])


def _completed(record: BuildRecord, warehouse: Warehouse) -> BuildRecord:
    columns = whole_table(record.schema)
    digests = {key: digest for key, digest in record.digests.items() if key != SIGNATURE}
    return replace(record, digests={**digests, columns_key(columns): warehouse.contents(record.name, [columns])[0]})
