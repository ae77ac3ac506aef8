"""Where the Hamilton module is written, and when."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from relspec_core import PlanCatalog, TaskGraph, task_graph_from_catalog
from relspec_core.errors import ProjectionError
from relspec_core.hamilton_output import hamilton_module, hamilton_output_path, write_hamilton_module, write_if_asked
from tests.support.catalogs import compiled, sql_task

DATABASE = "shop.duckdb"
CATALOG = f"{__name__}:shop"


@pytest.fixture(scope="module")
def plans() -> PlanCatalog:
    return compiled(sql_task("SELECT order_id, amount FROM orders WHERE amount > 0", "paid"))


@pytest.fixture(scope="module")
def graph(plans: PlanCatalog) -> TaskGraph:
    return task_graph_from_catalog(plans)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        *[(value, "hamilton_dag.py") for value in ("1", "true", "Yes", "ON", " True ")],
        *[(value, None) for value in ("", "0", "false", "No", "OFF", "  ")],
        ("build/dag.py", "build/dag.py"),
        (None, None),
    ],
)
def test_the_environment_variable_is_a_truth_value_or_a_path(value: str | None, path: str | None) -> None:
    environ: Mapping[str, str] = {} if value is None else {"HAMILTON_DAG_OUTPUT": value}
    assert hamilton_output_path(environ) == (None if path is None else Path(path))


def test_the_module_is_written_where_the_environment_asks(
    graph: TaskGraph, plans: PlanCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_if_asked(graph, plans, {}, catalog=CATALOG, database=DATABASE) is None
    environ = {"HAMILTON_DAG_OUTPUT": "new/folder/dag.py"}
    assert write_if_asked(graph, plans, environ, catalog=CATALOG, database=DATABASE) == Path("new/folder/dag.py")
    written = (tmp_path / "new" / "folder" / "dag.py").read_text()
    assert written == hamilton_module(graph, plans, catalog=CATALOG, database=DATABASE)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["dag.py"]


def test_an_equal_module_is_left_alone_and_a_folder_is_no_file(
    graph: TaskGraph, plans: PlanCatalog, tmp_path: Path
) -> None:
    written = write_hamilton_module(graph, plans, tmp_path / "dag.py", catalog=CATALOG).stat()
    assert write_hamilton_module(graph, plans, tmp_path / "dag.py", catalog=CATALOG).stat().st_ino == written.st_ino
    with pytest.raises(ProjectionError, match="can't be written"):
        write_hamilton_module(graph, plans, tmp_path, catalog=CATALOG)


def test_writing_needs_no_hamilton() -> None:
    script = "import sys, relspec_core.hamilton_output; assert 'hamilton' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
