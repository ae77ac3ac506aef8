"""Input tables cut down to what plans require."""

from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import duckdb

from relspec_core import InferredDeps

PAD = "relspec_pad"  # a table needs a column, also where a plan reads none


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def rows_of(con: duckdb.DuckDBPyConnection, sql: str) -> list[str]:
    """In their order; where a query leaves it open, one thread gives the same one each time."""
    return list(map(repr, con.execute(sql).fetchall()))


def bag_of(con: duckdb.DuckDBPyConnection, sql: str) -> Counter[str]:
    return Counter(rows_of(con, sql))


class CutTables:
    """Tables with no columns but those required, in a database of their own.

    In a schema of the same database they would not do: DuckDB looks for what a schema lacks in the main one.

    Args:
        con: whose current database holds the tables; the cut ones are current while this lives.
        deps: with the columns of each table.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, deps: InferredDeps) -> None:
        self._con = con
        self._deps = deps
        ((self._whole,),) = con.execute("SELECT current_database()").fetchall()
        con.execute("ATTACH ':memory:' AS cut; USE cut")
        for table in deps.inputs:
            self._make(table)

    def close(self) -> None:
        self._con.execute(f"USE {quoted(self._whole)}; DETACH cut")

    def rows(self, sql: str) -> list[str]:
        return rows_of(self._con, sql)

    def needless(self, sql: str) -> Iterator[str]:
        """Every column without which a query still binds, less those of which relspec says why they are kept."""
        for table, columns in self._deps.required_columns.items():
            if table in self._deps.unresolved:
                continue
            for column in columns:
                self._make(table, less=column)
                if self._binds(sql):
                    yield f"{table}.{column}"
            self._make(table)

    def _binds(self, sql: str) -> bool:
        try:
            self._con.execute(f"EXPLAIN {sql}")
        except duckdb.BinderException:
            return False
        return True

    def _make(self, table: str, less: str | None = None) -> None:
        kept = (
            ", ".join(quoted(column) for column in self._deps.required_columns[table] if column != less)
            or f"1 AS {PAD}"
        )
        self._con.execute(
            f"CREATE OR REPLACE VIEW {quoted(table)} AS SELECT {kept} FROM {quoted(self._whole)}.main.{quoted(table)}"
        )


@contextmanager
def cut_tables(con: duckdb.DuckDBPyConnection, deps: InferredDeps) -> Generator[CutTables]:
    cut = CutTables(con, deps)
    try:
        yield cut
    finally:
        cut.close()
