"""Evidence: the tables that exist, with their columns, and the build records of those that relspec wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING

from relspec_core.model.schemas import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis
    import ibis.expr.datatypes as dt


FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """One hash for the rows of a table and one for each column: of their provenance, or of their calculation alone."""

    rows: str
    columns: Mapping[str, str] = field(default_factory=dict)

    def of(self, column: str) -> str:
        """The hash of a column; that of the rows for an unknown column."""
        return self.columns.get(column, self.rows)

    def only(self, columns: Iterable[str]) -> Versions:
        """The hashes of the rows and of these columns."""
        return Versions(rows=self.rows, columns={column: self.of(column) for column in columns})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRecord:
    """What relspec stores about a table in the transaction that writes the table.

    Attributes:
        name: dotted name of the table.
        task: the task that wrote it.
        kind: ``table`` or ``view``.
        schema: its columns with their types, in order.
        rows: number of rows; None for a view.
        fingerprint: of the plan that wrote it.
        version: changes with any column version, with the plan, and with the kind.
        versions: of its rows and columns, inputs included.
        calculations: the plan's own part in these.
        inputs: the versions of what it read, by evidence.
        digests: of its contents, by the columns that they cover; of a view, its signature.
        input_digests: of what it read of each evidence, where they were taken.
        reads: the columns that its plan needed of each evidence, with DuckDB's names of their types.
        built_at: when it was published, in UTC.
        seconds: how long the build took.
        because: the reason of the build.
    """

    name: str
    task: str
    kind: str = "table"
    schema: ibis.Schema
    rows: int | None = None
    fingerprint: str
    version: str
    versions: Versions
    calculations: Versions
    inputs: Mapping[str, Versions] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    input_digests: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    built_at: datetime
    seconds: float = 0.0
    because: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in the table's order."""
        return tuple(self.schema)


class TableState(Enum):
    """How a table compares with its build record."""

    CURRENT = "current"  # as recorded; sources and other tables without a record are always current
    CHANGED = "changed outside relspec"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A table or the files of a source, as observed now.

    Attributes:
        name: dotted name.
        schema: its columns with their types, in order.
        kind: ``table``, ``view`` or ``files``.
        rows: number of rows, where it was counted.
        version: changes whenever the contents may have changed; None where that is not known.
        state: whether it is what its record describes.
        record: what relspec stored when it wrote the table; None for a source.
    """

    name: str
    schema: ibis.Schema
    kind: str = "table"
    rows: int | None = None
    version: str | None = None
    state: TableState = TableState.CURRENT
    record: BuildRecord | None = None

    @classmethod
    def of(cls, record: BuildRecord) -> Evidence:
        """A table that is as recorded."""
        return cls(
            name=record.name,
            schema=record.schema,
            kind=record.kind,
            rows=record.rows,
            version=record.version,
            record=record,
        )

    def changed(self, *, schema: ibis.Schema | None = None) -> Evidence:
        """The same table, changed outside relspec; with its live schema, where that is another one."""
        return replace(self, schema=schema or self.schema, version=None, state=TableState.CHANGED)

    @property
    def task(self) -> str | None:
        """The task that wrote it; None for a source."""
        return None if self.record is None else self.record.task

    @property
    def current(self) -> BuildRecord | None:
        """The record, where it describes the table as it is now; None for a source."""
        return self.record if self.state is TableState.CURRENT else None

    @property
    def versions(self) -> Versions | None:
        """The versions of its rows and columns; None for a source, and for a table changed outside relspec."""
        return None if self.current is None else self.current.versions

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in the table's order."""
        return tuple(self.schema)

    def type_of(self, column: str) -> dt.DataType | None:
        """The type of a column; None where the table lacks it."""
        return self.schema.get(column)


class EvidenceCatalog(Mapping[str, Evidence]):
    """Existing evidence: an immutable mapping of names, in name order.

    >>> EvidenceCatalog.from_sources({"orders": {"id": "int64"}})["orders"].columns
    ('id',)
    """

    __slots__ = ("_by_name",)

    def __init__(self, evidence: Iterable[Evidence] = ()) -> None:
        by_name = {item.name: item for item in evidence}
        self._by_name = {name: by_name[name] for name in sorted(by_name)}

    @classmethod
    def from_sources(cls, source_tables: Mapping[str, object]) -> EvidenceCatalog:
        """Evidence for each named table.

        Args:
            source_tables: evidence name to anything with a schema: an Ibis table or schema, a pyarrow table, dataset
                or schema, a data frame, or a mapping of columns to types.

        Raises:
            CatalogError: RS100, where no schema can be read from a value.
        """
        return cls(Evidence(name=name, schema=schema_of(table, name=name)) for name, table in source_tables.items())

    def with_evidence(self, *evidence: Evidence) -> EvidenceCatalog:
        """A catalog in which these are added, or replace those of the same name."""
        return EvidenceCatalog([*self._by_name.values(), *evidence])

    def without(self, *names: str) -> EvidenceCatalog:
        """A catalog without these names."""
        gone = frozenset(names)
        return EvidenceCatalog(item for name, item in self._by_name.items() if name not in gone)

    def __getitem__(self, name: str) -> Evidence:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def values(self) -> ValuesView[Evidence]:
        """All evidence, in name order."""
        return self._by_name.values()

    def __repr__(self) -> str:
        return f"EvidenceCatalog({', '.join(self._by_name)})"
