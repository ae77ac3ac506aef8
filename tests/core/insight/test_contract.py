"""Contracts of sources, which breaks nothing, and not one of whose columns can go."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import ibis
from hypothesis import given, settings

from relspec_core import ExecutionContext, compile_task_catalog, task_graph_from_catalog
from relspec_core.insight.contract import contract_of
from relspec_core.insight.impact import impact_of
from relspec_core.insight.schema_change import proposed
from relspec_core.insight.what_if_plans import PlanCompiler
from relspec_core.sources.schema_files import schema_in_file
from tests.laws.generated import Generated, catalogs
from tests.support.catalogs import compiled, empty_backend, sql_task


def written(text: str) -> ibis.Schema:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "contract.yaml"
        file.write_text(text)
        return schema_in_file(file)


def test_a_contract_has_the_columns_that_are_read_with_readers_and_uses() -> None:
    graph = task_graph_from_catalog(
        compiled(
            sql_task("SELECT customer_id, sum(amount) AS total FROM orders GROUP BY customer_id", "revenue"),
            sql_task("SELECT customer_id FROM orders", "buyers"),
            sql_task("SELECT count(*) AS n FROM orders", "n"),
        )
    )
    contract = contract_of("orders", graph)
    assert str(contract).splitlines() == [
        "# What tasks need of 'orders'. Check a new schema of it against them:",
        "#     relspec impact orders --schema FILE",
        "# Rows, and no column, are read by n.",
        "# Nobody reads order_id, note, day.",
        "# read by buyers (IDENTITY), revenue (GROUP_BY, IDENTITY)",
        "customer_id: int64",
        "# read by revenue (AGGREGATION)",
        "amount: int64",
    ]
    assert json.loads(contract.to_json())["columns"]["amount"] == {
        "type": "int64",
        "readers": {"revenue": ["AGGREGATION"]},
    }


def test_a_contract_of_rows_alone_is_an_empty_mapping() -> None:
    graph = task_graph_from_catalog(compiled(sql_task("SELECT count(*) AS n FROM orders", "n")))
    assert written(str(contract_of("orders", graph))) == ibis.schema({})


@settings(max_examples=settings().max_examples // 3)  # each is compiled again without each of its columns
@given(catalogs(most=5))
def test_a_contract_breaks_nothing_and_without_any_one_of_its_columns_a_task_breaks_or_adapts(
    generated: Generated,
) -> None:
    plans = compile_task_catalog(generated.catalog, backend=empty_backend())
    graph = task_graph_from_catalog(plans)
    compiler = PlanCompiler(sources=(), backend=empty_backend(), ctx=ExecutionContext())
    for source in graph.sources:
        schema = written(str(contract_of(source, graph)))
        kept = impact_of(proposed(source, schema, graph), plans=plans, graph=graph, compiler=compiler)
        # Less may break where random builders choose among whatever columns there are.
        assert {broken.column for broken in kept.broken if broken.evidence == source} <= {None}
        for column in schema:
            less = ibis.schema({name: kind for name, kind in schema.items() if name != column})
            found = impact_of(proposed(source, less, graph), plans=plans, graph=graph, compiler=compiler)
            assert found.broken or found.rebuilt
            assert {broken.column for broken in found.broken if broken.evidence == source} <= {column, None}
