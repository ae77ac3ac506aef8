"""Law 10 over random catalogs and random edits: after each run every table is what a build from scratch would give."""

import random
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import ibis
import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import PlanCatalog, RunReport, compile_task_catalog, run
from relspec_core.errors import RelspecError
from relspec_core.warehouse import Warehouse
from tests.catalogs import empty_backend
from tests.cutting import bag_of, quoted
from tests.generated import PICKS, Generated, catalogs, value
from tests.plan_steps import STEPS

EDITS_EACH = 4


@contextmanager
def database(generated: Generated) -> Generator[DuckDBBackend]:
    con = ibis.duckdb.connect(threads=1)
    generated.load(con)
    yield con
    con.disconnect()


def edited_plan(generated: Generated, data: st.DataObject) -> Generated:
    """Another step in one of the tasks: added, left out, or with other picks."""
    at = data.draw(st.integers(0, len(generated.recipes) - 1))
    recipe = generated.recipes[at]
    new = (data.draw(st.sampled_from(STEPS)), data.draw(PICKS))
    where = data.draw(st.integers(0, len(recipe.steps)))
    match data.draw(st.sampled_from(["add", "drop", "change"])):
        case "add":
            steps = (*recipe.steps[:where], new, *recipe.steps[where:])
        case "drop":
            steps = (*recipe.steps[:where], *recipe.steps[where + 1 :])
        case _:
            steps = (
                *recipe.steps[:where],
                *((step, new[1]) for step, _ in recipe.steps[where : where + 1]),
                *recipe.steps[where + 1 :],
            )
    recipes = (*generated.recipes[:at], replace(recipe, steps=steps), *generated.recipes[at + 1 :])
    kinds = tuple(
        kind if recipe.may_be_view else "table" for kind, recipe in zip(generated.kinds, recipes, strict=True)
    )
    return replace(generated, recipes=recipes, kinds=kinds)


def edited_data(generated: Generated, data: st.DataObject) -> str:
    """A statement that changes the rows of a source."""
    source = data.draw(st.sampled_from(generated.sources))
    numbers = random.Random(data.draw(st.integers(0, 1000)))  # noqa: S311 - test data
    table, row = quoted(source.name), data.draw(st.integers(0, 13))
    match data.draw(st.sampled_from(["update", "insert", "delete"])):
        case "update":
            column = data.draw(st.sampled_from(source.schema.names))
            return f"UPDATE {table} SET {quoted(column)} = {value(source.schema[column], numbers)} WHERE rowid = {row}"
        case "insert":
            return f"INSERT INTO {table} VALUES ({', '.join(value(kind, numbers) for kind in source.schema.types)})"
        case _:
            return f"DELETE FROM {table} WHERE rowid = {row}"


def contents(con: DuckDBBackend, plans: PlanCatalog) -> dict[str, Counter[str]]:
    return {plan.name: bag_of(con.con, f"FROM {quoted(plan.name)}") for plan in plans}


def read_now(con: DuckDBBackend, plans: PlanCatalog) -> dict[tuple[str, str], str]:
    """What every task reads of each evidence, as a digest; what is not there is left out."""
    warehouse = Warehouse(con)
    there = warehouse.schemas([name for plan in plans for name in plan.deps.inputs])
    return {
        (plan.task.name, name): warehouse.contents(name, [columns])[0]
        for plan in plans
        for name, columns in plan.deps.required_columns.items()
        if name in there and set(columns) <= set(there[name])
    }


def needless(report: RunReport, before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> list[str]:
    """The tasks that were built although their own plan and all that they read are as they were."""
    return [
        task
        for task, reason in report.ran.items()
        if reason.startswith("reads ")
        and all(before.get(key) == found for key, found in after.items() if key[0] == task)
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(metafunc.config.getoption("edits") // EDITS_EACH))


def test_after_each_edit_a_run_leaves_what_a_build_from_scratch_gives(
    shard: int, record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()

    @seed(shard)
    @settings(max_examples=1)
    @given(st.data(), catalogs(most=5))
    def hold(data: st.DataObject, generated: Generated) -> None:
        with database(generated) as con:
            run(generated.catalog, backend=con, quiet=True)
            changes: list[str] = []
            for _ in range(EDITS_EACH):
                if data.draw(st.booleans()):
                    changes.append(edited_data(generated, data))
                    con.con.execute(changes[-1])
                else:
                    generated = edited_plan(generated, data)
                try:
                    plans = compile_task_catalog(generated.catalog, backend=empty_backend())
                except RelspecError:  # another task reads what this edit took away
                    counts["edits that break a reader"] += 1
                    return
                before = read_now(con, plans)
                report = run(generated.catalog, backend=con, quiet=True)
                report.raise_if_failed()
                note(f"{changes[-1:]} {report.ran} {report.skipped}")
                with database(generated) as scratch:
                    for change in changes:
                        scratch.con.execute(change)
                    run(generated.catalog, backend=scratch, quiet=True)
                    assert contents(con, plans) == contents(scratch, plans)
                counts["edits"] += 1
                counts["tasks after edits"] += len(plans.tasks)
                counts["tasks built"] += len(report.ran)
                counts["built needlessly"] += len(needless(report, before, read_now(con, plans)))

    hold()
    for name, count in counts.items():
        record_property(name, count)
