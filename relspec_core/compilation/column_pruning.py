"""Internal tables: written with only those columns that the tasks which read them need."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from relspec_core.compilation.plan_artifact import PlanArtifact, plan_artifact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.compilation.task_building import TaskBuilding
    from relspec_core.inferred_deps import InferredDeps


def prune_internal_tables(
    plans: Iterable[PlanArtifact], *, others: Iterable[PlanArtifact], builds: Mapping[str, TaskBuilding]
) -> tuple[PlanArtifact, ...]:
    """The same plans, in order, those of internal tables without the columns that no task needs.

    What a pruned plan no longer reads is not needed of its inputs either. A table that no task reads is a result, and
    whole. So is one that is read in ways which can't be resolved, a view, which costs nothing to write, and one that
    reads itself in a circle, which is refused later. Of a table of which only the rows count, one column is written.

    Args:
        plans: whole.
        others: more plans, whose reading counts where there is no plan of that name.
        builds: of each task with a plan, the round that it was built in.
    """
    found = {plan.name: plan for plan in plans}
    reading = {**{plan.name: plan for plan in others}, **found}
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for plan in reading.values():
        for name in plan.deps.inputs:
            readers[name].append(plan.name)
    for name in _downstream_first(reading, readers):
        plan = reading[name]
        if name in found and _is_internal(plan):
            read = [reading[reader].deps for reader in readers[name]]
            reading[name] = _pruned(plan, [deps for deps in read if name in deps.inputs], builds[plan.task.name])
    return tuple(reading[name] for name in found)


def _is_internal(plan: PlanArtifact) -> bool:
    return bool(plan.task.internal) and plan.task.kind == "table"


def _downstream_first(plans: Mapping[str, PlanArtifact], readers: Mapping[str, list[str]]) -> Iterator[str]:
    """The plans, each after those that read it; less those that lead to a circle."""
    waiting = {name: len(readers.get(name, ())) for name in plans}
    ready = [name for name, left in waiting.items() if not left]
    while ready:
        name = ready.pop()
        inputs = plans[name].deps.inputs  # all of them, before any is pruned away
        yield name
        for upstream in inputs:
            if upstream in waiting:
                waiting[upstream] -= 1
                if not waiting[upstream]:
                    ready.append(upstream)


def _pruned(plan: PlanArtifact, read: list[InferredDeps], building: TaskBuilding) -> PlanArtifact:
    """A plan as far as its readers, given by what they read, need it."""
    if not read or any(plan.name in deps.unresolved for deps in read):
        return plan
    wanted = {column for deps in read for column in deps.required_columns[plan.name]}
    needed = tuple(column for column in plan.whole if column in wanted)
    written = needed or (_plainest(plan),)
    if len(written) == len(plan.whole):
        return replace(plan, needed=needed)
    built = building.built[plan.task.name]
    fewer = replace(built, exprs={**built.exprs, plan.name: built.exprs[plan.name].select(*written)})
    return replace(plan_artifact(building, fewer, plan.name), whole=plan.whole, needed=needed)


def _plainest(plan: PlanArtifact) -> str:
    """The column to write where only rows are read: the first that is always the same and of a fixed size, if any."""

    def costs(column: str) -> tuple[bool, bool]:
        return plan.calculations.columns[column].volatile is not None, not _has_fixed_size(plan.whole[column])

    return min(plan.whole, key=costs)


def _has_fixed_size(kind: dt.DataType) -> bool:
    return kind.is_numeric() or kind.is_boolean() or kind.is_temporal()
