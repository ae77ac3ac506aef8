"""Declarations of evidence that no task produces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relspec_core.declaration.source_urls import ANSWER_SECONDS, check_no_secret
from relspec_core.declaration.task_spec import NAME_HINT
from relspec_core.errors import CatalogError
from relspec_core.model.names import is_evidence_name
from relspec_core.model.schemas import schema_of


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Evidence that no task produces.

    Attributes:
        name: of the evidence.
        schema: its columns with their types, in any form that ``schema_of`` takes; None: read from the data.
        path: file, glob, URL that fsspec opens, or several of them (CSV, Parquet or JSON, by suffix); None: a table in
            the warehouse.
        description: in Markdown.
        owners: e-mail addresses, or ``team:name``.
        tags: free labels.
        group: a label for display and selection.
        timeout: maximum seconds to wait for a response of its remote storage.
    """

    name: str
    schema: Any = field(default=None, kw_only=True)
    path: str | Path | tuple[str, ...] | None = field(default=None, kw_only=True)
    description: str = field(default="", kw_only=True)
    owners: tuple[str, ...] = field(default=(), kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    group: str | None = field(default=None, kw_only=True)
    timeout: float = field(default=ANSWER_SECONDS, kw_only=True)

    def __post_init__(self) -> None:
        if not is_evidence_name(self.name):
            raise CatalogError(f"'{self.name}' is not a valid source name", at=f"source '{self.name}'", hint=NAME_HINT)
        if self.schema is not None:
            object.__setattr__(self, "schema", schema_of(self.schema, name=self.name))
        for path in self.paths:
            check_no_secret(path, source=self.name)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths and globs as strings."""
        match self.path:
            case None:
                return ()
            case str() | Path():
                return (str(self.path),)
            case _:
                return tuple(str(path) for path in self.path)
