"""One task explained: what it reads and how, its versions, when and why it last ran, and what it waits for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relspec_core.model.formatting import listed
from relspec_core.planning.run_plan import RunPlan, plan_run

if TYPE_CHECKING:
    from relspec_core.engines.duckdb_backend import Engine
    from relspec_core.evidence import BuildRecord
    from relspec_core.plan_catalog import PlanArtifact
    from relspec_core.task_catalog import ExecutionContext, TaskCatalog


SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of one task; prints itself.

    Attributes:
        task: its name.
        where: its file and line.
        planned: what a run for it would do.
    """

    task: str
    where: str
    planned: RunPlan

    @property
    def records(self) -> tuple[BuildRecord, ...]:
        """What was recorded of its outputs, of those that exist."""
        outputs = self.planned.graph.outputs_of(self.task)
        found = [self.planned.evidence[name] for name in outputs if name in self.planned.evidence]
        return tuple(table.record for table in found if table.record is not None)

    @property
    def internal(self) -> tuple[PlanArtifact, ...]:
        """Its outputs, where they are internal tables."""
        plans = self.planned.plans.of_task(self.task)
        return tuple(plan for plan in plans if plan.task.internal and plan.task.kind == "table")

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The tasks that have to run before it does, sorted."""
        upstream = self.planned.graph.ancestors([self.task]) - {self.task}
        return tuple(sorted(task for task in upstream if self.planned.action(task) != "skip"))

    def __str__(self) -> str:
        action, graph = self.planned.action(self.task), self.planned.graph
        lines = [self.where, f"  {action}: {self.planned.reason(self.task)}"]
        for edge in graph.edges_of(self.task):
            lines.append(f"  reads {edge.evidence}{'' if edge.columns else ': its rows, no column'}")
            lines += [f"    because {edge.unresolved}, all columns"] if edge.unresolved else []
            lines += [
                f"    {column} {edge.types[column]}: {', '.join(uses) or 'as it is'}"
                for column, uses in edge.uses.items()
            ]
        for plan in self.internal:
            lines.append(f"  writes {plan.name}: {', '.join(plan.schema)}")
            lines += [f"    because {self._why(plan)}"]
            lines += [f"    leaves out {', '.join(plan.left_out)}, which no task needs"] if plan.left_out else []
        for record in self.records:
            lines.append(f"  wrote {record.name}{'' if record.rows is None else f', {record.rows:,} rows'}")
            lines.append(f"    last ran {record.built_at:%Y-%m-%d %H:%M:%S} UTC, in {record.seconds:.2f} s")
            lines.append(f"    because {record.because}")
            lines.append(f"    version {record.versions.rows[:SHOWN]} of its rows")
            lines += [f"    version {found[:SHOWN]} of {name}" for name, found in record.versions.columns.items()]
        if self.waits_for:
            lines.append(f"  waits for {', '.join(self.waits_for)}")
        readers = sorted({reader for output in graph.outputs_of(self.task) for reader in graph.readers(output)})
        lines.append(f"  read by {', '.join(readers) or 'no task'}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """The same as JSON."""
        graph = self.planned.graph
        found = {
            "task": self.task,
            "where": self.where,
            "action": self.planned.action(self.task),
            "code": self.planned.code(self.task),
            "reason": self.planned.reason(self.task),
            "reads": {
                edge.evidence: {
                    "columns": {
                        column: {"type": str(edge.types[column]), "uses": list(uses)}
                        for column, uses in edge.uses.items()
                    },
                    "all_because": edge.unresolved,
                }
                for edge in graph.edges_of(self.task)
            },
            "writes": {
                plan.name: {"columns": list(plan.schema), "left_out": list(plan.left_out), "because": self._why(plan)}
                for plan in self.internal
            },
            "wrote": {
                record.name: {
                    "rows": record.rows,
                    "at": record.built_at.isoformat(),
                    "seconds": record.seconds,
                    "because": record.because,
                    "versions": {"rows": record.versions.rows, "columns": dict(record.versions.columns)},
                }
                for record in self.records
            },
            "waits_for": list(self.waits_for),
        }
        return json.dumps(found, indent=2)

    def _why(self, plan: PlanArtifact) -> str:
        """Why just these columns of an internal table are written."""
        edges = self.planned.graph.edges_from(plan.name)
        unresolved = [edge for edge in edges if edge.unresolved]
        if not edges:
            return "no task reads it, and so it is a result"
        if unresolved:
            return f"task '{unresolved[0].task}' needs all columns, because {unresolved[0].unresolved}"
        if not plan.needed:
            return f"{listed([edge.task for edge in edges])} read its rows, and a table has at least one column"
        return f"it is internal, and its readers need {'these' if plan.left_out else 'all'}"


def explain(
    task_catalog: TaskCatalog, task: str, *, backend: Engine, ctx: ExecutionContext | None = None
) -> Explanation:
    """What a task reads and how, its versions, when and why it last ran, and what it waits for; nothing is written.

    Args:
        task_catalog: what users declared.
        task: its name, or an evidence that it writes.
        backend: of the warehouse.
        ctx: more sources, and parameters.

    Raises:
        RelspecError: as ``plan_run`` does; ``UnknownTargetError``, RS302, with the nearest name.
    """
    planned = plan_run(task_catalog, backend=backend, ctx=ctx, targets=[task])
    name = task if task in planned.graph.tasks else str(planned.graph.producer(task))
    (plan, *_) = planned.plans.of_task(name)
    return Explanation(task=name, where=plan.task.where, planned=planned)
