"""``relspec diff``: against a git revision, and against a saved plan."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relspec_core.cli import main
from relspec_core.insight.catalog_diff import catalog_diff
from relspec_core.planning.plan_snapshot import plan_snapshot
from tests.support.catalogs import compiled, sql_task

STAGING = "SELECT order_id, customer_id, amount, upper(note) AS note FROM orders"
REVENUE = "SELECT customer_id, sum(amount) AS total FROM staging GROUP BY customer_id"


def states(before: dict[str, str], after: dict[str, str]) -> str:
    return str(
        catalog_diff(
            *(
                plan_snapshot(compiled(*(sql_task(text, name) for name, text in found.items())))
                for found in (before, after)
            )
        )
    )


BEFORE = {"staging": STAGING, "revenue": REVENUE, "notes": "SELECT note FROM staging"}


def test_another_calculation_names_the_column_and_its_readers() -> None:
    after = {**BEFORE, "staging": STAGING.replace("upper", "lower")}
    assert states(BEFORE, after).splitlines() == [
        "changed staging (task staging)", "  note: values", "  read by notes: note", "1 changed"
    ]  # fmt: skip


def test_another_type_other_rows_and_new_and_lost_columns_are_told_apart() -> None:
    text = "SELECT order_id::INTEGER AS order_id, customer_id, amount, note AS remark FROM orders WHERE amount > 0"
    after = {"staging": text, "revenue": REVENUE}
    assert states(BEFORE, after).splitlines() == [
        "removed notes (task notes)",
        "changed staging (task staging)",
        "  other rows: a filter, join, group, order or limit",
        "  note: removed",
        "  order_id: int64 became int32",
        "  remark: added",
        "  read by notes: note",
        "  read by revenue: amount, customer_id",
        "1 removed, 1 changed",
    ]


def test_another_way_of_writing_is_no_difference() -> None:
    assert states(BEFORE, {**BEFORE, "staging": f"SELECT * FROM ({STAGING}) -- same"}) == (
        "no difference: every table is computed as before"
    )


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sql").mkdir()
    (tmp_path / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "./sql"\ndatabase = "w.duckdb"\n')
    (tmp_path / "sql" / "one.sql").write_text("SELECT 1 AS a, 2 AS b")
    (tmp_path / "sql" / "two.sql").write_text("SELECT a FROM one")
    for arguments in (
        ("init", "-q"), ("add", "."), ("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "first")
    ):  # fmt: skip
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


CATALOG_WITH_DATA = """
from pathlib import Path
from relspec_core import SourceSpec, TaskCatalog, task

@task
def plus(ctx):
    raw = ctx.table("raw")
    return raw.select(a=raw.a + 1)

catalog = TaskCatalog([plus], [SourceSpec("raw", path=Path(__file__).parent / "data" / "raw.csv")])
"""


def relspec(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_the_working_tree_is_compared_with_a_revision_and_neither_is_touched(repository: Path) -> None:
    assert relspec("diff").output.strip() == "no difference: every table is computed as before"
    (repository / "sql" / "one.sql").write_text("SELECT 3 AS a, 2 AS b")
    result = relspec("diff", "HEAD", "--json")
    assert result.exit_code == 0
    (table,) = json.loads(result.output)["tables"]
    assert (table["table"], table["columns"], table["readers"]) == ("one", {"a": "values"}, {"two": ["a"]})
    status = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    assert status.stdout.splitlines() == [" M sql/one.sql"]
    assert not (repository / "w.duckdb").exists()


def test_data_that_git_ignores_is_found_beside_the_files_of_a_revision(repository: Path) -> None:
    (repository / "data").mkdir()
    (repository / "data" / "raw.csv").write_text("a,b\n1,2\n")
    (repository / "tasks.py").write_text(CATALOG_WITH_DATA)
    (repository / ".gitignore").write_text("data/\n__pycache__/\n")
    (repository / "pyproject.toml").write_text('[tool.relspec]\ncatalog = "tasks:catalog"\ndatabase = "w.duckdb"\n')
    for arguments in (("add", "."), ("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "data")):
        subprocess.run(["git", "-C", str(repository), *arguments], check=True)
    (repository / "tasks.py").write_text(CATALOG_WITH_DATA.replace("+ 1", "+ 2"))
    command = Path(sys.executable).with_name("relspec")
    done = subprocess.run([command, "diff"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["changed plus (task plus)", "  a: values", "1 changed"], done.stderr


def test_the_working_tree_is_compared_with_a_saved_plan(repository: Path) -> None:
    saved = repository / "plan.json"
    saved.write_text(relspec("plan", "--json").output)
    (repository / "sql" / "three.sql").write_text("SELECT b FROM one")
    assert relspec("diff", "plan.json").output.splitlines() == ["added three (task three)", "1 added"]


def test_an_unknown_revision_and_a_file_that_is_no_plan_are_named(repository: Path) -> None:
    unknown = relspec("diff", "nowhere")
    assert unknown.exit_code == 2
    assert "nowhere" in unknown.output
    (repository / "no.json").write_text("[]")
    assert "no saved plan" in relspec("diff", "no.json").output
