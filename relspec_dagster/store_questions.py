"""What stores have of sources, asked without waiting for those that do not answer."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from queue import SimpleQueue
from threading import Thread
from typing import TypeAlias
from weakref import finalize

from relspec_core.errors import SourceError
from relspec_core.source_files import SourceFiles, source_files
from relspec_core.task_catalog import SourceSpec

MOST_SECONDS = 10.0  # for all stores together; a sensor has a minute for its whole tick

Answer: TypeAlias = "Future[SourceFiles | None]"


class StoreQuestions:
    """Asks for a source's files again and again, in one thread: fsspec keeps its connections by thread.

    Args:
        source: of which a file is in a store.
    """

    __slots__ = ("__weakref__", "_answer", "_questions", "_source")

    def __init__(self, source: SourceSpec) -> None:
        self._source = source
        self._answer: Answer | None = None
        self._questions: SimpleQueue[Answer | None] = SimpleQueue()
        Thread(target=_answer_all, args=(source, self._questions), daemon=True, name=f"store of {source.name}").start()
        finalize(self, self._questions.put, None)

    def ask(self) -> Answer:
        """Ask, unless the answer to an earlier question is still to come or was not taken yet."""
        if self._answer is None:
            self._answer = Future()
            self._questions.put(self._answer)
        return self._answer

    def answer(self, *, until: float) -> SourceFiles | None:
        """What was asked for; a late answer is taken the next time.

        Args:
            until: how long to wait for it, on the monotonic clock.

        Raises:
            SourceError: RS106, as ``source_files`` does, and where no answer came.
        """
        asked = self.ask()
        if asked in wait([asked], timeout=max(0.0, until - time.monotonic())).not_done:
            raise SourceError(
                f"the store of source '{self._source.name}' does not answer",
                at=", ".join(self._source.paths),
                hint="check the address and the network; it is asked again.",
            )
        self._answer = None
        return asked.result()


def _answer_all(source: SourceSpec, questions: SimpleQueue[Answer | None]) -> None:
    while (answer := questions.get()) is not None:
        try:
            answer.set_result(source_files(source))
        except Exception as error:  # noqa: BLE001 - raised where the answer is taken
            answer.set_exception(error)
