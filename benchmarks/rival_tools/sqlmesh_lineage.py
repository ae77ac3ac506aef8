"""SQLMesh: loads each query as a model, then computes the lineage of every column as its own impact analysis does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlglot import exp
from sqlglot.schema import MappingSchema
from sqlmesh.core import lineage  # ty: ignore[import-not-found]
from sqlmesh.core.dialect import parse  # ty: ignore[import-not-found]
from sqlmesh.core.model import load_sql_based_model  # ty: ignore[import-not-found]

from benchmarks.rival_tools.answering import Query, serve

Given = tuple[str, MappingSchema]


def prepare(query: Query) -> Given:
    """A model's text, and the schema of the tables that it reads."""
    schema = MappingSchema(dialect="duckdb")
    for table, columns in query["tables"].items():
        schema.add_table(table, {name: exp.DataType.build(kind, dialect="duckdb") for name, kind in columns.items()})
    lineage.CACHE.clear()
    return f"MODEL (name shop.q{query['number']}, dialect duckdb, kind FULL);\n{query['text']}", schema


def infer(given: Given) -> dict[str, Any]:
    """The lineage of each output column."""
    text, schema = given
    model = load_sql_based_model(parse(text, default_dialect="duckdb"))
    model.update_schema(schema)
    columns = model.render_query_or_raise().named_selects
    return {column: lineage.lineage(exp.column(column, quoted=True), model, trim_selects=False) for column in columns}


def answer(nodes: Mapping[str, Any]) -> dict[str, set[tuple[str, str]]]:
    """The leaves, read as SQLMesh's ``column_dependencies`` reads them."""
    return {
        name: {
            (table.name, exp.to_column(leaf.name).name)
            for leaf in node.walk()
            if not leaf.downstream and (table := leaf.expression.find(exp.Table))
        }
        for name, node in nodes.items()
    }


if __name__ == "__main__":
    serve(prepare=prepare, infer=infer, answer=answer)
