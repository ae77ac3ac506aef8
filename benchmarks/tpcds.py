"""The 99 queries of TPC-DS, their tables, and the columns that DuckDB reads for each."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import duckdb_extension_tpcds
import sqlglot

from relspec_core.sql.identifiers import read_tables

Column: TypeAlias = tuple[str, str]
Answer: TypeAlias = Mapping[str, frozenset[Column]]
SEES_THROUGH = (
    "statistics_propagation,empty_result_pullup,filter_pushdown,join_filter_pushdown,late_materialization,"
    "compressed_materialization"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query.

    Attributes:
        number: number in TPC-DS, from 1.
        text: the extension's text, without the semicolon.
        tables: the columns of the tables that it reads, and no others, with DuckDB's names of their types.
    """

    number: int
    text: str
    tables: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """The columns that DuckDB's plan of a query reads from empty tables.

    Attributes:
        all: those of the whole query.
        rows: those that decide the rows.
        columns: those of one output column, by its name.
    """

    all: frozenset[Column]
    rows: frozenset[Column]
    columns: Mapping[str, frozenset[Column]]

    def agrees(self, answer: Answer, *, values: Answer) -> bool:
        """Whether column lineage names all necessary columns of each output, and none that DuckDB does not read for it.

        Outputs are matched by name; unnamed outputs, whose names differ between tools, by position.

        Args:
            answer: the answer to check.
            values: the columns that each output must name, besides those that DuckDB reads for no other reason.
        """
        named = {_plain(name): found for name, found in answer.items()}
        for position, (name, live) in enumerate(self.columns.items()):
            found = named.get(_plain(name))
            if found is None and len(answer) == len(self.columns):
                found = list(answer.values())[position]
            least = (live - self.rows) | list(values.values())[position]
            if not least <= (found or frozenset()) <= live:
                return False
        return True


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


class Database:
    """DuckDB with the tables of TPC-DS, empty."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        extension = next(Path(duckdb_extension_tpcds.__file__).parent.rglob("tpcds.duckdb_extension"))
        self._connection.execute(f"LOAD '{extension}'")
        self._connection.execute("CALL dsdgen(sf = 0)")
        self._connection.execute(f"SET disabled_optimizers = '{SEES_THROUGH}'")

    def queries(self) -> tuple[Query, ...]:
        """All queries, by number."""
        tables: dict[str, dict[str, str]] = defaultdict(dict)
        for table, column, kind in self._rows(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY 1, column_index"
        ):
            tables[table][column] = kind
        found = self._rows("SELECT query_nr, query FROM tpcds_queries() ORDER BY 1")
        return tuple(_query(number, text.strip().rstrip(";"), tables) for number, text in found)

    def reads(self, query: Query) -> Reads:
        """The columns that a query reads, from the scans of DuckDB's plans."""
        names = [row[0] for row in self._rows(f"DESCRIBE {query.text}")]
        aliases = ", ".join(f"c{position}" for position in range(len(names)))
        subquery = f"({query.text}) AS q({aliases})"
        return Reads(
            all=self._scanned(query.text),
            rows=self._scanned(f"SELECT 1 FROM {subquery}"),
            columns={name: self._scanned(f"SELECT c{position} FROM {subquery}") for position, name in enumerate(names)},
        )

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()

    def _scanned(self, statement: str) -> frozenset[Column]:
        plan = json.loads(self._rows(f"EXPLAIN (FORMAT JSON) {statement}")[0][1])
        return frozenset(_scans(plan))


def _query(number: int, text: str, tables: Mapping[str, Mapping[str, str]]) -> Query:
    own = read_tables(sqlglot.parse_one(text, read="duckdb"))
    return Query(number=number, text=text, tables={name: tables[name] for name in own})


def _scans(nodes: list[dict[str, Any]]) -> list[Column]:
    found: list[Column] = []
    for node in nodes:
        facts = node.get("extra_info", {})
        if "Table" in facts:
            columns = facts.get("Projections", [])
            table = facts["Table"].rpartition(".")[2]
            found += [(table, column) for column in ([columns] if isinstance(columns, str) else columns)]
        found += _scans(node["children"])
    return found
