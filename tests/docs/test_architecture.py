"""ARCHITECTURE.md against the code: the map, the folders, the import layers and the docstrings of packages."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path("ARCHITECTURE.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
PACKAGES = ("relspec_core", "relspec_dagster")


def module_of(package: str, name: str) -> Path:
    folder = Path(package, name)
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def purpose(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring, f"{module} has no docstring"
    return docstring.splitlines()[0]


def expected_rows(package: str) -> Iterator[str]:
    """The rows of the map, as the layers and docstrings have them."""
    (layers,) = (found["layers"] for found in CONTRACTS if found.get("containers") == [package])
    for number, layer in enumerate(layers, start=1):
        for name in map(str.strip, layer.split("|")):
            module = module_of(package, name)
            shown = f"{name}/" if module.name == "__init__.py" else module.name
            yield f"| {number} | `{shown}` | {purpose(module)} |"


@pytest.mark.parametrize("package", PACKAGES)
def test_the_map_has_the_layers_and_the_docstrings_of_their_modules(package: str) -> None:
    section = PAGE.partition(f"\n## Map of {package}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if re.match(r"\| \d", line)]
    expected = list(expected_rows(package))
    assert rows == expected, "\n".join(["copy these rows to ARCHITECTURE.md:", *expected])


@pytest.mark.parametrize("package", PACKAGES)
def test_the_layers_name_every_folder_and_module_of_a_package(package: str) -> None:
    (layers,) = (found["layers"] for found in CONTRACTS if found.get("containers") == [package])
    named = [name.strip() for layer in layers for name in layer.split("|")]
    found = [path.stem for path in Path(package).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    assert sorted(named) == sorted(set(found) - {"__init__"})


@pytest.mark.parametrize("package", PACKAGES)
def test_the_init_of_a_package_is_one_line_of_docstring(package: str) -> None:
    for module in Path(package).glob("*/__init__.py"):
        assert len(module.read_text(encoding="utf-8").splitlines()) == 1, module
        assert purpose(module)


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md", *sorted(map(str, Path("docs").rglob("*.md")))])
def test_every_module_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"[\w./-]*\w\.pyi?\b", Path(page).read_text(encoding="utf-8")))
    roots = (Path(), *map(Path, PACKAGES), Path("tests"))
    assert [name for name in sorted(named - EXAMPLES) if not any((root / name).is_file() for root in roots)] == []


def test_every_name_on_the_page_is_one_of_the_code() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for package in PACKAGES for path in Path(package).rglob("*.py"))
    modules = {path.stem for package in PACKAGES for path in Path(package).rglob("*")}
    words = set(re.findall(r"\w+", code)) | modules
    assert sorted({name for name in re.findall(r"`(\w+)`", PAGE) if name not in words}) == []


def test_contributing_lists_just_the_targets_of_the_makefile() -> None:
    makefile = Path("Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.* ## ", makefile, flags=re.MULTILINE)) - {"help"}
    rows = re.findall(r"^\| (`make .*?) \|", Path("CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert {target for row in rows for target in re.findall(r"`make ([a-z-]+)`", row)} == targets


EXAMPLES = frozenset({"tasks/totals.py", "shop.py", "hamilton_dag.py", "tests/test_locations.py"})
"""Files that pages name as those of a user."""


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted([*Path().glob("*.md"), *Path("docs").rglob("*.md")]), ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
