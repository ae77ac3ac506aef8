"""An internal table, for the tests of what is written of it and what is reported about it."""

from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import TaskSpec
from tests.support.catalogs import Project, sql_task

SOURCE = "CREATE TABLE src AS SELECT range AS id, range % 3 AS a, range * 10 AS b, 'n' || range AS note FROM range(9)"
STAGED = "SELECT id, a, b, upper(note) AS note FROM src WHERE id > 0"


def internal(text: str, name: str) -> TaskSpec:
    return sql_task(text, name, internal=True)


def staged_project(con: DuckDBBackend) -> Project:
    """An internal table, and two tasks that read a column of it each."""
    con.con.execute(SOURCE)
    return Project(
        con,
        internal(STAGED, "staged"),
        sql_task("SELECT sum(a) AS total FROM staged", "totals"),
        sql_task("SELECT max(b) AS most FROM staged", "maxima"),
    )
