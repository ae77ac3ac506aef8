from .catalog_check import CatalogReport, check_catalog
from .catalog_diff import CatalogDiff, catalog_diff, plan_snapshot, read_plan_snapshot
from .catalog_reference import catalog_at
from .changed_plans import PlanCompiler
from .compile_cache import CompileCache
from .compiled_sqlglot import CompiledSqlglotWarning
from .contract import Contract, contract_of
from .engine_warehouse import warehouse_of
from .errors import (
    BuilderError,
    CatalogError,
    CompileError,
    CycleError,
    NotReadyError,
    ProjectionError,
    RelspecError,
    SecondWriterError,
    SourceError,
    SqlError,
    TaskFailedError,
    UnknownColumnError,
    UnknownTableError,
    UnknownTargetError,
    UnsupportedPlanError,
    WarehouseError,
)
from .evidence import Evidence, EvidenceCatalog
from .evidence_change import EvidenceChange, dropped, proposed, recalculated, renamed, retyped
from .evidence_reference import EvidenceReference, find_column_reference, find_evidence, find_reference
from .execution import run
from .explanation import Explanation, explain
from .graph_inference import EdgeRequirement, TaskGraph, task_graph_from_catalog
from .hamilton_output import (
    HamiltonRun,
    SourceInput,
    draw_hamilton_module,
    hamilton_module,
    write_hamilton_module,
)
from .impact import impact_of
from .impact_report import Impact
from .inferred_deps import InferredDeps
from .lineage_tree import LineageTree, lineage_tree
from .openlineage import column_lineage_facets, to_openlineage_json
from .plan_catalog import PartialCatalog, PlanArtifact, PlanCatalog, compile_task_catalog, compile_what_compiles
from .project import Project, find_project
from .revision import snapshot_at
from .run_log import RunLog
from .run_options import RunOptions
from .run_plan import RunPlan, plan_run
from .run_record import RunHistory, RunRecord
from .run_report import RunReport
from .run_timeline import timeline
from .rustworkx_schedule import Schedule, schedule_rules
from .schema_files import schema_in_file, type_named
from .task_catalog import ExecutionContext, SourceSpec, TaskBuildContext, TaskCatalog, TaskSpec, task
from .task_fixtures import TaskFixtures, task_fixtures
from .unused_columns import UnusedReport, unused_columns

__version__: str

__all__ = [
    "BuilderError",
    "CatalogDiff",
    "CatalogError",
    "CatalogReport",
    "CompileCache",
    "CompileError",
    "CompiledSqlglotWarning",
    "Contract",
    "CycleError",
    "EdgeRequirement",
    "Evidence",
    "EvidenceCatalog",
    "EvidenceChange",
    "EvidenceReference",
    "ExecutionContext",
    "Explanation",
    "HamiltonRun",
    "Impact",
    "InferredDeps",
    "LineageTree",
    "NotReadyError",
    "PartialCatalog",
    "PlanArtifact",
    "PlanCatalog",
    "PlanCompiler",
    "Project",
    "ProjectionError",
    "RelspecError",
    "RunHistory",
    "RunLog",
    "RunOptions",
    "RunPlan",
    "RunRecord",
    "RunReport",
    "Schedule",
    "SecondWriterError",
    "SourceError",
    "SourceInput",
    "SourceSpec",
    "SqlError",
    "TaskBuildContext",
    "TaskCatalog",
    "TaskFailedError",
    "TaskFixtures",
    "TaskGraph",
    "TaskSpec",
    "UnknownColumnError",
    "UnknownTableError",
    "UnknownTargetError",
    "UnsupportedPlanError",
    "UnusedReport",
    "WarehouseError",
    "catalog_at",
    "catalog_diff",
    "check_catalog",
    "column_lineage_facets",
    "compile_task_catalog",
    "compile_what_compiles",
    "contract_of",
    "draw_hamilton_module",
    "dropped",
    "explain",
    "find_column_reference",
    "find_evidence",
    "find_project",
    "find_reference",
    "hamilton_module",
    "impact_of",
    "lineage_tree",
    "plan_run",
    "plan_snapshot",
    "proposed",
    "read_plan_snapshot",
    "recalculated",
    "renamed",
    "retyped",
    "run",
    "schedule_rules",
    "schema_in_file",
    "snapshot_at",
    "task",
    "task_fixtures",
    "task_graph_from_catalog",
    "timeline",
    "to_openlineage_json",
    "type_named",
    "unused_columns",
    "warehouse_of",
    "write_hamilton_module",
]
