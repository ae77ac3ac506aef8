"""A real `dagster dev`, started in a folder of its own and spoken to over GraphQL and REST."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

START_SECONDS = 180.0
WAIT_SECONDS = 120.0
LOOK_EVERY = 0.2
STOP_SECONDS = 30.0
ROUND_SECONDS = 10.0  # twice the least time between two rounds of the sensor daemon

INSTANCE = """
telemetry: {enabled: false}
concurrency:
  pools: {granularity: op, default_limit: 1}
run_coordinator:
  module: dagster
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
"""

# Whatever was started in the background of a shell that is not interactive ignores SIGINT, and so do its children.
HEARS_INTERRUPTS = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "dagster", *sys.argv[1:]])
"""

LOCATION = """
{ workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename ... on PythonError { message } } } } } }
"""
LAUNCH = """
mutation ($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUNS = """
{ runsOrError { ... on Runs { results {
    runId status pipelineName tags { key value } assetSelection { path } } } } }
"""
EVENTS = """
query ($run: ID!) { logsForRun(runId: $run, limit: 1000) { ... on EventConnection { events {
    __typename
    ... on MaterializationEvent { assetKey { path } }
    ... on AssetCheckEvaluationEvent { evaluation { assetKey { path } checkName success description } }
    ... on ExecutionStepSkippedEvent { stepKey }
    ... on ExecutionStepUpForRetryEvent { stepKey }
    ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
} } } }
"""
TICKS = "ticks(limit: 100) { status skipReason runIds timestamp endTimestamp error { message } }"
SENSOR_TICKS = f"""
query ($selector: SensorSelector!) {{ sensorOrError(sensorSelector: $selector) {{ ... on Sensor {{
    sensorState {{ {TICKS} }} }} }} }}
"""
SCHEDULE_TICKS = f"""
query ($selector: ScheduleSelector!) {{ scheduleOrError(scheduleSelector: $selector) {{ ... on Schedule {{
    scheduleState {{ {TICKS} }} }} }} }}
"""
RELOAD = """
mutation ($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as Dagster shows it; the assets are those that it was asked for."""

    id: str
    status: str
    job: str
    assets: frozenset[str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DagsterDev:
    """A running server with one code location."""

    url: str
    log: Path
    location: str

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The data that a query gives; it must give no errors."""
        answer = _post(self.url, {"query": query, "variables": variables or {}})
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(self, assets: Sequence[str], *, checks: Sequence[tuple[str, str]] | None = None) -> str:
        """Start a run of some assets, or of some (asset, check) pairs, and give its id."""
        selector = {
            **self._repository,
            "pipelineName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in assets],
            "assetCheckSelection": None
            if checks is None
            else [{"assetKey": {"path": [asset]}, "name": check} for asset, check in checks],
        }
        launched = self.graphql(LAUNCH, {"params": {"selector": selector, "mode": "default"}})[
            "launchPipelineExecution"
        ]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return launched["run"]["runId"]

    def report(self, asset: str, *, version: str | None = None) -> None:
        """A materialization of an asset that something outside of Dagster tells of, over REST."""
        url = self.url.replace("/graphql", f"/report_asset_materialization/{asset}")
        _post(url, {} if version is None else {"data_version": version})

    def reload(self) -> None:
        """Load the code location again."""
        reloaded = self.graphql(RELOAD, {"name": self.location})["reloadRepositoryLocation"]
        assert reloaded["__typename"] == "WorkspaceLocationEntry", reloaded

    def runs(self) -> list[Run]:
        """All runs, in the order in which they were started."""
        found = self.graphql(RUNS)["runsOrError"]["results"]
        return [
            Run(
                id=run["runId"],
                status=run["status"],
                job=run["pipelineName"],
                assets=frozenset(dotted(key) for key in run["assetSelection"] or ()),
                tags={tag["key"]: tag["value"] for tag in run["tags"]},
            )
            for run in reversed(found)
        ]

    def events(self, run: str, kind: str) -> list[Mapping[str, Any]]:
        """What a run has recorded of one kind, by the name of its type."""
        events = self.graphql(EVENTS, {"run": run})["logsForRun"]["events"]
        return [event for event in events if event["__typename"] == kind]

    def materialized(self, run: str) -> Counter[str]:
        """How often a run has materialized each asset."""
        return Counter(dotted(event["assetKey"]) for event in self.events(run, "MaterializationEvent"))

    def ticks_of_sensor(self, name: str) -> list[Mapping[str, Any]]:
        """The last ticks of a sensor that have led to something, the newest first."""
        return _ended(self._ticks_of_sensor(name))

    def wait_for_silence(self, sensor: str) -> None:
        """Wait until a sensor that was switched off ticks no more.

        The daemon may begin one more tick, in the round in which it read that the sensor was on.
        """
        ticks, since = self._ticks_of_sensor(sensor), time.monotonic()

        def is_silent() -> bool:
            nonlocal ticks, since
            now = self._ticks_of_sensor(sensor)
            if now != ticks or any(tick["status"] == "STARTED" for tick in now):
                ticks, since = now, time.monotonic()
            return time.monotonic() - since > ROUND_SECONDS

        self.wait_until(is_silent)

    def _ticks_of_sensor(self, name: str) -> list[Mapping[str, Any]]:
        found = self.graphql(SENSOR_TICKS, {"selector": {**self._repository, "sensorName": name}})
        return found["sensorOrError"]["sensorState"]["ticks"]

    def ticks_of_schedule(self, name: str) -> list[Mapping[str, Any]]:
        """The same of a schedule."""
        found = self.graphql(SCHEDULE_TICKS, {"selector": {**self._repository, "scheduleName": name}})
        return _ended(found["scheduleOrError"]["scheduleState"]["ticks"])

    def last_words(self, sensor: str) -> str:
        """Why the last tick that has ended asked for nothing; empty where it asked for something."""
        ticks = self.ticks_of_sensor(sensor)
        return (ticks[0]["skipReason"] or "") if ticks else ""

    def wait(self, run: str) -> str:
        """The status with which a run ended."""
        ended = ("SUCCESS", "FAILURE", "CANCELED")
        self.wait_until(lambda: any(found.id == run and found.status in ended for found in self.runs()))
        return next(found.status for found in self.runs() if found.id == run)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Ask again and again until it holds."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not in {WAIT_SECONDS} s:\n{self.runs()}\n{self.log.read_text()}"
            time.sleep(LOOK_EVERY)

    @property
    def _repository(self) -> dict[str, Any]:
        return {"repositoryName": "__repository__", "repositoryLocationName": self.location}


def dotted(key: Mapping[str, Sequence[str]]) -> str:
    """An asset key as people write it."""
    return "/".join(key["path"])


def _ended(ticks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    for tick in ticks:  # while the code location is reloaded, its sensors can't be reached
        assert tick["status"] != "FAILURE" or "user code server" in tick["error"]["message"], tick
    return [tick for tick in ticks if tick["status"] in ("SKIPPED", "SUCCESS")]


@contextmanager
def dagster_dev(folder: Path, *arguments: str, env: Mapping[str, str]) -> Generator[DagsterDev]:
    """A `dagster dev` with these arguments, up and with its code location loaded, stopped when the body ends.

    Args:
        folder: for its home and its log.
        arguments: what to serve: ``-f file`` or ``-w workspace.yaml``.
        env: variables added to this process's own.
    """
    home = folder / "dagster_home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(INSTANCE)
    log, port = folder / "dagster_dev.log", _free_port()
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", HEARS_INTERRUPTS, "dev", "-h", "127.0.0.1", "-p", str(port), *arguments],
            env={**os.environ, "DAGSTER_HOME": str(home), **env},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}/graphql"
        yield DagsterDev(url=url, log=log, location=_wait_for_location(server, url, log))
    finally:
        _stop(server)


def _wait_for_location(server: subprocess.Popen[bytes], url: str, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            entries = _post(url, {"query": LOCATION})["data"]["workspaceOrError"]["locationEntries"]
        except (URLError, ConnectionError):
            entries = []
        for entry in entries:
            loaded = entry["locationOrLoadError"]
            assert loaded is None or loaded["__typename"] == "RepositoryLocation", loaded
            if loaded is not None:
                return entry["name"]
        time.sleep(0.1)
    raise AssertionError(f"dagster dev did not come up in {START_SECONDS} s:\n{log.read_text()}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Interrupt, as Ctrl-C does; whatever is left of its process group after that is killed."""
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _post(url: str, body: Mapping[str, Any]) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    request = Request(url, data=json.dumps(body).encode(), headers=headers)  # noqa: S310 - a local http address
    with urlopen(request, timeout=WAIT_SECONDS) as response:  # noqa: S310 - as above
        return json.load(response)
