"""Runs plans on tables cut down to what they require."""

from collections import Counter
from collections.abc import Iterator

import duckdb
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import PlanArtifact

PAD = "relspec_pad"  # a table needs a column, also where a plan reads none
SCHEMA = "cut"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def rows_of(con: DuckDBBackend, sql: str) -> Counter[str]:
    return Counter(map(repr, con.con.execute(sql).fetchall()))


def rows_on_cut_tables(con: DuckDBBackend, plan: PlanArtifact) -> Counter[str]:
    """The rows of a plan where every table that it reads has just the columns that it requires."""
    _cut(con, plan)
    con.con.execute(f"USE {SCHEMA}")
    try:
        return rows_of(con, plan.sql)
    finally:
        con.con.execute("USE main")


def needless(con: DuckDBBackend, plan: PlanArtifact) -> Iterator[str]:
    """Every required column without which the plan still binds, less those of which relspec says why they are kept."""
    for name, columns in plan.deps.required_columns.items():
        for column in columns if name not in plan.deps.unresolved else ():
            _cut(con, plan, less=(name, column))
            con.con.execute(f"USE {SCHEMA}")
            try:
                con.con.execute(f"EXPLAIN {plan.sql}")
                yield f"{name}.{column}"
            except duckdb.BinderException:
                pass
            finally:
                con.con.execute("USE main")


def _cut(con: DuckDBBackend, plan: PlanArtifact, less: tuple[str, str] | None = None) -> None:
    con.con.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    for name, columns in plan.deps.required_columns.items():
        kept = ", ".join(quoted(column) for column in columns if (name, column) != less) or f"1 AS {PAD}"
        con.con.execute(f"CREATE OR REPLACE VIEW {SCHEMA}.{quoted(name)} AS SELECT {kept} FROM main.{quoted(name)}")
