"""What stores have of sources, asked all at once, and without waiting for those that do not answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
from functools import partial

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.declaration.source_urls import is_url
from relspec_core.errors import SourceError
from relspec_core.sources.source_files import SourceFiles, files_now
from relspec_core.system.timeouts import TimeoutThread

MOST_SECONDS = 10.0  # for all stores together; a sensor has a minute for its whole tick


class StoragePolling:
    """Asks for a source's files again and again.

    Args:
        source: of which a file is in a store.
    """

    __slots__ = ("_answer", "_source", "_thread")

    def __init__(self, source: SourceSpec) -> None:
        self._source = source
        self._answer: Future[SourceFiles | None] | None = None
        self._thread = TimeoutThread(f"store of {source.name}")

    def ask(self) -> Future[SourceFiles | None]:
        """Ask, unless the answer to an earlier question is still to come or was not taken yet."""
        if self._answer is None:
            self._answer = self._thread.ask(partial(files_now, self._source))
        return self._answer

    def answer(self, *, since: float) -> SourceFiles | None:
        """What was asked for; a late answer is taken the next time.

        Args:
            since: when all were asked, on the monotonic clock; it is waited for no longer than its source says.

        Raises:
            SourceError: RS106, as ``source_files`` does, and where no answer came.
        """
        asked, seconds = self.ask(), min(MOST_SECONDS, self._source.timeout)
        if asked in wait([asked], timeout=max(0.0, since + seconds - time.monotonic())).not_done:
            raise SourceError(
                f"the store of source '{self._source.name}' does not answer within {seconds:g} s",
                at=", ".join(self._source.paths),
                hint="check the address, the network and the store itself; it is asked again.",
            )
        self._answer = None
        return asked.result()


class PolledStorages:
    """The stores of some sources.

    Args:
        sources: those that are in no store are left alone.
    """

    __slots__ = ("_questions",)

    def __init__(self, sources: Iterable[SourceSpec]) -> None:
        in_stores = [source for source in sources if any(is_url(path) for path in source.paths)]
        self._questions = {source.name: StoragePolling(source) for source in in_stores}

    def __contains__(self, source: object) -> bool:
        """Whether the source of this name is in a store."""
        return source in self._questions

    def ask(self) -> float:
        """Ask all of them at once; tell when that was, on the monotonic clock."""
        for question in self._questions.values():
            question.ask()
        return time.monotonic()

    def files(self, source: str, *, since: float) -> SourceFiles | None:
        """What the store of this source has.

        Raises:
            SourceError: RS106, as ``StoragePolling.answer`` does.
        """
        return self._questions[source].answer(since=since)
