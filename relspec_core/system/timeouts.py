"""A thread in which a store is asked, so that whoever waits for the answer need not wait for ever."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias, TypeVar
from weakref import finalize

if TYPE_CHECKING:
    from collections.abc import Callable


Question: TypeAlias = "tuple[Callable[[], object], Future]"
T = TypeVar("T")


class NoAnswerError(TimeoutError):
    """A store has not answered in time; those who know what it was asked for say so.

    Args:
        seconds: for which it was waited for.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class Progress:
    """When a store was heard of last, as the answer to one question may take it many requests.

    Attributes:
        at: that moment, on the monotonic clock.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = time.monotonic()

    def note(self) -> None:
        """It was just now."""
        self.at = time.monotonic()


class TimeoutThread:
    """Asks one question after another in one thread, as some of fsspec's filesystems keep their connections by thread.

    It ends when nobody has this object any more and all questions are answered, or else with the process.

    Args:
        name: of the thread.
    """

    __slots__ = ("__weakref__", "_questions")

    def __init__(self, name: str) -> None:
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        Thread(target=_answer_all, args=(self._questions,), daemon=True, name=name).start()
        finalize(self, self._questions.put, None)

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """The answer to a question, which is still to come."""
        answer: Future[T] = Future()
        self._questions.put((question, answer))
        return answer


def answer_in_time(question: Callable[[Progress], T], *, seconds: float, name: str) -> T:
    """What a question comes to, or raises; it notes whenever it has a part of its answer.

    Args:
        question: is asked in a thread of its own, which is left alone where it does not answer.
        seconds: the longest to wait for any part.
        name: of the thread.

    Raises:
        NoAnswerError: where nothing came for so long.
    """
    progress = Progress()
    answer = TimeoutThread(name).ask(partial(question, progress))
    while answer in wait([answer], timeout=max(0.0, progress.at + seconds - time.monotonic())).not_done:
        if progress.at + seconds <= time.monotonic():
            raise NoAnswerError(seconds)
    return answer.result()


def _answer_all(questions: SimpleQueue[Question | None]) -> None:
    while (asked := questions.get()) is not None:
        question, answer = asked
        try:
            answer.set_result(question())
        except Exception as error:  # noqa: BLE001 - raised where the answer is taken
            answer.set_exception(error)
        del asked, question, answer  # what a question has, such as an open file, is kept no longer than it
