"""Writes the databases of this folder; the recipe, kept with its result.

Run with the release that is to have written them, from an empty folder that has a copy of this file:

    git worktree add ../written 7f6e04a
    cp tests/cases/databases/make_databases.py $(mktemp -d)
    PYTHONPATH=../written python make_databases.py   # in that folder
"""

import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import ibis

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, run

PEOPLE = "id,name,city\n1,ann,rome\n2,bob,oslo\n"
MTIME_NS = 1_700_000_000_123_456_789


def sql(name: str, text: str, **options: Any) -> TaskSpec:  # noqa: ANN401 - as TaskSpec takes them
    """A task of SQL."""
    return TaskSpec(name, lambda ctx: ctx.sql(text), **options)


def sources(folder: Path) -> Path:
    """The file that the databases were built from, with the size and the time of change that it had."""
    path = folder / "people.csv"
    path.write_text(PEOPLE, encoding="utf-8")
    os.utime(path, ns=(MTIME_NS, MTIME_NS))
    return path


def sql_catalog(folder: Path) -> TaskCatalog:
    """SQL tasks: a table, a view, an internal task, a file, and a task that fails."""
    return TaskCatalog(
        [
            sql("large", "SELECT range AS k, range // 1000 AS part FROM range(2000000)"),
            sql("parts", "SELECT part, count(*) AS n FROM large GROUP BY part"),
            sql("names", "SELECT id, upper(name) AS name FROM people"),
            sql("cities", "SELECT id, city FROM people", kind="view"),
            sql("joined", "SELECT name, city FROM names JOIN cities USING (id)"),
            sql("wide", "SELECT id, name, city FROM orders", internal=True),
            sql("narrow", "SELECT name FROM wide"),
            sql("broken", "SELECT CAST(city AS INTEGER) AS number FROM orders"),
        ],
        [SourceSpec("people", path=str(folder / "people.csv"))],
    )


def ibis_catalog(folder: Path) -> TaskCatalog:  # noqa: ARG001 - it reads no file
    """Ibis tasks: one with two outputs, and its readers."""

    def split(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        orders = ctx.table("orders")
        return {
            "rome": orders.filter(orders.city == "rome"),
            "elsewhere": orders.filter(orders.city != "rome").select("id", "name"),
        }

    return TaskCatalog(
        [
            TaskSpec("split", split, outputs=("rome", "elsewhere")),
            TaskSpec("count", lambda ctx: ctx.table("rome").aggregate(n=ctx.table("rome").count())),
            TaskSpec("initials", lambda ctx: ctx.table("elsewhere").select(initial=ctx.table("elsewhere").name[0])),
        ]
    )


CATALOGS = {"sql": sql_catalog, "ibis": ibis_catalog}


def main() -> None:
    """Write both databases."""
    folder = Path()
    sources(folder)
    for name, catalog in CATALOGS.items():
        backend = ibis.duckdb.connect(folder / f"{name}.duckdb")
        backend.con.execute("CREATE TABLE orders (id INTEGER, name VARCHAR, city VARCHAR)")
        backend.con.execute("INSERT INTO orders VALUES (1, 'ann', 'rome'), (2, 'bob', 'oslo')")
        report = run(catalog(folder), backend=backend, quiet=True)
        sys.stdout.write(f"{name}: {report}\n")
        backend.con.execute("UPDATE relspec.runs SET host = 'elsewhere'; CHECKPOINT")
        backend.disconnect()
        with zipfile.ZipFile(f"{name}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.write(f"{name}.duckdb")


if __name__ == "__main__":
    main()
