"""Apache Hamilton: the module that the inferred graph is written as, and what it calls when a driver executes it.

Hamilton itself is imported by the written module only.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import ibis

from relspec_core.engines.duckdb_file import connect
from relspec_core.errors import ProjectionError
from relspec_core.evidence import Evidence
from relspec_core.evidence_store import EvidenceStore
from relspec_core.execution import build_task
from relspec_core.exports.hamilton_module import (
    OUTPUT_VARIABLE,
    hamilton_module,
    hamilton_output_path,
    write_hamilton_module,
    write_if_asked,
)
from relspec_core.model.formatting import listed
from relspec_core.plan_catalog import PlanCatalog, compile_task_catalog
from relspec_core.projects.catalog_loading import catalog_at
from relspec_core.staleness.freshness import FreshnessEngine
from relspec_core.staleness.input_versions import InputVersions
from relspec_core.staleness.observation import observe
from relspec_core.task_catalog import TaskCatalog
from relspec_core.warehouses.warehouse import Warehouse
from relspec_core.warehouses.warehouse_selection import warehouse_of

if TYPE_CHECKING:
    from hamilton.driver import Driver
    from ibis.backends import BaseBackend

    from relspec_core.task_catalog import ExecutionContext


__all__ = [
    "Evidence",
    "HamiltonRun",
    "SourceInput",
    "draw_hamilton_module",
    "hamilton_module",
    "hamilton_output_path",
    "write_hamilton_module",
    "write_if_asked",
]

SourceInput: TypeAlias = str | Path | None
"""What a driver may give for a source: a file or glob to read it from; None: what the catalog says."""


class HamiltonRun:
    """Builds single tasks for the functions of a written module, upstream first, as Hamilton asks for them.

    The catalog is compiled once, here. The warehouse is observed again for each task, so that a run
    may serve several executions of a driver. Not for drivers that execute functions in several threads.

    Args:
        task_catalog: what users declared, or where it is: ``package.module:attribute``.
        database: path of a DuckDB file, which is open only while a task needs it; or a backend of DuckDB, which is left
            open. None: a database in memory, gone with the run.
        ctx: more sources, and parameters.

    Raises:
        RelspecError: RS1xx or RS2xx, for a catalog that can't be found or does not compile. WarehouseError: RS402.
    """

    __slots__ = ("_database", "_plans")

    def __init__(
        self,
        task_catalog: TaskCatalog | str,
        database: str | Path | BaseBackend | None = None,
        *,
        ctx: ExecutionContext | None = None,
    ) -> None:
        catalog = catalog_at(task_catalog) if isinstance(task_catalog, str) else task_catalog
        self._database = ibis.duckdb.connect() if database is None else database
        with self._warehouse() as warehouse:
            known = EvidenceStore(warehouse).known_sources()
            self._plans = compile_task_catalog(catalog, backend=warehouse.backend, ctx=ctx, known=known)

    @contextmanager
    def _warehouse(self) -> Generator[Warehouse]:
        """The warehouse. A driver does not say when it is done, and an open file keeps other processes out."""
        if not isinstance(self._database, str | Path):
            yield warehouse_of(self._database)
            return
        backend = connect(self._database)
        try:
            yield warehouse_of(backend)
        finally:
            backend.disconnect()

    def __repr__(self) -> str:
        return f"HamiltonRun({len(self._plans.tasks)} tasks)"

    def build(self, task: str, read: Mapping[str, Evidence | SourceInput]) -> dict[str, Evidence]:
        """The outputs of a task by name, brought up to date in the warehouse; a task that is up to date is not built.

        Args:
            task: its name.
            read: all that it reads. What tasks have built as evidence; sources as ``SourceInput``.

        Raises:
            NotReadyError: RS301, where what it reads is not there. TaskFailedError: RS401, where the engine refuses.
            ProjectionError: RS501, where the catalog is no longer the one that the module was written for.
        """
        plans = self._plans_of(task, read)
        given = [found for found in read.values() if isinstance(found, Evidence)]
        with self._warehouse() as warehouse:
            return _brought_up_to_date(task, plans, given, warehouse)

    def _plans_of(self, task: str, read: Mapping[str, Evidence | SourceInput]) -> PlanCatalog:
        """The plans of one task, its sources where the driver says that they are."""
        plans = self._plans.of_task(task)
        inputs = self._plans.deps_of(task).inputs
        if not plans or set(inputs) != set(read):
            now = f"now reads {listed(inputs)}" if plans else "is no longer in the catalog"
            raise ProjectionError(
                f"task '{task}' {now}; the Hamilton module was written when it read {listed(read)}",
                hint=f"write the module again: set {OUTPUT_VARIABLE}, or call write_hamilton_module.",
            )
        sources = {name: self._plans.sources[name] for name in inputs if name in self._plans.sources}
        given = {name: path for name in sources if isinstance(path := read[name], str | Path)}
        schemas = {name: self._plans.schemas[name] for name in sources}
        return PlanCatalog(
            plans,
            sources={**sources, **{name: replace(sources[name], path=path) for name, path in given.items()}},
            schemas={**schemas, **{name: self._plans[name].schema for name in inputs if name not in sources}},
            dialect=self._plans.dialect,
            cache=self._plans.cache,
        )


def _brought_up_to_date(
    task: str, plans: PlanCatalog, given: Iterable[Evidence], warehouse: Warehouse
) -> dict[str, Evidence]:
    """The outputs of the one task of these plans; all that it reads counts as sources, whose versions are known."""
    observed = observe(plans, warehouse)
    observed = replace(observed, evidence={**observed.evidence, **{found.name: found for found in given}})
    versions = InputVersions(observed, warehouse, plans)
    engine = FreshnessEngine(plans, evidence=observed.evidence, versions=versions.of)
    engine.update()
    fresh = engine.freshness[task]
    if fresh.stale is None:
        return {plan.name: observed.evidence[plan.name] for plan in plans}
    because = str(fresh.reason)
    built = build_task(task, plan_catalog=plans, warehouse=warehouse, observation=observed, because=because)
    return {output.name: output for output in built.outputs}


def draw_hamilton_module(driver: Driver, path: str | Path) -> tuple[Path, ...]:
    """The drawings of all functions of a driver: DOT always, and SVG where Graphviz is there.

    Args:
        driver: of Hamilton.
        path: of the drawings; its suffix is set to ``.dot`` and ``.svg``.

    Raises:
        ProjectionError: RS501, where the Python package ``graphviz`` is missing.
    """
    drawing = driver.display_all_functions()
    if drawing is None:
        raise ProjectionError("Hamilton can't draw without 'graphviz'", hint="pip install 'relspec[hamilton]'.")
    dot, svg = Path(path).with_suffix(".dot"), Path(path).with_suffix(".svg")
    dot.parent.mkdir(parents=True, exist_ok=True)
    dot.write_text(drawing.source, encoding="utf-8")
    if shutil.which("dot") is None:
        return (dot,)
    svg.write_bytes(drawing.pipe(format="svg"))
    return dot, svg
