"""The evidence sensor's ticks without a daemon: what one does with a tick's result is done here, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

from relspec_core import ExecutionContext, TaskCatalog
from relspec_dagster import EvidenceSensor, RelspecResource, build_definitions
from tests.support.catalogs import compiled_before


@dataclass(slots=True, kw_only=True)
class Ticks:
    """A sensor with its cursor, on an instance of its own.

    Attributes:
        catalog: what it is made for.
        database: of it.
        instance: that reports, ticks and runs are recorded in.
        cursor: as Dagster would keep it.
        requested: the tasks' assets that each launched run was asked for, in order.
    """

    catalog: TaskCatalog
    database: Path | RelspecResource
    instance: dg.DagsterInstance
    cursor: str | None = None
    requested: list[tuple[str, ...]] = field(default_factory=list)
    definitions: dg.Definitions = field(init=False)

    def __post_init__(self) -> None:
        self.reload()

    @property
    def file(self) -> Path:
        """The database, where it is a DuckDB file."""
        assert isinstance(self.database, Path)
        return self.database

    def reload(self) -> None:
        """Load the code location again: what the sensor had in memory is lost."""
        ctx = ExecutionContext(cache=compiled_before())
        self.definitions = build_definitions(
            self.catalog, database=self.database, ctx=ctx, evidence_sensor=EvidenceSensor(name="arrivals")
        )

    def tick(self) -> SensorExecutionData:
        """One tick; its cursor is kept."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=self.definitions)
        found = self.definitions.resolve_sensor_def("arrivals").evaluate_tick(context)
        self.cursor = found.cursor
        return found

    def ask(self) -> tuple[str, ...]:
        """The assets that a tick asks for, in one run; nothing is launched."""
        return asked_for(self.tick().run_requests or ())

    def skipped(self) -> str:
        """Why a tick asks for nothing."""
        found = self.tick()
        assert not found.run_requests, found.run_requests
        return found.skip_message or ""

    def work(self) -> tuple[str, ...]:
        """A tick, and the run that it asks for, unless Dagster has one with its run key already."""
        requests = self.tick().run_requests or ()
        for request in requests:
            known = dg.RunsFilter(tags={"dagster/run_key": str(request.run_key)})
            if not self.instance.get_run_records(known, limit=1):
                self.launch(request)
        return asked_for(requests)

    def launch(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run of a request, to its end."""
        self.requested.append(asked_for([request]))
        return self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=list(request.asset_selection or ()),
            instance=self.instance,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            raise_on_error=False,
        )

    def lose(self, request: dg.RunRequest) -> None:
        """The run of a request, which fails in the moment in which it is launched."""
        self.requested.append(asked_for([request]))
        run = self.instance.create_run_for_job(
            self.definitions.resolve_implicit_global_asset_job_def(),
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            asset_selection=frozenset(request.asset_selection or ()),
        )
        self.instance.report_run_failed(run, "the code location was shut down")

    def report(self, source: str, *, times: int = 1) -> None:
        """Report materializations of a source, as the REST endpoint does."""
        for _ in range(times):
            self.instance.report_runless_asset_event(dg.AssetMaterialization(source))


def asked_for(requests: Sequence[dg.RunRequest]) -> tuple[str, ...]:
    """The assets of the one request that there may be, by name."""
    assert len(requests) <= 1
    return tuple(sorted(key.to_user_string() for request in requests for key in request.asset_selection or ()))


def only_request(found: SensorExecutionData | dg.SensorResult) -> dg.RunRequest:
    """The one request of a tick."""
    requests = list(found.run_requests or ())
    assert len(requests) == 1
    return requests[0]
