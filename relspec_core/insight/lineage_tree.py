"""Where a column comes from and where it goes, through the plans of a whole catalog, with the use on each step."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from relspec_core.errors import UnknownColumnError
from relspec_core.model.formatting import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relspec_core.inferred_deps import ColumnUse, Use
    from relspec_core.insight.column_reference import EvidenceReference
    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog


Direction: TypeAlias = Literal["upstream", "downstream"]
DIRECTIONS: tuple[Direction, ...] = ("upstream", "downstream")

Place: TypeAlias = tuple[str, str | None]
"""An evidence and a column of it; None: its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageStep:
    """One step of a walk from column to column.

    Attributes:
        depth: steps from the start, which is 0.
        before: the place that this step was taken from.
        place: where it leads.
        uses: how the downstream one of the two uses the other; none where it only depends on its rows.
        again: whether the place was visited before, so that its own steps are listed there.
    """

    depth: int
    before: Place
    place: Place
    uses: tuple[Use, ...]
    again: bool

    def __str__(self) -> str:
        uses = f"  {', '.join(self.uses)}" if self.uses else ""
        return f"{'  ' * self.depth}{_named(self.place)}{uses}{'  (above)' if self.again else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageTree:
    """The walks that were asked for, each as steps in the order of a tree that is read from the top.

    Attributes:
        start: an evidence and a column of it.
        walks: direction to steps; no steps: a source's column, or one that nobody reads.
    """

    start: Place
    walks: Mapping[Direction, tuple[LineageStep, ...]]

    def __str__(self) -> str:
        lines = [_named(self.start)]
        for direction, steps in self.walks.items():
            lines += [direction, *(map(str, steps) if steps else [f"  {NOTHING[direction]}"])]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The tree as JSON: a list of steps for each direction; a null column means the rows."""
        walks = {
            direction: [
                {
                    "depth": step.depth,
                    "before": _place_data(step.before),
                    **_place_data(step.place),
                    "uses": [str(use) for use in step.uses],
                    "again": step.again,
                }
                for step in steps
            ]
            for direction, steps in self.walks.items()
        }
        return json.dumps({**_place_data(self.start), **walks}, indent=2)


NOTHING: Mapping[Direction, str] = {
    "upstream": "nothing: no task computes it from a column",
    "downstream": "nothing: nobody reads it",
}


def lineage_tree(
    column: EvidenceReference, plans: PlanCatalog, *, directions: Iterable[Direction] = DIRECTIONS
) -> LineageTree:
    """Every column and row set that a column comes from, and every one that it makes or decides.

    What decides which rows a table has counts for each of its columns. Each place is walked once. O(V + E).

    Raises:
        UnknownColumnError: RS102, for a column that is not written, as no task needs it.
    """
    if column.evidence in plans and column.column in plans[column.evidence].left_out:
        plan = plans[column.evidence]
        raise UnknownColumnError(
            f"'{column}' is not written: '{column.evidence}' is internal, and no task needs this column",
            at=plan.task.where,
            hint=f"name one that is written ({listed(plan.schema, most=40)}), or read it in a task.",
        )
    start = (column.evidence, column.column)
    neighbours: dict[Direction, Callable[[Place], Steps]] = {
        "upstream": lambda place: _upstream(place, plans),
        "downstream": lambda place: _downstream(place, readers),
    }
    readers: defaultdict[str, list[PlanArtifact]] = defaultdict(list)
    for plan in plans:
        for evidence in plan.deps.inputs:
            readers[evidence].append(plan)
    return LineageTree(start=start, walks={direction: _walk(start, neighbours[direction]) for direction in directions})


Steps: TypeAlias = "dict[Place, set[Use]]"


def _walk(start: Place, neighbours: Callable[[Place], Steps]) -> tuple[LineageStep, ...]:
    """The steps from a place, depth first; without recursion, as chains may be long."""
    found: list[LineageStep] = []
    walked = {start: neighbours(start)}
    pending = _steps_from(start, walked[start], depth=1)
    while pending:
        depth, before, place, uses = pending.pop()
        again = place in walked
        steps = walked.setdefault(place, {} if again else neighbours(place))
        found.append(LineageStep(depth=depth, before=before, place=place, uses=uses, again=again and bool(steps)))
        if not again:
            pending += _steps_from(place, steps, depth=depth + 1)
    return tuple(found)


def _steps_from(before: Place, steps: Steps, *, depth: int) -> list[tuple[int, Place, Place, tuple[Use, ...]]]:
    """Steps to be popped in name order."""
    named = sorted(steps, key=lambda place: (place[0], place[1] or ""), reverse=True)
    return [(depth, before, place, tuple(sorted(steps[place]))) for place in named]


def _upstream(place: Place, plans: PlanCatalog) -> Steps:
    """What a column or row set is made from or decided by; of inputs that give it no column, their rows."""
    evidence, column = place
    found: Steps = {}
    if evidence not in plans:
        return found
    deps = plans[evidence].deps
    for use in (*(deps.lineage[column] if column is not None else ()), *deps.row_uses):
        found.setdefault((use.evidence, use.column), set()).add(use.use)
    named = {read for read, _ in found}
    return found | {(read, None): set() for read in deps.inputs if read not in named}


def _downstream(place: Place, readers: Mapping[str, list[PlanArtifact]]) -> Steps:
    """What a column makes or decides; what a row set decides are the rows of each reader."""
    evidence, column = place
    found: Steps = {}
    for plan in readers.get(evidence, ()):
        rows = (plan.name, None)
        if column is None:
            found[rows] = set()
        elif column in plan.deps.required_columns[evidence]:
            outputs: Steps = {
                (plan.name, output): kinds
                for output, uses in plan.deps.lineage.items()
                if (kinds := _kinds(uses, evidence, column))
            }
            deciding = _kinds(plan.deps.row_uses, evidence, column)
            found |= outputs
            if deciding or not outputs:
                found[rows] = deciding
    return found


def _kinds(uses: Iterable[ColumnUse], evidence: str, column: str) -> set[Use]:
    return {use.use for use in uses if (use.evidence, use.column) == (evidence, column)}


def _named(place: Place) -> str:
    evidence, column = place
    return f"rows of {evidence}" if column is None else f"{evidence}.{column}"


def _place_data(place: Place) -> dict[str, str | None]:
    return {"evidence": place[0], "column": place[1]}
