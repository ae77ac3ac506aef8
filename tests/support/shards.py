"""Tests that are cut into shards: independent parts of one test, each with random numbers of its own.

Shards fill the time of test processes that have nothing else left. What an interrupted `make fuzz` has passed is not tried
again by the next one.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest


def shard_id(number: int) -> str:
    return f"shard{number}"


def is_shard(nodeid: str) -> bool:
    return "[shard" in nodeid


def counts_of(report: pytest.TestReport) -> Counter[str]:
    """What a test counted: plans, edits, kills."""
    return Counter({name: count for name, count in report.user_properties if isinstance(count, int)})


class Resumption:
    """The tests that passed in interrupted sessions, with their counts, in a file with a line of JSON for each.

    Args:
        file: which is removed when all tests have passed.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        text = file.read_text() if file.exists() else ""
        self.passed: Mapping[str, Mapping[str, int]] = dict(json.loads(line) for line in text.splitlines())

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """Give a test process what had passed when the session began, and not what has since then."""
        node.workerinput["passed"] = list(self.passed)  # ty: ignore[missing-attribute] - xdist may not be installed

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as file:
                file.write(json.dumps([report.nodeid, counts_of(report)]) + "\n")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK:
            self._file.unlink(missing_ok=True)

    @property
    def counts(self) -> Counter[str]:
        return sum(map(Counter, self.passed.values()), Counter())
