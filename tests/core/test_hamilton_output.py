"""The Hamilton module, executed by real Hamilton drivers against real DuckDB files."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import ibis
import pytest
from hamilton import driver
from ibis import _

from relspec_core import (
    ExecutionContext,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskSpec,
    compile_task_catalog,
    run,
    task,
    task_graph_from_catalog,
)
from relspec_core.errors import CatalogError, NotReadyError, ProjectionError, TaskFailedError
from relspec_core.hamilton_output import (
    HamiltonRun,
    draw_hamilton_module,
    hamilton_module,
)

DATABASE = "shop.duckdb"
CATALOG = f"{__name__}:shop"
SCHEMAS = {
    "raw_orders": {"id": "int64", "customer": "int64", "amount": "float64"},
    "raw-customers": {"id": "int64", "name": "string"},
}


@task
def stg_orders(ctx: TaskBuildContext) -> ibis.Table:
    """Orders that were "paid"."""
    return ctx.table("raw_orders").filter(_.amount > 0).select(order_id=_.id, customer_id=_.customer, amount=_.amount)


@task
def revenue(ctx: TaskBuildContext) -> ibis.Table:
    """Revenue by customer.

    In whole "coins"; C:\\new is no path, and \"\"\" ends nothing.
    """
    return ctx.table("stg_orders").group_by("customer_id").agg(total=_.amount.sum())


@task
def split(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    orders = ctx.table("stg_orders")
    return {"big": orders.filter(_.amount >= 10), "small": orders.filter(_.amount < 10)}


@task(name="marts.big-spenders")
def big_spenders(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("big").join(ctx.table("raw-customers"), _.customer_id == ctx.table("raw-customers").id)[["name"]]


@task(name="class")
def how_many(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("stg_orders").aggregate(orders=_.count())


SOURCES = (
    SourceSpec("raw_orders", path="raw_orders.csv", schema=SCHEMAS["raw_orders"]),
    SourceSpec("raw-customers", path="raw_customers.csv", schema=SCHEMAS["raw-customers"]),
)
TASKS = (stg_orders, revenue, split, big_spenders, how_many)
shop = TaskCatalog(TASKS, SOURCES)

Importer = Callable[[str], ModuleType]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw_orders.csv").write_text("id,customer,amount\n1,1,5.0\n2,1,20.0\n3,2,-1.0\n4,2,7.5\n")
    (tmp_path / "raw_customers.csv").write_text("id,name\n1,Ann\n2,Bob\n")
    return tmp_path


@pytest.fixture
def imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Importer]:
    """Imports a module's text the way users import a file in their working folder."""
    names: list[str] = []

    def import_text(text: str) -> ModuleType:
        names.append(f"{folder.name}_dag_{len(names)}")
        (folder / f"{names[-1]}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(names[-1])

    monkeypatch.syspath_prepend(folder)
    yield import_text
    for name in names:
        del sys.modules[name]


def text_of(catalog: TaskCatalog, import_path: str | None = CATALOG, database: str | None = DATABASE) -> str:
    plans = compile_task_catalog(catalog)
    return hamilton_module(task_graph_from_catalog(plans), plans, catalog=import_path, database=database)


def driver_of(module: ModuleType, **config: object) -> driver.Driver:
    return driver.Builder().with_modules(module).with_config(config).build()


def rows(query: str) -> list[tuple]:
    """What another process, which needs the lock of the file, reads in the database."""
    script = f"import duckdb; print(duckdb.connect({DATABASE!r}).execute({query!r}).fetchall())"
    return ast.literal_eval(subprocess.check_output([sys.executable, "-c", script], text=True))


def tables() -> set[str]:
    return {name for (name,) in rows("SELECT table_name FROM duckdb_tables() WHERE schema_name <> 'relspec'")}


def a_table(_ctx: TaskBuildContext) -> ibis.Table:
    return ibis.memtable({"x": [1]})


def test_executing_one_mart_builds_it_and_its_ancestors_and_nothing_else(imported: Importer) -> None:
    dr = driver_of(imported(text_of(shop)))
    found = dr.execute(["revenue"])["revenue"]
    assert (found.name, found.rows, found.columns) == ("revenue", 2, ("customer_id", "total"))
    assert tables() == {"stg_orders", "revenue"}
    assert rows("FROM revenue ORDER BY customer_id") == [(1, 25.0), (2, 7.5)]


def test_a_plain_builder_without_config_or_inputs_is_enough(imported: Importer) -> None:
    dr = driver.Builder().with_modules(imported(text_of(shop))).build()
    assert set(dr.execute(["revenue", "small"])) == {"revenue", "small"}


def test_each_output_of_a_task_is_a_node(imported: Importer) -> None:
    dr = driver_of(imported(text_of(shop)))
    assert dr.execute(["small"])["small"].rows == 2
    assert tables() == {"stg_orders", "big", "small"}


def test_what_hamilton_built_is_fresh_for_relspec_and_the_other_way_round(imported: Importer) -> None:
    module = imported(text_of(shop))
    driver_of(module).execute(["revenue"])
    backend = ibis.duckdb.connect(DATABASE)
    report = run(shop, backend=backend, quiet=True)
    backend.disconnect()
    assert set(report.skipped) == {"stg_orders", "revenue"}
    before = rows("SELECT name, built_at::VARCHAR FROM relspec.evidence ORDER BY ALL")
    driver_of(module).execute(["revenue", "marts_big_spenders", "class_", "small"])
    assert rows("SELECT name, built_at::VARCHAR FROM relspec.evidence ORDER BY ALL") == before


def test_a_source_given_as_a_path_is_read_from_there(imported: Importer, folder: Path) -> None:
    dr = driver_of(imported(text_of(shop)))
    dr.execute(["revenue"])
    (folder / "other.csv").write_text("id,customer,amount\n1,9,2.5\n")
    dr.execute(["revenue"], inputs={"raw_orders": "other.csv"})
    assert rows("FROM revenue") == [(9, 2.5)]
    dr.execute(["revenue"])
    assert rows("FROM revenue ORDER BY ALL") == [(1, 25.0), (2, 7.5)]


def test_a_source_that_lacks_a_column_blocks_its_reader_by_name(imported: Importer, folder: Path) -> None:
    (folder / "other.csv").write_text("id,customer\n1,9\n")
    with pytest.raises(NotReadyError, match=r"(?s)stg_orders.*amount"):
        driver_of(imported(text_of(shop))).execute(["revenue"], inputs={"raw_orders": Path("other.csv")})


def test_sources_are_the_only_inputs_and_parameters_the_only_edges(imported: Importer) -> None:
    module = imported(text_of(shop))
    graph = driver_of(module).graph
    inputs = {variable.name for variable in driver_of(module).list_available_variables() if variable.is_external_input}
    assert inputs == {"raw_orders", "raw_customers"}
    edges = {
        (dep.name, node.name) for node in graph.get_nodes() for dep in node.dependencies if dep.name != "relspec_run"
    }
    assert edges == {
        ("raw_orders", "stg_orders"),
        ("stg_orders", "revenue"),
        ("stg_orders", "split"),
        ("split", "big"),
        ("split", "small"),
        ("big", "marts_big_spenders"),
        ("raw_customers", "marts_big_spenders"),
        ("stg_orders", "class_"),
    }


def test_tags_have_required_columns_and_fingerprints(imported: Importer) -> None:
    tags = {node.name: node.tags for node in driver_of(imported(text_of(shop))).list_available_variables()}
    plans = compile_task_catalog(shop)
    assert tags["revenue"]["required_columns"] == ["stg_orders.amount", "stg_orders.customer_id"]
    assert tags["class_"]["required_rows"] == ["stg_orders"]
    assert "required_columns" not in tags["class_"]
    assert tags["marts_big_spenders"]["display_name"] == tags["marts_big_spenders"]["evidence"] == "marts.big-spenders"
    assert {tags[name]["fingerprint"] for name in ("big", "small")} == {
        plan.fingerprint for plan in plans.of_task("split")
    }


def test_the_module_draws_without_graphviz(imported: Importer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dr = driver_of(imported(text_of(shop)))
    drawing = dr.display_all_functions()
    assert drawing is not None
    assert re.search(r"stg_orders -> revenue", drawing.source)
    assert "<b>marts.big-spenders</b>" in drawing.source
    monkeypatch.setenv("PATH", "")
    assert draw_hamilton_module(dr, folder / "drawn" / "shop.svg") == (folder / "drawn" / "shop.dot",)
    assert "stg_orders -> revenue" in (folder / "drawn" / "shop.dot").read_text()


@pytest.mark.usefixtures("folder")
def test_declaration_order_does_not_change_a_byte() -> None:
    assert text_of(TaskCatalog(TASKS[::-1], SOURCES[::-1])) == text_of(shop)


@pytest.mark.usefixtures("folder")
def test_the_text_is_laid_out_as_ruff_does_it_for_any_line_length() -> None:
    text = text_of(shop)
    for width in ("88", "120"):
        ruff = [sys.executable, "-m", "ruff"]
        subprocess.run(
            [*ruff, "check", "--isolated", "-"], input=text, text=True, check=True, stdout=subprocess.DEVNULL
        )
        formatted = subprocess.check_output(
            [*ruff, "format", "--isolated", "--line-length", width, "-"], input=text, text=True
        )
        assert formatted == text


@pytest.mark.usefixtures("folder")
def test_a_function_reads_as_expected() -> None:
    text = text_of(TaskCatalog([stg_orders, revenue], SOURCES))
    text = re.sub(r'fingerprint="[0-9a-f]{32}"', 'fingerprint="..."', text)
    assert text.endswith('''\
def relspec_run() -> HamiltonRun:
    """The compiled catalog and its warehouse; give another in a driver's config."""
    return HamiltonRun(CATALOG, DATABASE)


@tag(
    task="revenue",
    evidence="revenue",
    required_columns=["stg_orders.amount", "stg_orders.customer_id"],
    fingerprint="...",
)
def revenue(relspec_run: HamiltonRun, stg_orders: Evidence) -> Evidence:
    """Revenue by customer.

    In whole "coins"; C:\\\\new is no path, and \\"\\"\\" ends nothing.
    """
    return relspec_run.build("revenue", {"stg_orders": stg_orders})["revenue"]


@tag(
    task="stg_orders",
    evidence="stg_orders",
    required_columns=["raw_orders.amount", "raw_orders.customer", "raw_orders.id"],
    fingerprint="...",
)
def stg_orders(relspec_run: HamiltonRun, raw_orders: SourceInput = None) -> Evidence:
    """Orders that were "paid"."""
    return relspec_run.build("stg_orders", {"raw_orders": raw_orders})["stg_orders"]
''')


@pytest.mark.parametrize(
    "text",
    [
        'ends in "',
        'three """ four """" ',
        "back\\",
        "\\",
        '"',
        "two\nlines\n\n  more",
        "nul\0 and \u2028",
        "é ✓ 🥪",
        " ",
    ],
)
def test_any_description_survives_as_a_docstring(text: str) -> None:
    described = TaskSpec("t", a_table, description=text)
    (function,) = (
        node for node in ast.parse(text_of(TaskCatalog([described]))).body if getattr(node, "name", "") == "t"
    )
    assert isinstance(function, ast.FunctionDef)
    assert ast.get_docstring(function) == text.strip()


@pytest.mark.parametrize(
    ("name", "identifier"),
    [
        ("staging.orders", "staging_orders"),
        ("2024-sales", "table_2024_sales"),
        ("_private", "table_private"),
        ("import", "import_"),
        ("Evidence", "Evidence_"),
        ("dict", "dict_"),
        ("self", "self_"),
        ("node", "node_"),
        ("relspec_run", "relspec_run_"),
        ("Umsätze 'neu' \"x\"", "Umsätze__neu___x_"),
    ],
)
def test_names_that_are_no_free_identifiers_are_mapped(imported: Importer, name: str, identifier: str) -> None:
    @task(name="reader")
    def reader(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table(name)

    catalog = TaskCatalog([TaskSpec(name, a_table), reader])
    dr = driver_of(imported(text_of(catalog, None)), relspec_run=HamiltonRun(catalog))
    assert dr.execute(["reader", identifier])[identifier].name == name


def test_a_task_named_like_other_evidence_gets_a_name_of_its_own(imported: Importer) -> None:
    def orders_and_more(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        return {"orders": ctx.table("raw_orders"), "more": ctx.table("raw_orders")}

    catalog = TaskCatalog([TaskSpec("orders", orders_and_more)], SOURCES)
    module = imported(text_of(catalog, None))
    dr = driver_of(module, relspec_run=HamiltonRun(catalog))
    assert dr.execute(["orders"])["orders"].rows == 4
    assert hasattr(module, "orders_task")


@pytest.mark.parametrize("import_path", [None, CATALOG])
def test_a_catalog_without_tasks_gives_a_module_without_functions(imported: Importer, import_path: str | None) -> None:
    dr = driver_of(imported(text_of(TaskCatalog([]), import_path)))
    assert {node.name for node in dr.list_available_variables()} == ({"relspec_run"} if import_path else set())


def test_names_that_collide_are_refused_with_both_of_them() -> None:
    specs = [TaskSpec(name, a_table) for name in ("a.b", "a_b", "c-d", "c d", "e")]
    with pytest.raises(ProjectionError) as refused:
        text_of(TaskCatalog(specs))
    message = str(refused.value)
    assert "[RS501]" in message
    assert "evidence 'a.b' and evidence 'a_b' would both be 'a_b'" in message
    assert "evidence 'c d' and evidence 'c-d' would both be 'c_d'" in message
    assert "'e'" not in message


def test_a_failing_task_raises_an_error_that_names_it(imported: Importer) -> None:
    @task
    def broken(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql('SELECT CAST(name AS INTEGER) AS number FROM "raw-customers"')

    catalog = TaskCatalog([broken], SOURCES)
    run_of_it = HamiltonRun(catalog, DATABASE)
    with pytest.raises(TaskFailedError, match=r"(?s)RS401.*task 'broken' failed.*Ann"):
        driver_of(imported(text_of(catalog, None)), relspec_run=run_of_it).execute(["broken"])
    assert tables() == set()


def test_a_module_older_than_the_catalog_says_so_and_builds_nothing(imported: Importer) -> None:
    @task(name="revenue")
    def edited(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("raw_orders").group_by("customer").agg(total=_.amount.sum())

    module = imported(text_of(shop))
    now = HamiltonRun(TaskCatalog([stg_orders, edited], SOURCES), DATABASE)
    with pytest.raises(ProjectionError, match=r"task 'revenue' now reads 'raw_orders'; .* it read 'stg_orders'"):
        driver_of(module, relspec_run=now).execute(["revenue"])
    with pytest.raises(ProjectionError, match="task 'split' is no longer in the catalog"):
        driver_of(module, relspec_run=now).execute(["small"])
    assert tables() == {"stg_orders"}


def test_a_run_with_parameters_and_a_backend_of_ones_own_serves_many_executions(imported: Importer) -> None:
    @task
    def above(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("numbers").filter(_.n > ctx.params["least"])

    backend = ibis.duckdb.connect()
    backend.raw_sql("CREATE TABLE numbers AS SELECT range AS n FROM range(10)")
    ctx = ExecutionContext(params={"least": 6})
    plans = compile_task_catalog(TaskCatalog([above]), backend=backend, ctx=ctx)
    module = imported(hamilton_module(task_graph_from_catalog(plans), plans))
    dr = driver_of(module, relspec_run=HamiltonRun(TaskCatalog([above]), backend, ctx=ctx))
    assert dr.execute(["above"])["above"].rows == 3
    backend.raw_sql("INSERT INTO numbers VALUES (99)")
    assert dr.execute(["above"])["above"].rows == 4


@pytest.mark.parametrize("import_path", ["no_such_module:shop", f"{__name__}:no_such", f"{__name__}:DATABASE", "", "x"])
def test_a_catalog_that_cannot_be_imported_is_named(import_path: str) -> None:
    with pytest.raises(CatalogError, match=re.escape(f"'{import_path}'")):
        HamiltonRun(import_path)
