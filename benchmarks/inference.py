"""Cost of inferring lineage: relspec, SQLGlot and, on request, other tools.

All are interleaved over the same queries of TPC-DS. A ratio is taken within a round, and the median over the
rounds is printed: other load on the machine slows all of a round alike.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeAlias

from benchmarks.contenders import Contender, contenders
from benchmarks.goals import Goal, Rounds, ratio
from benchmarks.projects import cost_per_task, project
from benchmarks.rivals import RIVALS, RivalFailed, RivalProcess
from benchmarks.tpcds import Answer, Column, Database, Query, Reads
from relspec_core.inferred_deps import InferredDeps, Use

FLOOR, RELSPEC, LINEAGE, SQLMESH = "SQLGlot parse + qualify", "relspec", "sqlglot.lineage", "SQLMesh"
SIZES = (50, 200, 800)
RIVAL_ROUNDS = 3
VALUE_USES = frozenset({Use.IDENTITY, Use.TRANSFORMATION, Use.AGGREGATION, Use.CONDITIONAL, Use.WINDOW})


GOALS = (
    Goal(of=RELSPEC, to=FLOOR, bound=1.5, at_most=True),
    Goal(of=LINEAGE, to=RELSPEC, bound=2.5, at_most=False),
    Goal(of=SQLMESH, to=RELSPEC, bound=4, at_most=False),
)


def main() -> None:
    """Run the benchmarks that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rivals", action="store_true", help="install and measure SQLMesh, SQLLineage and DataHub too")
    parser.add_argument("--profile", action="store_true", help="print a profile of relspec's time instead")
    parser.add_argument("--sizes", action="store_true", help="measure the cost per task only")
    options = parser.parse_args()
    if not options.sizes:
        database = Database()
        queries = database.queries()
        if options.profile:
            _profile(queries)
            return
        _compare(database, queries, rounds=options.rounds, rivals=options.rivals)
    _scale(rounds=max(3, options.rounds // 2))


def _compare(database: Database, queries: Sequence[Query], *, rounds: int, rivals: bool) -> None:
    own = contenders(queries)
    started, absent = _started(queries) if rivals else ({}, [])
    shares = _shares(database, queries, own, {process.name: answers for process, answers in started.items()})
    turns: dict[str, Callable[[], dict[int, float]]] = {
        **{contender.name: lambda contender=contender: contender.round(queries) for contender in own},
        **{process.name: process.round for process in started},
    }
    ours = {contender.name for contender in own}
    spent = [
        {name: sum(turn().values()) for name, turn in turns.items() if name in ours or number < RIVAL_ROUNDS}
        for number in range(rounds)
    ]
    for process in started:
        process.close()
    print(f"\nTPC-DS, {len(queries)} queries; CPU time, medians of {rounds} interleaved rounds\n")
    _table(spent, shares, queries=len(queries))
    for line in absent:
        print(f"  {line}")
    print(NOTES)
    for goal in GOALS:
        print(f"  goal: {goal.verdict(spent)}")


NOTES = """
  lineage right: for every output column, all that the value is made from, and nothing that DuckDB does not read for it.
  reads right:   all columns that DuckDB's plan reads and no others; a tool without such a list is taken at its lineage.
"""


Answers: TypeAlias = Mapping[int, Answer | None]


def _started(queries: Sequence[Query]) -> tuple[dict[RivalProcess, Answers], list[str]]:
    """The rivals that run, warmed up by answering all queries; and a line for each of the others."""
    started: dict[RivalProcess, Answers] = {}
    absent: list[str] = []
    for rival in RIVALS:
        try:
            process = RivalProcess(rival, queries)
            started[process] = process.answers()
        except RivalFailed as error:
            absent.append(str(error))
    return started, absent


Shares: TypeAlias = Mapping[str, tuple[int, int, int]]


def _shares(
    database: Database,
    queries: Sequence[Query],
    own: Sequence[Contender],
    rivals: Mapping[str, Answers],
) -> Shares:
    """For each contender the number of queries with an answer, with correct lineage, and with all required columns."""
    reads = {query.number: database.reads(query) for query in queries}
    relspec = next(contender for contender in own if contender.name == RELSPEC)
    deps = {query.number: relspec.infer(query) for query in queries}
    values = {number: _values(found) for number, found in deps.items()}
    shares: dict[str, tuple[int, int, int]] = {}
    for contender in own:
        if contender.answer is None:
            continue
        found = {query.number: contender.infer(query) for query in queries}
        answers: Answers = {number: contender.answer(item) for number, item in found.items()}
        required = contender.required
        listed = {} if required is None else {number: required(item) for number, item in found.items()}
        shares[contender.name] = _share(reads, values, answers, listed)
    for name, answered in rivals.items():
        shares[name] = _share(reads, values, answered, {})
    return shares


def _values(deps: InferredDeps) -> Answer:
    """The columns that each output's value is computed from or decided by, without those in filters of subqueries."""
    return {
        name: frozenset((use.evidence, use.column) for use in uses if use.use in VALUE_USES)
        for name, uses in deps.lineage.items()
    }


def _share(
    reads: Mapping[int, Reads],
    values: Mapping[int, Answer],
    answers: Answers,
    listed: Mapping[int, frozenset[Column]],
) -> tuple[int, int, int]:
    answered = {number: answer for number, answer in answers.items() if answer}
    return (
        len(answered),
        sum(reads[number].agrees(answer, values=values[number]) for number, answer in answered.items()),
        sum(
            listed.get(number, frozenset().union(*answer.values())) == reads[number].all
            for number, answer in answered.items()
        ),
    )


def _table(rounds: Rounds, shares: Shares, *, queries: int) -> None:
    heads = ("/ floor", "/ relspec", "ms a query", "answered", "lineage right", "reads right")
    print(f"  {'':34}" + "".join(f"{head:>15}" for head in heads))
    for name in rounds[0]:
        seconds = median(spent[name] for spent in rounds if name in spent)
        figures = (ratio(rounds, name, FLOOR), ratio(rounds, name, RELSPEC), seconds / queries * 1000)
        cells = [*(f"{figure:.2f}" for figure in figures), *shares.get(name, ("-",) * 3)]
        print(f"  {name:34}" + "".join(f"{cell:>15}" for cell in cells))


def _scale(*, rounds: int) -> None:
    catalogs = {str(size): project(size) for size in SIZES}
    smallest, *_, largest = catalogs
    cost_per_task(catalogs[smallest])  # for warming up
    spent = [{size: cost_per_task(catalog) for size, catalog in catalogs.items()} for _ in range(rounds)]
    print(f"\ncompile_task_catalog, Ibis and SQL tasks in layers; CPU time, medians of {rounds} interleaved rounds\n")
    print(f"  {'tasks':>7}{'ms a task':>12}{f'/ {smallest} tasks':>13}")
    for size in catalogs:
        seconds = median(costs[size] for costs in spent)
        print(f"  {size:>7}{seconds * 1000:12.2f}{ratio(spent, size, smallest):13.2f}")
    goal = Goal(of=largest, to=smallest, bound=1.1, at_most=True)
    print(f"\n  goal: cost per task, {goal.verdict(spent)}")


def _profile(queries: Sequence[Query]) -> None:
    relspec = next(contender for contender in contenders(queries) if contender.name == RELSPEC)
    relspec.round(queries)
    profile = cProfile.Profile()
    profile.runcall(relspec.round, queries)
    for order in ("tottime", "cumulative"):
        pstats.Stats(profile).strip_dirs().sort_stats(order).print_stats(45)


if __name__ == "__main__":
    main()
