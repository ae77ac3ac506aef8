"""Tests are where CONTRIBUTING.md says: one file per module, in the folder and with the name of the module."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MIRRORED = {"core": "relspec_core", "dagster": "relspec_dagster"}
OTHERS = {"cases", "docs", "laws", "snapshots", "support", "system"}


@pytest.mark.parametrize(("folder", "package"), MIRRORED.items())
def test_each_test_file_has_the_name_of_a_module_in_the_same_folder(folder: str, package: str) -> None:
    files = [file.relative_to(ROOT / "tests") for file in (ROOT / "tests" / folder).rglob("*.py")]
    assert files
    assert [file for file in files if not file.name.startswith("test_")] == []
    modules = {
        file: ROOT / package / file.relative_to(folder).with_name(file.name.removeprefix("test_")) for file in files
    }
    assert {str(file) for file, module in modules.items() if not module.exists()} == set()


def test_all_other_tests_are_in_the_folders_of_their_kind() -> None:
    folders = {entry.name for entry in (ROOT / "tests").iterdir() if entry.is_dir() and entry.name != "__pycache__"}
    assert folders == OTHERS | set(MIRRORED)
