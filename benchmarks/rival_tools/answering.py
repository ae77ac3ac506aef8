"""The other end of a rival's pipe: times its tool in the environment that has it, and tells what it answers."""

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
        prepare: makes of a query (``text`` and ``tables``) what the tool is given; not timed.
        infer: what is timed; raises where the tool can't tell.
        answer: what it gave, as the columns that each output comes from.
    """
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the tool prints is no reply
    queries = {query["number"]: query for query in json.loads(Path(sys.argv[1]).read_text())}
    for line in sys.stdin:
        reply: dict[int, Any] = {}
        gc.collect()
        for number, query in queries.items():
            given = prepare(query)
            start = time.process_time()
            try:
                found = infer(given)
            except Exception as error:  # noqa: BLE001 - whatever a tool raises is its answer
                found = error
            spent = time.process_time() - start
            reply[number] = spent if line.strip() == "round" else _told(found, answer)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _told(found: object, answer: Callable[[Any], Answer]) -> dict[str, list[tuple[str, str]]] | str:
    if isinstance(found, Exception):
        return f"{type(found).__name__}: {found}"[:200]
    return {name: sorted(columns) for name, columns in answer(found).items()}
