"""The commands that look into a catalog: they run from the shell's side, and change nothing."""

import json
from pathlib import Path

import pytest

from tests.core.test_cli import CATALOG, Project

COMMANDS = (
    ("impact", "stg_orders.amount", "--rename", "amt"),
    ("impact", "raw_orders"),
    ("contract", "raw_orders"),
    ("lineage", "stg_orders.amount"),
    ("check",),
    ("unused",),
    ("fixtures", "revenue"),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def state(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_no_command_changes_the_warehouse_or_any_other_file(project: Project) -> None:
    assert project.relspec("run", "-q").exit_code == 0
    before = state(project.root)
    for arguments in COMMANDS:
        for form in ((), ("--json",)):
            result = project.relspec(*arguments, *form)
            assert result.exit_code in {0, 1}, result.output
            assert form == () or json.loads(result.output)
        assert state(project.root) == before, arguments


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_works_without_a_warehouse_and_makes_none(project: Project, arguments: tuple[str, ...]) -> None:
    assert project.relspec(*arguments).exit_code in {0, 1}
    assert not project.database.exists()


def test_impact_exits_with_one_where_a_task_breaks_and_with_zero_otherwise(project: Project) -> None:
    broken = project.relspec("impact", "stg_orders.amount", "--drop")
    assert broken.exit_code == 1
    assert "task 'revenue' reads 'stg_orders.amount' (AGGREGATION), which is gone" in broken.output
    assert project.relspec("impact", "stg_orders.amount").exit_code == 0
    assert project.relspec("impact", "raw_orders.amount", "--type", "HUGEINT").exit_code == 1
    assert project.relspec("impact", "stg_orders.amount", "--drop", "--rename", "b").exit_code == 2
    assert project.relspec("impact", "stg_orders", "--type", "int64").exit_code == 2


def test_impact_takes_what_contract_prints(project: Project) -> None:
    file = project.root / "contract.yaml"
    file.write_text(project.relspec("contract", "raw_orders").output)
    assert project.relspec("impact", "raw_orders", "--schema", str(file)).exit_code == 0
    file.write_text(file.read_text().replace("\namount:", "\namt:"))
    result = project.relspec("impact", "raw_orders", "--schema", str(file))
    assert result.exit_code == 1
    assert "its new name is likely 'amt'" in result.output


def test_an_unknown_name_gives_the_nearest_and_exits_with_two(project: Project) -> None:
    for arguments, nearest in (
        (("impact", "stg_orders.amout"), "amount"),
        (("impact", "stg_order"), "stg_orders"),
        (("contract", "raw_order"), "raw_orders"),
        (("lineage", "revenue.totl"), "total"),
        (("fixtures", "revenu"), "revenue"),
    ):
        result = project.relspec(*arguments)
        assert result.exit_code == 2
        assert f"did you mean '{nearest}'?" in result.output


def test_lineage_walks_the_way_that_is_asked_for(project: Project) -> None:
    both = project.relspec("lineage", "stg_orders.amount").output.splitlines()
    assert both == [
        "stg_orders.amount",
        "upstream",
        "  raw_orders.amount  IDENTITY",
        "downstream",
        "  revenue.total  AGGREGATION",
    ]
    assert project.relspec("lineage", "stg_orders.amount", "--upstream").output.splitlines() == both[:3]
    assert project.relspec("lineage", "stg_orders.amount", "--downstream").output.splitlines() == [both[0], *both[3:]]
    missing = project.relspec("lineage", "stg_orders")
    assert missing.exit_code == 2
    assert "name one of 'order_id', 'customer_id', 'amount', 'note': stg_orders.order_id" in missing.output


def test_check_exits_with_one_where_there_is_a_problem(project: Project) -> None:
    result = project.relspec("check")
    assert (result.exit_code, result.output) == (0, "3 of 3 tasks compile and run on empty tables, 0 problems\n")
    project.write(CATALOG.replace("orders.note.upper()", "orders.noet.upper()"))
    result = project.relspec("check")
    assert result.exit_code == 1
    assert "did you mean 'note'?" in result.output


def test_a_column_that_a_source_has_lost_is_still_in_its_contract(project: Project) -> None:
    assert project.relspec("run", "-q").exit_code == 0
    (project.root / "raw.csv").write_text("order_id,customer_id,amount\n1,10,5\n")
    assert "\nnote: string\n" in project.relspec("contract", "raw_orders").output
    result = project.relspec("impact", "raw_orders", "--schema", str(project.root / "raw.csv"))
    assert result.exit_code == 1
    assert "task 'stg_orders' reads 'raw_orders.note' (TRANSFORMATION), which is gone" in result.output


def test_impact_takes_a_lost_column_for_there_also_for_readers_of_all_columns(project: Project) -> None:
    project.write(
        CATALOG.replace('return ctx.table("stg_orders").select("order_id", "note")', 'return ctx.table("raw_orders")')
    )
    assert project.relspec("run", "-q").exit_code == 0
    (project.root / "raw.csv").write_text("order_id,customer_id,amount\n1,10,5\n")
    result = project.relspec("impact", "raw_orders.amount", "--drop")
    assert "task 'notes' reads all columns of 'raw_orders', and would write 'notes' without 'amount'\n" in result.output
    result = project.relspec("impact", "raw_orders", "--schema", str(project.root / "raw.csv"))
    assert "task 'notes' reads all columns of 'raw_orders', and would write 'notes' without 'note'\n" in result.output
    assert result.exit_code == 1
