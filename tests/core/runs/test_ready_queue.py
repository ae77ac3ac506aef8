"""The order in which tasks are taken."""

import threading
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from relspec_core.runs.ready_queue import ReadyQueue


def test_the_task_with_the_longest_way_after_it_comes_first_and_names_decide_else() -> None:
    queue = ReadyQueue({"a": (), "b": (), "c": (), "d": ("c",)}, seconds={"a": 5.0, "c": 1.0, "d": 7.0})
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == ["c", "a", "b", None]
    queue.end("c")
    assert queue.take() == "d"
    queue = ReadyQueue({"b": (), "a": (), "c": ("a",)}, seconds={})
    assert [queue.take(), queue.take()] == ["a", "b"]


WAIT = 20

graphs = st.integers(1, 12).flatmap(
    lambda tasks: st.tuples(*(st.sets(st.sampled_from(range(at))) if at else st.just(set()) for at in range(tasks)))
)


@given(graphs, st.randoms(use_true_random=False), st.dictionaries(st.integers(0, 11), st.floats(0, 9)))
def test_every_task_comes_once_and_after_those_upstream(
    graph: tuple[set[int], ...], random: Random, seconds: dict[int, float]
) -> None:
    upstream = {f"t{at}": {f"t{other}" for other in others} for at, others in enumerate(graph)}
    queue = ReadyQueue(upstream, seconds={f"t{at}": found for at, found in seconds.items() if at < len(graph)})
    running: list[str] = []
    ended: set[str] = set()
    while not queue.has_ended:
        task = queue.take() if not running or random.random() > 1 / 2 else None
        if task is not None:
            running.append(task)
            assert upstream[task] <= ended
        else:
            task = running.pop(random.randrange(len(running)))
            ended.add(task)
            queue.end(task)
    assert ended == set(upstream)


def test_a_stopped_queue_gives_no_task_and_wakes_the_threads_that_wait() -> None:
    queue = ReadyQueue({"a": (), "b": ("a",)}, seconds={})
    assert queue.take() == "a"
    taken: list[str | None] = []
    waiting = threading.Thread(target=lambda: taken.append(queue.take(wait=True)))
    pausing = threading.Thread(target=lambda: queue.pause(WAIT))
    for thread in (waiting, pausing):
        thread.start()
    queue.stop()
    for thread in (waiting, pausing):
        thread.join(WAIT / 2)
        assert not thread.is_alive()
    assert taken == [None]


def test_a_task_that_waits_is_given_to_the_thread_that_asked_when_its_inputs_are_published() -> None:
    queue = ReadyQueue({"a": (), "b": ("a",)}, seconds={})
    queue.take()
    before = queue.publications
    threading.Timer(0.1, queue.publish, ["a"]).start()
    assert queue.take(wait=True) == "b"
    assert queue.any_published_since(["a"], before)
    assert not queue.any_published_since(["a"], queue.publications)
    queue.end("b")
    assert queue.take(wait=True) is None
