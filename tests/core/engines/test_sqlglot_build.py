"""The notice about SQLGlot's compiled build."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from relspec_core import TaskCatalog, compile_task_catalog
from relspec_core.cli import main
from relspec_core.engines.sqlglot_build import CompiledSqlglotWarning, is_compiled, notice, warn_if_compiled


def modules_of(path: Path, name: str = "sqlglot.parser") -> Mapping[str, ModuleType]:
    """A module as the import system would load it from a file."""
    module = ModuleType(name)
    module.__spec__ = spec_from_file_location(name, path)
    return {name: module}


def load_compiled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process have a part of SQLGlot in machine code for the time of a test."""
    for name, module in modules_of(folder / f"more{EXTENSION_SUFFIXES[0]}", "sqlglot.more").items():
        monkeypatch.setitem(sys.modules, name, module)


def dist_info(root: Path) -> Path:
    """A folder in which sqlglotc 30.30.0 is installed, as far as package metadata tell."""
    folder = root / "sqlglotc-30.30.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: sqlglotc\nVersion: 30.30.0\n")
    return root


def test_the_pure_build_is_not_taken_for_the_compiled_one() -> None:
    assert not is_compiled()
    assert not is_compiled(modules_of(Path("sqlglot/parser.py")))


@pytest.mark.parametrize("suffix", EXTENSION_SUFFIXES)
def test_a_part_of_sqlglot_in_machine_code_is_the_compiled_build(suffix: str) -> None:
    assert is_compiled(modules_of(Path(f"sqlglot/parser{suffix}")))


def test_machine_code_of_anybody_else_is_not() -> None:
    assert not is_compiled(modules_of(Path(f"other/parser{EXTENSION_SUFFIXES[0]}"), "sqlglot_other.parser"))
    assert not is_compiled({"sqlglot.strange": ModuleType("sqlglot.strange")})


def test_the_notice_says_which_version_is_installed_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "(sqlglotc)" in notice()
    monkeypatch.syspath_prepend(str(dist_info(tmp_path)))
    assert "SQLGlot's compiled build (sqlglotc 30.30.0) is installed" in notice()
    assert "The way out: pip uninstall sqlglotc sqlglotrs." in notice()


PROCESS = """
import warnings
from importlib.machinery import ExtensionFileLoader
import sqlglot.trie
from relspec_core import TaskCatalog, compile_task_catalog

sqlglot.trie.__spec__.loader = ExtensionFileLoader("sqlglot.trie", "trie.so")
compile_task_catalog(TaskCatalog([]))
with warnings.catch_warnings():  # makes Python forget what it has warned of
    warnings.simplefilter("always")
compile_task_catalog(TaskCatalog([]))
"""


def test_compiling_warns_once_for_a_process_at_the_callers_line() -> None:
    done = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, check=True)
    assert done.stderr.count("CompiledSqlglotWarning: SQLGlot's compiled build") == 1
    assert done.stderr.startswith("<string>:8: ")


def test_the_warning_can_be_made_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_compiled(tmp_path, monkeypatch)
    warn_if_compiled.cache_clear()
    with pytest.raises(CompiledSqlglotWarning, match="SQLGlot's compiled build"):
        compile_task_catalog(TaskCatalog([]))


def test_the_command_says_it_once_on_standard_error_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_compiled(tmp_path, monkeypatch)
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "one.sql").write_text("SELECT 1 AS a")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["plan", "--catalog", "sql/", "--database", "a.duckdb"])
    assert result.exit_code == 3
    assert result.stderr.startswith("warning: SQLGlot's compiled build (sqlglotc")
    assert result.output.count("SQLGlot's compiled build") == 1
    assert "1 of 1 tasks would run" in result.stdout
