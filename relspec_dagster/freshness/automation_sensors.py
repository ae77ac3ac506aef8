"""The sensors that evaluate automation by edges."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import dagster as dg

from relspec_dagster.freshness.automation import parts_of_ours
from relspec_dagster.freshness.carry_forward import KEEP_UNCHANGED
from relspec_dagster.translation.names import op_names
from relspec_dagster.translation.projection import Projection

MOST_ASSETS = 400  # of one sensor; Dagster refuses more than 500 assets and checks


def automation_sensors(
    projection: Projection, *, prefix: str, seconds: int | None, most: int = MOST_ASSETS
) -> tuple[dg.AutomationConditionSensorDefinition, ...]:
    """The sensors that evaluate the conditions of outputs, in the code location's own process, running from the start.

    Without one such sensor Dagster evaluates no condition that it does not know, and says nothing. A sensor has the
    assets of one group; those of a larger one are divided in name order. Its runs build what is stale when its turn
    comes.

    Args:
        projection: with its conditions.
        prefix: of the sensors' names.
        seconds: between two evaluations, at least; Dagster's own interval where left out.
        most: assets for one sensor.
    """
    groups: dict[str, list[dg.AssetKey]] = {}
    for output in projection.outputs:
        if any(parts_of_ours(output.spec.automation_condition)):
            groups.setdefault(output.spec.group_name or "default", []).append(output.spec.key)
    names = op_names(groups)  # a group's name may have slashes
    return tuple(
        _automation_sensor(f"{prefix}_automation_of_{name}", group, keys, seconds)
        for group, all_keys in sorted(groups.items())
        for name, keys in _shards(names[group], sorted(all_keys), most)
    )


def _automation_sensor(
    name: str, group: str, keys: list[dg.AssetKey], seconds: int | None
) -> dg.AutomationConditionSensorDefinition:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            name=name,
            target=dg.AssetSelection.assets(*keys),
            run_tags=dict(KEEP_UNCHANGED),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=seconds,
            use_user_code_server=True,
            description=f"Materializes assets of group '{group}' when what they read is there and has changed.",
        )


def _shards(name: str, keys: list[dg.AssetKey], most: int) -> Iterator[tuple[str, list[dg.AssetKey]]]:
    """The parts of a group with their names; its own where it is one part."""
    parts = [keys[start : start + most] for start in range(0, len(keys), most)]
    for number, part in enumerate(parts, start=1):
        yield (name if len(parts) == 1 else f"{name}_{number}"), part
