"""The names and the pattern that users and acceptance checks rely on, as the design contract has them."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

import ibis
import pyarrow as pa
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

import relspec_core
import relspec_dagster

PUBLIC = {
    "task": "task_catalog",
    "TaskSpec": "task_catalog",
    "SourceSpec": "task_catalog",
    "TaskCatalog": "task_catalog",
    "TaskBuildContext": "task_catalog",
    "ExecutionContext": "task_catalog",
    "compile_task_catalog": "plan_catalog",
    "PlanCatalog": "plan_catalog",
    "PlanArtifact": "plan_catalog",
    "InferredDeps": "inferred_deps",
    "task_graph_from_catalog": "graph_inference",
    "TaskGraph": "graph_inference",
    "EvidenceCatalog": "evidence",
    "schedule_rules": "rustworkx_schedule",
    "Schedule": "rustworkx_schedule",
    "run": "execution",
    "RunReport": "execution",
    "RelspecError": "errors",
}


@pytest.mark.parametrize(("name", "module"), sorted(PUBLIC.items()))
def test_each_public_name_comes_from_the_package_and_from_its_module(name: str, module: str) -> None:
    named = importlib.import_module(f"relspec_core.{module}")
    assert getattr(relspec_core, name) is getattr(named, name)
    assert name in relspec_core.__all__


def test_the_evidence_store_is_found_in_the_module_evidence_or_beside_it() -> None:
    assert inspect.isclass(importlib.import_module("relspec_core.evidence_store").EvidenceStore)


def test_the_four_line_pattern_runs_as_written(con: DuckDBBackend) -> None:
    from relspec_core import (  # noqa: PLC0415 - the statement of the contract
        EvidenceCatalog,
        ExecutionContext,
        InferredDeps,
        PlanArtifact,
        PlanCatalog,
        RelspecError,
        RunReport,
        Schedule,
        SourceSpec,
        TaskBuildContext,
        TaskCatalog,
        TaskGraph,
        TaskSpec,
        compile_task_catalog,
        run,
        schedule_rules,
        task,
        task_graph_from_catalog,
    )

    @task
    def totals(ctx: TaskBuildContext) -> ibis.Table:
        """What each customer spent."""
        orders = ctx.table("orders")
        return orders.group_by("customer_id").agg(total=orders.amount.sum())

    orders = pa.table({"customer_id": [1, 1, 2], "amount": [10, 20, 30], "note": ["a", "b", "c"]})
    con.con.register("arrived", orders)
    con.con.execute("CREATE TABLE orders AS FROM arrived")
    task_catalog = TaskCatalog([totals])
    backend = con
    ctx = ExecutionContext(sources=(SourceSpec("orders"),))
    source_tables = {"orders": orders}

    plan_catalog = compile_task_catalog(task_catalog, backend=backend, ctx=ctx)
    task_graph = task_graph_from_catalog(plan_catalog)
    evidence = EvidenceCatalog.from_sources(source_tables)
    schedule = schedule_rules(task_graph.graph, evidence=evidence)

    assert isinstance(totals, TaskSpec)
    assert isinstance(plan_catalog, PlanCatalog)
    assert isinstance(task_graph, TaskGraph)
    assert isinstance(schedule, Schedule)
    (plan,) = plan_catalog
    assert plan is plan_catalog["totals"]
    assert isinstance(plan, PlanArtifact)
    assert isinstance(plan.deps, InferredDeps)
    assert plan.deps.inputs == ("orders",)
    assert plan.deps.required_columns == {"orders": ("amount", "customer_id")}
    assert plan.deps.required_types == {"orders": {"amount": ibis.dtype("int64"), "customer_id": ibis.dtype("int64")}}
    assert [(use.evidence, use.column) for use in plan.deps.lineage["total"]] == [("orders", "amount")]
    assert all(hasattr(plan, name) for name in ("task", "expr", "ast", "sql", "deps", "fingerprint", "schema"))
    assert schedule.waves == (("totals",),)
    assert schedule.order == ("totals",)
    assert schedule.blocked == {}
    assert "orders: amount, customer_id" in schedule.explain("totals")

    report = run(task_catalog, backend=backend, ctx=ctx, targets=None, workers=None, quiet=True)
    assert isinstance(report, RunReport)
    assert tuple(report.ran) == ("totals",)
    assert (report.skipped, report.failed, report.blocked) == ({}, {}, {})
    assert issubclass(RelspecError, Exception)


def test_the_backend_and_the_context_may_be_left_out() -> None:
    @relspec_core.task
    def ones(ctx: relspec_core.TaskBuildContext) -> ibis.Table:
        return ctx.table("numbers").select("one")

    sources = [relspec_core.SourceSpec("numbers", schema={"one": "int64", "two": "int64"})]
    plan_catalog = relspec_core.compile_task_catalog(relspec_core.TaskCatalog([ones], sources))
    assert plan_catalog["ones"].deps.required_columns == {"numbers": ("one",)}


def test_plans_iterate_in_task_name_order() -> None:
    def build(ctx: relspec_core.TaskBuildContext) -> ibis.Table:
        return ctx.table("numbers")

    tasks = [relspec_core.TaskSpec(name, build) for name in ("b", "c", "a")]
    sources = [relspec_core.SourceSpec("numbers", schema={"one": "int64"})]
    plan_catalog = relspec_core.compile_task_catalog(relspec_core.TaskCatalog(tasks, sources))
    assert [plan.name for plan in plan_catalog] == ["a", "b", "c"]


@pytest.mark.parametrize("package", [relspec_core, relspec_dagster], ids=lambda package: package.__name__)
def test_the_page_of_public_names_lists_just_what_a_package_exports(package: ModuleType) -> None:
    page = Path("docs/api.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## `{package.__name__}`\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(set(package.__all__) - {"__version__"})
    assert all(hasattr(package, name) for name in listed)
