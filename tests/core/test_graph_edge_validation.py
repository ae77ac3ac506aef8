import ibis
import ibis.expr.datatypes as dt
import pytest

from relspec_core import Evidence, EvidenceCatalog, task_graph_from_catalog
from relspec_core.errors import NotReadyError
from relspec_core.graph_edge_validation import MissingColumn, MissingEvidence, WrongType, check_edge, validate_edges
from relspec_core.graph_inference import EdgeRequirement
from relspec_core.inferred_deps import InferredDeps
from relspec_core.model.schemas import fits
from tests.support.catalogs import SHOP, compiled, sql_task

TYPES = {"amount": dt.int64, "customer_id": dt.int64}
DEPS = InferredDeps(
    inputs=("orders",), required_columns={"orders": tuple(TYPES)}, required_types={"orders": TYPES}, lineage={}
)
EDGE = EdgeRequirement(evidence="orders", task="totals", types=TYPES, deps=DEPS)


def orders(**columns: str) -> EvidenceCatalog:
    return EvidenceCatalog([Evidence(name="orders", schema=ibis.schema(columns))])


def test_an_edge_is_met_by_a_table_with_its_columns_whatever_else_it_has() -> None:
    assert check_edge(EDGE, orders(extra="date", customer_id="int64", amount="int64")) == ()


def test_an_edge_that_needs_rows_only_is_met_by_any_table_of_that_name() -> None:
    edge = EDGE._replace(task="n", types={})
    assert check_edge(edge, orders(whatever="date")) == ()
    assert check_edge(edge, EvidenceCatalog()) == (MissingEvidence(task="n", evidence="orders"),)


def test_a_missing_table_is_one_reason() -> None:
    (reason,) = check_edge(EDGE, EvidenceCatalog())
    assert str(reason) == "task 'totals' waits for 'orders', which does not exist"


def test_each_missing_column_is_a_reason_with_the_columns_there_are_and_the_nearest() -> None:
    reasons = check_edge(EDGE, orders(amout="int64", day="date"))
    assert reasons == tuple(
        MissingColumn(task="totals", evidence="orders", column=column, columns=("amout", "day"))
        for column in ("amount", "customer_id")
    )
    assert [str(reason) for reason in reasons] == [
        "task 'totals' reads 'orders.amount', which 'orders' lacks; it has 'amout', 'day'; did you mean 'amout'?",
        "task 'totals' reads 'orders.customer_id', which 'orders' lacks; it has 'amout', 'day'",
    ]


def test_a_column_of_another_type_is_a_reason_with_both_types() -> None:
    (reason,) = check_edge(EDGE, orders(amount="string", customer_id="int64"))
    assert reason == WrongType(task="totals", evidence="orders", column="amount", required=dt.int64, actual=dt.string)
    assert str(reason).startswith("task 'totals' reads 'orders.amount' as int64, but it is string; cast it in the plan")


@pytest.mark.parametrize(
    ("required", "actual", "fit"),
    [
        ("int64", "int64", True),
        ("int64", "!int64", True),
        ("!int64", "int64", True),
        ("int32", "int64", True),
        ("int64", "int32", False),
        ("uint8", "int16", True),
        ("int64", "float64", False),
        ("float32", "float64", True),
        ("float64", "float32", False),
        ("decimal(9, 2)", "decimal(12, 2)", True),
        ("decimal(12, 2)", "decimal(9, 2)", False),
        ("string", "string", True),
        ("string", "int64", False),
        ("timestamp", "date", False),
        ("date", "timestamp", True),
        ("date", "timestamp('UTC')", False),
        ("timestamp", "timestamp('UTC')", False),
        ("array<int64>", "array<int64>", True),
        ("array<int64>", "array<string>", False),
        ("struct<a: int64>", "struct<a: int64>", True),
        ("null", "int64", True),
    ],
)
def test_a_type_fits_where_it_is_the_same_or_a_wider_one_of_its_family(
    required: str, actual: str, *, fit: bool
) -> None:
    assert fits(dt.dtype(required), dt.dtype(actual)) is fit


def test_all_edges_of_a_graph_are_told_in_one_report() -> None:
    graph = task_graph_from_catalog(
        compiled(
            sql_task("SELECT amount FROM orders", "a"),
            sql_task("SELECT note, name FROM orders, customers", "b"),
            sql_task("SELECT count(*) AS n FROM customers", "c"),
        )
    )
    full = EvidenceCatalog.from_sources({source.name: source.schema for source in SHOP})
    report = validate_edges(graph.edges, full)
    assert report
    assert str(report) == "all 4 edges are met"
    report.raise_if_broken()

    report = validate_edges(graph.edges, full.without("customers").with_evidence(*orders(note="int8").values()))
    assert not report
    assert str(report).splitlines() == [
        "task 'a' reads 'orders.amount', which 'orders' lacks; it has 'note'",
        "task 'b' waits for 'customers', which does not exist",
        "task 'b' reads 'orders.note' as string, but it is int8; cast it in the plan, or give 'orders' its old type back",
        "task 'c' waits for 'customers', which does not exist",
    ]
    with pytest.raises(NotReadyError) as caught:
        report.raise_if_broken()
    assert caught.value.code == "RS301"
    assert "4 requirements of 'a', 'b', 'c' are not met" in str(caught.value)
    assert str(report) in str(caught.value)


def test_no_edge_at_all_is_met() -> None:
    assert validate_edges([], EvidenceCatalog())
