"""Fingerprints of user-defined functions, and the dependencies that relspec can't inspect."""

import math
import random
import subprocess
import sys
from collections.abc import Callable

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pytest
from ibis import _

from relspec_core.fingerprints.user_functions import UserFunction, user_functions

RATE = 2
RATES = {"a": 2.0}
ARRAY = np.array([1, 2])
ORDERS = ibis.table({"id": "int64", "amount": "int64", "note": "string"}, name="orders")


def found(function: Callable[..., int], **options: object) -> UserFunction:
    called = ibis.udf.scalar.python(function, **options)
    (only,) = user_functions(ORDERS.select(x=called(_.amount))).values()
    return only


def by_global(x: int) -> int:
    return x * RATE


def by_other(x: int) -> int:
    return by_global(x) + 1


def by_table(x: int) -> int:
    return int(x * RATES["a"])


def by_module(x: int) -> int:
    return math.floor(x)


def by_array(x: int) -> int:
    return x * int(ARRAY[0])


def by_chance(x: int) -> int:
    return x + random.randrange(3)  # noqa: S311 - what is tested


def by_import(x: int) -> int:
    import time  # noqa: PLC0415 - what is tested

    return x + int(time.time())


def by_file(x: int) -> int:
    with open("numbers") as file:  # noqa: PTH123 - what is tested
        return x + int(file.read())


def by_clock(x: int) -> int:
    import datetime as dt  # noqa: PLC0415 - what is tested

    return x + dt.datetime.now(dt.UTC).year


def by_recursion(x: int) -> int:
    return x if x < 1 else by_recursion(x - 1)


@pytest.mark.parametrize("function", [by_global, by_other, by_table, by_module, by_recursion])
def test_a_function_of_its_arguments_and_constants_is_seen(function: Callable[..., int]) -> None:
    assert found(function).unseen is None


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (by_array, "calls by_array, which uses ARRAY, a ndarray that relspec can't look into"),
        (by_chance, "calls by_chance, which uses random of random, which relspec can't look into"),
        (by_import, "calls by_import, which uses module time of time, which relspec can't look into"),
        (by_file, "calls by_file, which uses open, which relspec can't look into"),
        (by_clock, "calls by_clock, which uses now, which gives something else each time"),
    ],
)
def test_a_dependency_of_a_function_that_relspec_cannot_inspect_is_reported(
    function: Callable[..., int], why: str
) -> None:
    assert found(function).unseen == why


@pytest.mark.parametrize("function", [by_global, by_other])
def test_the_values_that_a_function_uses_count(function: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(function).token
    monkeypatch.setattr(sys.modules[__name__], "RATE", 3)
    assert found(function).token != before


def test_the_contents_of_a_table_that_a_function_uses_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = found(by_table).token
    monkeypatch.setitem(RATES, "b", 1.0)
    assert found(by_table).token != before


def test_the_declared_types_count() -> None:
    def plain(x):  # noqa: ANN001, ANN202 - Ibis gets the types from the decorator
        return x

    one, other = (found(plain, signature=((kind,), "int64")) for kind in (dt.int64, dt.float64))
    assert one.token != other.token


def test_a_function_that_duckdb_lacks_is_not_seen() -> None:
    @ibis.udf.scalar.builtin
    def my_macro(x: int) -> int: ...  # ty: ignore[invalid-implicit-return-in-function-with-stub-body]

    @ibis.udf.scalar.builtin
    def bit_count(x: int) -> int: ...  # ty: ignore[invalid-implicit-return-in-function-with-stub-body]

    called = user_functions(ORDERS.select(x=my_macro(_.id), y=bit_count(_.id)))
    assert {name.rpartition("my_macro")[1] or "bit_count": function.unseen for name, function in called.items()} == {
        "my_macro": "calls my_macro, which DuckDB does not have by itself",
        "bit_count": None,
    }


PROGRAM = """
import ibis
from relspec_core.model.hashing import digest
from relspec_core.fingerprints.user_functions import user_functions
letters = {"a", "b", "c", "d", "e"}
def within(allowed):
    @ibis.udf.scalar.python
    def known(text: str) -> bool:
        return text in letters or text in allowed or text in {"u", "v", "w", "x"}
    return known
table = ibis.table({"s": "string"}, name="t")
(found,) = user_functions(table.select(x=within(frozenset("fghij"))(table.s))).values()
print(digest(found.token), found.unseen)
"""


def test_a_function_without_a_file_that_closes_over_a_set_is_the_same_in_each_process() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(outputs) == 1
    assert outputs.pop().endswith(" None\n")
