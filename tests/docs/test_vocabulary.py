"""Words that no text of this code base uses: each has a plain equivalent, which ``docs/glossary.md`` names."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = (
    "relspec_core", "relspec_dagster", "docs", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile",
    "pyproject.toml", "tests", "examples", "benchmarks",
)  # fmt: skip
# What relspec printed in an earlier release, and the two texts that name the words.
EXCEPTIONS = ("tests/cases/printed", "tests/docs/test_vocabulary.py", "docs/glossary.md")
SUFFIXES = frozenset({".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".sql", ".txt", ""})
BANNED = (
    r"\bmend(s|ed|ing)?\b", r"\banew\b", r"\bas (it|they) (was|were)\b", r"what there is\b", r"can't be told",
    r"\bmay[ _]pass\b", r"\bwhoever\b", r"how manieth", r"\b(stands?|stood) for\b", r"\b(is|was|are|were) told\b",
    r"\btold apart\b", r"\bcrew\b", r"\bstanding\b", r"\boutlook\b", r"\bforeign[ _]changes?\b",
    r"\b(engine_)?ways of an? engine\b", r"\b(teach(es|ing)?|taught)\b", r"\b_?doubt(s|ed|ful)?\b", r"\bleft[ _]beside\b",
)  # fmt: skip


def texts(place: Path) -> Iterator[Path]:
    """The text files of a place, less caches and the exceptions."""
    files = [place] if place.is_file() else sorted(place.rglob("*"))
    excepted = [ROOT / name for name in EXCEPTIONS]
    for file in files:
        inside = any(file.is_relative_to(other) for other in excepted)
        if file.suffix in SUFFIXES and not inside and "__pycache__" not in file.parts and file.is_file():
            yield file


@pytest.mark.parametrize("place", PLACES)
def test_no_text_uses_a_banned_phrase(place: str) -> None:
    # A phrase may be cut by the end of a line, in a comment too.
    banned = re.compile("|".join(phrase.replace(" ", r"\s+(?:#\s*)?") for phrase in BANNED), re.IGNORECASE)
    found = []
    for file in texts(ROOT / place):
        text = file.read_text(encoding="utf-8")
        found += [
            f"{file.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
            for match in banned.finditer(text)
        ]
    assert not found, "\n".join(found)
