"""The assets that Dagster calls stale, by the data versions that it has recorded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from relspec_dagster.freshness.data_versions import Recorded, last_recorded, version_of
from relspec_dagster.translation.consumers import Consumers
from relspec_dagster.translation.projection import OutputAsset


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleAsset:
    """An asset that Dagster calls stale.

    Attributes:
        output: the asset and its plan.
        last: its last materialization.
        inputs: the last materializations of its inputs.
        moved: the inputs with another data version than at its last materialization.
    """

    output: OutputAsset
    last: Recorded
    inputs: Mapping[dg.AssetKey, Recorded | None]
    moved: tuple[str, ...]

    @property
    def state(self) -> tuple[int, ...]:
        """The last materializations of the asset and of its inputs, as storage ids."""
        return (self.last.storage_id, *(0 if found is None else found.storage_id for found in self.inputs.values()))

    @property
    def reason(self) -> str:
        """Why it may be carried forward."""
        needs = {check.edge.evidence: check.edge.needs for check in self.output.checks}
        parts = [f"reads nothing of '{name}' that changed; it reads {needs[name]}" for name in self.moved]
        return "carried forward: " + ("; ".join(parts) or "has what its plan requires now")


def stale_assets(instance: dg.DagsterInstance, readers: Consumers, evidence: Iterable[str]) -> tuple[StaleAsset, ...]:
    """Of the assets that read any of this evidence, those that Dagster calls stale, in name order; by one query."""
    names = sorted({name for read in evidence for name in readers.by_evidence.get(read, ())})
    outputs = [readers.outputs[name] for name in names]
    inputs = [key for output in outputs for key in readers.inputs_of(output).values()]
    recorded = last_recorded(instance, [*(output.spec.key for output in outputs), *inputs])
    found: list[StaleAsset] = []
    for output in outputs:
        last, keys = recorded.get(output.spec.key), readers.inputs_of(output)
        if last is None:
            continue
        now = {key: recorded.get(key) for key in keys.values()}
        before = last.inputs
        moved = tuple(read for read, key in keys.items() if before.get(key.to_user_string()) != version_of(now[key]))
        is_other = output.spec.code_version not in (None, last.code_version) or len(before) != len(now)
        if moved or is_other:
            found.append(StaleAsset(output=output, last=last, inputs=now, moved=moved))
    return tuple(found)
