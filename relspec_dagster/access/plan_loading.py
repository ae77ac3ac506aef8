"""The plans behind a code location: compiled once, when it is loaded, and the same ones in every run that it starts.

Dagster loads the user's code again in the process of each run. By then a source may have lost the column that a check
is to name, or the database may be locked. So what the sources looked like when the code location was loaded goes to its
runs as Dagster's reconstruction metadata, and there plans are compiled against that, without a look at a file or table.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import ibis
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from ibis.common.annotations import ValidationError

from relspec_core.declaration.source_spec import SourceSpec
from relspec_core.engines.duckdb_backend import ExclusiveDuckDB
from relspec_core.engines.duckdb_file import DatabaseHeldError, Holder, connect
from relspec_core.errors import RelspecError, WarehouseError
from relspec_core.evidence_store import EvidenceStore
from relspec_core.plan_catalog import PlanCatalog, compile_task_catalog
from relspec_core.task_catalog import ExecutionContext, TaskCatalog
from relspec_core.warehouses.shared_reading import notice_of
from relspec_core.warehouses.snapshot import find_snapshot
from relspec_core.warehouses.warehouse_selection import warehouse_of
from relspec_dagster.access.resources import RelspecResource

# Dagster's own integrations use these; there is no public name for them yet.


# An op holds the file while it builds its tables; most take less than this.
LOOK_SECONDS = 3.0
LOG = logging.getLogger(__name__)


def load_plans(
    task_catalog: TaskCatalog, *, database: Path | RelspecResource, ctx: ExecutionContext | None
) -> PlanCatalog:
    """The plans of a catalog, for the code location that is being loaded.

    Args:
        task_catalog: what users declared.
        database: the DuckDB file; it is looked at for a moment, read-only, and need not exist. Or another engine.
        ctx: more sources, and parameters.

    Raises:
        RelspecError: RS1xx or RS2xx, as ``compile_task_catalog`` does.
        WarehouseError: RS402, where the file can't be read, or is being written to and it alone knows a source.
    """
    context = ctx or ExecutionContext()
    if isinstance(database, RelspecResource):
        with database.get_backend() as backend:
            known = EvidenceStore(warehouse_of(backend)).known_sources()
            return compile_task_catalog(task_catalog, backend=backend, ctx=context, known=known)
    key = _state_key(task_catalog, database)
    loaded = _schemas_at_load(key)
    plans = None if loaded is None else _compile_as(task_catalog, context, loaded)
    if plans is None:
        plans = _compile_live(task_catalog, database, context)
    DefinitionsLoadContext.get().add_to_pending_reconstruction_metadata(key, _to_json(plans.schemas))
    return plans


def _compile_live(task_catalog: TaskCatalog, database: Path, context: ExecutionContext) -> PlanCatalog:
    """The plans on the present evidence; waits for a writer only for what was never recorded or declared."""
    try:
        with _closed(connect(database, read_only=True)) as engine:
            return _compile_on(engine, task_catalog, context)
    except DatabaseHeldError as error:
        holder = error.holder
    try:
        return _compile_beside(holder, task_catalog, database, context)
    except RelspecError as error:
        try:
            with _closed(connect(database, read_only=True, wait=LOOK_SECONDS)) as engine:
                return _compile_on(engine, task_catalog, context)
        except DatabaseHeldError as held:
            raise WarehouseError(
                f"'{database}' is being written to by {held.holder}, and what it alone knows is missing: {error.what}",
                at=error.at,
                hint="load the code location again when the run is over, or declare the schemas of its sources.",
            ) from error


def _compile_beside(
    holder: Holder, task_catalog: TaskCatalog, database: Path, context: ExecutionContext
) -> PlanCatalog:
    """The plans against what was recorded of the database, while another process writes to it."""
    snapshot = find_snapshot(database)
    if snapshot is None:
        return compile_task_catalog(task_catalog, ctx=context)
    with _closed(snapshot) as engine:
        plans = _compile_on(engine, task_catalog, context)
    LOG.warning(notice_of(snapshot.snapshot, holder=holder, database=database))
    return plans


def _compile_on(engine: ExclusiveDuckDB, task_catalog: TaskCatalog, context: ExecutionContext) -> PlanCatalog:
    known = EvidenceStore(warehouse_of(engine)).known_sources()
    return compile_task_catalog(task_catalog, backend=engine, ctx=context, known=known)


@contextmanager
def _closed(engine: ExclusiveDuckDB) -> Generator[ExclusiveDuckDB]:
    """The engine, closed when the body ends: a file is held no longer than it is looked at."""
    try:
        yield engine
    finally:
        engine.disconnect()


def _compile_as(
    task_catalog: TaskCatalog, context: ExecutionContext, schemas: Mapping[str, ibis.Schema]
) -> PlanCatalog | None:
    """The plans against these schemas of sources, as if users had declared them; nothing is looked at.

    None where they do not compile so: the code has changed since it was loaded.
    """
    declared = {source.name: source for source in (*task_catalog.sources, *context.sources)}
    seen = [replace(declared.get(name, SourceSpec(name)), schema=schema) for name, schema in schemas.items()]
    assumed = [*seen, *(source for name, source in declared.items() if name not in schemas)]
    try:
        plans = compile_task_catalog(
            TaskCatalog(task_catalog.tasks, assumed), ctx=ExecutionContext(params=context.params)
        )
    except RelspecError:
        return None
    return PlanCatalog(
        tuple(plans),
        sources={name: declared.get(name, SourceSpec(name)) for name in plans.sources},
        schemas=plans.schemas,
        dialect=plans.dialect,
    )


def _schemas_at_load(key: str) -> Mapping[str, ibis.Schema] | None:
    """What the process that loaded the code location found; None in that process itself."""
    context = DefinitionsLoadContext.get()
    if context.load_type is DefinitionsLoadType.INITIALIZATION:
        return None
    text = context.reconstruction_metadata.get(key)
    return None if text is None else _from_json(text)


def _state_key(task_catalog: TaskCatalog, database: Path) -> str:
    """The same for the same catalog and database, as one code location may have several of them."""
    names = json.dumps([str(database), *task_catalog.names])
    return f"relspec/{hashlib.sha256(names.encode()).hexdigest()[:16]}"


def _to_json(schemas: Mapping[str, ibis.Schema]) -> str:
    """The schemas as text; without those that Ibis can't read back, which runs then look up for themselves."""
    texts = {name: {column: str(kind) for column, kind in schema.items()} for name, schema in schemas.items()}
    return json.dumps({name: columns for name, columns in texts.items() if _reads_back(columns, schemas[name])})


def _reads_back(columns: Mapping[str, str], schema: ibis.Schema) -> bool:
    try:
        return ibis.schema(columns) == schema
    except ValidationError:
        return False


def _from_json(text: str) -> Mapping[str, ibis.Schema]:
    return {name: ibis.schema(columns) for name, columns in json.loads(text).items()}
