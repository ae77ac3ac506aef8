"""Sources that others' assets write: dbt's, dlt's, or those of any other code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import dagster as dg

from relspec_core.errors import ProjectionError, RelspecError, raise_all
from relspec_core.model.formatting import did_you_mean
from relspec_dagster.translation.settings import RelspecSettings

TABLE_NAME = "dagster/table_name"
# Where dagster-dlt keeps the objects behind an asset: its table name has neither a dataset nor dlt's spelling.
DLT_SOURCE, DLT_PIPELINE = "dagster_dlt/source", "dagster_dlt/pipeline"
NESTED = "__"  # between the name of a table of dlt's and what a list in its rows is called
SCHEMA_AND_TABLE = 2

# A table's name in lower case, outermost part first, as far as it is given.
Table: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAssets:
    """Sources that others' assets write.

    Attributes:
        keys: the asset of each source that is somebody else's.
        beside: of each source that has an asset of its own and is written with another one, that: dlt makes a table of
            the lists in the rows of another table.
    """

    keys: Mapping[str, dg.AssetKey]
    beside: Mapping[str, dg.AssetKey] = field(default_factory=dict)


def attach(settings: RelspecSettings, sources: Mapping[str, dg.AssetSpec]) -> UpstreamAssets:
    """Who writes which source.

    Dagster itself can find an asset by a dependency's table name, but not for a check on it, and only in the same code
    location; here both follow the same key.

    Args:
        settings: name the assets.
        sources: as they would be declared if they were nobody's.

    Raises:
        ProjectionError: RS501, where a name is no source, or a source is written by several assets.
    """
    unknown = [_unknown(name, sources) for name in settings.source_keys if name not in sources]
    raise_all(unknown)
    found = {name: dg.AssetKey.from_coercible(key) for name, key in settings.source_keys.items()}
    specs = {spec.key: spec for given in settings.attach_to for spec in _specs(given)}
    tables = {key: table for key, spec in specs.items() if (table := _table(spec))}
    problems: list[RelspecError] = []
    for name, spec in sources.items():
        if name in found:
            continue
        writers = [spec.key] if spec.key in specs else _writers(_table(spec), tables)
        if len(writers) > 1:
            problems.append(_ambiguous(name, str(spec.metadata[TABLE_NAME]), writers))
        elif writers:
            found[name] = writers[0]
    raise_all(problems)
    lists = {_table(spec): key for key, spec in specs.items() if DLT_PIPELINE in spec.metadata}
    others = {name: _written_beside(_table(spec), lists) for name, spec in sources.items() if name not in found}
    return UpstreamAssets(keys=found, beside={name: key for name, key in others.items() if key is not None})


def _written_beside(table: Table, dlt_tables: Mapping[Table, dg.AssetKey]) -> dg.AssetKey | None:
    """The asset of dlt's whose rows, or lists in them, have the lists that this is a table of; None where none has."""
    *_, schema, name = ("", "", *table)
    parts = name.split(NESTED)
    parents = [(schema, NESTED.join(parts[:length])) for length in range(len(parts) - 1, 0, -1)]
    return next((dlt_tables[parent] for parent in parents if parent in dlt_tables), None)


def _writers(table: Table, tables: Mapping[dg.AssetKey, Table]) -> list[dg.AssetKey]:
    """The assets that say they are this table: by its full name, or else as far as both tell, with the schema."""
    same = [key for key, told in tables.items() if told == table]
    return same or [key for key, told in tables.items() if _is_part(told, table) or _is_part(table, told)]


def _is_part(less: Table, more: Table) -> bool:
    return SCHEMA_AND_TABLE <= len(less) < len(more) and more[-len(less) :] == less


def _specs(given: dg.AssetsDefinition | dg.AssetSpec | dg.Definitions) -> Iterator[dg.AssetSpec]:
    match given:
        case dg.AssetSpec():
            yield given
        case dg.AssetsDefinition():
            yield from given.specs
        case dg.Definitions():  # unresolved: to resolve them needs all of their resources
            for one in given.assets or ():
                if isinstance(one, dg.AssetSpec | dg.AssetsDefinition):
                    yield from _specs(one)


def _table(spec: dg.AssetSpec) -> Table:
    """The table that an asset says it is; of dlt's assets with the dataset that they are loaded into."""
    told = spec.metadata.get(TABLE_NAME)
    text = told.value if isinstance(told, dg.TextMetadataValue) else told
    source, pipeline = spec.metadata.get(DLT_SOURCE), spec.metadata.get(DLT_PIPELINE)
    if text and source is not None and pipeline is not None:
        return _dlt_table(str(text), source, pipeline)
    return tuple(str(text).casefold().split(".")) if text else ()


def _dlt_table(name: str, source: Any, pipeline: Any) -> Table:  # noqa: ANN401 - dlt's, which may not be installed
    """The schema and table that dlt makes of a resource's table name, by the naming convention of its source."""
    spelled = source.schema.naming.normalize_table_identifier
    return tuple(spelled(part).casefold() for part in (pipeline.dataset_name, name) if part)


def _unknown(name: str, sources: Mapping[str, dg.AssetSpec]) -> ProjectionError:
    there = ", ".join(sources) or "none"
    return ProjectionError(
        f"no task reads a source '{name}'",
        at="RelspecSettings(source_keys=...)",
        hint=f"{did_you_mean(name, sources)}There are {there}.",
    )


def _ambiguous(name: str, table: str, writers: Iterable[dg.AssetKey]) -> ProjectionError:
    quoted = " and ".join(f"'{key.to_user_string()}'" for key in writers)
    return ProjectionError(
        f"source '{name}' is the table '{table}', which several assets say that they are: {quoted}",
        at="RelspecSettings(attach_to=...)",
        hint=f"name one of them in RelspecSettings(source_keys={{'{name}': ...}}).",
    )
