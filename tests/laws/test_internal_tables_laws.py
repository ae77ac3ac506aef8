"""The laws of the design contract, on random catalogs all of whose tables are internal."""

import random
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import ibis
from hypothesis import given, note, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    ExecutionContext,
    PlanArtifact,
    PlanCatalog,
    TaskCatalog,
    compile_task_catalog,
    run,
    task_graph_from_catalog,
)
from tests.laws.cutting import bag_of, quoted
from tests.laws.generated import Generated, catalogs, value
from tests.support.catalogs import empty_backend

few = settings(max_examples=settings().max_examples // 5)


@contextmanager
def database(generated: Generated, tasks: TaskCatalog, ctx: ExecutionContext) -> Generator[DuckDBBackend]:
    """A database in which tasks have run; the cache of the context serves all runs."""
    con = ibis.duckdb.connect(threads=1)
    generated.load(con)
    run(tasks, backend=con, ctx=ctx, quiet=True).raise_if_failed()
    yield con
    con.disconnect()


def contents(con: DuckDBBackend, plans: Iterable[PlanArtifact]) -> dict[str, Counter[str]]:
    return {plan.name: bag_of(con.con, f"FROM {quoted(plan.name)}") for plan in plans}


def results(plans: PlanCatalog) -> list[PlanArtifact]:
    read = {name for plan in plans for name in plan.deps.inputs}
    return [plan for plan in plans if plan.name not in read]


@few
@given(catalogs(most=5))
def test_results_are_the_same_and_what_is_written_is_calculated_alike(generated: Generated) -> None:
    """Laws 1, 3 and 10: with every table internal, and with none."""
    ctx, pruned = ExecutionContext(), TaskCatalog(generated.tasks, generated.sources, internal=True)
    whole, fewer = (
        compile_task_catalog(tasks, backend=empty_backend(), ctx=ctx) for tasks in (generated.catalog, pruned)
    )
    for plan in fewer:
        assert plan.calculations.rows == whole[plan.name].calculations.rows
        for column in plan.schema:
            assert plan.calculations.columns[column] == whole[plan.name].calculations.columns[column]
    with database(generated, generated.catalog, ctx) as con, database(generated, pruned, ctx) as other:
        assert contents(con, results(fewer)) == contents(other, results(fewer))
        for plan in fewer:
            described = other.con.execute(f"DESCRIBE {quoted(plan.name)}").fetchall()
            assert tuple(column[0] for column in described) == plan.schema.names


@few
@given(catalogs(most=5))
def test_marking_every_table_builds_nothing_again(generated: Generated) -> None:
    ctx, pruned = ExecutionContext(), TaskCatalog(generated.tasks, generated.sources, internal=True)
    with database(generated, generated.catalog, ctx) as con:
        again = run(generated.catalog, backend=con, ctx=ctx, quiet=True).ran
        assert set(run(pruned, backend=con, ctx=ctx, quiet=True).ran) <= set(again)


@few
@given(st.data(), catalogs(most=5))
def test_where_readers_go_and_come_back_results_are_those_of_a_run_from_scratch(
    data: st.DataObject, generated: Generated
) -> None:
    """Law 10: a table that is wider than need be serves, and is not taken for more than it is."""
    ctx, everything = ExecutionContext(), TaskCatalog(generated.tasks, generated.sources, internal=True)
    plans = compile_task_catalog(everything, backend=empty_backend(), ctx=ctx)
    graph = task_graph_from_catalog(plans)
    last = [task for task in graph.tasks if not any(map(graph.readers, graph.outputs_of(task)))]
    gone = data.draw(st.sampled_from(last))
    fewer = TaskCatalog([task for task in everything if task.name != gone], generated.sources)
    source = data.draw(st.sampled_from(generated.sources))
    column = data.draw(st.sampled_from(source.schema.names))
    new = value(source.schema[column], random.Random(generated.seed))  # noqa: S311 - test data
    change = f"UPDATE {quoted(source.name)} SET {quoted(column)} = {new} WHERE rowid < 5"
    note(f"{gone} goes; {change}")
    with database(generated, everything, ctx) as con, database(generated, generated.catalog, ctx) as other:
        for tasks in (fewer, everything):
            run(tasks, backend=con, ctx=ctx, quiet=True).raise_if_failed()
            con.con.execute(change)
            run(tasks, backend=con, ctx=ctx, quiet=True).raise_if_failed()
        other.con.execute(change)
        run(generated.catalog, backend=other, ctx=ctx, quiet=True).raise_if_failed()
        assert contents(con, results(plans)) == contents(other, results(plans))
