"""Sources that others' assets write: dbt's, dlt's, or those of any other code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import dagster as dg

from relspec_core.errors import ProjectionError, RelspecError, did_you_mean, raise_all
from relspec_dagster.settings import RelspecSettings

TABLE_NAME = "dagster/table_name"


def attached_sources(settings: RelspecSettings, sources: Mapping[str, dg.AssetSpec]) -> Mapping[str, dg.AssetKey]:
    """The key of each source that is somebody else's asset.

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
    by_key, by_table = _assets(settings.attach_to)
    problems: list[RelspecError] = []
    for name, spec in sources.items():
        if name in found:
            continue
        table = spec.metadata.get(TABLE_NAME)
        writers = [spec.key] if spec.key in by_key else by_table.get(_folded(table), []) if table else []
        if len(writers) > 1:
            problems.append(_ambiguous(name, str(table), writers))
        elif writers:
            found[name] = writers[0]
    raise_all(problems)
    return found


def _assets(
    given: Iterable[dg.AssetsDefinition | dg.AssetSpec | dg.Definitions],
) -> tuple[frozenset[dg.AssetKey], Mapping[str, list[dg.AssetKey]]]:
    """The keys of all these assets, and by table name the keys of those that have one."""
    specs = {spec.key: spec for one in given for spec in _specs(one)}
    by_table: dict[str, list[dg.AssetKey]] = {}
    for key, spec in specs.items():
        table = spec.metadata.get(TABLE_NAME)
        if table:
            by_table.setdefault(_folded(table), []).append(key)
    return frozenset(specs), by_table


def _specs(given: dg.AssetsDefinition | dg.AssetSpec | dg.Definitions) -> Iterator[dg.AssetSpec]:
    match given:
        case dg.AssetSpec():
            yield given
        case dg.AssetsDefinition():
            yield from given.specs
        case dg.Definitions():  # as they were given: resolved, they would need all of their resources now
            for one in given.assets or ():
                if isinstance(one, dg.AssetSpec | dg.AssetsDefinition):
                    yield from _specs(one)


def _folded(table: object) -> str:
    """A table name as two spellings of it are compared."""
    text = table.value if isinstance(table, dg.TextMetadataValue) else table
    return str(text).casefold()


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
