"""The notice about SQLGlot's compiled build."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from relspec_core.compiled_sqlglot import is_compiled, notice

# A process of its own, whose sqlglot.trie is loaded from machine code: any extension module will do for that.
COMPILED = """
import sys
from importlib.machinery import ExtensionFileLoader
import sqlglot.trie
sqlglot.trie.__spec__.loader = ExtensionFileLoader("sqlglot.trie", "trie.so")
"""


def modules_of(path: Path, name: str = "sqlglot.parser") -> Mapping[str, ModuleType]:
    """A module as the import system would load it from a file."""
    module = ModuleType(name)
    module.__spec__ = spec_from_file_location(name, path)
    return {name: module}


def python(code: str, *, folder: Path, options: tuple[str, ...] = ()) -> str:
    """What a fresh process says on standard error."""
    done = subprocess.run(
        [sys.executable, *options, "-c", COMPILED + code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr or "-W" in options, done.stderr
    return done.stderr


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
    assert "The way out: pip uninstall sqlglotc." in notice()


COMPILE = """
from relspec_core import TaskCatalog, compile_task_catalog
import warnings
compile_task_catalog(TaskCatalog([]))
with warnings.catch_warnings():  # makes Python forget what it has warned of
    warnings.simplefilter("always")
compile_task_catalog(TaskCatalog([]))
"""


def test_compiling_warns_once_for_a_process_at_the_callers_line(tmp_path: Path) -> None:
    said = python(COMPILE, folder=tmp_path)
    assert said.count("CompiledSqlglotWarning: SQLGlot's compiled build") == 1
    assert said.startswith("<string>:")


def test_the_warning_can_be_made_an_error(tmp_path: Path) -> None:
    said = python(COMPILE, folder=tmp_path, options=("-W", "error::UserWarning"))
    assert said.splitlines()[-1].startswith("relspec_core.compiled_sqlglot.CompiledSqlglotWarning: SQLGlot's compiled")


def test_the_command_says_it_once_on_standard_error_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "sql").mkdir()
    (tmp_path / "sql" / "one.sql").write_text("SELECT 1 AS a")
    code = "from relspec_core.cli import main\nmain(['plan', '--catalog', 'sql/', '--database', 'a.duckdb'])"
    said = python(code, folder=tmp_path).splitlines()
    assert len(said) == 1
    assert said[0].startswith("warning: SQLGlot's compiled build (sqlglotc")
