"""The column lineage facet, checked against the classes that OpenLineage generates from its published schema."""

import json
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import ibis
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError
from openlineage.client.facet_v2 import column_lineage_dataset as published
from openlineage.client.serde import Serde

from relspec_core import PlanCatalog, TaskBuildContext, TaskSpec
from relspec_core.cli import main
from relspec_core.exports.openlineage import (
    PRODUCER,
    SCHEMA_URL,
    Facet,
    column_lineage_facet,
    column_lineage_facets,
    to_openlineage_json,
)
from tests.support.catalogs import compiled, plan_of, sql_task

NAMESPACE = "duckdb://shop.duckdb"
REVENUE = """
SELECT c.city, upper(o.note) AS loud, sum(o.amount) FILTER (WHERE o.day > DATE '2024-01-01') AS total, 1 AS one,
       rank() OVER (ORDER BY sum(o.amount)) AS place, md5(c.city) AS hidden, count(o.order_id) AS n
FROM orders AS o JOIN customers AS c USING (customer_id)
WHERE o.order_id > 3
GROUP BY ALL
ORDER BY c.city
"""


def schema_of(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type that a generated class has
    """The JSON schema of what a generated class holds; stricter than the published one, as it allows no other key."""
    if attrs.has(kind):
        hints = get_type_hints(kind)
        fields = attrs.fields(kind)
        return {
            "type": "object",
            "properties": {field.name: schema_of(hints[field.name]) for field in fields},
            "required": [field.name for field in fields if field.default is attrs.NOTHING],
            "additionalProperties": False,
        }
    if get_origin(kind) is UnionType:
        return {"anyOf": [schema_of(part) for part in get_args(kind)]}
    if get_origin(kind) is list:
        return {"type": "array", "items": schema_of(get_args(kind)[0])}
    if get_origin(kind) is dict:
        return {"type": "object", "additionalProperties": schema_of(get_args(kind)[1])}
    return {"type": {str: "string", bool: "boolean", NoneType: "null"}[kind]}


SCHEMA = schema_of(published.ColumnLineageDatasetFacet)
SCHEMA["required"] += ["_producer", "_schemaURL"]  # of every facet; the classes fill them in themselves


def facet_of(text: str) -> Facet:
    return column_lineage_facet(plan_of(text), namespace=NAMESPACE, dialect="duckdb")


def uses(fields: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [
        (f"{field['name']}.{field['field']}", found["type"], found["subtype"])
        for field in fields
        for found in field["transformations"]
    ]


def check(facet: Facet) -> None:
    Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(facet)))


def test_the_schema_that_facets_are_checked_against_refuses_what_is_wrong() -> None:
    facet = facet_of("SELECT amount FROM orders")
    check(facet)
    for broken in (
        {key: value for key, value in facet.items() if key != "fields"},
        facet | {"fields": {"amount": {}}},
        facet | {"dataset": [{"namespace": NAMESPACE, "name": "orders"}]},
        facet | {"datset": []},
    ):
        with pytest.raises(ValidationError):
            check(broken)


@pytest.mark.parametrize(
    "text",
    [
        REVENUE,
        "SELECT count(*) AS n FROM orders",
        "SELECT 1 AS one",
        "SELECT note FROM orders UNION SELECT name FROM customers",
        "FROM orders PIVOT (sum(amount) FOR note IN ('a', 'b') GROUP BY customer_id)",
        "WITH RECURSIVE t(n) AS (SELECT amount FROM orders UNION ALL SELECT n - 1 FROM t WHERE n > 0) SELECT * FROM t",
    ],
)
def test_every_facet_has_the_published_form(text: str) -> None:
    check(facet_of(text))


def input_field(
    *, namespace: str, name: str, field: str, transformations: list[dict[str, Any]]
) -> published.InputField:
    read = [published.Transformation(**found) for found in transformations]
    return published.InputField(namespace=namespace, name=name, field=field, transformations=read)


def test_openlineages_own_classes_read_a_facet_and_write_the_same() -> None:
    facet = facet_of(REVENUE)

    read = published.ColumnLineageDatasetFacet(
        fields={
            name: published.Fields(inputFields=[input_field(**field) for field in found["inputFields"]])
            for name, found in facet["fields"].items()
        },
        dataset=[input_field(**field) for field in facet["dataset"]],
    )
    assert Serde.to_dict(read) | {"_producer": PRODUCER} == facet


def test_the_facet_names_its_producer_and_the_version_of_its_schema() -> None:
    facet = facet_of("SELECT amount FROM orders")
    assert facet["_producer"] == PRODUCER
    assert facet["_schemaURL"] == SCHEMA_URL == published.ColumnLineageDatasetFacet._get_schema()


def test_fields_have_what_makes_a_value_and_what_decides_it_alone() -> None:
    fields = {name: uses(found["inputFields"]) for name, found in facet_of(REVENUE)["fields"].items()}
    assert fields == {
        "city": [("customers.city", "DIRECT", "IDENTITY")],
        "loud": [("orders.note", "DIRECT", "TRANSFORMATION")],
        "total": [("orders.amount", "DIRECT", "AGGREGATION"), ("orders.day", "INDIRECT", "CONDITIONAL")],
        "one": [],
        "place": [("orders.amount", "INDIRECT", "WINDOW")],
        "hidden": [("customers.city", "DIRECT", "TRANSFORMATION")],
        "n": [("orders.order_id", "DIRECT", "AGGREGATION")],
    }


def test_what_decides_the_rows_is_in_dataset_once_for_all_columns() -> None:
    assert uses(facet_of(REVENUE)["dataset"]) == [
        ("customers.city", "INDIRECT", "GROUP_BY"),
        ("customers.city", "INDIRECT", "SORT"),
        ("customers.customer_id", "INDIRECT", "JOIN"),
        ("orders.customer_id", "INDIRECT", "JOIN"),
        ("orders.note", "INDIRECT", "GROUP_BY"),
        ("orders.order_id", "INDIRECT", "FILTER"),
    ]


def test_an_input_column_stands_once_with_all_of_its_uses() -> None:
    facet = facet_of("SELECT CASE WHEN amount > 1 THEN amount END AS a FROM orders")
    (field,) = facet["fields"]["a"]["inputFields"]
    assert {found["subtype"] for found in field["transformations"]} == {"CONDITIONAL", "TRANSFORMATION"}


def test_a_computed_column_is_described_by_its_sql() -> None:
    fields = facet_of(REVENUE)["fields"]
    assert fields["loud"]["inputFields"][0]["transformations"][0]["description"] == 'UPPER("o"."note")'
    assert "description" not in fields["city"]["inputFields"][0]["transformations"][0]


@pytest.mark.parametrize(
    ("expression", "masking"),
    [
        ("note", False),
        ("md5(note)", True),
        ("'x' || sha256(upper(note))", True),
        ("hash(note)", True),
        ("count(note)", True),
        ("upper(note)", None),
        ("md5(note) || note", None),
        ("max(note)", None),
    ],
)
def test_masking_is_stated_where_it_is_certain(expression: str, masking: bool | None) -> None:  # noqa: FBT001 - a case
    (field,) = facet_of(f"SELECT {expression} AS a FROM orders")["fields"]["a"]["inputFields"]
    assert field["transformations"][0].get("masking") is masking


def two_outputs(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    orders = ctx.table("orders")
    return {"small": orders.filter(orders.amount < 10).select("order_id"), "big": orders.select("note")}


def catalog() -> PlanCatalog:
    return compiled(sql_task(REVENUE, "revenue"), TaskSpec("by_size", two_outputs))


def test_facets_stand_by_task_and_output_and_agree_with_the_inferred_lineage() -> None:
    plans = catalog()
    facets = column_lineage_facets(plans, namespace=NAMESPACE)
    assert {task: list(outputs) for task, outputs in facets.items()} == {
        "by_size": ["small", "big"],
        "revenue": ["revenue"],
    }
    for plan in plans:
        facet = facets[plan.task.name][plan.name]
        check(facet)
        assert set(uses(facet["dataset"])) == {
            (f"{use.evidence}.{use.column}", "INDIRECT", str(use.use)) for use in plan.deps.row_uses
        }
        assert list(facet["fields"]) == list(plan.schema)


def test_namespace_and_producer_are_the_callers() -> None:
    facets = json.loads(to_openlineage_json(catalog(), namespace="a", producer="https://example.com/b"))
    facet = facets["by_size"]["big"]
    assert facet["_producer"] == "https://example.com/b"
    assert facet["fields"]["note"]["inputFields"][0]["namespace"] == "a"


@pytest.mark.parametrize(("options", "namespace"), [([], "duckdb://shop.duckdb"), (["--namespace", "prod"], "prod")])
def test_the_command_prints_the_facets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], namespace: str
) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "one.sql").write_text("SELECT 1 AS a")
    (tmp_path / "sql" / "two.sql").write_text("SELECT a FROM one")
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "sql/"\ndatabase = "build/shop.duckdb"\n')
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["graph", "--format", "openlineage", *options])
    assert result.exit_code == 0, result.output
    facet = json.loads(result.output)["two"]["two"]
    check(facet)
    assert facet["fields"]["a"]["inputFields"][0] | {"transformations": None} == {
        "namespace": namespace,
        "name": "one",
        "field": "a",
        "transformations": None,
    }
