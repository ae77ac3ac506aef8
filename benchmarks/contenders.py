"""Contenders that are timed in this process: the floor, relspec, and SQLGlot's own lineage."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import sqlglot
from ibis.backends.sql.datatypes import DuckDBType
from sqlglot import exp, lineage
from sqlglot.optimizer.qualify import qualify

from benchmarks.tpcds import Answer, Column, Query
from relspec_core.inferred_deps import InferredDeps, infer_deps
from relspec_core.lineage.canonical_query import plan_tree

DIALECT = "duckdb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to analyse a query.

    Attributes:
        name: name in the table.
        infer: what is timed.
        answer: for each output column the columns that it is computed from; None if the contender reports none.
        required: every column that the query must be able to read; None means those of the answer.
    """

    name: str
    infer: Callable[[Query], Any]
    answer: Callable[[Any], Answer] | None = None
    required: Callable[[Any], frozenset[Column]] | None = None

    def round(self, queries: Sequence[Query]) -> dict[int, float]:
        """CPU seconds of each query, by number; CPU time depends little on other load on the machine."""
        gc.collect()
        found: dict[int, float] = {}
        for query in queries:
            start = time.process_time()
            self.infer(query)
            found[query.number] = time.process_time() - start
        return found


def contenders(queries: Sequence[Query]) -> tuple[Contender, ...]:
    """All contenders; the floor first, relspec second."""
    schemas = {
        query.number: {
            table: ibis.schema({column: DuckDBType.from_string(kind) for column, kind in columns.items()})
            for table, columns in query.tables.items()
        }
        for query in queries
    }

    def relspec(query: Query) -> InferredDeps:
        parsed = sqlglot.parse_one(query.text, read=DIALECT).assert_is(exp.Query)
        tree = plan_tree(parsed, schemas=query.tables, dialect=DIALECT)
        return infer_deps(tree, outputs=tree.root.names, schemas=schemas[query.number])

    return (
        Contender(name="SQLGlot parse + qualify", infer=_floor),
        Contender(name="relspec", infer=relspec, answer=_relspec_answer, required=_relspec_required),
        Contender(name="sqlglot.lineage", infer=_lineage, answer=_lineage_answer),
        Contender(name="sqlglot.lineage, trim_selects=False", infer=_untrimmed, answer=_lineage_answer),
    )


def _floor(query: Query) -> exp.Expr:
    return qualify(sqlglot.parse_one(query.text, read=DIALECT), schema=dict(query.tables), dialect=DIALECT)


def _relspec_answer(deps: InferredDeps) -> Answer:
    return {name: frozenset((use.evidence, use.column) for use in uses) for name, uses in deps.lineage.items()}


def _relspec_required(deps: InferredDeps) -> frozenset[Column]:
    return frozenset((table, column) for table, columns in deps.required_columns.items() for column in columns)


def _lineage(query: Query) -> dict[str, lineage.Node]:
    return lineage.lineage(None, query.text, schema=dict(query.tables), dialect=DIALECT)


def _untrimmed(query: Query) -> dict[str, lineage.Node]:
    return lineage.lineage(None, query.text, schema=dict(query.tables), dialect=DIALECT, trim_selects=False)


def _lineage_answer(nodes: Mapping[str, lineage.Node]) -> Answer:
    return {
        name: frozenset(
            (leaf.expression.name, leaf.name.rpartition(".")[2].strip('"'))
            for leaf in node.walk()
            if isinstance(leaf.expression, exp.Table)
        )
        for name, node in nodes.items()
    }
