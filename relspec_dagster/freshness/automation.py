"""Automation by edges: an asset is materialized when all of its edges are satisfied and it is stale."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace

import dagster as dg

from relspec_core.errors import ProjectionError
from relspec_dagster.freshness.evaluation import Evaluation
from relspec_dagster.translation.metadata import coded
from relspec_dagster.translation.projection import OutputAsset, Projection

NAME = "edges_ready"


def edges_ready() -> dg.AutomationCondition[dg.AssetKey]:
    """True for an asset while all that its plan reads exists with the columns that it reads, and the asset is stale.

    Stale as for ``relspec run``: its table does not exist, its plan is another one, or a column that it reads has
    changed. So it waits for a missing column, and does not run for a column that it does not read. What is made from
    assets that are requested in the same evaluation, and from what changes in them, is requested with them, in one run.

    It is true once for the same evidence, also where the run fails, and not while the asset is being materialized. What
    may come out differently each time, such as what reads the clock, is materialized when something that it reads has
    changed.

    It composes with Dagster's own conditions, as in ``edges_ready() & ~dg.AutomationCondition.any_deps_in_progress()``.
    Only ``build_definitions`` knows the edges: give it the condition as ``automation``, or let the translator's
    ``get_asset_spec`` return specs that have it.
    """
    return ~dg.AutomationCondition.in_progress() & EdgesReady()


class EdgesReady(dg.AutomationCondition[dg.AssetKey]):
    """The part of ``edges_ready`` that relspec decides.

    ``build_definitions`` binds it to an evaluation. It can't put another one in its place, as Dagster's ``newly_true``
    does not let its operand be replaced.
    """

    def __init__(self) -> None:
        self._evaluations: dict[dg.AssetKey, Evaluation] = {}

    def bind(self, evaluation: Evaluation) -> None:
        """Decide the assets of a catalog by this evaluation from now on."""
        self._evaluations.update(dict.fromkeys(evaluation.names, evaluation))

    @property
    def name(self) -> str:
        """Its name in a composed condition."""
        return NAME

    @property
    def description(self) -> str:
        """The text on Dagster's page of the asset's automation."""
        return "All of its edges are satisfied, and it is stale"

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Whether an asset is to be materialized now; the cursor holds the evidence of earlier requests."""
        evaluation = self._evaluation_of(context)
        if evaluation is None:
            return _result(context, is_true=False, cursor={})
        names = evaluation.names
        cursor = json.loads(context.cursor or "{}")
        previous = context.get_previous_requested_subset(context.key)
        asked = cursor.get("asked") if previous is None or previous.is_empty else cursor.get("seen")
        # An asset that is being materialized is no candidate: the evidence of its request is kept until its run ends.
        state = None if context.candidate_subset.is_empty else evaluation.at(context.evaluation_time)
        if state is None:
            return _result(context, is_true=False, cursor={"asked": asked})
        requested = {
            names[key]
            for key, subset in context.request_subsets_by_key.items()
            if isinstance(key, dg.AssetKey) and key in names and not subset.is_empty
        }
        request = state.request(names[context.key], requested=frozenset(requested))
        if request is None:
            return _result(context, is_true=False, cursor={})
        is_new = request.token != asked
        if is_new:
            context.log.info("requested %s: %s", context.key.to_user_string(), coded(request.reason))
        return _result(context, is_true=is_new, cursor={"seen": request.token, "asked": asked})

    def _evaluation_of(self, context: dg.AutomationContext[dg.AssetKey]) -> Evaluation | None:
        """The evaluation of an asset's catalog; None for an asset that plans read and no task writes."""
        if not self._evaluations:
            raise ProjectionError(
                f"the automation condition {NAME} of '{context.root_context.key.to_user_string()}' has no catalog",
                at="its automation condition",
                hint="give it to build_definitions, as automation or by the translator's specs.",
            )
        return self._evaluations.get(context.key)


def _result(
    context: dg.AutomationContext[dg.AssetKey], *, is_true: bool, cursor: Mapping[str, str | None]
) -> dg.AutomationResult[dg.AssetKey]:
    true_subset = context.candidate_subset if is_true else context.get_empty_subset()
    return dg.AutomationResult(context, true_subset, cursor=json.dumps(cursor))


def automate(
    projection: Projection, *, automation: dg.AutomationCondition | None, evaluation: Evaluation
) -> Projection:
    """The same assets with their automation conditions: a spec's own, or else this one, bound to the evaluation.

    Args:
        projection: of the catalog.
        automation: of all outputs whose specs have none.
        evaluation: of the same catalog.

    Raises:
        ProjectionError: RS501, where a source has such a condition.
    """
    for source in projection.sources:
        if any(parts_of_ours(source.automation_condition)):
            raise ProjectionError(
                f"source '{source.key.to_user_string()}' has the automation condition {NAME}, but no task writes it",
                at="RelspecTranslator.get_asset_spec",
                hint="give that condition to the outputs of tasks only.",
            )
    given = [output.spec.automation_condition or automation for output in projection.outputs]
    for condition in given:
        for part in parts_of_ours(condition):
            part.bind(evaluation)
    tasks = tuple(
        replace(task, outputs=tuple(_automated(output, automation) for output in task.outputs))
        for task in projection.tasks
    )
    return replace(projection, tasks=tasks)


def _automated(output: OutputAsset, automation: dg.AutomationCondition | None) -> OutputAsset:
    condition = output.spec.automation_condition or automation
    return replace(output, spec=output.spec.replace_attributes(automation_condition=condition))


def parts_of_ours(condition: dg.AutomationCondition | None) -> Iterator[EdgesReady]:
    """The parts of a composed condition that relspec decides."""
    if isinstance(condition, EdgesReady):
        yield condition
    for child in () if condition is None else condition.children:
        yield from parts_of_ours(child)
