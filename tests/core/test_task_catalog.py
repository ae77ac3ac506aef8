import sys
from collections.abc import Iterator
from pathlib import Path

import ibis
import pytest

from relspec_core import RelspecError, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, compile_task_catalog, task
from relspec_core.errors import BuilderError, CatalogError, CompileError, SecondWriterError
from tests.support.catalogs import ORDERS, SHOP, compiled, sql_task, task_of, text_block


def orders(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("orders")


def halves(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
    table = ctx.table("orders")
    return {"cheap": table.filter(table.amount < 10), "dear": table.filter(table.amount >= 10)}


# -- the decorator -----------------------------------------------------------------------------------------------------


def test_a_bare_decorator_takes_name_output_and_description_from_the_function() -> None:
    @task
    def totals(ctx: TaskBuildContext) -> ibis.Table:
        """What was spent.

        In euros.
        """
        return ctx.table("orders")

    assert isinstance(totals, TaskSpec)
    assert totals.name == "totals"
    assert totals.outputs is None
    assert totals.declared_outputs == ("totals",)
    assert totals.description == "What was spent.\n\nIn euros."
    assert (totals.kind, totals.owners, totals.tags, totals.group, totals.cron) == ("table", (), {}, None, None)


def test_a_decorator_with_arguments_declares_everything_about_a_task() -> None:
    @task(
        name="staging.totals",
        outputs=["a", "b"],
        kind="view",
        description="By hand.",
        owners=["team:data", "ann@example.com"],
        tags={"layer": "staging"},
        group="money",
        cron="0 6 * * *",
    )
    def build(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        """Not this."""
        return {"a": ctx.table("orders"), "b": ctx.table("orders")}

    assert build.name == "staging.totals"
    assert build.outputs == ("a", "b")
    assert build.kind == "view"
    assert build.description == "By hand."
    assert build.owners == ("team:data", "ann@example.com")
    assert build.tags == {"layer": "staging"}
    assert (build.group, build.cron) == ("money", "0 6 * * *")


def test_a_task_knows_the_file_and_line_of_its_builder() -> None:
    spec = TaskSpec("a", orders)
    assert spec.location is not None
    assert Path(spec.location.file) == Path(__file__)
    assert spec.location.line == orders.__code__.co_firstlineno
    assert str(spec.location) == f"tests/core/test_task_catalog.py:{spec.location.line}"


@pytest.mark.parametrize(
    "declared",
    [
        {"name": ""},
        {"name": "a.b.c.d"},
        {"name": "a..b"},
        {"outputs": ("ok", " padded")},
        {"outputs": ()},
        {"outputs": ("a", "a")},
        {"kind": "veiw"},
        {"cron": "every day"},
        {"retries": -1},
        {"build": None},
    ],
)
def test_a_declaration_that_can_not_be_used_is_refused_at_once(declared: dict) -> None:
    with pytest.raises(CatalogError) as caught:
        TaskSpec(**{"name": "a", "build": orders, **declared})  # ty: ignore[invalid-argument-type]
    assert caught.value.code == "RS100"


def test_a_cron_schedule_may_be_a_nickname() -> None:
    assert TaskSpec("a", orders, cron="@daily").cron == "@daily"


def test_a_source_with_an_unusable_name_or_schema_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"'a b\.'"):
        SourceSpec("a b.")
    with pytest.raises(CatalogError, match="no schema can be read for 'orders' from a value of type int"):
        SourceSpec("orders", schema=3)


def test_a_source_takes_its_schema_in_any_form_and_its_path_in_any_number() -> None:
    assert SourceSpec("a", schema={"x": int}).schema == ibis.schema({"x": "int64"})
    assert SourceSpec("a").paths == ()
    assert SourceSpec("a", path="x.csv").paths == ("x.csv",)
    assert SourceSpec("a", path=Path("x.csv")).paths == ("x.csv",)
    assert SourceSpec("a", path=("x.csv", "y.csv")).paths == ("x.csv", "y.csv")


# -- outputs -----------------------------------------------------------------------------------------------------------


def test_a_builder_that_returns_a_mapping_gives_its_task_an_output_for_each_key() -> None:
    plans = compiled(task_of(halves, "split"))
    assert [plan.name for plan in plans] == ["cheap", "dear"]
    assert {plan.task.name for plan in plans} == {"split"}
    assert plans["cheap"].task.outputs == ("cheap", "dear")
    assert "split" not in plans


def test_declared_outputs_set_the_order_whatever_the_order_of_the_mapping() -> None:
    plans = compiled(task_of(halves, "split", outputs=("dear", "cheap")))
    assert [plan.name for plan in plans] == ["dear", "cheap"]


def test_a_task_with_one_declared_output_may_return_a_plain_table() -> None:
    assert [plan.name for plan in compiled(task_of(orders, "job", outputs=("copy",)))] == ["copy"]


def test_other_tasks_read_the_outputs_of_a_mapping_whether_declared_or_not() -> None:
    readers = (sql_task("SELECT count(*) AS n FROM dear", "a_first"), sql_task("SELECT amount FROM cheap", "z_last"))
    for declared in ({}, {"outputs": ("cheap", "dear")}):
        plans = compiled(task_of(halves, "split", **declared), *readers)
        assert plans["a_first"].deps.required_columns == {"dear": ()}
        assert plans["z_last"].deps.required_columns == {"cheap": ("amount",)}


@pytest.mark.parametrize(
    ("build", "declared"),
    [
        (lambda _ctx: 3, {}),
        (lambda _ctx: None, {}),
        (lambda _ctx: {}, {}),
        (lambda _ctx: {"a": 1}, {}),
        (orders, {"outputs": ("a", "b")}),
        (halves, {"outputs": ("cheap", "deer")}),
    ],
)
def test_a_builder_that_gives_something_else_is_an_error(build: object, declared: dict) -> None:
    with pytest.raises(BuilderError) as caught:
        compiled(TaskSpec("split", build, **declared))  # ty: ignore[invalid-argument-type]
    assert "test_task_catalog.py:" in str(caught.value)


def test_each_builder_is_called_once_and_after_those_that_it_refers_to() -> None:
    called: list[str] = []

    def reader_of(name: str, upstream: str) -> TaskSpec:
        def build(ctx: TaskBuildContext) -> ibis.Table:
            table = ctx.table(upstream)
            called.append(name)
            return table

        return TaskSpec(name, build)

    compiled(reader_of("a", "b"), reader_of("b", "c"), reader_of("c", "orders"), reader_of("d", "b"))
    assert called == ["c", "b", "a", "d"]


def test_builders_are_handed_the_parameters_of_the_compilation() -> None:
    from relspec_core import ExecutionContext  # noqa: PLC0415 - only here

    def build(ctx: TaskBuildContext) -> ibis.Table:
        table = ctx.table("orders")
        return table.filter(table.amount > ctx.params["least"])

    catalog = TaskCatalog([TaskSpec("dear", build)], SHOP)
    one, other = (
        compile_task_catalog(catalog, ctx=ExecutionContext(params={"least": least}))["dear"] for least in (1, 2)
    )
    assert one.fingerprint != other.fingerprint


# -- the catalog -------------------------------------------------------------------------------------------------------


def test_a_catalog_holds_its_tasks_in_name_order() -> None:
    catalog = TaskCatalog([TaskSpec("b", orders), TaskSpec("a", orders)], [SourceSpec("z"), SourceSpec("y")])
    assert catalog.names == ("a", "b")
    assert [spec.name for spec in catalog] == ["a", "b"]
    assert [spec.name for spec in catalog.sources] == ["y", "z"]
    assert len(catalog) == 2
    assert catalog["b"].name == "b"


def test_asking_for_a_task_that_is_not_there_names_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'totals'"):
        TaskCatalog([TaskSpec("totals", orders)])["total"]


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(CatalogError, match="two tasks are named 'a'") as caught:
        TaskCatalog([TaskSpec("a", orders), TaskSpec("a", halves)])
    assert f"test_task_catalog.py:{halves.__code__.co_firstlineno}" in str(caught.value)


def test_the_same_task_given_twice_is_one_task() -> None:
    spec = TaskSpec("a", orders)
    assert TaskCatalog([spec, spec]).names == ("a",)


def test_a_source_declared_twice_is_refused() -> None:
    with pytest.raises(CatalogError, match="source 'orders' is declared twice"):
        TaskCatalog([], [ORDERS, SourceSpec("orders")])


def test_two_tasks_that_declare_one_output_are_refused_with_both_names() -> None:
    with pytest.raises(SecondWriterError) as caught:
        TaskCatalog([TaskSpec("a", orders, outputs=("x",)), TaskSpec("b", orders, outputs=("x",))])
    assert caught.value.code == "RS202"
    assert "'x' is written by two tasks: 'a' and 'b'" in str(caught.value)


def test_a_task_that_declares_the_output_of_a_source_is_refused() -> None:
    with pytest.raises(SecondWriterError, match="task 'a' writes 'orders', which is declared as a source"):
        TaskCatalog([TaskSpec("a", orders, outputs=("orders",))], [ORDERS])


def test_a_second_writer_is_found_when_only_the_builder_tells_the_outputs() -> None:
    with pytest.raises(SecondWriterError, match="'cheap' is written by two tasks: 'cheap' and 'split'"):
        compiled(task_of(orders, "cheap"), task_of(halves, "split"))


def test_a_task_named_as_a_source_that_writes_it_is_refused() -> None:
    with pytest.raises(RelspecError, match="'customers'"):
        compiled(task_of(orders, "customers"))


def test_all_problems_of_a_catalog_are_told_in_one_go() -> None:
    with pytest.raises(CompileError) as caught:
        TaskCatalog([TaskSpec("a", orders), TaskSpec("a", halves)], [ORDERS, SourceSpec("orders")])
    assert [error.code for error in caught.value.errors] == ["RS100", "RS100"]


# -- modules -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with a module, and a package with a module inside."""
    files = {
        "shop_tasks/__init__.py": """
            from relspec_core import SourceSpec
            raw = SourceSpec("raw", schema={"a": "int64"})
        """,
        "shop_tasks/staging.py": """
            from relspec_core import task
            @task
            def staged(ctx):
                return ctx.table("raw")
        """,
        "shop_tasks/marts/__init__.py": "",
        "shop_tasks/marts/money.py": """
            from relspec_core import task
            from shop_tasks.staging import staged
            LIMIT = 3
            @task(name="money")
            def build(ctx):
                return ctx.table(staged.name).limit(LIMIT)
        """,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text_block(text))
    monkeypatch.syspath_prepend(tmp_path)
    yield "shop_tasks"
    for name in [name for name in sys.modules if name.split(".")[0] == "shop_tasks"]:
        del sys.modules[name]


def test_a_catalog_is_collected_from_a_package_and_all_modules_inside(package: str) -> None:
    catalog = TaskCatalog.from_modules(package)
    assert catalog.names == ("money", "staged")
    assert [source.name for source in catalog.sources] == ["raw"]
    assert compile_task_catalog(catalog)["money"].deps.required_columns == {"staged": ("a",)}


def test_a_catalog_is_collected_from_modules_and_their_names_together(package: str) -> None:
    __import__(f"{package}.staging")
    catalog = TaskCatalog.from_modules(sys.modules[f"{package}.staging"], f"{package}.marts.money")
    assert catalog.names == ("money", "staged")


def test_a_module_that_does_not_exist_is_python_s_own_error(package: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        TaskCatalog.from_modules(f"{package}.nowhere")
