"""Law 8 on the queries of TPC-H and TPC-DS: edits that change no result keep the fingerprint, all others change it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pytest
import sqlglot

from tests.laws.mutants import Mutant, fingerprints, harmful_mutants, harmless_mutants
from tests.laws.tpc import QUERIES, TpcQuery

# Short ones that have each edit at least twice; all of them take minutes.
SAMPLE: Mapping[str, Collection[int]] = {"tpch": {6, 13, 15, 17, 22}, "tpcds": {17, 27, 55, 60, 82, 97}}
LEAST_KEPT = 0.99
OLDEST_SQLGLOT = next(Path(sys.prefix).glob("sqlglot-*"), None)  # where `make test` puts it
FINGERPRINTS_AS_JSON = """
import json, sys, sqlglot
from tests.laws.mutants import fingerprints
print(json.dumps([sqlglot.__version__, list(fingerprints("tpcds", json.load(sys.stdin)).values())]))
"""


@pytest.fixture
def queries(request: pytest.FixtureRequest) -> Sequence[TpcQuery]:
    """A few, or with ``--all-mutants`` all."""
    every = request.config.getoption("--all-mutants")
    return [query for query in QUERIES if every or query.number in SAMPLE[query.suite]]


def with_the_fingerprint_of_the_query(
    make: Callable[[TpcQuery], list[Mutant]], queries: Iterable[TpcQuery]
) -> dict[Mutant, bool]:
    found: dict[Mutant, bool] = {}
    for query in queries:
        mutants = make(query)
        known = fingerprints(query.suite, [text for mutant in mutants for text in (mutant.base, mutant.text)])
        found.update({mutant: known[mutant.base] == known[mutant.text] for mutant in mutants})
    return found


def test_edits_that_change_no_result_keep_the_fingerprint(
    queries: Sequence[TpcQuery], record_property: Callable[[str, object], None]
) -> None:
    kept = with_the_fingerprint_of_the_query(harmless_mutants, queries)
    missed = [mutant for mutant, same in kept.items() if not same]
    record_property("harmless mutants", len(kept))
    record_property("of them taken for harmful", len(missed))
    assert len(missed) <= (1 - LEAST_KEPT) * len(kept), "\n".join(by_edit(kept, missed))


def by_edit(kept: Iterable[Mutant], missed: Iterable[Mutant]) -> Iterable[str]:
    edits = Counter(mutant.edit for mutant in kept)
    for edit, found in groupby(sorted(missed, key=lambda mutant: mutant.edit), lambda mutant: mutant.edit):
        names = [str(mutant.query) for mutant in found]
        yield f"{edit}: {len(names)} of {edits[edit]}: {', '.join(names)}"


def test_edits_that_change_a_result_change_the_fingerprint(
    queries: Sequence[TpcQuery], record_property: Callable[[str, object], None]
) -> None:
    kept = with_the_fingerprint_of_the_query(harmful_mutants, queries)
    record_property("harmful mutants", len(kept))
    assert [str(mutant) for mutant, same in kept.items() if same] == []


@pytest.mark.skipif(OLDEST_SQLGLOT is None, reason="the oldest SQLGlot is installed by make test")
def test_fingerprints_are_the_same_in_another_process_with_another_hash_seed_and_the_oldest_sqlglot() -> None:
    texts = [query.text for query in QUERIES if query.suite == "tpcds" and query.number in SAMPLE["tpcds"]]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FINGERPRINTS_AS_JSON],
        env={**os.environ, "PYTHONHASHSEED": "17", "PYTHONPATH": f"{OLDEST_SQLGLOT}{os.pathsep}{root}"},
        cwd=root,
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    version, found = json.loads(done.stdout)
    assert version != sqlglot.__version__
    assert found == list(fingerprints("tpcds", texts).values())
