"""What a change would do: the scenario of the shop, every kind of change, and proposed schemas in files."""

import json
from collections.abc import Callable
from pathlib import Path

import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relspec_core import (
    ExecutionContext,
    PlanCatalog,
    SourceSpec,
    TaskBuildContext,
    TaskGraph,
    task_graph_from_catalog,
)
from relspec_core.errors import CatalogError, UnknownColumnError, UnknownTargetError
from relspec_core.insight.column_reference import find_reference
from relspec_core.insight.impact import impact_of
from relspec_core.insight.impact_report import Impact
from relspec_core.insight.schema_change import EvidenceChange, dropped, proposed, recalculated, renamed, retyped
from relspec_core.insight.what_if_plans import PlanCompiler
from relspec_core.sources.schema_files import name_of_type, schema_in_file, type_named
from tests.support.catalogs import compiled, empty_backend, sql_task, task_of

RAW_ORDERS = SourceSpec(
    "raw_orders",
    schema={"order_id": "int64", "customer_id": "int64", "amount": "int32", "note": "string", "day": "date"},
)
RAW_CUSTOMERS = SourceSpec("raw_customers", schema={"customer_id": "int64", "name": "string"})
TASKS = (
    sql_task("SELECT order_id, customer_id, amount, upper(note) AS note FROM raw_orders", "stg_orders"),
    sql_task("SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY customer_id", "revenue"),
    sql_task("SELECT order_id, note FROM stg_orders", "notes"),
    sql_task("SELECT name, total FROM raw_customers LEFT JOIN revenue USING (customer_id)", "directory"),
)
COMPILER = PlanCompiler(sources=(), backend=empty_backend(), ctx=ExecutionContext())


@pytest.fixture(scope="module")
def plans() -> PlanCatalog:
    return compiled(*TASKS, sources=(RAW_ORDERS, RAW_CUSTOMERS))


@pytest.fixture(scope="module")
def graph(plans: PlanCatalog) -> TaskGraph:
    return task_graph_from_catalog(plans)


def outcome(found: Impact) -> tuple[list[str], ...]:
    """Broken, waiting, rebuilt and untouched tasks."""
    return (
        list(found.broken_tasks),
        [item.task for item in found.waiting],
        [item.task for item in found.rebuilt],
        list(found.untouched),
    )


def test_a_renamed_column_names_its_reader_the_new_name_and_who_waits(plans: PlanCatalog, graph: TaskGraph) -> None:
    change = renamed(find_reference("stg_orders.amount", graph), "amt", graph)
    assert str(impact_of(change, plans=plans, graph=graph, compiler=COMPILER)).splitlines() == [
        "change",
        "  'stg_orders.amount' is renamed to 'amt'",
        "breaks",
        "  task 'revenue' reads 'stg_orders.amount' (AGGREGATION), which becomes 'amt'",
        "    next: let task 'revenue' read 'amt', or keep 'stg_orders.amount' until it does.",
        "waits",
        "  task 'directory' waits for 'revenue' of task 'revenue', which breaks",
        "would rebuild",
        "  task 'stg_orders' writes 'stg_orders'",
        "untouched",
        "  notes",
        "1 broken, 1 waiting, 1 rebuilt, 1 untouched",
    ]


def test_a_new_name_that_is_taken_is_refused(graph: TaskGraph) -> None:
    for text, new in (("stg_orders.amount", "note"), ("stg_orders", "revenue")):
        with pytest.raises(CatalogError, match=f"can't be renamed to '{new}'"):
            renamed(find_reference(text, graph), new, graph)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raw_orders.note", (["stg_orders"], ["directory", "notes", "revenue"], [], [])),
        ("raw_orders.day", ([], [], [], ["directory", "notes", "revenue", "stg_orders"])),
        ("stg_orders.order_id", (["notes"], [], ["stg_orders"], ["directory", "revenue"])),
        ("revenue", (["directory"], [], ["revenue"], ["notes", "stg_orders"])),
        ("directory", ([], [], ["directory"], ["notes", "revenue", "stg_orders"])),
    ],
)
def test_dropping_breaks_exactly_the_readers_and_their_readers_wait(
    text: str, expected: tuple[list[str], ...], plans: PlanCatalog, graph: TaskGraph
) -> None:
    assert (
        outcome(impact_of(dropped(find_reference(text, graph), graph), plans=plans, graph=graph, compiler=COMPILER))
        == expected
    )


@pytest.mark.parametrize(
    ("text", "rebuilt"),
    [
        ("raw_orders.note", ["notes", "stg_orders"]),
        ("stg_orders.note", ["notes", "stg_orders"]),
        ("raw_orders.amount", ["directory", "revenue", "stg_orders"]),
        ("raw_orders", ["directory", "notes", "revenue", "stg_orders"]),
        ("raw_customers.name", ["directory"]),
        ("raw_orders.day", []),
    ],
)
def test_other_values_rebuild_whoever_reads_them_however_far_down(
    text: str, rebuilt: list[str], plans: PlanCatalog, graph: TaskGraph
) -> None:
    found = impact_of(recalculated(find_reference(text, graph), graph), plans=plans, graph=graph, compiler=COMPILER)
    assert outcome(found)[2] == rebuilt
    assert found.ok


def test_a_column_that_decides_rows_rebuilds_the_readers_of_every_column() -> None:
    plans = compiled(
        sql_task("SELECT order_id, amount FROM raw_orders WHERE note = 'x'", "kept"),
        sql_task("SELECT sum(amount) AS total FROM kept", "total"),
        sql_task("SELECT count(*) AS n FROM kept", "n"),
        sources=(RAW_ORDERS,),
    )
    graph = task_graph_from_catalog(plans)
    by_note = impact_of(
        recalculated(find_reference("raw_orders.note", graph), graph), plans=plans, graph=graph, compiler=COMPILER
    )
    assert outcome(by_note)[2] == ["kept", "n", "total"]
    by_amount = impact_of(
        recalculated(find_reference("raw_orders.amount", graph), graph), plans=plans, graph=graph, compiler=COMPILER
    )
    assert outcome(by_amount) == ([], [], ["kept", "total"], ["n"])


@pytest.mark.parametrize(
    ("column", "kind", "breaks"),
    [
        ("raw_orders.amount", "int64", False),
        ("raw_orders.amount", "int16", True),
        ("raw_orders.amount", "string", True),
        ("raw_orders.note", "int64", True),
        ("raw_orders.day", "int64", False),
    ],
)
def test_a_wider_type_harms_nobody_and_another_type_breaks_the_readers(
    column: str,
    kind: str,
    *,
    breaks: bool,
    plans: PlanCatalog,
    graph: TaskGraph,
) -> None:
    evidence, name = column.split(".")
    found = impact_of(retyped(evidence, name, type_named(kind), graph), plans=plans, graph=graph, compiler=COMPILER)
    assert found.ok is not breaks
    if breaks:
        assert f"which is {kind} instead of" in str(found)


STARS = (
    sql_task("SELECT * FROM raw", "stg"),
    task_of(lambda ctx: ctx.table("stg"), "mart"),
    sql_task("SELECT id, note FROM stg", "notes"),
    sql_task("SELECT id, amount FROM stg WHERE amount > 1", "sums"),
    sql_task("SELECT id, length(note) AS n FROM mart", "lengths"),
    sql_task("SELECT id FROM notes", "below"),
    sql_task("SELECT stg.* FROM stg JOIN below USING (id)", "kept"),
    sql_task("SELECT count(*) AS n FROM (SELECT DISTINCT * FROM raw)", "different"),
)
RAW = SourceSpec("raw", schema={"id": "int64", "note": "string", "amount": "int32"})


@pytest.fixture(scope="module")
def stars() -> PlanCatalog:
    return compiled(*STARS, sources=(RAW,))


def star_impact(change: Callable[[TaskGraph], EvidenceChange], stars: PlanCatalog) -> Impact:
    graph = task_graph_from_catalog(stars)
    return impact_of(change(graph), plans=stars, graph=graph, compiler=COMPILER)


def test_readers_of_all_columns_adapt_and_the_readers_of_what_their_tables_lose_break(stars: PlanCatalog) -> None:
    found = star_impact(lambda graph: dropped(find_reference("raw.note", graph), graph), stars)
    assert str(found).splitlines() == [
        "change",
        "  'raw.note' is dropped",
        "breaks",
        "  task 'lengths' reads 'mart.note' (TRANSFORMATION), which is gone",
        "    next: keep 'mart.note' unchanged, or fix task 'lengths' first.",
        "  task 'notes' reads 'stg.note' (IDENTITY), which is gone",
        "    next: keep 'stg.note' unchanged, or fix task 'notes' first.",
        "waits",
        "  task 'below' waits for 'notes' of task 'notes', which breaks",
        "  task 'kept' waits for 'below' of task 'below', which waits for task 'notes'",
        "would rebuild",
        "  task 'different' reads all columns of 'raw', and would write 'different' from other columns",
        "  task 'mart' reads all columns of 'stg', and would write 'mart' without 'note'",
        "  task 'stg' reads all columns of 'raw', and would write 'stg' without 'note'",
        "untouched",
        "  sums",
        "2 broken, 2 waiting, 3 rebuilt, 1 untouched",
    ]
    assert json.loads(found.to_json())["rebuilds"][1] == {
        "task": "mart",
        "evidence": "stg",
        "columns": [],
        "writes": False,
        "tables": [{"evidence": "mart", "lost": ["note"], "new": [], "retyped": {}}],
    }


def test_a_new_name_reaches_the_readers_of_tables_that_take_all_columns(stars: PlanCatalog) -> None:
    found = star_impact(lambda graph: renamed(find_reference("raw.note", graph), "memo", graph), stars)
    assert "task 'lengths' reads 'mart.note' (TRANSFORMATION), which is gone; its new name is likely 'memo'" in str(
        found
    )
    assert "and would write 'mart' without 'note' and with new 'memo'" in str(found)
    assert outcome(found)[0] == ["lengths", "notes"]


def test_a_new_column_rebuilds_the_readers_of_all_columns_and_nobody_else(stars: PlanCatalog) -> None:
    schema = ibis.schema({**dict(RAW.schema.items()), "day": "date"})
    found = star_impact(lambda graph: proposed("raw", schema, graph), stars)
    assert outcome(found) == ([], [], ["different", "kept", "mart", "stg"], ["below", "lengths", "notes", "sums"])
    assert "task 'kept' reads all columns of 'stg', and would write 'kept' with new 'day'" in str(found)


def test_another_type_goes_through_tables_that_take_all_columns_to_whoever_names_the_column(stars: PlanCatalog) -> None:
    found = star_impact(lambda graph: retyped("raw", "note", dt.int64, graph), stars)
    assert outcome(found) == (["lengths", "notes"], ["below", "kept"], ["different", "mart", "stg"], ["sums"])
    assert "task 'notes' reads 'stg.note' (IDENTITY), which is int64 instead of string" in str(found)
    assert "task 'mart' reads all columns of 'stg', and would write 'mart' with 'note' as int64" in str(found)
    wider = star_impact(lambda graph: retyped("raw", "amount", dt.int64, graph), stars)
    assert outcome(wider) == ([], [], ["different", "kept", "mart", "stg", "sums"], ["below", "lengths", "notes"])


def test_columns_in_another_order_rebuild_the_readers_of_all_columns(stars: PlanCatalog) -> None:
    schema = ibis.schema(dict(reversed(list(RAW.schema.items()))))
    found = star_impact(lambda graph: proposed("raw", schema, graph), stars)
    assert outcome(found) == ([], [], ["kept", "mart", "stg"], ["below", "different", "lengths", "notes", "sums"])
    assert "and would write 'stg' with its columns in another order" in str(found)


def test_a_table_of_a_task_changes_as_a_source_does(stars: PlanCatalog) -> None:
    found = star_impact(lambda graph: dropped(find_reference("stg.note", graph), graph), stars)
    assert outcome(found) == (["lengths", "notes"], ["below", "kept"], ["mart", "stg"], ["different", "sums"])
    gone = star_impact(lambda graph: dropped(find_reference("stg", graph), graph), stars)
    assert outcome(gone)[0] == ["kept", "mart", "notes", "sums"]


def test_other_outputs_of_the_task_that_writes_a_changed_table_stay() -> None:
    def two(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        return {"first": ctx.table("raw"), "second": ctx.table("raw").select("id")}

    plans = compiled(
        task_of(two, "two"), sql_task("SELECT first.* FROM first JOIN second USING (id)", "t"), sources=(RAW,)
    )
    found = star_impact(lambda graph: dropped(find_reference("first.note", graph), graph), plans)
    assert outcome(found) == ([], [], ["t", "two"], [])


def test_what_does_not_compile_after_a_change_breaks_though_it_reads_nothing_of_the_column() -> None:
    plans = compiled(sql_task("SELECT * EXCLUDE (note) FROM raw", "t"), sources=(RAW,))
    found = star_impact(lambda graph: dropped(find_reference("raw.note", graph), graph), plans)
    assert outcome(found) == (["t"], [], [], [])
    assert "task 't' reads 'raw', with which it would not compile: " in str(found)


def change_of(file: Path, graph: TaskGraph) -> EvidenceChange:
    return proposed("raw_orders", schema_in_file(file), graph)


def test_a_proposed_schema_is_the_same_in_every_kind_of_file(
    tmp_path: Path, plans: PlanCatalog, graph: TaskGraph
) -> None:
    arrow = pa.schema(
        {"order_id": pa.int64(), "customer_id": pa.int64(), "amt": pa.int32(), "note": pa.string(), "no": pa.bool_()}
    )
    types = {"order_id": "int64", "customer_id": "BIGINT", "amt": "int32", "note": "varchar", "no": "boolean"}
    (tmp_path / "new.yaml").write_text("".join(f"{column}: {kind}\n" for column, kind in types.items()))
    (tmp_path / "new.json").write_text(json.dumps(types, indent="\t"))
    pq.write_table(arrow.empty_table(), tmp_path / "new.parquet")
    for name, writer in (("new.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with writer(tmp_path / name, arrow):
            pass
    changes = {str(change_of(file, graph)) for file in sorted(tmp_path.iterdir())}
    assert changes == {
        "'raw_orders.amount' is gone, its new name likely 'amt'; 'raw_orders.day' is gone; 'raw_orders.no' is new"
    }
    found = impact_of(change_of(tmp_path / "new.yaml", graph), plans=plans, graph=graph, compiler=COMPILER)
    assert outcome(found) == (["stg_orders"], ["directory", "notes", "revenue"], [], [])
    assert json.loads(found.to_json())["breaks"][0]["likely"] == "amt"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "order_id: intt64\n", "column 'order_id': there is no type 'intt64'"),
        ("a.yaml", "order_id: [\n", "the schema can't be read"),
        ("a.json", '{"order_id": 1}', "the file does not map columns to types"),
        ("a.yaml", None, "there is no file"),
    ],
)
def test_a_schema_file_that_tells_no_schema_is_refused(
    name: str, text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(CatalogError, match=message):
        schema_in_file(tmp_path / name)


def test_unknown_names_give_the_nearest(graph: TaskGraph) -> None:
    with pytest.raises(UnknownTargetError, match="did you mean 'stg_orders'"):
        find_reference("stg_order", graph)
    with pytest.raises(UnknownTargetError, match="did you mean 'stg_orders'"):
        find_reference("stg_order.amount", graph)
    with pytest.raises(UnknownColumnError, match="did you mean 'amount'"):
        find_reference("stg_orders.amout", graph)


def test_a_dot_may_belong_to_the_evidence_or_to_the_column() -> None:
    source = SourceSpec("staging.orders", schema={"id": "int64", "a.b": "int64"})
    plans = compiled(sql_task('SELECT id, "a.b" AS c FROM staging.orders', "t"), sources=(source,))
    graph = task_graph_from_catalog(plans)
    assert find_reference("staging.orders", graph).column is None
    assert find_reference("staging.orders.a.b", graph).column == "a.b"


@pytest.mark.parametrize("kind", ["struct<a: int64>", "decimal(4, 1)", "timestamp('UTC', 6)", "map<string, int8>"])
def test_a_types_name_gives_the_type_again(kind: str) -> None:
    assert type_named(name_of_type(dt.dtype(kind))) == dt.dtype(kind)
    odd = dt.Struct.from_tuples([("Weird Col", dt.int64), ("b", dt.dtype(f"array<{kind}>"))])
    assert ibis.schema({"a": type_named(name_of_type(odd))}) == ibis.schema({"a": odd})
