"""Column pruning of internal tables: only the columns that their readers need are written."""

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
    """Remove the columns that no task needs from the plans of internal tables; the order of plans is kept.

    Pruning propagates: what a pruned plan no longer reads is not needed from its inputs either. A table that no task
    reads is a result and not pruned. Neither is a table with an unresolved reader, a view, which costs nothing to
    write, or a table in a cycle, which is refused later. If only the rows of a table are read, one column is written.

    Args:
        plans: not pruned.
        others: more plans that count as readers, unless ``plans`` has a plan of the same name.
        builds: for each task with a plan, the build that it came from.
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
    """The plans in reverse topological order, without those upstream of a cycle."""
    waiting = {name: len(readers.get(name, ())) for name in plans}
    ready = [name for name, left in waiting.items() if not left]
    while ready:
        name = ready.pop()
        inputs = plans[name].deps.inputs  # taken before the plan is pruned
        yield name
        for upstream in inputs:
            if upstream in waiting:
                waiting[upstream] -= 1
                if not waiting[upstream]:
                    ready.append(upstream)


def _pruned(plan: PlanArtifact, read: list[InferredDeps], building: TaskBuilding) -> PlanArtifact:
    """A plan with only the columns that its readers need, given their dependencies."""
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
    """The column to write if only rows are read: preferably the first deterministic one of a fixed size."""

    def costs(column: str) -> tuple[bool, bool]:
        return plan.calculations.columns[column].volatile is not None, not _has_fixed_size(plan.whole[column])

    return min(plan.whole, key=costs)


def _has_fixed_size(kind: dt.DataType) -> bool:
    return kind.is_numeric() or kind.is_boolean() or kind.is_temporal()
