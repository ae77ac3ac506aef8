"""Folders of .sql files as tasks."""

import re
from pathlib import Path
from types import ModuleType

import ibis
import pytest
from click.testing import CliRunner
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, compile_task_catalog, run, task
from relspec_core.cli import main
from relspec_core.errors import CatalogError, CompileError, RelspecError, SqlError, UnknownColumnError
from relspec_core.projects.catalog_loading import catalog_at
from tests.support.catalogs import SHOP, empty_backend

STAGING = "SELECT order_id, customer_id, amount FROM orders WHERE amount > 0\n"
REVENUE = """/* ---
description: |
  Revenue by customer.
  In euros.
kind: view
owners: [ada@example.com, team:finance]
tags:
  tier: gold
  pii: no
group: marts
cron: "*/15 * * * *"
--- */

SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY customer_id
"""


def folder(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def header_of(root: Path, header: str) -> TaskSpec:
    return TaskCatalog.from_folder(folder(root, one=f"{header}\nSELECT 1 AS a"))["one"]


def compiled_from(root: Path) -> None:
    compile_task_catalog(TaskCatalog.from_folder(root, sources=SHOP), backend=empty_backend())


def test_every_file_is_a_task_named_after_it_and_folders_name_nothing(tmp_path: Path) -> None:
    root = folder(tmp_path, stg_orders=STAGING, marts__deep__revenue=REVENUE)
    (root / "notes.txt").write_text("no task")
    (root / "UPPER.SQL").write_text("SELECT 1 AS a")
    folder(root / ".ipynb_checkpoints", revenue=REVENUE)
    assert TaskCatalog.from_folder(root).names == ("UPPER", "revenue", "stg_orders")


def test_a_dot_in_a_files_name_puts_its_table_into_a_schema(tmp_path: Path, con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders AS SELECT 1 AS order_id, 2 AS customer_id, 3 AS amount")
    (tmp_path / "staging.orders.sql").write_text(STAGING)
    report = run(TaskCatalog.from_folder(tmp_path), backend=con, quiet=True)
    assert list(report.ran) == ["staging.orders"]
    assert con.con.execute("FROM staging.orders").fetchall() == [(1, 2, 3)]


def test_a_header_declares_the_task(tmp_path: Path) -> None:
    spec = TaskCatalog.from_folder(folder(tmp_path, revenue=REVENUE))["revenue"]
    assert spec.kind == "view"
    assert spec.description == "Revenue by customer.\nIn euros.\n"
    assert spec.owners == ("ada@example.com", "team:finance")
    assert spec.tags == {"tier": "gold", "pii": "no"}
    assert (spec.group, spec.cron) == ("marts", "*/15 * * * *")


@pytest.mark.parametrize(
    "header",
    [
        "/* ---\nkind: view\ntags: [daily]\n--- */",
        "\n\n/*---\nkind: view\ntags: [daily]\n---*/",
        "\ufeff/* ---\r\nkind: view\r\ntags: [daily]\r\n--- */",
        "/*\n---\nkind: view\ntags:\n- daily\n---\n*/",
        "/*\nkind: view\ntags: [daily]\n*/",
        "/* kind: view\n   tags: [daily] */",
        "-- ---\n-- kind: view\n-- tags: [daily]\n-- ---",
        "-- kind: view\n-- tags: [daily]",
    ],
)
def test_a_header_is_the_first_comment_if_dashes_fence_it_or_its_lines_begin_with_keys(
    tmp_path: Path, header: str
) -> None:
    spec = header_of(tmp_path, header)
    assert (spec.kind, spec.tags) == ("view", {"daily": ""})


@pytest.mark.parametrize(
    "comment", ["-- Note: no header", "/* Revenue.\n kind: of */", "SELECT 2 AS b --\n/* kind: view */ UNION ALL"]
)
def test_any_other_comment_is_a_comment(tmp_path: Path, comment: str) -> None:
    spec = header_of(tmp_path, comment)
    assert (spec.kind, spec.tags, spec.description) == ("table", {}, "")


def test_a_header_declares_how_dagster_runs_and_shows_the_task(tmp_path: Path) -> None:
    spec = header_of(tmp_path, "/* ---\nretries: 3\npool: warehouse\nkinds: [finance, report]\n--- */")
    assert (spec.retries, spec.pool, spec.kinds) == (3, "warehouse", ("finance", "report"))


def test_values_left_empty_are_left_out(tmp_path: Path) -> None:
    spec = header_of(tmp_path, "/* ---\nkind: view\ncron:\ngroup:\nowners: ada@example.com\n--- */")
    assert (spec.cron, spec.group, spec.owners) == (None, None, ("ada@example.com",))


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("/* ---\nkind: view\nonwers: [ada]\n--- */", 3),
        ("\n-- kind: view\n-- name: two", 3),
        ("-- knd: view\n-- description: typed in a hurry", 1),
        ("/* ---\nkind: view\nkind: table\n--- */", 3),
        ("/* ---\nkind: [view\ncron: x\n--- */", 3),
        ("/* ---\ncron: * * * * *\n--- */", 2),
        ("/* ---\njust a text\n--- */", 2),
        ("/* ---\nkind: view\n*/", 1),
        ("/* ---\ndescription: x\nkind: [view]\n--- */", 3),
        ("/* ---\nowners: {a: b}\n--- */", 2),
        ("/* ---\ntags: gold\n--- */", 2),
        ("/* ---\ndialect: [a]\n--- */", 2),
        ("/* ---\nretries: often\n--- */", 2),
        ("/* ---\n\nkind: vew\n--- */", 1),
        ("/* ---\ncron: daily\n--- */", 1),
    ],
)
def test_an_invalid_header_is_reported_with_file_and_line(tmp_path: Path, header: str, line: int) -> None:
    with pytest.raises(CatalogError) as caught:
        header_of(tmp_path, header)
    assert f"{tmp_path}/one.sql:{line}" in caught.value.at


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"did you mean 'owners'\? There are 'kind', 'description'"):
        header_of(tmp_path, "/* ---\nowner: ada\n--- */")


def test_all_files_problems_come_in_one_report(tmp_path: Path) -> None:
    root = folder(
        tmp_path, a="/* ---\nknd: view\ngrup: x\n--- */ SELECT 1", b="/* ---\nkind: [\n--- */", c="-- cron: x\nSELECT 1"
    )
    (root / "d.sql").write_bytes(b"SELECT '\xff'")
    with pytest.raises(CompileError) as caught:
        TaskCatalog.from_folder(root)
    found = [re.search(r"/(\w)\.sql", error.at) for error in caught.value.errors]
    assert [match[1] for match in found if match] == ["a", "a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["nothing", "empty", "one.sql"])
def test_a_folder_without_sql_files_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    folder(tmp_path, one="SELECT 1 AS a")
    with pytest.raises(CatalogError):
        TaskCatalog.from_folder(tmp_path / name)


def test_two_files_of_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="two tasks are named 'one'") as caught:
        TaskCatalog.from_folder(folder(tmp_path, a__one="SELECT 1 AS a", b__one="SELECT 2 AS a"))
    assert "a/one.sql:1" in caught.value.at
    assert "b/one.sql:1" in caught.value.at


def test_an_error_in_a_text_names_the_file_and_its_own_line_and_column(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder(tmp_path / "sql", stg_orders=STAGING, revenue=REVENUE.replace("sum(amount)", "sum(amout)"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownColumnError) as caught:
        compiled_from(Path("sql"))
    assert caught.value.what == "task 'revenue' reads 'stg_orders.amout', which does not exist"
    assert caught.value.at.startswith("task 'revenue' at sql/revenue.sql:14, column 25; evidence 'stg_orders' has ")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("-- kind: view\n\nSELECT amount,\n  FROM WHERE", "4, column 8"),
        ("/* kind: view */ SELECT 'open", "1, column 25"),
        ("-- kind: view\nSELECT amount,\n  flor(amount) AS f FROM orders", "3, column 3"),
        ("-- dialect: tsql\nSELECT TOP 5 [amount],\n  FLOR([amount]) AS f FROM [orders]", "3, column 3"),
        ("/* ---\nkind: view\ndialect: tsqll\n--- */ SELECT 1 AS a", "3, column 1"),
        ("-- kind: view\nSELECT customer_id FROM orders, customers", "2, column 8"),
        ("-- kind: view\nSELECT * FROM ordres", "2, column 15"),
        ("-- kind: view", "1, column 1"),
    ],
)
def test_lines_of_the_header_count(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(RelspecError) as caught:
        compiled_from(folder(tmp_path, one=text))
    assert caught.value.at.startswith(f"task 'one' at {tmp_path}/one.sql:{place}")


def test_a_dialect_that_does_not_exist_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SqlError, match=r"there is no SQL dialect 'snowflak'[\s\S]*did you mean 'snowflake'"):
        compiled_from(folder(tmp_path, one="-- dialect: snowflak\nSELECT 1 AS a"))


def test_files_and_python_tasks_make_one_catalog(tmp_path: Path, con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders AS SELECT 1 AS order_id, 10 AS customer_id, 5 AS amount")

    @task
    def top(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.table("revenue").limit(1)

    files = TaskCatalog.from_folder(folder(tmp_path, stg_orders=STAGING, revenue=REVENUE))
    module = ModuleType("project")
    vars(module).update(top=top, raw=SourceSpec("orders"))
    for catalog in (TaskCatalog([top, *files]), TaskCatalog.from_modules(module) + files):
        assert catalog.names == ("revenue", "stg_orders", "top")
    report = run(TaskCatalog.from_modules(module) + files, backend=con, quiet=True)
    assert list(report.ran) == ["stg_orders", "revenue", "top"]
    assert con.con.execute("FROM top").fetchall() == [(10, 5)]


def test_a_text_in_a_file_has_the_plan_of_the_same_text_in_python(tmp_path: Path) -> None:
    files = TaskCatalog.from_folder(folder(tmp_path, one=f"-- kind: view\n{STAGING}"), sources=SHOP)
    python = TaskCatalog([TaskSpec("one", lambda ctx: ctx.sql(STAGING), kind="view")], SHOP)
    found = compile_task_catalog(files, backend=empty_backend())["one"]
    expected = compile_task_catalog(python, backend=empty_backend())["one"]
    assert (found.fingerprint, found.sql, found.deps) == (expected.fingerprint, expected.sql, expected.deps)


def test_an_edited_header_rebuilds_nothing_and_an_edited_text_does(tmp_path: Path, con: DuckDBBackend) -> None:
    con.con.execute("CREATE TABLE orders AS SELECT 1 AS order_id, 10 AS customer_id, 5 AS amount")

    def ran(text: str) -> list[str]:
        return list(run(TaskCatalog.from_folder(folder(tmp_path, one=text)), backend=con, quiet=True).ran)

    assert ran("SELECT amount FROM orders") == ["one"]
    assert ran("-- description: Amounts.\n-- tags: [a]\nSELECT amount FROM orders -- all") == []
    assert ran("SELECT amount + 1 AS amount FROM orders") == ["one"]


def test_the_project_file_may_name_a_folder_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "sql", one="SELECT 1 AS a", two="-- kind: view\nSELECT a FROM one")
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "./sql"\ndatabase = "warehouse.duckdb"\n')
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    result = CliRunner().invoke(main, ["run", "--quiet"])
    assert (result.exit_code, result.output) == (0, "")
    assert "2 of 2 tasks" not in CliRunner().invoke(main, ["plan"]).output
    assert CliRunner().invoke(main, ["plan", "--catalog", "../sql/"]).exit_code == 0


def test_a_catalog_reference_with_a_slash_is_a_folder(tmp_path: Path) -> None:
    assert catalog_at(str(folder(tmp_path, one="SELECT 1 AS a"))).names == ("one",)
    with pytest.raises(CatalogError, match=r"folder 'no/such' does not exist"):
        catalog_at("no/such")
