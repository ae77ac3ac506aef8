"""The sensors behind automation: those that evaluate its conditions, and the one that carries assets forward."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator

import dagster as dg

from relspec_core.database_lock import DatabaseHeldError
from relspec_core.fingerprint import digest
from relspec_dagster.automation import parts_of_ours
from relspec_dagster.carry_forward import KEEP_UNCHANGED, carry_forward
from relspec_dagster.database import Resource, read_warehouse
from relspec_dagster.projection import Projection
from relspec_dagster.readers import Readers
from relspec_dagster.stale_assets import StaleAsset, stale_assets

LOG = logging.getLogger(__name__)
MOST_ASSETS = 400  # of one sensor; Dagster refuses more than 500 assets and checks


def automation_sensors(
    projection: Projection, readers: Readers, *, resource: Resource, seconds: int | None
) -> tuple[dg.SensorDefinition, ...]:
    """What automation by edges needs: nothing where no output has such a condition.

    Args:
        projection: with its conditions.
        readers: of the same catalog.
        resource: of the database.
        seconds: between two ticks of each sensor, at least; Dagster's own interval where left out.
    """
    conditions = condition_sensors(projection, seconds=seconds)
    return (*conditions, carry_forward_sensor(readers, resource=resource, seconds=seconds)) if conditions else ()


def condition_sensors(
    projection: Projection, *, seconds: int | None, most: int = MOST_ASSETS
) -> tuple[dg.AutomationConditionSensorDefinition, ...]:
    """The sensors that evaluate the conditions of outputs, in the code location's own process, running from the start.

    Without one such sensor Dagster evaluates no condition that it does not know, and says nothing. A sensor has the
    assets of one group; those of a larger one are divided in name order. Its runs build what is stale when its turn
    comes.

    Args:
        projection: with its conditions.
        seconds: between two evaluations, at least; Dagster's own interval where left out.
        most: assets for one sensor.
    """
    groups: dict[str, list[dg.AssetKey]] = {}
    for output in projection.outputs:
        if any(parts_of_ours(output.spec.automation_condition)):
            groups.setdefault(output.spec.group_name or "default", []).append(output.spec.key)
    return tuple(
        _condition_sensor(group, name, keys, seconds)
        for group, all_keys in sorted(groups.items())
        for name, keys in _shards(group, sorted(all_keys), most)
    )


def _condition_sensor(
    group: str, name: str, keys: list[dg.AssetKey], seconds: int | None
) -> dg.AutomationConditionSensorDefinition:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            name=f"relspec_automation_of_{name}",
            target=dg.AssetSelection.assets(*keys),
            run_tags=dict(KEEP_UNCHANGED),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=seconds,
            use_user_code_server=True,
            description=f"Materializes assets of group '{group}' when what they read is there and has changed.",
        )


def _shards(group: str, keys: list[dg.AssetKey], most: int) -> Iterator[tuple[str, list[dg.AssetKey]]]:
    """The parts of a group with their names; the group's own where it is one part."""
    parts = [keys[start : start + most] for start in range(0, len(keys), most)]
    for number, part in enumerate(parts, start=1):
        yield (group if len(parts) == 1 else f"{group}_{number}"), part


def carry_forward_sensor(readers: Readers, *, resource: Resource, seconds: int | None) -> dg.SensorDefinition:
    """The sensor by which assets stay fresh that read nothing of what arrived or was built elsewhere; it starts no run.

    It looks at the warehouse only where other assets are stale than when it looked last, or others of their inputs have
    arrived.
    """

    @dg.sensor(
        name="relspec_carry_forward",
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Carries assets forward that depend on what is new and read nothing of it that changed.",
    )
    def carry(context: dg.SensorEvaluationContext) -> dg.SkipReason | dg.SensorResult:
        stale = stale_assets(context.instance, readers, readers.by_evidence)
        if not stale or _state(stale) == context.cursor:
            return dg.SkipReason("Dagster calls nothing stale but what relspec calls stale too.")
        try:
            with read_warehouse(resource, say=LOG.info) as warehouse:
                if warehouse.recorded is not None:
                    return dg.SkipReason("A run writes to the database.")
                carried = carry_forward(context.instance, readers, warehouse)
        except DatabaseHeldError as error:
            return dg.SkipReason(f"The database can't be read now: {error}")
        names = ", ".join(key.to_user_string() for key in carried) or "nothing"
        reason = dg.SkipReason(f"Carried forward: {names}.")
        left = _state(found for found in stale if found.output.spec.key not in carried)
        return dg.SensorResult(skip_reason=reason, cursor=left)

    return carry


def _state(stale: Iterable[StaleAsset]) -> str:
    """Stands for what Dagster calls stale."""
    return digest(tuple((found.output.artifact.name, *map(str, found.state)) for found in stale))
