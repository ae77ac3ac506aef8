"""A real `dagster dev`, started in a folder of its own and spoken to over GraphQL."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

START_SECONDS = 60.0
RUN_SECONDS = 60.0
STOP_SECONDS = 30.0

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
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


@dataclass(frozen=True, slots=True, kw_only=True)
class DagsterDev:
    """A running server with one code location."""

    url: str
    log: Path
    location: str

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """The data that a query gives; it must give no errors."""
        answer = _post(self.url, query, variables or {})
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def launch(self, assets: Sequence[str], *, checks: Sequence[tuple[str, str]] | None = None) -> str:
        """Start a run of some assets, or of some (asset, check) pairs, and give its id."""
        selector = {
            "repositoryName": "__repository__",
            "repositoryLocationName": self.location,
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

    def wait(self, run: str) -> str:
        """The status with which a run ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            status = self.graphql(STATUS, {"run": run})["runOrError"]["status"]
            if status in ("SUCCESS", "FAILURE", "CANCELED"):
                return status
            time.sleep(0.1)
        raise AssertionError(f"run {run} did not end in {RUN_SECONDS} s:\n{self.log.read_text()}")


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
            entries = _post(url, LOCATION, {})["data"]["workspaceOrError"]["locationEntries"]
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


def _post(url: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - a local http address
    with urlopen(request, timeout=30) as response:  # noqa: S310 - as above
        return json.load(response)
