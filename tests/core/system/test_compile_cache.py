"""What a compilation keeps for the next one: the same plans, sooner; and never an old plan for a new calculation."""

from collections.abc import Callable
from pathlib import Path

import ibis
import pytest
from hypothesis import given, settings

from relspec_core import ExecutionContext, PlanArtifact, PlanCatalog, SourceSpec, TaskCatalog, compile_task_catalog, run
from relspec_core.engines.duckdb_file import connect
from relspec_core.planning.run_plan import plan_run
from relspec_core.staleness.external_changes import settle
from relspec_core.system.compile_cache import CompileCache
from relspec_core.task_catalog import Builder
from tests.laws.generated import Generated, catalogs
from tests.support.catalogs import SHOP, empty_backend, sql_task, task_of

FACTS = ("name", "sql", "deps", "fingerprint", "calculations", "schema")


class Kept(CompileCache):
    """A cache that counts what it is given to keep."""

    __slots__ = ("kept",)

    def __init__(self, file: Path | None = None) -> None:
        super().__init__(file)
        self.kept = 0

    def keep(self, key: str, value: object) -> None:
        self.kept += 1
        super().keep(key, value)


def compiled(catalog: TaskCatalog, cache: CompileCache | None = None) -> PlanCatalog:
    ctx = ExecutionContext(cache=cache) if cache is not None else None
    return compile_task_catalog(catalog, backend=empty_backend(), ctx=ctx)


def facts(plans: PlanCatalog) -> list[dict[str, object]]:
    return [{name: getattr(plan, name) for name in FACTS} for plan in plans]


def plan_of(build: Builder | str, cache: CompileCache) -> PlanArtifact:
    task = sql_task(build) if isinstance(build, str) else task_of(build)
    return compiled(TaskCatalog([task], SHOP), cache)["plan"]


@settings(max_examples=settings().max_examples // 2)
@given(catalogs(most=5))
def test_a_catalog_from_the_cache_is_the_catalog_that_was_compiled(generated: Generated) -> None:
    cache = Kept()
    fresh = facts(compiled(generated.catalog))
    assert facts(compiled(generated.catalog, cache)) == fresh
    kept = cache.kept
    assert facts(compiled(generated.catalog, cache)) == fresh
    assert cache.kept == kept  # nothing was worked out again


def test_a_file_serves_the_next_process(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "plans.pickle"
    catalog = TaskCatalog([sql_task("SELECT order_id, upper(note) AS note FROM orders WHERE amount > 1")], SHOP)
    first = CompileCache(file)
    fresh = facts(compiled(catalog, first))
    first.save()
    second = Kept(file)
    assert facts(compiled(catalog, second)) == fresh
    assert second.kept == 0
    assert (file.parent / ".gitignore").read_text() == "*\n"
    assert [path.name for path in file.parent.iterdir() if path.suffix != ".pickle"] == [".gitignore"]


@pytest.mark.parametrize(
    "damage", [lambda whole: whole[:-40], lambda _: b"", lambda whole: b"another release\n" + whole]
)
def test_a_damaged_file_counts_as_empty(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "plans.pickle"
    catalog = TaskCatalog([sql_task("SELECT order_id FROM orders")], SHOP)
    cache = CompileCache(file)
    fresh = facts(compiled(catalog, cache))
    cache.save()
    file.write_bytes(damage(file.read_bytes()))
    again = Kept(file)
    assert facts(compiled(catalog, again)) == fresh
    assert again.kept > 0
    again.save()
    third = Kept(file)
    assert facts(compiled(catalog, third)) == fresh
    assert third.kept == 0


def test_a_folder_that_can_t_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    cache = CompileCache(tmp_path / "cache" / "plans.pickle")
    compiled(TaskCatalog([sql_task("SELECT order_id FROM orders")], SHOP), cache)
    cache.save()
    assert (tmp_path / "cache").is_file()


def test_unused_values_are_dropped_when_a_new_one_is_written(tmp_path: Path) -> None:
    file = tmp_path / "plans.pickle"
    sizes = []
    for text in ("SELECT order_id FROM orders", "SELECT amount FROM orders"):
        cache = CompileCache(file)
        plan_of(text, cache)
        cache.save()
        sizes.append(file.stat().st_size)
    cache = Kept(file)
    plan_of("SELECT order_id FROM orders", cache)
    assert cache.kept > 0
    assert abs(sizes[0] - sizes[1]) < 100


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SELECT amount + 1 AS n FROM orders", "SELECT amount + 2 AS n FROM orders"),
        (
            lambda ctx: ctx.table("orders").filter(lambda t: t.amount > 1),
            lambda ctx: ctx.table("orders").filter(lambda t: t.amount > 1.5),
        ),
        (lambda ctx: ctx.table("orders")[["amount"]], lambda ctx: ctx.table("orders")[["order_id"]]),
        (
            lambda ctx: ctx.table("orders").mutate(n=ibis.literal(1, type="int8")),
            lambda ctx: ctx.table("orders").mutate(n=ibis.literal(1, type="int64")),
        ),
        (
            lambda ctx: ctx.table("orders").mutate(n=ibis.literal("1")),
            lambda ctx: ctx.table("orders").mutate(n=ibis.literal("2")),
        ),
        (
            lambda ctx: ctx.sql("SELECT amount AS n FROM orders").limit(5),
            lambda ctx: ctx.sql("SELECT order_id AS n FROM orders").limit(5),
        ),
        (
            lambda ctx: ctx.table("orders").join(ctx.table("customers"), "customer_id"),
            lambda ctx: ctx.table("orders").left_join(ctx.table("customers"), "customer_id"),
        ),
    ],
)
def test_another_calculation_is_compiled(before: Builder | str, after: Builder | str) -> None:
    cache = CompileCache()
    first, second = plan_of(before, cache), plan_of(after, cache)
    assert first.fingerprint != second.fingerprint
    assert second.sql == plan_of(after, CompileCache()).sql
    assert plan_of(before, cache).sql == first.sql


@pytest.mark.parametrize("build", ["SELECT * FROM orders", lambda ctx: ctx.table("orders")])
def test_the_same_text_over_another_schema_is_compiled(build: Builder | str) -> None:
    cache = CompileCache()
    for schema in ({"a": "int64"}, {"a": "int64", "b": "string"}, {"a": "string"}):
        task = sql_task(build) if isinstance(build, str) else task_of(build)
        plan = compiled(TaskCatalog([task], [SourceSpec("orders", schema=schema)]), cache)["plan"]
        assert plan.schema == ibis.schema(schema)
        assert dict(plan.deps.required_types["orders"]) == dict(ibis.schema(schema).items())


def with_data(numbers: list[int]) -> Builder:
    return lambda ctx: ctx.table("orders").join(ibis.memtable({"amount": numbers}), "amount")


def times(factor: int) -> Builder:
    @ibis.udf.scalar.python
    def scaled(x: int) -> int:
        return x * factor

    return lambda ctx: ctx.table("orders").select(n=scaled(ctx.table("orders").amount))


@pytest.mark.parametrize(("build", "other"), [(with_data([1, 2]), with_data([1, 3])), (times(2), times(3))])
def test_data_and_python_functions_are_identified_by_their_contents(build: Builder, other: Builder) -> None:
    cache = Kept()
    first = plan_of(build, cache)
    assert plan_of(build, cache).fingerprint == first.fingerprint
    assert cache.kept == 1
    second = plan_of(other, cache)
    assert second.fingerprint != first.fingerprint
    assert cache.kept == 2
    assert all(name in second.sql for name in second.memory)


def test_a_text_that_reads_a_file_by_itself_is_read_each_time(tmp_path: Path) -> None:
    file, cache = tmp_path / "f.csv", Kept()
    for header in ("a", "a,b"):
        file.write_text(f"{header}\n{header}\n")
        plan = plan_of(f"SELECT o.amount, f.* FROM orders AS o, read_csv('{file}', header = true) AS f", cache)
        assert plan.schema.names == ("amount", *header.split(","))
    assert cache.kept == 0


def test_a_source_s_files_are_looked_into_once_until_they_change(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("id,name\n1,ann\n")
    catalog = TaskCatalog([sql_task("SELECT * FROM people")], [SourceSpec("people", path=str(file))])
    con, cache = ibis.duckdb.connect(), Kept()
    ctx = ExecutionContext(cache=cache)
    assert plan_run(catalog, backend=con, ctx=ctx).plans["plan"].schema.names == ("id", "name")
    kept = cache.kept
    plan_run(catalog, backend=con, ctx=ctx)
    assert cache.kept == kept
    file.write_text("id,name,city\n1,ann,rome\n")
    assert plan_run(catalog, backend=con, ctx=ctx).plans["plan"].schema.names == ("id", "name", "city")


def test_an_unchanged_warehouse_is_not_read(tmp_path: Path) -> None:
    catalog = TaskCatalog([sql_task("SELECT range AS n FROM range(5)", "numbers")])
    cache = Kept()

    def stale() -> str | None:
        con = connect(tmp_path / "w.duckdb")
        try:
            found = plan_run(catalog, backend=con, ctx=ExecutionContext(cache=cache)).freshness["numbers"].stale
            return None if found is None else found.code
        finally:
            con.disconnect()

    con = connect(tmp_path / "w.duckdb")
    run(catalog, backend=con, ctx=ExecutionContext(cache=cache), quiet=True)
    con.disconnect()
    settle(tmp_path / "w.duckdb", cache)
    kept = cache.kept
    assert stale() is None
    assert cache.kept == kept  # the tables were not compared: to do so would have been kept
    con = connect(tmp_path / "w.duckdb")
    con.con.execute("UPDATE numbers SET n = 7 WHERE n = 3")
    con.disconnect()
    for _ in range(2):
        assert stale() == "changed_outside"
