"""The Jaffle Shop example as SQL models that any tool can build, and edits of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from sqlglot import exp

from examples.jaffle_shop.catalog import catalog
from examples.jaffle_shop.settings import RAW_TABLES, data_folder
from relspec_core import compile_task_catalog

DIALECT = "duckdb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One table of the example.

    Attributes:
        name: name of the table.
        kind: ``table`` or ``view``.
        query: in DuckDB's SQL.
        reads: the other models that it reads.
        comment: text before the query.
    """

    name: str
    kind: str
    query: exp.Query
    reads: frozenset[str]
    comment: str = ""

    def text(self, name_of: Callable[[str], str] = "{}".format) -> str:
        """The model's text.

        Args:
            name_of: the tool's spelling of the name of another model.
        """
        query = self.query.copy()
        for table in query.find_all(exp.Table):
            if table.name in self.reads:
                table.set("this", exp.to_identifier(f"model_{table.name}_model"))
        text = query.sql(DIALECT, pretty=True)
        for name in self.reads:
            text = text.replace(f"model_{name}_model", name_of(name))
        return f"{self.comment}{text}\n"


Models = Mapping[str, Model]


def models() -> Models:
    """The models, by name: what relspec executes for each table of the example."""
    plans = compile_task_catalog(catalog)
    return {
        plan.name: Model(
            name=plan.name,
            kind=plan.task.kind,
            query=plan.ast,
            reads=frozenset(name for name in plan.deps.inputs if name in plans),
        )
        for plan in plans
    }


def write_raw_tables(database: Path) -> None:
    """Create a DuckDB file with the example's raw tables."""
    with duckdb.connect(database) as connection:
        for name in RAW_TABLES:
            connection.execute(f"CREATE TABLE raw_{name} AS FROM '{data_folder() / f'raw_{name}.csv'}'")


def _commented(model: Model) -> Model:
    return replace(model, comment="-- reviewed\n")


def _calculated_otherwise(column: str) -> Callable[[Model], Model]:
    def changed(model: Model) -> Model:
        query = model.query.copy()
        output = next(output for output in query.selects if output.alias == column)
        more = exp.Add(this=exp.paren(output.unalias()), expression=exp.Literal.number(1))
        output.set("this", exp.cast(more, "DECIMAL(16, 2)"))
        return replace(model, query=query)

    return changed


def _filtered(condition: str) -> Callable[[Model], Model]:
    return lambda model: replace(
        model, query=model.query.copy().assert_is(exp.Select).where(condition, dialect=DIALECT, copy=False)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An edit of one model; each edit is applied after those before it.

    Attributes:
        name: name in the table.
        model: the changed model.
        change: the change of the model.
        affected: number of tables whose calculation changed, or that read a changed column or changed rows.
    """

    name: str
    model: str
    change: Callable[[Model], Model]
    affected: int

    def applied(self, before: Models) -> Models:
        """The models after the edit."""
        return {**before, self.model: self.change(before[self.model])}


EDITS = (
    Edit(name="a comment", model="stg_orders", change=_commented, affected=0),
    Edit(name="a column that no task reads", model="products", change=_calculated_otherwise("margin"), affected=1),
    Edit(name="a column that is read", model="stg_orders", change=_calculated_otherwise("tax_paid"), affected=4),
    Edit(name="a filter", model="stg_orders", change=_filtered("subtotal > 0"), affected=9),
    Edit(name="nothing", model="stg_orders", change=lambda model: model, affected=0),
)
