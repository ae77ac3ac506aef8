"""Random plans, executed on DuckDB: the laws about single plans, and what DuckDB's optimizer says that each reads."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import duckdb
import ibis
import ibis.expr.operations as ops
import pytest
from hypothesis import given, note, seed, settings
from ibis.backends.duckdb import Backend as DuckDBBackend
from ibis.backends.sql.datatypes import DuckDBType

from relspec_core import PlanArtifact, compile_task_catalog
from relspec_core.warehouses.duckdb_warehouse import DuckDBWarehouse
from tests.laws.cutting import bag_of, cut_tables
from tests.laws.generated import Generated, plans
from tests.laws.plan_oracle import PlanOracle, may_drop_joins, may_read_more
from tests.support.catalogs import deps_of_text, empty_backend
from tests.support.shards import shard_id

PLANS_EACH = 25

Tables = Mapping[str, Mapping[str, str]]


class Workbench:
    """Two databases for one plan after another: one with rows, and one with empty tables for DuckDB's own plans."""

    def __init__(self) -> None:
        self._full = ibis.duckdb.connect(threads=1)
        self._empty = ibis.duckdb.connect(threads=1)
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        self._full.disconnect()
        self._empty.disconnect()

    def try_plans_of(self, generated: Generated) -> None:
        """Hold every plan of a random catalog against all that must be true of it."""
        generated.load(self._full)
        tables = {source.name: types_of(source.schema) for source in generated.sources}
        oracle = PlanOracle(tables, con=self._empty.con)
        for plan in compile_task_catalog(generated.catalog, backend=empty_backend()):
            printed = str(self._full.compile(plan.expr))
            note(f"-- Ibis\n{printed}\n-- relspec\n{plan.sql}\n-- reads {dict(plan.deps.required_columns)}")
            for backend in (self._full, self._empty):
                prepare(backend, plan)
            self.counts["random plans"] += 1
            if not binds(self._full.con, printed):  # an alias of Ibis's may be a struct column's name, and means that
                self.counts["plans that Ibis prints wrongly"] += 1
                continue
            self._try_rows(plan, printed)
            assert_all_columns_where_unknown(plan, tables)
            assert_same_edges(plan, printed, tables)
            self._try_oracle(plan, printed, oracle)

    def _try_rows(self, plan: PlanArtifact, printed: str) -> None:
        """Laws 1 to 3: sound, minimal, and what is analysed and executed is what the builder wrote."""
        con = self._full.con
        expected = bag_of(con, printed)
        self.counts["rows"] += expected.total()
        assert bag_of(con, plan.sql) == expected
        with cut_tables(con, plan.deps) as cut:
            assert Counter(cut.rows(plan.sql)) == expected
            assert list(cut.needless(plan.sql)) == []

    def _try_oracle(self, plan: PlanArtifact, printed: str, oracle: PlanOracle) -> None:
        try:
            live = oracle.ask(printed)
        except duckdb.NotImplementedException:  # what it can run, it can't always run with fewer outputs
            self.counts["plans that DuckDB can't prune"] += 1
            return
        if plan.deps.unresolved:
            self.counts["plans that require all columns"] += 1
            for name, columns in live.required.items():
                assert set(columns) <= set(plan.deps.required_columns[name])
        elif live.reads_less(plan.deps) and may_drop_joins(printed):
            self.counts["plans that DuckDB drops a join of"] += 1
            for name, columns in live.required.items():
                assert set(columns) <= set(plan.deps.required_columns[name])
        elif live.disagreements(plan.deps) and may_read_more(printed):
            self.counts["plans that DuckDB reads more for"] += 1
            for name, columns in plan.deps.required_columns.items():
                assert set(columns) <= set(live.required[name])
            assert oracle.ask(plan.sql).disagreements(plan.deps) == []
        else:
            assert live.disagreements(plan.deps) == []


def types_of(schema: ibis.Schema) -> dict[str, str]:
    return {name: DuckDBType.to_string(kind) for name, kind in schema.items()}


def prepare(backend: DuckDBBackend, plan: PlanArtifact) -> None:
    """Make in-memory tables and functions known under the plan's names for them and under those that Ibis prints."""
    DuckDBWarehouse(backend).prepare(plan)
    backend._register_in_memory_tables(plan.expr)


def binds(con: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        con.execute(f"EXPLAIN {sql}")
    except duckdb.BinderException:
        return False
    return True


def assert_all_columns_where_unknown(plan: PlanArtifact, tables: Tables) -> None:
    """Law 4."""
    for name, reason in plan.deps.unresolved.items():
        assert reason
        assert set(plan.deps.required_columns[name]) == set(tables[name])


def assert_same_edges(plan: PlanArtifact, printed: str, tables: Tables) -> None:
    """An Ibis expression and the SQL that Ibis prints for it have the same edges."""
    memory = {table.name: types_of(table.schema) for table in plan.expr.op().find(ops.InMemoryTable)}
    assert plan.deps == deps_of_text(printed, tables, plan.schema, memory)


@pytest.fixture(scope="module")
def workbench() -> Iterator[Workbench]:
    found = Workbench()
    yield found
    found.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(metafunc.config.getoption("plans") // PLANS_EACH), ids=shard_id)


def test_a_random_plan_reads_what_it_requires_and_nothing_else(
    shard: int, workbench: Workbench, record_property: Callable[[str, object], None]
) -> None:
    workbench.counts.clear()

    @seed(shard)
    @settings(max_examples=PLANS_EACH)
    @given(plans())
    def hold(generated: Generated) -> None:
        workbench.try_plans_of(generated)

    hold()
    for name, count in workbench.counts.items():
        record_property(name, count)
    assert workbench.counts["random plans"] >= PLANS_EACH
    assert workbench.counts["rows"] > 0
