"""Law 11 by force: runs are killed at random moments, and what they leave is old or new, never between."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import duckdb
import pytest

from tests.chaos_catalog import SOURCES, ChaosCatalog, changed_rows, digests, make_sources, random_catalog
from tests.chaos_process import ChaosProject, Ended
from tests.chaos_state import Outcome, State, look, outcome, shown

KILLS_EACH = 10
BY_COMMAND = 10  # every so many kills hit the installed command
BUILDING = 0.85  # of the kills hit a run that is building; DuckDB takes its time to put changes in the file at the end
MOST_EDITS = 10 * KILLS_EACH
WORKERS: tuple[str, ...] = ()


class Victim:
    """A project whose runs are killed, beside one with the same edits whose runs are left in peace, and DuckDB alone.

    Attributes:
        counts: of everything that was seen.
    """

    def __init__(self, folder: Path, random: Random) -> None:
        self.counts: Counter[str] = Counter()
        self._random = random
        self._catalog: ChaosCatalog = random_catalog(random)
        self._project = ChaosProject(root=folder / "killed")
        self._peaceful = ChaosProject(root=folder / "peaceful")
        self._plain = duckdb.connect(config={"threads": 1})
        make_sources(self._plain)
        for project in (self._project, self._peaceful):
            project.write(self._catalog.module)
            with duckdb.connect(project.database) as con:
                make_sources(con)
        self._before: State = look(self._project.database, self._outputs)

    def close(self) -> None:
        self._plain.close()

    @property
    def _outputs(self) -> Mapping[str, tuple[str, ...]]:
        return self._catalog.outputs

    def edit(self) -> None:
        """Change rows of sources, and mostly a task, too."""
        if self._random.random() < 0.6:
            self._catalog = self._catalog.edited(self._random)
        statements = changed_rows(self._random)
        for project in (self._project, self._peaceful):
            project.write(self._catalog.module)
            with duckdb.connect(project.database) as con:
                con.execute(statements)
        self._plain.execute(statements)

    def kill_until_done(self, most: int) -> None:
        """Kill runs, at most so many, hold what each leaves, and let the last one come to its end."""
        ended, after = self._in_peace()
        new: frozenset[str] = frozenset()
        for _ in range(self._random.randint(min(2, most), most)):
            found = self._kill(self._moment(ended, len(ended.begun - new) / len(ended.begun)))
            assert not found.begun & new, f"{sorted(found.begun & new)} were new already"
            left = outcome(look(self._project.database, self._outputs), self._before, after, self._outputs)
            assert new <= left.new
            assert found.ran <= left.new, f"{sorted(found.ran - left.new)} were said to be built"
            new = left.new
            if not found.killed:
                self.counts["runs that ended before their kill"] += 1
                assert (found.code, left.old) == (0, frozenset()), found.log
                break
            self._count(left)
            if not left.old:
                break
        self._come_to_an_end(new, after)

    def run_idle(self) -> None:
        ended = self._project.run(*WORKERS)
        assert (ended.code, ended.begun) == (0, frozenset()), ended.log
        assert look(self._project.database, self._outputs) == self._before

    def _in_peace(self) -> tuple[Ended, State]:
        """What an undisturbed run makes, which is what DuckDB alone makes."""
        ended = self._peaceful.run(*WORKERS)
        assert ended.code == 0, ended.log
        assert ended.ran, "the edit changed nothing"
        found = look(self._peaceful.database, self._outputs)
        self._catalog.build(self._plain)
        assert found.contents == digests(self._plain, self._catalog.tables)
        assert shown(self._peaceful.database, self._catalog.views) == digests(self._plain, self._catalog.views)
        return ended, found

    def _moment(self, ended: Ended, to_come: float) -> float:
        """When to kill, in seconds from the first line: mostly while tables are built, now and then when they all are."""
        building = ended.building * to_come
        if self._random.random() < BUILDING:
            return self._random.uniform(0, building)
        return building + self._random.uniform(0, ended.seconds - ended.building)

    def _kill(self, after: float) -> Ended:
        if self.counts["kills"] % BY_COMMAND == BY_COMMAND - 1:
            return self._project.run_installed(*WORKERS, kill_after=after)
        return self._project.run(*WORKERS, kill_after=after)

    def _count(self, left: Outcome) -> None:
        self.counts["kills"] += 1
        self.counts["tasks found old"] += len(left.old)
        self.counts["tasks found new"] += len(left.new)
        kind = "old and new" if left.old and left.new else "only new" if left.new else "only old"
        self.counts[f"kills that left {kind}"] += 1

    def _come_to_an_end(self, new: frozenset[str], after: State) -> None:
        ended = self._project.run(*WORKERS)
        assert ended.code == 0, ended.log
        assert not ended.begun & new, f"{sorted(ended.begun & new)} were new already"
        found = look(self._project.database, self._outputs)
        assert outcome(found, after, after, self._outputs).old == frozenset()
        assert found.contents == after.contents
        assert shown(self._project.database, self._catalog.views) == digests(self._plain, self._catalog.views)
        assert found.others == set(SOURCES), "something was left over"
        self.counts["tasks kept by later runs"] += len(new)
        self.counts["tasks built by later runs"] += len(ended.ran)
        self._before = found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(metafunc.config.getoption("kills") // KILLS_EACH))


def test_whenever_a_run_is_killed_each_table_is_old_or_new_with_its_record_and_the_next_run_completes(
    shard: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    victim = Victim(tmp_path, Random(shard))
    for number in range(MOST_EDITS):
        if number:
            victim.edit()
        victim.kill_until_done(min(5, KILLS_EACH - victim.counts["kills"]))
        if victim.counts["kills"] == KILLS_EACH:
            break
    victim.run_idle()
    victim.close()
    for name, count in victim.counts.items():
        record_property(name, count)
    assert victim.counts["kills"] == KILLS_EACH
