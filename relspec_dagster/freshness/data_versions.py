"""Dagster's records of assets, by which it decides which are stale: versions of data and code, as tags.

Dagster writes these tags where a run materializes an asset. Their names are part of its event log, not of its Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

DATA_VERSION = "dagster/data_version"
CODE_VERSION = "dagster/code_version"
INPUT_DATA_VERSION = "dagster/input_data_version"
INPUT_EVENT_POINTER = "dagster/input_event_pointer"
IS_USER_PROVIDED = "dagster/data_version_is_user_provided"
UNKNOWN = "INITIAL"  # the data version of an asset without any
NO_EVENT = "NULL"
OWN_TAGS = (DATA_VERSION, CODE_VERSION, INPUT_DATA_VERSION, INPUT_EVENT_POINTER)  # prefixes of the tags of versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The last materialization of an asset.

    Attributes:
        event: the materialization, reported or written by a run.
        storage_id: of the event.
    """

    event: dg.AssetMaterialization
    storage_id: int

    @property
    def tags(self) -> Mapping[str, str]:
        """The tags of the event."""
        return self.event.tags or {}

    @property
    def data_version(self) -> str:
        """The data version of the asset."""
        return self.tags.get(DATA_VERSION, UNKNOWN)

    @property
    def code_version(self) -> str | None:
        """The code version of the asset."""
        return self.tags.get(CODE_VERSION)

    @property
    def inputs(self) -> Mapping[str, str]:
        """The data versions of its inputs at that time, by the text of their keys."""
        prefix = f"{INPUT_DATA_VERSION}/"
        return {tag.removeprefix(prefix): value for tag, value in self.tags.items() if tag.startswith(prefix)}


def last_recorded(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> Mapping[dg.AssetKey, Recorded]:
    """The last materialization of each of these assets that has one, by one query."""
    wanted = sorted(set(keys))
    found: dict[dg.AssetKey, Recorded] = {}
    for record in instance.get_asset_records(wanted) if wanted else ():
        last = record.asset_entry.last_materialization_record
        if last is not None and last.asset_materialization is not None:
            found[record.asset_entry.asset_key] = Recorded(event=last.asset_materialization, storage_id=last.storage_id)
    return found


def version_of(found: Recorded | None) -> str:
    """The data version of an asset; Dagster assumes one for an asset without records."""
    return UNKNOWN if found is None else found.data_version


def version_tags(
    *, data_version: str, code_version: str | None, inputs: Mapping[dg.AssetKey, Recorded | None]
) -> dict[str, str]:
    """The tags of a materialization of an asset from the present state of its inputs.

    Args:
        data_version: of the asset.
        code_version: of the asset.
        inputs: the last materialization of each input.
    """
    tags = {DATA_VERSION: data_version, IS_USER_PROVIDED: "true"}
    if code_version is not None:
        tags[CODE_VERSION] = code_version
    for key, found in inputs.items():
        name = key.to_user_string()
        tags[f"{INPUT_DATA_VERSION}/{name}"] = version_of(found)
        tags[f"{INPUT_EVENT_POINTER}/{name}"] = NO_EVENT if found is None else str(found.storage_id)
    return tags
