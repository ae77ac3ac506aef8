"""What a change of a source would do, held against what a run does after it, on random catalogs."""

import ibis
import ibis.expr.datatypes as dt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relspec_core import (
    ExecutionContext,
    RelspecError,
    TaskCatalog,
    TaskGraph,
    compile_task_catalog,
    run,
    task_graph_from_catalog,
)
from relspec_core.insight.column_reference import EvidenceReference, columns_of
from relspec_core.insight.impact import impact_of
from relspec_core.insight.schema_change import EvidenceChange, dropped, proposed, recalculated, renamed, retyped
from relspec_core.insight.what_if_plans import PlanCompiler
from tests.laws.generated import Generated, catalogs
from tests.laws.plan_texts import q
from tests.support.catalogs import empty_backend

COMPILER = PlanCompiler(sources=(), backend=empty_backend(), ctx=ExecutionContext())


def changes_of(source: str, column: str, graph: TaskGraph) -> dict[str, EvidenceChange]:
    """Changes of a source in DuckDB's words, each with what it makes of the evidence."""
    table, columns = q(source), columns_of(source, graph)
    reference = EvidenceReference(evidence=source, column=column)
    return {
        f"ALTER TABLE {table} DROP COLUMN {q(column)}": dropped(reference, graph),
        f"ALTER TABLE {table} RENAME COLUMN {q(column)} TO another": renamed(reference, "another", graph),
        f"ALTER TABLE {table} ADD COLUMN another BIGINT": proposed(
            source, ibis.schema({**dict(columns.items()), "another": "int64"}), graph
        ),
        f"ALTER TABLE {table} ALTER COLUMN {q(column)} TYPE VARCHAR USING 'x'": retyped(
            source, column, dt.string, graph
        ),
    }


@settings(max_examples=6)
@given(catalogs(most=4), st.data())
def test_what_a_run_does_after_a_source_has_other_columns_was_foretold(
    generated: Generated, data: st.DataObject
) -> None:
    con, ctx = ibis.duckdb.connect(threads=1), ExecutionContext()  # its cache serves all runs
    generated.load(con)
    catalog = TaskCatalog(generated.tasks)
    assume(run(catalog, backend=con, ctx=ctx, quiet=True).ok)
    plans = compile_task_catalog(catalog, backend=con, ctx=ctx)
    graph = task_graph_from_catalog(plans)
    always = set(run(catalog, backend=con, ctx=ctx, quiet=True).ran)
    source = data.draw(st.sampled_from(graph.sources))
    changes = changes_of(source, data.draw(st.sampled_from(tuple(columns_of(source, graph)))), graph)
    text = data.draw(st.sampled_from(tuple(changes)))
    compiler = PlanCompiler(sources=(), backend=con, ctx=ExecutionContext())
    found = impact_of(changes[text], plans=plans, graph=graph, compiler=compiler)
    stuck = {*found.broken_tasks, *(waiting.task for waiting in found.waiting)}
    rebuilt = {rebuild.task for rebuild in found.rebuilt}
    con.con.execute(text)
    try:
        report = run(catalog, backend=con, ctx=ctx, quiet=True)
    except RelspecError:
        assert not found.ok
    else:
        assert not report.failed
        assert set(report.blocked) <= stuck
        assert set(report.ran) - always <= (rebuilt | stuck if "TYPE" in text else rebuilt)
        assert {rebuild.task for rebuild in found.rebuilt if rebuild.tables} <= {*report.ran, *report.blocked}
        assert {broken.task for broken in found.broken if broken.column} <= {*report.ran, *report.blocked}
    con.disconnect()


@settings(max_examples=4)
@given(catalogs(most=4))
def test_what_a_run_rebuilds_after_a_columns_values_changed_was_foretold(generated: Generated) -> None:
    con, ctx = ibis.duckdb.connect(threads=1), ExecutionContext()  # its cache serves all runs
    generated.load(con)
    assume(run(generated.catalog, backend=con, ctx=ctx, quiet=True).ok)
    plans = compile_task_catalog(generated.catalog, backend=con, ctx=ctx)
    graph = task_graph_from_catalog(plans)
    always = set(run(generated.catalog, backend=con, ctx=ctx, quiet=True).ran)
    for source in graph.sources:
        for column in [name for name, kind in columns_of(source, graph).items() if kind.is_integer()]:
            con.con.execute(f"UPDATE {q(source)} SET {q(column)} = {q(column)} + 1")
            ran = set(run(generated.catalog, backend=con, ctx=ctx, quiet=True).ran) - always
            change = recalculated(EvidenceReference(evidence=source, column=column), graph)
            assert ran <= {
                found.task for found in impact_of(change, plans=plans, graph=graph, compiler=COMPILER).rebuilt
            }
    con.disconnect()
