"""A project whose runs are disturbed, held against one whose runs are left in peace, and against DuckDB alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

import duckdb

from tests.system.chaos_catalog import SOURCES, ChaosCatalog, changed_rows, digests, make_sources, random_catalog
from tests.system.chaos_process import ChaosProject, Ended
from tests.system.chaos_state import Outcome, State, look, outcome, shown

WORKERS = ("--workers", "4")
MOST_VAIN_EDITS = 10


class Victim:
    """Edits two projects alike; disturbs the runs of one of them.

    Attributes:
        counts: of everything that was seen.
        project: whose runs are disturbed.
        peaceful: the last run of the other.
        new: the tasks that disturbed runs have built since the last edit.
    """

    def __init__(self, folder: Path, random: Random) -> None:
        self.counts: Counter[str] = Counter()
        self.project = ChaosProject(root=folder / "disturbed")
        self._random = random
        self._catalog: ChaosCatalog = random_catalog(random)
        self._twin = ChaosProject(root=folder / "peaceful")
        self._plain = duckdb.connect(config={"threads": 1})
        make_sources(self._plain)
        for project in (self.project, self._twin):
            project.write(self._catalog.module)
            with duckdb.connect(project.database) as con:
                make_sources(con)
        self._before = look(self.project.database, self._outputs)
        self._run_in_peace()

    def close(self) -> None:
        self._plain.close()

    @property
    def _outputs(self) -> Mapping[str, tuple[str, ...]]:
        return self._catalog.outputs

    @property
    def to_come(self) -> float:
        """The part of the peaceful run's tasks that disturbed runs have not built."""
        return len(self.peaceful.begun - self.new) / len(self.peaceful.begun)

    def edit(self) -> None:
        """Change rows of sources, and mostly a task, too, until some task has to run."""
        for _ in range(MOST_VAIN_EDITS):
            self._edit()
            if self.peaceful.ran:
                return
        raise AssertionError(f"{MOST_VAIN_EDITS} edits change nothing")

    def _edit(self) -> None:
        if self._random.random() < 0.6:
            self._catalog = self._catalog.edited(self._random)
        statements = changed_rows(self._random)
        for project in (self.project, self._twin):
            project.write(self._catalog.module)
            with duckdb.connect(project.database) as con:
                con.execute(statements)
        self._plain.execute(statements)
        self._run_in_peace()

    def _run_in_peace(self) -> None:
        """What an undisturbed run makes, which is what DuckDB alone makes."""
        self.peaceful = self._twin.run(*WORKERS)
        assert self.peaceful.code == 0, self.peaceful.log
        self._after: State = look(self._twin.database, self._outputs)
        self._catalog.build(self._plain)
        assert self._after.contents == digests(self._plain, self._catalog.tables)
        assert shown(self._twin.database, self._catalog.views) == digests(self._plain, self._catalog.views)
        self.new: frozenset[str] = frozenset()

    def hold(self, ended: Ended) -> Outcome:
        """Hold what a disturbed run left: every task is old or new, and what was new is left alone."""
        left = outcome(look(self.project.database, self._outputs), self._before, self._after, self._outputs)
        assert not ended.begun & self.new, f"{sorted(ended.begun & self.new)} were new already"
        assert self.new <= left.new, f"{sorted(self.new - left.new)} were new already"
        assert ended.ran <= left.new, f"{sorted(ended.ran - left.new)} were said to be built"
        self.new = left.new
        self.counts["tasks found old"] += len(left.old)
        self.counts["tasks found new"] += len(left.new)
        return left

    def come_to_an_end(self) -> None:
        """Run undisturbed: what is new already is kept, and all is as if nothing had happened."""
        ended = self.project.run(*WORKERS)
        assert ended.code == 0, ended.log
        assert not ended.begun & self.new, f"{sorted(ended.begun & self.new)} were new already"
        found = look(self.project.database, self._outputs)
        assert outcome(found, self._after, self._after, self._outputs).old == frozenset()
        assert shown(self.project.database, self._catalog.views) == digests(self._plain, self._catalog.views)
        assert found.others == set(SOURCES), "something was left over"
        self.counts["tasks kept by later runs"] += len(self.new)
        self.counts["tasks built by later runs"] += len(ended.ran)
        self._before = found

    def run_idle(self) -> None:
        """Run with nothing to do."""
        ended = self.project.run(*WORKERS)
        assert (ended.code, ended.begun) == (0, frozenset()), ended.log
        assert look(self.project.database, self._outputs) == self._before
