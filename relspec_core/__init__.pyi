from .declaration.source_spec import SourceSpec
from .engines.sqlglot_build import CompiledSqlglotWarning
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
from .execution import run
from .exports.graph_drawing import graph_to_dot, graph_to_json, graph_to_mermaid
from .exports.openlineage import column_lineage_facets, to_openlineage_json
from .graph_inference import EdgeRequirement, TaskGraph, task_graph_from_catalog
from .hamilton_output import HamiltonRun, SourceInput, draw_hamilton_module, hamilton_module, write_hamilton_module
from .inferred_deps import InferredDeps
from .insight.catalog_check import CatalogReport, check_catalog
from .insight.catalog_diff import CatalogDiff, catalog_diff
from .insight.column_reference import EvidenceReference, find_column_reference, find_evidence, find_reference
from .insight.contract import Contract, contract_of
from .insight.explanation import Explanation, explain
from .insight.impact import impact_of
from .insight.impact_report import Impact
from .insight.lineage_tree import LineageTree, lineage_tree
from .insight.pytest_module import TaskFixtures, task_fixtures
from .insight.schema_change import EvidenceChange, dropped, proposed, recalculated, renamed, retyped
from .insight.unused_columns import UnusedReport, unused_columns
from .insight.what_if_plans import PlanCompiler
from .plan_catalog import PartialCatalog, PlanArtifact, PlanCatalog, compile_task_catalog, compile_what_compiles
from .planning.plan_snapshot import plan_snapshot, read_plan_snapshot
from .planning.revision_snapshot import snapshot_at
from .planning.run_plan import RunPlan, plan_run
from .projects.catalog_loading import catalog_at
from .projects.project import Project, find_project
from .runs.history import RunHistory, RunRecord
from .runs.options import RunOptions
from .runs.report import RunReport
from .runs.run_log import RunLog
from .runs.timeline import timeline
from .rustworkx_schedule import Schedule, schedule_rules
from .sources.schema_files import schema_in_file, type_named
from .system.compile_cache import CompileCache
from .task_catalog import ExecutionContext, TaskBuildContext, TaskCatalog, TaskSpec, task
from .warehouses.warehouse_selection import warehouse_of

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
    "graph_to_dot",
    "graph_to_json",
    "graph_to_mermaid",
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
