"""Other tools that infer lineage, each in its own environment and process, as their pins conflict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.tpcds import Answer, Query

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "rivals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """A tool.

    Attributes:
        name: name in the table.
        package: requirement for pip.
        module: module of ``benchmarks.rival_tools`` that runs in the tool's environment.
    """

    name: str
    package: str
    module: str


RIVALS = (
    Rival(name="SQLMesh", package="sqlmesh==0.236.4", module="sqlmesh_lineage"),
    Rival(name="SQLLineage", package="sqllineage==1.5.9", module="sqllineage_lineage"),
    Rival(name="DataHub", package="acryl-datahub[sql-parser]==1.7.0.17", module="datahub_lineage"),
)


class RivalFailed(Exception):  # noqa: N818 - shown in the table as a result
    """A rival that cannot be installed or does not run; the message names its log."""


class RivalProcess:
    """The process of an installed rival, waiting for its turn.

    Args:
        rival: the tool.
        queries: all queries of the benchmark.

    Raises:
        RivalFailed: if it cannot be installed.
    """

    def __init__(self, rival: Rival, queries: Sequence[Query]) -> None:
        self.name = rival.name
        python = installed(rival.package)
        given = BUILD / f"{rival.module}.json"
        given.write_text(json.dumps([asdict(query) for query in queries]))
        self._log = (BUILD / f"{rival.module}.log").open("a")
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [python, "-m", f"benchmarks.rival_tools.{rival.module}", given],
            cwd=ROOT,
            env={**os.environ, "DATAHUB_SQL_PARSE_CACHE_SIZE": "0", "DATAHUB_TELEMETRY_ENABLED": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def round(self) -> dict[int, float]:
        """CPU seconds of each query, by number."""
        return {int(number): seconds for number, seconds in self._ask("round").items()}

    def answers(self) -> dict[int, Answer | None]:
        """Its answer for each query, by number; None if it has none."""
        return {
            int(number): None
            if isinstance(found, str)
            else {name: frozenset((table, column) for table, column in columns) for name, columns in found.items()}
            for number, found in self._ask("answers").items()
        }

    def _ask(self, what: str) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RivalFailed(f"{self.name} has no pipe")
        stdin.write(f"{what}\n")
        stdin.flush()
        reply = stdout.readline()
        if not reply:
            raise RivalFailed(f"{self.name} ended; see {self._log.name}")
        return json.loads(reply)

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._log.close()


def installed(*packages: str) -> Path:
    """The Python of an environment with these packages, which is created if it does not exist.

    Args:
        packages: requirements for pip, with versions; the environment is named after the first.

    Raises:
        RivalFailed: if they cannot be installed.
    """
    name, wanted = re.sub(r"\W*==.*", "", packages[0]).replace("[", "-"), " ".join(packages)
    place, log = BUILD / name, BUILD / f"{name}.log"
    python, stamp = place / "bin" / "python", place / "ready"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"==> Installing {wanted} into {place}", flush=True)
    BUILD.mkdir(parents=True, exist_ok=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    with log.open("w") as output:
        for command in ([sys.executable, "-m", "venv", "--clear", place], pip):
            if subprocess.run(command, stdout=output, stderr=output, check=False).returncode:  # noqa: S603 - pip, venv
                raise RivalFailed(f"{wanted} cannot be installed; see {log}")
    stamp.write_text(wanted)
    return python
