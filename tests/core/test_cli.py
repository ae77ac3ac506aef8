"""The command, on a project of its own in a temporary folder."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from relspec_core.cli import main
from relspec_core.staleness.reasons import UNCHANGED

COUNTER = itertools.count()
CATALOG = '''
from pathlib import Path
from relspec_core import SourceSpec, TaskCatalog, task

@task
def stg_orders(ctx):
    """Orders, cleaned."""
    orders = ctx.table("raw_orders")
    return orders.select("order_id", "customer_id", "amount", note=orders.note.upper())

@task
def revenue(ctx):
    return ctx.sql("SELECT customer_id, sum(amount) AS total FROM stg_orders GROUP BY customer_id")

@task
def notes(ctx):
    return ctx.table("stg_orders").select("order_id", "note")

raw_orders = SourceSpec("raw_orders", path=Path(__file__).with_name("raw.csv"))
catalog = TaskCatalog([stg_orders, revenue, notes], [raw_orders])
'''
ORDERS = "order_id,customer_id,amount,note\n1,10,5,a\n2,10,7,b\n3,11,1,c\n"


class Project:
    """A folder with a project file, a catalog module of a unique name, and data."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.module = f"cli_project_{next(COUNTER)}"
        self.write(CATALOG)
        (root / "raw.csv").write_text(ORDERS)
        settings = f'[tool.relspec]\ncatalog = "{self.module}:catalog"\ndatabase = "build/warehouse.duckdb"\n'
        (root / "pyproject.toml").write_text(settings)
        (root / "deep" / "inside").mkdir(parents=True)
        monkeypatch.chdir(root / "deep" / "inside")
        monkeypatch.syspath_prepend(str(root))

    def write(self, text: str) -> None:
        sys.modules.pop(self.module, None)
        (self.root / f"{self.module}.py").write_text(text)

    def relspec(self, *arguments: str) -> Result:
        sys.modules.pop(self.module, None)
        sys.dont_write_bytecode = True
        return CliRunner().invoke(main, list(arguments))

    @property
    def database(self) -> Path:
        return self.root / "build" / "warehouse.duckdb"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_plan_shows_waves_columns_and_reasons_and_writes_nothing(project: Project) -> None:
    result = project.relspec("plan")
    assert result.exit_code == 3
    assert result.output.splitlines() == [
        "wave 1",
        "  run  stg_orders: 'stg_orders' does not exist yet",
        "         reads raw_orders: amount, customer_id, note, order_id",
        "wave 2",
        "  run  notes: 'notes' does not exist yet",
        "         reads stg_orders: note, order_id",
        "  run  revenue: 'revenue' does not exist yet",
        "         reads stg_orders: amount, customer_id",
        "no estimate: no duration is recorded of 3 tasks",
        "3 of 3 tasks would run, 0 blocked, 0 unchanged",
    ]
    assert not project.database.exists()


def test_run_builds_everything_and_a_second_run_nothing(project: Project) -> None:
    first = project.relspec("run")
    assert first.exit_code == 0
    assert first.output.splitlines()[-1].startswith("3 ran, 0 skipped, 0 failed, 0 blocked")
    with duckdb.connect(project.database, read_only=True) as connection:
        assert connection.execute("FROM revenue ORDER BY ALL").fetchall() == [(10, 12), (11, 1)]
    second = project.relspec("run")
    assert second.exit_code == 0
    assert "0 ran, 3 skipped" in second.output
    assert second.output.count(f": {UNCHANGED}") == 3
    planned = project.relspec("plan")
    assert planned.exit_code == 0
    assert "3 unchanged" in planned.output


def test_plan_as_json_says_the_same(project: Project) -> None:
    project.relspec("run")
    project.write(CATALOG.replace("orders.note.upper()", "orders.note.lower()"))
    found = json.loads(project.relspec("plan", "--json").output)
    assert [(task["task"], task["action"], task["wave"]) for task in found["tasks"]] == [
        ("stg_orders", "run", 1), ("notes", "run", 2), ("revenue", "skip", None)
    ]  # fmt: skip
    assert found["tasks"][1]["reason"] == "reads stg_orders.note, whose calculation changed"
    assert found["tasks"][1]["reads"] == {"stg_orders": ["note", "order_id"]}
    assert found["total"] == "2 of 3 tasks would run, 0 blocked, 1 unchanged"


def test_explain_tells_uses_versions_the_last_run_and_what_it_waits_for(project: Project) -> None:
    project.relspec("run")
    text = project.relspec("explain", "revenue").output
    assert "skip: unchanged" in text
    assert "    amount int64: AGGREGATION" in text
    assert "    customer_id int64: GROUP_BY, IDENTITY" in text
    assert "wrote revenue, 2 rows" in text
    assert "because 'revenue' does not exist yet" in text
    project.write(CATALOG.replace("orders.note.upper()", "orders.note.lower()"))
    assert "waits for stg_orders" in project.relspec("explain", "notes").output
    found = json.loads(project.relspec("explain", "notes", "--json").output)
    assert (found["action"], found["waits_for"]) == ("run", ["stg_orders"])
    assert found["reads"]["stg_orders"]["columns"]["note"]["uses"] == ["IDENTITY"]
    unknown = project.relspec("explain", "revenu")
    assert unknown.exit_code == 2
    assert "did you mean 'revenue'?" in unknown.output


def test_a_target_brings_what_it_needs_and_nothing_else(project: Project) -> None:
    result = project.relspec("run", "revenue")
    assert result.exit_code == 0
    with duckdb.connect(project.database, read_only=True) as connection:
        tables = {row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    assert tables - {"evidence", "runs", "run_tasks", "schema_versions"} == {"stg_orders", "revenue"}


def test_quiet_prints_nothing_when_all_is_well(project: Project) -> None:
    result = project.relspec("run", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_a_lost_source_column_blocks_its_readers_and_exits_with_one(project: Project) -> None:
    assert project.relspec("run").exit_code == 0
    (project.root / "raw.csv").write_text("order_id,customer_id,amount\n1,10,5\n")
    result = project.relspec("run", "-q")
    assert result.exit_code == 1
    assert "task 'stg_orders' reads 'raw_orders.note', which 'raw_orders' lacks" in result.output
    assert "'order_id', 'customer_id', 'amount'" in result.output
    planned = project.relspec("plan")
    assert planned.exit_code == 1
    assert "3 blocked" in planned.output
    found = json.loads(project.relspec("plan", "--json").output)["tasks"]
    codes = {task["task"]: [reason["code"] for reason in task["reasons"]] for task in found}
    assert codes == {"stg_orders": ["missing_column"], "notes": ["waits_for_task"], "revenue": ["waits_for_task"]}
    assert all(task["reason"] == "; ".join(reason["text"] for reason in task["reasons"]) for task in found)


def test_a_misspelled_column_stops_before_anything_runs_with_file_line_and_nearest_name(project: Project) -> None:
    project.write(CATALOG.replace("orders.note.upper()", "orders.noet.upper()"))
    result = project.relspec("run")
    assert result.exit_code == 2
    assert "[RS102] task 'stg_orders' reads 'raw_orders.noet', which does not exist" in result.output
    assert f"{project.module}.py:9" in result.output
    assert "did you mean 'note'?" in result.output
    with duckdb.connect(project.database, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(0,)]


def test_an_unknown_target_names_the_nearest_task(project: Project) -> None:
    result = project.relspec("run", "revenu")
    assert result.exit_code == 2
    assert "[RS302] there is no task 'revenu'" in result.output
    assert "did you mean 'revenue'?" in result.output


@pytest.mark.parametrize("form", ["mermaid", "dot", "json"])
def test_graph_prints_the_inferred_columns_in_each_format(project: Project, form: str) -> None:
    result = project.relspec("graph", "--format", form)
    assert result.exit_code == 0
    assert "amount" in result.output
    if form == "json":
        data = json.loads(result.output)
        names = {node["id"]: (node["kind"], node["name"]) for node in data["nodes"]}
        edges = {(names[link["source"]], names[link["target"]]) for link in data["links"]}
        assert (("evidence", "stg_orders"), ("task", "revenue")) in edges
        assert all(source[0] != target[0] for source, target in edges)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "no catalog is named"),
        ('[tool.relspec]\ncatalogue = "x:y"\n', "did you mean 'catalog'?"),
        ('[tool.relspec]\ncatalog = "no_such_module:catalog"\n', "there is no module 'no_such_module'"),
        ("[tool.relspec\n", "the project file can't be read"),
    ],
)
def test_a_project_that_names_no_usable_catalog_exits_with_two(project: Project, settings: str, message: str) -> None:
    (project.root / "pyproject.toml").write_text(settings)
    result = project.relspec("plan")
    assert result.exit_code == 2
    assert message in result.output


def test_a_wrong_attribute_names_the_catalogs_there_are(project: Project) -> None:
    result = project.relspec("plan", "--catalog", f"{project.module}:catalogue")
    assert result.exit_code == 2
    assert "did you mean 'catalog'?" in result.output


def test_a_module_without_attribute_is_a_catalog_of_its_tasks_and_sources(project: Project) -> None:
    project.write(CATALOG.split("catalog = ", maxsplit=1)[0])
    result = project.relspec("plan", "--catalog", project.module)
    assert result.exit_code == 3, result.output
    assert "3 of 3 tasks would run" in result.output


def test_a_module_without_tasks_is_refused_and_a_folder_of_texts_told_from_it(project: Project) -> None:
    texts = project.root / f"texts_of_{project.module}"
    texts.mkdir()
    (texts / "one.sql").write_text("SELECT 1 AS a")
    result = project.relspec("plan", "--catalog", texts.name)
    assert result.exit_code == 2
    assert f"there is no task in '{texts.name}'" in result.output
    assert f"a folder of .sql files is written with a slash: './{texts.name}'." in result.output
    project.write("")
    result = project.relspec("plan", "--catalog", project.module)
    assert result.exit_code == 2
    assert "define tasks in it with @task" in result.output


def test_a_database_that_another_process_holds_is_an_error_that_names_the_file(project: Project) -> None:
    project.database.parent.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; c = duckdb.connect({str(project.database)!r}); print('held', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        result = project.relspec("run", "--wait", "0")
    finally:
        holder.communicate("\n")
    assert result.exit_code == 2
    assert "[RS402] the warehouse can't be opened" in result.output
    assert str(project.database) in result.output


def test_the_installed_command_exits_with_its_code(project: Project) -> None:
    command = Path(sys.executable).with_name("relspec")
    done = subprocess.run([command, "plan"], cwd=project.root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    wrong = subprocess.run([command, "plant"], cwd=project.root, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
