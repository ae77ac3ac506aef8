import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pytest

import relspec_core
import relspec_dagster
from relspec_core.engines.duckdb_connection import DuckDBConnection
from relspec_core.engines.engine_error import EngineError, RelationError, StatementInterruptedError

PACKAGES = [Path(package.__file__).parent for package in (relspec_core, relspec_dagster)]
MODULES = [module for package in PACKAGES for module in package.rglob("*.py")]
DUCKDB_ERRORS = frozenset(
    name for name, kind in vars(duckdb).items() if isinstance(kind, type) and issubclass(kind, BaseException)
)
REPLACED = frozenset({"recorded", "is_duckdb"})


def attributes(module: Path) -> Iterator[str]:
    """The attributes that a module reads or defines, and what it imports from DuckDB, qualified by their owner's name."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=owner, attr=name):
                yield name
                if isinstance(owner, ast.Name):
                    yield f"{owner.id}.{name}"
            case ast.ImportFrom(module="duckdb", names=names):
                yield from (f"duckdb.{alias.name}" for alias in names)


def found(names: frozenset[str], modules: Iterable[Path]) -> set[tuple[str, str]]:
    """The modules that have attributes of these names, with the names."""
    return {(module.name, name) for module in modules for name in names & {*attributes(module)}}


def test_only_modules_about_duckdb_know_its_errors() -> None:
    errors = frozenset(f"duckdb.{name}" for name in DUCKDB_ERRORS)
    about_duckdb = [module for module in MODULES if module.name.startswith("duckdb_")]
    assert found(errors, about_duckdb)
    assert found(errors, (module for module in MODULES if module not in about_duckdb)) == set()


def test_no_module_asks_which_engine_a_warehouse_has() -> None:
    assert found(REPLACED, MODULES) == set()


@pytest.mark.parametrize(("statement", "kind"), [("SELECT * FROM missing", RelationError), ("SELECT 1 +", EngineError)])
def test_an_error_keeps_that_of_the_driver_as_its_cause(statement: str, kind: type[EngineError]) -> None:
    with DuckDBConnection.scratch() as scratch, pytest.raises(EngineError) as caught:
        scratch.execute(statement)
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, duckdb.Error)
    assert caught.value.first_line == str(caught.value.__cause__).splitlines()[0]


@pytest.mark.parametrize(
    ("error", "is_transient", "is_fatal"),
    [
        (duckdb.TransactionException("a conflict"), True, False),
        (duckdb.IOException("Could not read from file"), True, False),
        (duckdb.IOException("No space left on device"), False, False),
        (duckdb.BinderException("no such column"), False, False),
        (duckdb.FatalException("internal"), False, True),
        (duckdb.Error("the database has been invalidated because of a previous error"), False, True),
    ],
)
def test_an_error_says_whether_a_retry_may_succeed(error: duckdb.Error, *, is_transient: bool, is_fatal: bool) -> None:
    with DuckDBConnection.scratch() as scratch, pytest.raises(EngineError) as caught, scratch.errors():
        raise error
    assert (caught.value.is_transient, caught.value.is_fatal) == (is_transient, is_fatal)


def test_an_interrupted_statement_has_a_class_of_its_own() -> None:
    with DuckDBConnection.scratch() as scratch, pytest.raises(StatementInterruptedError), scratch.errors():
        raise duckdb.InterruptException("Interrupted!")
