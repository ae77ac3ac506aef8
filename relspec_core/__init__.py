"""relspec: calculation-driven data pipelines whose dependencies are inferred column by column."""

from relspec_core.errors import RelspecError
from relspec_core.evidence import Evidence, EvidenceCatalog
from relspec_core.execution import run
from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.inferred_deps import InferredDeps
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog, compile_task_catalog
from relspec_core.run_report import RunReport
from relspec_core.rustworkx_schedule import Schedule, schedule_rules
from relspec_core.task_catalog import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, task

__version__ = "0.1.0"

__all__ = [
    "Evidence",
    "EvidenceCatalog",
    "ExecutionContext",
    "InferredDeps",
    "PlanArtifact",
    "PlanCatalog",
    "RelspecError",
    "RunReport",
    "Schedule",
    "SourceSpec",
    "TaskBuildContext",
    "TaskCatalog",
    "TaskGraph",
    "TaskSpec",
    "compile_task_catalog",
    "run",
    "schedule_rules",
    "task",
    "task_graph_from_catalog",
]
