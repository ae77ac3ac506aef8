import json
import random

import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import Evidence, TaskGraph, task_graph_from_catalog
from relspec_core.planning.estimate import estimate_run
from relspec_core.planning.run_plan import plan_run
from relspec_core.task_catalog import TaskBuildContext
from tests.support.catalogs import Project, build_record, compiled, sql_task, task_of


def graph_of(edges: dict[str, str]) -> TaskGraph:
    """Tasks that read the tasks named behind them."""
    return task_graph_from_catalog(
        compiled(
            *(
                sql_task("SELECT " + (f"max(x) AS x FROM (FROM {' UNION ALL FROM '.join(reads.split())})" if reads else "1 AS x"), name)
                for name, reads in edges.items()
            )
        )
    )  # fmt: skip


def recorded(**seconds: float) -> dict[str, Evidence]:
    return {name: Evidence.of(build_record(name, seconds=found)) for name, found in seconds.items()}


DIAMOND = graph_of({"a": "", "b": "a", "c": "a", "d": "b c", "alone": ""})
TOOK = recorded(a=60, b=120, c=30, d=60, alone=90)


@pytest.mark.parametrize(
    ("workers", "text"),
    [
        (1, "about 6 minutes, critical path a -> b -> d"),
        (2, "about 4 minutes with 2 workers, critical path a -> b -> d"),
        (9, "about 4 minutes with 9 workers, critical path a -> b -> d"),
    ],
)
def test_an_estimate_is_the_time_of_all_tasks_shared_out_and_never_less_than_the_critical_path(
    workers: int, text: str
) -> None:
    assert str(estimate_run(DIAMOND.tasks, graph=DIAMOND, evidence=TOOK, workers=workers)) == text


def test_only_what_would_run_counts() -> None:
    found = estimate_run(["c", "d"], graph=DIAMOND, evidence=TOOK)
    assert (found.seconds, found.path.tasks, found.unknown) == (90, ("c", "d"), ())


def test_tasks_without_a_recorded_duration_are_counted_and_said() -> None:
    known = {name: TOOK[name] for name in ("a", "d", "alone")}
    found = estimate_run(DIAMOND.tasks, graph=DIAMOND, evidence=known)
    assert str(found) == "about 4 minutes, critical path a -> d; no duration is recorded of 2 tasks more"
    assert found.unknown == ("b", "c")


def test_where_no_duration_is_recorded_there_is_no_estimate() -> None:
    found = estimate_run(["a"], graph=DIAMOND, evidence=recorded())
    assert str(found) == "no estimate: no duration is recorded of 1 task"
    assert found.plain()["seconds"] is None


def test_an_estimate_lies_between_the_critical_path_and_one_task_after_another() -> None:
    chance = random.Random(5)  # noqa: S311 - test data
    names = [f"t{index:02}" for index in range(40)]
    edges = {
        name: " ".join(sorted(chance.sample(names[:index], min(index, chance.randrange(3)))))
        for index, name in enumerate(names)
    }
    graph = graph_of(edges)
    took = recorded(**{name: chance.uniform(1, 10) for name in names})
    total = sum(table.record.seconds for table in took.values() if table.record)
    found = [estimate_run(names, graph=graph, evidence=took, workers=workers) for workers in (1, 2, 4, 40)]
    assert found[0].seconds == pytest.approx(total)
    assert found[3].seconds == pytest.approx(found[3].path.seconds)
    for estimate in found:
        assert max(estimate.path.seconds, total / estimate.workers) - 1e-9 <= estimate.seconds <= total + 1e-9


def test_a_long_path_is_shown_by_its_ends() -> None:
    names = [f"t{index}" for index in range(10)]
    graph = graph_of(dict(zip(names, ["", *names], strict=False)))
    found = estimate_run(names, graph=graph, evidence=recorded(**dict.fromkeys(names, 1.0)))
    assert str(found.path) == "t0 -> t1 -> t2 -> t3 -> ... 2 more ... -> t6 -> t7 -> t8 -> t9"
    assert len(found.path.tasks) == 10


def test_a_plan_shows_the_estimate_by_what_its_tasks_took_in_all_their_outputs(con: DuckDBBackend) -> None:
    def both(ctx: TaskBuildContext) -> dict[str, ibis.Table]:
        return {"ones": ctx.sql("SELECT 1 AS x"), "twos": ctx.sql("SELECT 2 AS x")}

    project = Project(con, task_of(both, "both", outputs=("ones", "twos")), sql_task("SELECT x FROM ones", "after"))
    project.run()
    con.con.execute("UPDATE relspec.evidence SET seconds = 300 WHERE name = 'ones'")
    con.con.execute("UPDATE relspec.evidence SET seconds = 240 WHERE name = 'twos'")
    con.con.execute("UPDATE relspec.evidence SET seconds = 60 WHERE name = 'after'")
    assert plan_run(project.catalog, backend=con).estimate is None
    assert json.loads(plan_run(project.catalog, backend=con).to_json())["estimate"] is None
    project.edit("after", "SELECT x + 1 AS x FROM ones")
    project.tasks["new"] = sql_task("SELECT 1 AS one", "new")
    con.con.execute("DELETE FROM ones")
    planned = plan_run(project.catalog, backend=con, workers=2)
    *_, estimate, total = str(planned).splitlines()
    assert (
        estimate
        == "about 10 minutes with 2 workers, critical path both -> after; no duration is recorded of 1 task more"
    )
    assert total == "3 of 3 tasks would run, 0 blocked, 0 unchanged"
    found = json.loads(planned.to_json())["estimate"]
    assert (found["seconds"], found["unknown"], found["workers"]) == (600, ["new"], 2)
    assert found["critical_path"] == {"tasks": ["both", "after"], "seconds": 600}
