"""The queries of TPC-H and TPC-DS, each edited in every way that leaves its result alone, and in every way that does not."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from relspec_core import SourceSpec, TaskCatalog, compile_task_catalog
from tests.laws import tpc
from tests.laws.harmful_edits import HARMFUL_EDITS
from tests.laws.harmless_edits import TEXT_EDITS, TREE_EDITS
from tests.laws.query_places import selects
from tests.laws.tpc import TpcQuery
from tests.support.catalogs import duckdb_type, sql_task


class Mutant(NamedTuple):
    """An edited query.

    Attributes:
        query: where it comes from.
        edit: the name of what was done to it.
        base: the text that it is compared with.
        text: of the mutant; differs from that.
    """

    query: TpcQuery
    edit: str
    base: str
    text: str

    def __str__(self) -> str:
        return f"{self.query}: {self.edit}"


def harmless_mutants(query: TpcQuery) -> list[Mutant]:
    """The mutants that compute what the query does: at most one for each edit, fewer where there is nothing to edit."""
    base = _parsed(query).sql("duckdb")
    edited = {name: _edited(_parsed(query), edit) for name, edit in TREE_EDITS.items()}
    written = {name: edit(_parsed(query)) for name, edit in TEXT_EDITS.items()}
    return [Mutant(query, name, base, text) for name, text in {**edited, **written}.items() if text != base]


def harmful_mutants(query: TpcQuery) -> list[Mutant]:
    """The mutants that compute something else, as above."""
    found: list[Mutant] = []
    for name, (change, prepare) in HARMFUL_EDITS.items():
        tree = _parsed(query).copy()
        if prepare is not None:
            prepare(tree)
        base, text = tree.sql("duckdb"), _edited(tree, change)
        if text != base:  # both are what SQLGlot writes of a tree, so that the trees differ too
            found.append(Mutant(query, name, base, text))
    return found


def _edited(tree: exp.Query, edit: Callable[[exp.Query], None]) -> str:
    changed = tree.copy()
    edit(changed)
    return changed.sql("duckdb")


@cache
def _parsed(query: TpcQuery) -> exp.Query:
    """The query's tree, with a name for every output: DuckDB makes one of its text else, which edits change."""
    tree = sqlglot.parse_one(query.text, read="duckdb").assert_is(exp.Query)
    select = selects(tree)[0]
    named = [
        item if item.output_name else exp.alias_(item, f"output_{place}")
        for place, item in enumerate(select.expressions)
    ]
    select.set("expressions", named)
    return tree


def fingerprints(suite: str, texts: Iterable[str]) -> Mapping[str, str]:
    """The fingerprint of each of these texts, which must bind."""
    tasks = {text: sql_task(text, name=f"plan_{number}") for number, text in enumerate(dict.fromkeys(texts))}
    plans = compile_task_catalog(
        TaskCatalog(tasks.values(), _named_sources(suite, tasks)), backend=tpc.warehouse(suite, tpc.EMPTY)
    )
    return {text: plans[task.name].fingerprint for text, task in tasks.items()}


def _named_sources(suite: str, texts: Iterable[str]) -> list[SourceSpec]:
    """The tables with the columns that the texts name: many more columns would take most of the time."""
    words = {word.casefold() for text in texts for word in re.findall(r"\w+", text)}
    return [
        SourceSpec(table, schema={column: duckdb_type(columns[column]) for column in columns if column in words})
        for table, columns in tpc.tables(suite).items()
        if table in words
    ]
