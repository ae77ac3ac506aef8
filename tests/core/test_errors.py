import re
from pathlib import Path

import pytest

import relspec_core
from relspec_core import errors
from relspec_core.errors import CompileError, CycleError, RelspecError, UnknownColumnError, raise_all

PAGES = Path(__file__).parents[2] / "docs" / "errors.md"
API = PAGES.with_name("api.md")
CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, RelspecError)]


def test_every_code_has_one_class_and_one_page() -> None:
    codes = sorted(cls.code for cls in CLASSES if cls is not RelspecError)
    pages = sorted(line.removeprefix("## ") for line in PAGES.read_text().splitlines() if line.startswith("## "))
    assert pages == codes
    assert len(set(codes)) == len(codes)


def test_every_class_is_public_and_listed_with_its_code() -> None:
    page = API.read_text(encoding="utf-8")
    for cls in CLASSES:
        assert cls.__name__ in relspec_core.__all__
        assert cls is RelspecError or re.search(rf"^\| `{cls.__name__}` \| {cls.code}\b", page, flags=re.MULTILINE)


def test_a_message_says_what_where_and_what_next() -> None:
    error = UnknownColumnError(
        "task 'totals' reads 'orders.amout'", at="tasks/totals.py:12", hint="did you mean 'amount'?"
    )
    assert str(error).splitlines() == [
        "[RS102] task 'totals' reads 'orders.amout'",
        "  at:   tasks/totals.py:12",
        "  next: did you mean 'amount'?",
    ]


def test_several_problems_come_in_one_report() -> None:
    problems = [UnknownColumnError("first"), CycleError(["a", "b", "a"])]
    with pytest.raises(CompileError) as caught:
        raise_all(problems)
    assert caught.value.errors == tuple(problems)
    assert "[RS102] first" in str(caught.value)
    assert "a -> b -> a" in str(caught.value)


def test_one_problem_is_raised_as_itself_and_none_not_at_all() -> None:
    raise_all([])
    with pytest.raises(UnknownColumnError):
        raise_all([UnknownColumnError("only")])
