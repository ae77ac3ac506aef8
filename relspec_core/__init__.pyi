from .errors import RelspecError
from .evidence import Evidence, EvidenceCatalog
from .execution import run
from .graph_inference import TaskGraph, task_graph_from_catalog
from .inferred_deps import InferredDeps
from .plan_catalog import PlanArtifact, PlanCatalog, compile_task_catalog
from .run_report import RunReport
from .rustworkx_schedule import Schedule, schedule_rules
from .task_catalog import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, task

__version__: str

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
