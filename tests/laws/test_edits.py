"""Law 10 over random catalogs and random edits: after each run every table is what a build from scratch would give."""

import json
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import duckdb
import ibis
import pytest
from hypothesis import given, note, seed, settings
from hypothesis import strategies as st

from relspec_core import ExecutionContext, PlanCatalog, RelspecError, RunReport, run
from relspec_core.planning.run_plan import plan_run
from tests.laws.edited import Edit, Project, edits, fits, projects
from tests.laws.generated import Generated
from tests.support.scratch import FAILED_ON_ROWS, BrokenTaskError, Found, Scratch, found_in
from tests.support.shards import shard_id

EDITS_EACH = 20

# Of each input the columns that are read, with their types and those that they are read as, and their values.
Reads = Mapping[str, tuple[dict[str, str], Counter[str]]]


class Workbench:
    """A project in a database, held against builds from scratch after each edit.

    Attributes:
        counts: of everything that was seen.
    """

    def __init__(self, project: Project, generated: Generated) -> None:
        self.counts: Counter[str] = Counter()
        self._backend = ibis.duckdb.connect(threads=1)
        self._con = self._backend.con
        self._ctx = ExecutionContext()  # its cache serves all runs
        self._scratch = Scratch()
        self._project = project
        self._read: dict[str, Reads] = {}  # by each task when it was last built
        generated.load(self._backend)
        self._scratch.load(generated)

    def close(self) -> None:
        self._backend.disconnect()
        self._scratch.close()

    def start(self, in_sql: frozenset[int]) -> None:
        """Build everything, some tasks written in SQL."""
        self._build_from_scratch()
        for at, recipe in enumerate(self._project.recipes):
            if at in in_sql:
                self._project = self._project.written_in_sql(recipe.name, self._scratch.printed)
        self._hold_run()
        self.counts.clear()

    def next_edit(self) -> st.SearchStrategy[Edit]:
        there = {name for (name,) in self._con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        outputs = (output for recipe in self._project.recipes for output in recipe.outputs)
        return edits(self._project, self._scratch.printed, tuple(output for output in outputs if output in there))

    def edit(self, edit: Edit) -> None:
        """Make an edit and run: what comes of it must be what a build from scratch gives."""
        for statement in (*edit.sources, *edit.behind):
            self._con.execute(statement)
        self._scratch.change(edit.sources)
        self._project = edit.project
        self.counts["edits"] += 1
        self.counts[edit.what] += 1
        report = self._hold_run()
        if report is not None and edit.task is not None:
            assert edit.task in {*report.ran, *report.blocked}

    def _run(self) -> RunReport:
        return run(self._project.catalog, backend=self._backend, ctx=self._ctx, quiet=True)

    def _hold_run(self) -> RunReport | None:
        """Run, and hold everything against a build from scratch; None where relspec refuses to run."""
        broken = self._broken()
        if not self._project.drifted and broken is None:
            report = self._run()
            assert not report.failed
            assert not report.blocked
            self._assert_same(report)
            return report
        try:
            plans = plan_run(self._project.catalog, backend=self._backend, ctx=self._ctx).plans
        except RelspecError:
            if broken is None:  # DuckDB takes what relspec refuses
                raise
            self._hold_refusal(broken)
            return None
        blocked = self._to_be_blocked(plans)
        try:
            self._scratch.build_plans(plans, self._project, leave=blocked)
        except BrokenTaskError as error:
            if isinstance(error.__cause__, FAILED_ON_ROWS):
                self._hold_failure(error.task)
                self.counts["texts that fail on their rows"] += 1
            elif error.task in self._project.texts:  # relspec takes what DuckDB refuses
                raise
            else:
                self.counts["plans that Ibis prints wrongly"] += 1
            self._build_from_scratch()
            return None
        return self._hold_blocked_run(blocked)

    def _broken(self) -> BrokenTaskError | None:
        try:
            self._scratch.build(self._project)
        except BrokenTaskError as error:
            return error
        return None

    def _build_from_scratch(self) -> None:
        """Build as far as it goes; what Ibis prints wrongly is corrected."""
        while (broken := self._broken()) is not None:
            self._project = self._project.repaired(broken.task)

    def _hold_refusal(self, broken: BrokenTaskError) -> None:
        """A run that is refused touches nothing. Repair the tasks that can't be built, for the edits that follow."""
        before = self._all_tables()
        with pytest.raises(RelspecError):
            self._run()
        assert self._all_tables() == before
        self.counts["runs refused"] += 1
        note(f"refused: {broken}")
        self._build_from_scratch()

    def _hold_failure(self, task: str) -> None:
        assert task in self._run().failed

    def _hold_blocked_run(self, blocked: set[str]) -> RunReport:
        """Exactly the tasks are blocked that read what is not there, and those downstream; their tables are left."""
        theirs = [output for name in blocked for output in self._outputs_of(name)]
        before = {name: self._as_it_is(name) for name in theirs}
        report = self._run()
        assert not report.failed
        assert set(report.blocked) == blocked
        assert {name: self._as_it_is(name) for name in theirs} == before
        self._assert_same(report)
        return report

    def _to_be_blocked(self, plans: PlanCatalog) -> set[str]:
        blocked: set[str] = set()
        for recipe in self._project.recipes:
            deps = plans.deps_of(recipe.name)
            gone = {output for name in blocked for output in self._outputs_of(name)}
            there = {**self._project.live, **{plan.name: plan.schema for plan in plans}}
            if gone & set(deps.inputs) or any(
                not fits(kind, there[name].get(column))
                for name, types in deps.required_types.items()
                for column, kind in types.items()
            ):
                blocked.add(recipe.name)
        return blocked

    def _assert_same(self, report: RunReport) -> None:
        note(f"ran {report.ran}, skipped {report.skipped}, blocked {report.blocked}")
        tables = {
            output: found_in(self._con, output)
            for recipe in self._project.recipes
            if recipe.name not in report.blocked
            for output in recipe.outputs
        }
        for name, found in tables.items():
            assert found == self._scratch.found(name), name
        needless = self._needless(report, tables)
        assert all(map(self._reads_a_view, needless)), f"{needless} read what they read before"
        self.counts["tasks after edits"] += len(self._project.recipes)
        self.counts["tasks built"] += len(report.ran)
        self.counts["tasks blocked"] += len(report.blocked)
        self.counts["of them needlessly, below views"] += len(needless)

    def _needless(self, report: RunReport, tables: dict[str, Found]) -> set[str]:
        """The tasks that were built, by their own plans no more than before, although they read what they read before."""
        before, now = self._read, self._what_is_read(report, tables)
        self._read = {**before, **now}
        return {
            task for task, read in now.items() if report.ran[task].startswith("reads ") and read == before.get(task)
        }

    def _reads_a_view(self, task: str) -> bool:
        """Whether relspec can't compare what a task reads: views are not counted, nor digested."""
        views = [found for found in self._project.catalog.tasks if found.kind == "view"]
        return any(output in self._read[task] for view in views for output in view.declared_outputs)

    def _what_is_read(self, report: RunReport, tables: dict[str, Found]) -> Mapping[str, Reads]:
        if not report.ran:
            return {}
        records = self._con.execute("SELECT task, reads FROM relspec.evidence").fetchall()
        found = dict(tables)
        read: dict[str, dict[str, tuple[dict[str, str], Counter[str]]]] = {task: {} for task in report.ran}
        for task, reads in records:
            for name, columns in json.loads(reads).items() if task in read else ():
                if name not in found:
                    found[name] = found_in(self._con, name)
                types = {
                    column: f"{kind} as {columns[column]}" for column, kind in found[name].types_of(columns).items()
                }
                read[task][name] = (types, found[name].of(columns))
        return read

    def _outputs_of(self, task: str) -> tuple[str, ...]:
        return next(recipe.outputs for recipe in self._project.recipes if recipe.name == task)

    def _all_tables(self) -> dict[str, object]:
        return {output: self._as_it_is(output) for recipe in self._project.recipes for output in recipe.outputs}

    def _as_it_is(self, name: str) -> object:
        """The contents of a table, the text of a view, None where there is neither."""
        views = self._con.execute(f"SELECT sql FROM duckdb_views() WHERE view_name = '{name}'").fetchall()
        if views:
            return views
        try:
            return found_in(self._con, name)
        except duckdb.CatalogException:
            return None


@contextmanager
def workbench(project: Project, generated: Generated) -> Generator[Workbench]:
    found = Workbench(project, generated)
    yield found
    found.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(metafunc.config.getoption("edits") // EDITS_EACH), ids=shard_id)


def test_after_each_edit_a_run_leaves_what_a_build_from_scratch_gives(
    shard: int, record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()

    @seed(shard)
    @settings(max_examples=1)
    @given(st.data(), projects(most=4), st.frozensets(st.integers(0, 3), max_size=2))
    def hold(data: st.DataObject, made: tuple[Project, Generated], in_sql: frozenset[int]) -> None:
        with workbench(*made) as bench:
            bench.start(in_sql)
            for _ in range(EDITS_EACH):
                bench.edit(data.draw(bench.next_edit()))
            counts.update(bench.counts)

    hold()
    for name, count in counts.items():
        record_property(name, count)
    assert counts["edits"] == EDITS_EACH
