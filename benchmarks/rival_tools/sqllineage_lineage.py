"""SQLLineage: column lineage of an INSERT of each query."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqllineage.config import SQLLineageConfig  # ty: ignore[import-not-found]
from sqllineage.core.metadata.dummy import DummyMetaDataProvider  # ty: ignore[import-not-found]
from sqllineage.runner import LineageRunner  # ty: ignore[import-not-found]

from benchmarks.rival_tools.answering import Query, serve

Given = tuple[str, DummyMetaDataProvider]


def prepare(query: Query) -> Given:
    """The statement, and the columns of the tables that it reads."""
    tables = {f"main.{table}": list(columns) for table, columns in query["tables"].items()}
    return f"INSERT INTO main.result {query['text']}", DummyMetaDataProvider(tables)


def infer(given: Given) -> list[Any]:
    """Paths from input columns to output columns."""
    text, tables = given
    with SQLLineageConfig(DEFAULT_SCHEMA="main"):
        return LineageRunner(text, dialect="duckdb", metadata_provider=tables).get_column_lineage()


def answer(paths: list[Any]) -> dict[str, set[tuple[str, str]]]:
    """The first column of each path, by the last one's name."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for path in paths:
        found[path[-1].raw_name].add((str(path[0].parent).removeprefix("main."), path[0].raw_name))
    return found


if __name__ == "__main__":
    serve(prepare=prepare, infer=infer, answer=answer)
