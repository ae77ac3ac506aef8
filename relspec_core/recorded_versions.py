"""The versions of sources that can't be read now: those that somebody saw last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relspec_core.evidence import Versions
from relspec_core.fingerprint import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relspec_core.evidence import Evidence
    from relspec_core.graph_inference import EdgeRequirement
    from relspec_core.recorded_database import RecordedDatabase

NEVER = datetime.min.replace(tzinfo=UTC)


def content_versions(contents: str, edge: EdgeRequirement) -> Versions:
    """The versions that a reader gives to what it reads of a source, from that as a whole."""
    return Versions(rows=contents, columns={name: digest((contents, str(edge.types[name]))) for name in edge.columns})


def recorded_versions(
    edge: EdgeRequirement, recorded: RecordedDatabase, records: Mapping[str, Evidence]
) -> Versions | None:
    """The versions of a source as a reader sees it: of what a run's plan or a build read last of these columns.

    None where nobody has read just these columns: nothing is known of them then.

    Args:
        edge: from the source to the reader.
        recorded: what the last run saw when it planned.
        records: what builds read.
    """
    columns = tuple(sorted(edge.columns))
    seen = [
        (record.built_at or NEVER, read.rows)
        for record in records.values()
        if (read := record.inputs.get(edge.evidence)) is not None and tuple(sorted(read.columns)) == columns
    ]
    if recorded.seen is not None and columns in recorded.seen.sources.get(edge.evidence, {}):
        seen.append((recorded.seen.at, recorded.seen.sources[edge.evidence][columns]))
    return content_versions(max(seen)[1], edge) if seen else None
