"""Runs of ``relspec run`` in processes of their own that can be killed, limited and timed."""

from __future__ import annotations

import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from relspec_core.cli import main

RUN = ("run",)
MODULE = "shop"
SETTINGS = f'[tool.relspec]\ncatalog = "{MODULE}:catalog"\ndatabase = "warehouse.duckdb"\n'
LOOK_EVERY = 0.004  # seconds
RAN = re.compile(r"^ran +(\S+) \(", re.MULTILINE)
FAILED = re.compile(r"^failed +(\S+): ", re.MULTILINE)
BEGUN = re.compile(r"^building (\S+)$", re.MULTILINE)
# To load relspec takes longer than the runs do: one process loads it, and each run is a fork of that.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["relspec_core.commands.run", "ibis.backends.duckdb", "sqlglot.dialects.duckdb"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that ended by itself or was killed.

    Attributes:
        code: its exit code; that of a killed process is the signal's number below zero.
        log: what it printed.
        seconds: from the first line that it printed to its end.
        building: of them, until it said that the last task was built.
    """

    code: int
    log: str
    seconds: float
    building: float

    @property
    def ran(self) -> frozenset[str]:
        """The tasks that it said it had built."""
        return frozenset(RAN.findall(self.log))

    @property
    def failed(self) -> frozenset[str]:
        """The tasks that it said had failed."""
        return frozenset(FAILED.findall(self.log))

    @property
    def begun(self) -> frozenset[str]:
        """The tasks that it said it was building."""
        return frozenset(BEGUN.findall(self.log)) | self.ran

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosProject:
    """A folder with a project file, a catalog module and a database."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "warehouse.duckdb"

    def write(self, module: str) -> None:
        """Give the catalog another text."""
        self.root.mkdir(exist_ok=True)
        (self.root / "pyproject.toml").write_text(SETTINGS)
        (self.root / f"{MODULE}.py").write_text(module)

    def run(self, *arguments: str, kill_after: float | None = None, largest_file: int | None = None) -> Ended:
        """Run in a fork of a process that has loaded relspec.

        Args:
            arguments: of ``relspec run``.
            kill_after: seconds from the first line that it prints to SIGKILL.
            largest_file: the most bytes of a file that it may write.
        """
        log = self._empty_log()
        process = FORKS.Process(target=_run_command, args=(self.root, log, arguments, largest_file), daemon=True)
        process.start()
        return _watched(process, log, kill_after=kill_after)

    def run_installed(self, *arguments: str, kill_after: float) -> Ended:
        """Run the command as a shell would, and kill it."""
        log = self._empty_log()
        command = [Path(sys.executable).with_name("relspec"), *RUN, *arguments]
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=self.root, stdout=output, stderr=output, env=environment())
        return _watched(process, log, kill_after=kill_after)

    def _empty_log(self) -> Path:
        log = self.root / "log.txt"
        log.write_text("")
        return log


def environment() -> Mapping[str, str]:
    """Of a process that runs relspec as the tests have it; no module is compiled, as they change within a second."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}


def _watched(process: BaseProcess | subprocess.Popen[bytes], log: Path, *, kill_after: float | None) -> Ended:
    """Wait for a process, or kill it so many seconds after its first line."""
    began = built = None
    size = 0
    while (code := _exit_code(process)) is None:
        now, before = time.monotonic(), size
        size = log.stat().st_size
        if size > before:
            began = began or now
            built = now if RAN.search(log.read_text()[before:]) else built
        if began is not None and kill_after is not None and now - began >= kill_after:
            process.kill()
            kill_after = None
        time.sleep(LOOK_EVERY)
    ended = time.monotonic()
    began = began or ended
    return Ended(code=code, log=log.read_text(), seconds=ended - began, building=(built or began) - began)


def _exit_code(process: BaseProcess | subprocess.Popen[bytes]) -> int | None:
    return process.poll() if isinstance(process, subprocess.Popen) else process.exitcode


def _run_command(root: Path, log: Path, arguments: tuple[str, ...], largest_file: int | None) -> None:
    sys.dont_write_bytecode = True
    os.chdir(root)
    output = os.open(log, os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if largest_file is not None:  # Python ignores SIGXFSZ: writing fails with an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    main([*RUN, *arguments])
