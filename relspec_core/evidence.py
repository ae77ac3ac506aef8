"""Evidence: what tables there are, with which columns, and how they came to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from relspec_core.model.schemas import schema_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import ibis
    import ibis.expr.datatypes as dt


FILES = "files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """One hash for the rows of a table and one for each column: of how they came to be, or of their own calculation."""

    rows: str
    columns: Mapping[str, str] = field(default_factory=dict)

    def of(self, column: str) -> str:
        """The hash of a column; a column that is not known of has that of the rows."""
        return self.columns.get(column, self.rows)

    def only(self, columns: Iterable[str]) -> Versions:
        """The same for these columns."""
        return Versions(rows=self.rows, columns={column: self.of(column) for column in columns})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A table that exists, and what is known of it.

    Attributes:
        name: dotted name of the table.
        schema: its columns with their types, in order.
        rows: number of rows, where it was counted.
        version: changes whenever the contents may have changed; None where that is not known.
        task: the task that wrote it; None for a source.
        kind: ``table``, ``view`` or ``files``.
        fingerprint: of the plan that wrote it.
        versions: how its rows and each of its columns came to be, inputs included; None where that is not known.
        calculations: the plan's own part in that.
        inputs: the versions of what it read, of each evidence that it was built from.
        digests: of its contents, by the columns that they cover; and its signature, see ``Warehouse``.
        input_digests: of what it read of each evidence, where they were taken.
        reads: the columns that its plan needed of each, with DuckDB's names of their types.
        built_at: when it was published, in UTC.
        seconds: how long the build took.
        because: the reason of the build.
    """

    name: str
    schema: ibis.Schema
    rows: int | None = None
    version: str | None = None
    task: str | None = None
    kind: str = "table"
    fingerprint: str | None = None
    versions: Versions | None = None
    calculations: Versions | None = None
    inputs: Mapping[str, Versions] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    input_digests: Mapping[str, str] = field(default_factory=dict)
    reads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    built_at: datetime | None = None
    seconds: float | None = None
    because: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in the table's order."""
        return tuple(self.schema)

    def type_of(self, column: str) -> dt.DataType | None:
        """The type of a column; None where the table lacks it."""
        return self.schema.get(column)


class EvidenceCatalog(Mapping[str, Evidence]):
    """What evidence there is now: an immutable mapping of names, in name order.

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
        """The same, with these added or put in place of their namesakes."""
        return EvidenceCatalog([*self._by_name.values(), *evidence])

    def without(self, *names: str) -> EvidenceCatalog:
        """The same, less these names."""
        gone = frozenset(names)
        return EvidenceCatalog(item for name, item in self._by_name.items() if name not in gone)

    def __getitem__(self, name: str) -> Evidence:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def values(self) -> ValuesView[Evidence]:
        """Each of them, by name."""
        return self._by_name.values()

    def __repr__(self) -> str:
        return f"EvidenceCatalog({', '.join(self._by_name)})"
