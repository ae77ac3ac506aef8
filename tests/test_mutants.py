"""Law 8 on the queries of TPC-H and TPC-DS: edits that change no result keep the fingerprint, all others change it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby

import pytest

from tests.mutants import Mutant, fingerprints, harmful_mutants, harmless_mutants
from tests.tpc import QUERIES, TpcQuery

# Short ones that have each edit at least twice; all of them take minutes.
SAMPLE: Mapping[str, Collection[int]] = {"tpch": {6, 13, 15, 17, 22}, "tpcds": {17, 27, 55, 60, 82, 97}}
LEAST_KEPT = 0.99


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
