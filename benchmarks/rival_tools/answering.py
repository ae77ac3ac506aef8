"""The other end of a rival's pipe: times its tool in the tool's environment, and returns its answers."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Query = Mapping[str, Any]
Answer = Mapping[str, set[tuple[str, str]]]


def serve(*, prepare: Callable[[Query], Any], infer: Callable[[Any], Any], answer: Callable[[Any], Answer]) -> None:
    """Answer ``round`` and ``answers``, one a line, until the pipe closes.

    Args:
        prepare: converts a query (``text`` and ``tables``) to the tool's input; not timed.
        infer: the timed call; raises if the tool has no answer.
        answer: converts its result to the columns that each output is computed from.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of the tool is not a reply
    queries = {query["number"]: query for query in json.loads(Path(sys.argv[1]).read_text())}
    for line in sys.stdin:
        reply: dict[int, Any] = {}
        gc.collect()
        for number, query in queries.items():
            given = prepare(query)
            start = time.process_time()
            try:
                found = infer(given)
            except Exception as error:  # noqa: BLE001 - an exception of the tool is its answer
                found = error
            spent = time.process_time() - start
            reply[number] = spent if line.strip() == "round" else _as_answer(found, answer)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _as_answer(found: object, answer: Callable[[Any], Answer]) -> dict[str, list[tuple[str, str]]] | str:
    if isinstance(found, Exception):
        return f"{type(found).__name__}: {found}"[:200]
    return {name: sorted(columns) for name, columns in answer(found).items()}
