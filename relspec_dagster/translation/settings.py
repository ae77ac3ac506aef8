"""What can be chosen about how a catalog looks in Dagster, without writing a translator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg


@dataclass(frozen=True, slots=True, kw_only=True)
class RelspecSettings:
    """How a catalog looks in Dagster, and which of its sources are others' assets.

    Attributes:
        key_prefix: what the asset keys of tasks' tables begin with.
        source_key_prefix: what those of sources begin with.
        group: of the tables whose task names none.
        source_group: of the sources that name none.
        source_keys: sources that are others' assets, by name, such as ``{"raw_orders": ["dlt", "orders"]}``, in this
            code location or in another one; they are not declared again.
        attach_to: assets of this code location, by dbt, dlt or anybody, that sources may be. A source is one of them
            where that has its key, or its full table name as ``dagster/table_name``; it is not declared again then.
        source_checks: whether each source gets the check that it has what its readers need.
        show_sql: whether each table shows its SQL.
    """

    key_prefix: Sequence[str] = ()
    source_key_prefix: Sequence[str] = ()
    group: str | None = None
    source_group: str | None = None
    source_keys: Mapping[str, dg.AssetKey | str | Sequence[str]] = field(default_factory=dict)
    attach_to: Sequence[dg.AssetsDefinition | dg.AssetSpec | dg.Definitions] = ()
    source_checks: bool = True
    show_sql: bool = True

    def __post_init__(self) -> None:
        for name in ("key_prefix", "source_key_prefix"):
            prefix = getattr(self, name)
            object.__setattr__(self, name, (prefix,) if isinstance(prefix, str) else tuple(prefix))
