"""Lineage through several plans, in both directions."""

import json

from hypothesis import given

from relspec_core import PlanCatalog, compile_task_catalog
from relspec_core.insight.column_reference import EvidenceReference
from relspec_core.insight.lineage_tree import LineageTree, lineage_tree
from tests.laws.generated import Generated, catalogs
from tests.support.catalogs import compiled, empty_backend, sql_task


def tree_of(evidence: str, column: str, plans: PlanCatalog) -> LineageTree:
    return lineage_tree(EvidenceReference(evidence=evidence, column=column), plans)


def shop() -> PlanCatalog:
    return compiled(
        sql_task("SELECT order_id, customer_id, amount * 2 AS amount FROM orders WHERE note = 'x'", "stg_orders"),
        sql_task("SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY customer_id", "revenue"),
        sql_task("SELECT count(*) AS n FROM stg_orders", "n"),
        sql_task("SELECT name, total FROM customers LEFT JOIN revenue USING (customer_id)", "directory"),
    )


def test_upstream_follows_values_and_what_decides_rows_to_the_sources() -> None:
    assert str(tree_of("directory", "total", shop())).splitlines() == [
        "directory.total",
        "upstream",
        "  customers.customer_id  JOIN",
        "  revenue.customer_id  JOIN",
        "    stg_orders.customer_id  GROUP_BY, IDENTITY",
        "      orders.customer_id  IDENTITY",
        "      orders.note  FILTER",
        "  revenue.total  IDENTITY",
        "    stg_orders.amount  AGGREGATION",
        "      orders.amount  TRANSFORMATION",
        "      orders.note  FILTER",
        "    stg_orders.customer_id  GROUP_BY  (above)",
        "downstream",
        "  nothing: nobody reads it",
    ]


def test_downstream_goes_through_rows_that_a_column_decides() -> None:
    assert str(tree_of("orders", "note", shop())).splitlines() == [
        "orders.note",
        "upstream",
        "  nothing: no task computes it from a column",
        "downstream",
        "  rows of stg_orders  FILTER",
        "    rows of n",
        "    rows of revenue",
        "      rows of directory",
    ]


def test_a_count_of_rows_comes_from_rows_and_from_what_decides_them() -> None:
    assert str(tree_of("n", "n", shop())).splitlines()[:4] == [
        "n.n",
        "upstream",
        "  rows of stg_orders",
        "    orders.note  FILTER",
    ]


def test_json_has_each_step_with_the_place_before_it() -> None:
    steps = json.loads(tree_of("stg_orders", "amount", shop()).to_json())["downstream"]
    assert steps == [
        {
            "depth": 1,
            "before": {"evidence": "stg_orders", "column": "amount"},
            "evidence": "revenue",
            "column": "total",
            "uses": ["AGGREGATION"],
            "again": False,
        },
        {
            "depth": 2,
            "before": {"evidence": "revenue", "column": "total"},
            "evidence": "directory",
            "column": "total",
            "uses": ["IDENTITY"],
            "again": False,
        },
    ]


@given(catalogs(most=4))
def test_what_is_upstream_of_a_column_has_the_column_downstream_or_its_rows(generated: Generated) -> None:
    plans = compile_task_catalog(generated.catalog, backend=empty_backend())
    for plan in plans:
        for column in plan.schema:
            for step in tree_of(plan.name, column, plans).walks["upstream"]:
                evidence, name = step.place
                down = lineage_tree(EvidenceReference(evidence=evidence, column=name), plans, directions=["downstream"])
                reached = {found.place for found in down.walks["downstream"]}
                assert {(plan.name, column), (plan.name, None)} & reached
