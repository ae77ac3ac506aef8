"""Requests to remote storage in separate threads, so that callers can stop waiting."""

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
    """No response within the timeout; callers add what was requested.

    Args:
        seconds: the timeout.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s")
        self.seconds = seconds


class Progress:
    """The time of the last response, for operations that take many requests.

    Attributes:
        at: on the monotonic clock.
    """

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = time.monotonic()

    def note(self) -> None:
        """Record a response now."""
        self.at = time.monotonic()


class TimeoutThread:
    """A thread that runs requests one after another, as some fsspec filesystems keep connections per thread.

    It ends when this object is collected and all requests are done, or with the process.

    Args:
        name: of the thread.
    """

    __slots__ = ("__weakref__", "_questions")

    def __init__(self, name: str) -> None:
        self._questions: SimpleQueue[Question | None] = SimpleQueue()
        Thread(target=_answer_all, args=(self._questions,), daemon=True, name=name).start()
        finalize(self, self._questions.put, None)

    def ask(self, question: Callable[[], T]) -> Future[T]:
        """Queue a request and return its future result."""
        answer: Future[T] = Future()
        self._questions.put((question, answer))
        return answer


def answer_in_time(question: Callable[[Progress], T], *, seconds: float, name: str) -> T:
    """The result of a request, which records its progress whenever it receives a partial response.

    Args:
        question: runs in a thread of its own, which is abandoned if it does not respond.
        seconds: maximum time to wait for each partial response.
        name: of the thread.

    Raises:
        NoAnswerError: if there was no response for that time.
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
        except Exception as error:  # noqa: BLE001 - raised again by the caller's result()
            answer.set_exception(error)
        del asked, question, answer  # release resources of the request, such as an open file
