"""Five catalogs in one code location, for the tests with a daemon; each has a folder of its own in DAGSTER_LIVE.

They are a shop before anything has arrived, an office that runs by itself, trials that may fail, a diary that is due
each minute, and a market whose rates are on the web server DAGSTER_LIVE_STORE. `dagster dev -f` loads this very file.
"""

import os
from pathlib import Path

import dagster as dg
import ibis

from relspec_core import SourceSpec, TaskBuildContext, TaskCatalog, task
from relspec_dagster import EvidenceSensor, build_definitions, edges_ready
from tests.support.dagster_arrivals import declared_shop
from tests.support.dagster_office import notes, orders, totals
from tests.support.dagster_shop import shop_database

# How long a step of the trials waits for another process that holds their database.
TRIAL_WAIT = 0.5
# How long the market's web server is waited for.
STORE_TIMEOUT = 6.0


@task(retries=1)
def readings(ctx: TaskBuildContext) -> ibis.Table:
    """What can't be built where a text is no number."""
    raw = ctx.table("raw_readings")
    return raw.select("id", value=raw.text.cast("int64"))


@task
def reading_sum(ctx: TaskBuildContext) -> ibis.Table:
    found = ctx.table("readings")
    return found.agg(total=found.value.sum())


@task(retries=8)
def reading_texts(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw_readings").select("id", "text")


@task(cron="* * * * *")
def days(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw_days").select("day")


@task
def day_count(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.sql("SELECT count(*) AS days FROM days")


@task
def rates(ctx: TaskBuildContext) -> ibis.Table:
    return ctx.table("raw_rates").select("currency", "rate")


def every_second(name: str) -> EvidenceSensor:
    return EvidenceSensor(name=name, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)


def shop(folder: Path) -> dg.Definitions:
    return build_definitions(
        declared_shop(folder),
        database=shop_database(folder),
        resource_key="shop",
        evidence_sensor=every_second("arrivals"),
    )


def office(folder: Path) -> dg.Definitions:
    raw = SourceSpec("raw", path=folder / "raw.csv", schema={"id": "int64", "amount": "int64", "note": "string"})
    return build_definitions(
        TaskCatalog([orders, totals, notes], [raw]),
        database=folder / "office.duckdb",
        resource_key="office",
        automation=edges_ready(),
        automation_seconds=1,
    )


def trials(folder: Path) -> dg.Definitions:
    raw = SourceSpec("raw_readings", path=folder / "raw_readings.csv", schema={"id": "int64", "text": "string"})
    return build_definitions(
        TaskCatalog([readings, reading_sum, reading_texts], [raw]),
        database=folder / "trials.duckdb",
        resource_key="trials",
        wait=TRIAL_WAIT,
        evidence_sensor=every_second("readings_arrive"),
    )


def diary(folder: Path) -> dg.Definitions:
    raw = SourceSpec("raw_days", path=folder / "raw_days.csv", schema={"day": "string"})
    return build_definitions(
        TaskCatalog([days, day_count], [raw]),
        database=folder / "diary.duckdb",
        resource_key="diary",
        schedule_status=dg.DefaultScheduleStatus.RUNNING,
    )


def market(folder: Path) -> dg.Definitions:
    url = f"{os.environ['DAGSTER_LIVE_STORE']}raw_rates.csv"
    schema = {"currency": "string", "rate": "float64"}
    return build_definitions(
        TaskCatalog([rates], [SourceSpec("raw_rates", path=url, schema=schema, timeout=STORE_TIMEOUT)]),
        database=folder / "market.duckdb",
        resource_key="market",
        evidence_sensor=every_second("rates_arrive"),
    )


CATALOGS = {"shop": shop, "office": office, "trials": trials, "diary": diary, "market": market}

if "DAGSTER_LIVE" in os.environ:
    live = Path(os.environ["DAGSTER_LIVE"])
    defs = dg.Definitions.merge(*(definitions(live / name) for name, definitions in CATALOGS.items()))
