"""Ticks of cron schedules: what is stale of a selection is asked for, and nothing else."""

import time
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from relspec_core import RelspecError
from relspec_core.warehouses.snapshot import MOMENT
from relspec_dagster import build_schedule_from_selection
from tests.dagster.test_definitions import being_written
from tests.support.dagster_shop import drop_column, shop_database, shop_definitions, write_raw_data
from tests.support.skip_messages import codes

DAILY = "cron_0_6_any_any_any_schedule"
SELECTED = dg.AssetSelection.assets("order_lines", "line_counts") | dg.AssetSelection.groups("staging")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A shop with schedules, and the instance that its runs are recorded in."""

    folder: Path
    definitions: dg.Definitions
    instance: dg.DagsterInstance

    def tick(self, schedule: str = "chosen_schedule") -> dg.RunRequest | str:
        """What a tick asks for, or why it asks for nothing."""
        with dg.build_schedule_context(
            instance=self.instance,
            repository_def=self.definitions.get_repository_def(),
            resources=dict(self.definitions.resources or {}),
        ) as context:
            found = self.definitions.resolve_schedule_def(schedule).evaluate_tick(context)
        if found.run_requests:
            (request,) = found.run_requests
            return request
        assert found.skip_message is not None
        return found.skip_message

    def asked(self, schedule: str = "chosen_schedule") -> set[str]:
        """The assets that a tick asks for."""
        request = self.tick(schedule)
        assert isinstance(request, dg.RunRequest), request
        return {key.to_user_string() for key in request.asset_selection or ()}

    def run(self, *assets: str, job: str = "chosen") -> None:
        keys = [dg.AssetKey(asset) for asset in assets] or None
        found = self.definitions.resolve_job_def(job)
        assert found.execute_in_process(instance=self.instance, asset_selection=keys).success

    def run_elsewhere(self, *assets: str) -> str:
        """A run of the schedule's job that has not ended."""
        job = self.definitions.resolve_job_def("chosen")
        run = self.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, asset_selection=frozenset(map(dg.AssetKey, assets))
        )
        return run.run_id


@pytest.fixture
def shop(tmp_path: Path) -> Scheduled:
    write_raw_data(tmp_path)
    schedule = build_schedule_from_selection(SELECTED, name="chosen", cron_schedule="*/5 * * * *")
    return Scheduled(
        folder=tmp_path,
        definitions=dg.Definitions.merge(shop_definitions(tmp_path), dg.Definitions(schedules=[schedule])),
        instance=dg.DagsterInstance.local_temp(str(tmp_path)),
    )


def test_a_tick_asks_for_what_is_stale_of_the_selection_and_says_why_where_nothing_is(shop: Scheduled) -> None:
    assert shop.asked() == {"order_lines", "line_counts", "stg_customers", "stg_orders"}
    shop.run()
    assert codes(str(shop.tick())) == ("unchanged",)
    items = shop.folder / "raw_items.csv"
    items.write_text(items.read_text() + "12,tea,1\n")
    assert shop.asked() == {"order_lines", "line_counts"}
    shop.run("order_lines")
    assert shop.asked() == {"line_counts"}


def test_what_is_not_selected_counts_as_it_is_and_what_is_blocked_is_told(shop: Scheduled) -> None:
    shop.run()
    drop_column(shop.folder / "raw_items.csv", "sku")
    orders = shop.folder / "raw_orders.csv"
    orders.write_text(orders.read_text().replace("hot", "warm"))
    assert shop.asked(DAILY) == {"order_notes"}
    said = shop.tick()
    assert isinstance(said, str)
    assert sorted(codes(said)) == ["missing_column", "unchanged", "waits_for_task"]
    assert all(f"'{name}'" in said for name in ("stg_customers", "stg_orders", "order_parts", "raw_items.sku"))


def test_a_tick_beside_a_run_does_not_ask_again_for_what_that_builds(shop: Scheduled) -> None:
    run = shop.run_elsewhere("stg_orders", "order_lines")
    assert shop.asked() == {"line_counts", "stg_customers"}
    shop.run_elsewhere("line_counts", "stg_customers")
    said = shop.tick()
    assert isinstance(said, str)
    assert run in said


def test_a_tick_reads_what_a_run_has_left_while_another_process_writes(shop: Scheduled) -> None:
    with being_written(shop_database(shop.folder)):  # nothing is known: each table's op finds out
        assert shop.asked() == {"order_lines", "line_counts", "stg_customers", "stg_orders"}
    shop.run()
    time.sleep(MOMENT)
    shop.run("stg_orders")  # a step writes a snapshot before it, unless one was written a moment ago
    customers = shop.folder / "raw_customers.csv"
    customers.write_text(customers.read_text().replace("Ada", "Eda"))
    with being_written(shop_database(shop.folder)):
        assert shop.asked() == {"stg_customers"}


def test_a_selection_may_be_a_text_or_keys_and_one_of_others_assets_asks_for_nothing(tmp_path: Path) -> None:
    write_raw_data(tmp_path)
    schedules = [
        build_schedule_from_selection("group:staging", name="a", cron_schedule="@daily"),
        build_schedule_from_selection(["line_counts"], name="b", cron_schedule="@daily"),
        build_schedule_from_selection("key:foreign", name="c", cron_schedule="@daily"),
    ]

    @dg.asset
    def foreign() -> None: ...

    definitions = dg.Definitions.merge(
        shop_definitions(tmp_path), dg.Definitions(assets=[foreign], schedules=schedules)
    )
    shop = Scheduled(folder=tmp_path, definitions=definitions, instance=dg.DagsterInstance.local_temp(str(tmp_path)))
    assert shop.asked("a_schedule") == {"stg_customers", "stg_orders"}
    assert "line_counts" in str(shop.tick("b_schedule"))
    assert "foreign" in str(shop.tick("c_schedule"))


def test_a_cron_or_a_selection_that_dagster_does_not_take_is_refused() -> None:
    with pytest.raises(RelspecError, match=r"\[RS501\].*selection 'of everything'"):
        build_schedule_from_selection("of everything", name="a", cron_schedule="@daily")
    with pytest.raises(RelspecError, match=r"\[RS501\].*cron 'daily'"):
        build_schedule_from_selection("group:a", name="a", cron_schedule="daily")
