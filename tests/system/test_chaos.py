"""Law 11 by force: runs are killed at random moments, and what they leave is old or new, never between."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.support.shards import shard_id
from tests.system.chaos_process import Ended
from tests.system.chaos_state import Outcome
from tests.system.chaos_victim import WORKERS, Victim

KILLS_EACH = 10
BY_COMMAND = 10  # every so many kills hit the installed command
BUILDING = 0.85  # of the kills hit a run that is building; DuckDB takes its time to put changes in the file at the end
MOST_EDITS = 10 * KILLS_EACH


def moment(victim: Victim, random: Random) -> float:
    """When to kill, in seconds from the first line: mostly while tables are built, now and then when they all are."""
    building = victim.peaceful.building * victim.to_come
    if random.random() < BUILDING:
        return random.uniform(0, building)
    return building + random.uniform(0, victim.peaceful.seconds - victim.peaceful.building)


def killed(victim: Victim, after: float) -> Ended:
    if victim.counts["kills"] % BY_COMMAND == BY_COMMAND - 1:
        return victim.project.run_installed(*WORKERS, kill_after=after)
    return victim.project.run(*WORKERS, kill_after=after)


def count(victim: Victim, left: Outcome) -> None:
    victim.counts["kills"] += 1
    kind = "old and new tasks" if left.old and left.new else "only new tasks" if left.new else "only old tasks"
    victim.counts[f"kills that left {kind}"] += 1


def kill_until_done(victim: Victim, random: Random, most: int) -> None:
    """Kill runs, at most so many, hold what each leaves, and let the last one come to its end."""
    for _ in range(random.randint(min(2, most), most)):
        ended = killed(victim, moment(victim, random))
        left = victim.hold(ended)
        if ended.killed:
            count(victim, left)
        else:
            victim.counts["runs that ended before their kill"] += 1
            assert (ended.code, left.old) == (0, frozenset()), ended.log
        if not left.old:
            break
    victim.come_to_an_end()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "shard" in metafunc.fixturenames:
        metafunc.parametrize("shard", range(metafunc.config.getoption("kills") // KILLS_EACH), ids=shard_id)


def test_whenever_a_run_is_killed_each_table_is_old_or_new_with_its_record_and_the_next_run_completes(
    shard: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    random = Random(shard)  # noqa: S311 - not for secrets
    victim = Victim(tmp_path, random)
    for _ in range(MOST_EDITS):
        kill_until_done(victim, random, min(5, KILLS_EACH - victim.counts["kills"]))
        if victim.counts["kills"] == KILLS_EACH:
            break
        victim.edit()
    victim.run_idle()
    victim.close()
    for name, number in victim.counts.items():
        record_property(name, number)
    assert victim.counts["kills"] == KILLS_EACH
