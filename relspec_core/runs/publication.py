"""Tables and views that appear together with their records, or not at all."""

from __future__ import annotations

import time
from collections import ChainMap
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from relspec_core.engines.engine_error import EngineError
from relspec_core.evidence import BuildRecord, Evidence, Versions
from relspec_core.evidence_store import EvidenceStore
from relspec_core.graph_edge_validation import validate_edges
from relspec_core.graph_inference import EdgeRequirement, requirements
from relspec_core.model.duckdb_types import schema_to_duckdb
from relspec_core.runs.failures import task_failed
from relspec_core.runs.options import CUTOFF_ROWS
from relspec_core.staleness.external_changes import SIGNATURE, columns_key, whole_table
from relspec_core.staleness.freshness import output_versions, own_calculations, table_version
from relspec_core.staleness.input_digests import InputDigests
from relspec_core.staleness.input_versions import InputVersions
from relspec_core.staleness.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
    from relspec_core.sources.source_files import SourceFiles
    from relspec_core.warehouses.warehouse import Created, Warehouse


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A task that was built.

    Attributes:
        task: its name.
        outputs: its published tables and views, in declared order.
        started_at: start time in UTC.
        seconds: duration.
    """

    task: str
    outputs: tuple[Evidence, ...]
    started_at: datetime
    seconds: float

    @property
    def rows(self) -> int | None:
        """Rows of all its tables; None where it published views only."""
        counted = [output.rows for output in self.outputs if output.rows is not None]
        return sum(counted) if counted else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """Start and duration of a task."""

    started_at: datetime
    seconds: float


@dataclass(slots=True, kw_only=True)
class Publication:
    """One transaction in which tasks are built; their tables appear at its end, with their records.

    Attributes:
        warehouse: where the tables go; its evidence store is prepared.
        plans: the compiled catalog.
        published: existing evidence, without this transaction; written to when that ends.
        files: of each source that is files, as observed.
        cutoff_rows: the most rows of a table whose contents are compared.
        groups: gives, for an output, the groups of columns that its readers will be compared by.
        started: when the transaction was opened, by ``time.monotonic``; None where none is open.
    """

    warehouse: Warehouse
    plans: PlanCatalog
    published: dict[str, Evidence]
    files: Mapping[str, SourceFiles]
    cutoff_rows: int = CUTOFF_ROWS
    groups: Callable[[str], Sequence[Sequence[str]]] = lambda output: ()  # noqa: ARG005 - no known readers
    started: float | None = None
    _tasks: dict[str, _Taken | None] = field(default_factory=dict)  # None: carried forward
    _pending: dict[str, Evidence] = field(default_factory=dict)
    _records: dict[str, BuildRecord] = field(default_factory=dict)  # of pending evidence
    _types: dict[str, Mapping[str, str]] = field(default_factory=dict)  # of the tables to digest
    _seen_before: dict[str, dict[str, str]] = field(default_factory=dict)  # by task, digests of the views that it reads
    _store: EvidenceStore = field(init=False)

    def __post_init__(self) -> None:
        self._store = EvidenceStore(self.warehouse)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the open transaction, in order."""
        return tuple(self._tasks)

    @property
    def now(self) -> Mapping[str, Evidence]:
        """Evidence as seen inside the transaction."""
        return ChainMap(self._pending, self.published)

    @property
    def age(self) -> float:
        """The seconds since the transaction was opened."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    @property
    def observed(self) -> Observation:
        """The observation as seen inside the transaction."""
        return Observation(evidence=self.now, files=self.files)

    def input_versions(self, *, wider: bool = True) -> InputVersions:
        """Versions of the inputs of tasks.

        Args:
            wider: see ``InputVersions``.
        """
        return InputVersions(self.observed, self.warehouse, self.plans, wider=wider)

    @property
    def input_digests(self) -> InputDigests:
        """Digests of what tasks read of other tasks' tables and views."""
        return InputDigests(
            observation=self.observed, plans=self.plans, warehouse=self.warehouse, cutoff_rows=self.cutoff_rows
        )

    def open(self) -> None:
        """Begin the transaction, unless it is open."""
        if self.started is None:
            self.warehouse.begin()
            self.started = time.monotonic()

    def build(self, task: str, *, inputs: Mapping[str, Versions] | None = None, because: str) -> None:
        """Create a task's tables and views in the transaction; after an error it can only be abandoned.

        Args:
            task: its name.
            inputs: known versions of its inputs; those of inputs built since are looked up.
            because: the reason, for the record.

        Raises:
            NotReadyError: RS301, where an input does not exist. TaskFailedError: RS401, after an error of the engine.
        """
        started, started_at = time.monotonic(), datetime.now(UTC)
        plans = self.plans.of_task(task)
        edges = requirements(task, self.plans.deps_of(task))
        validate_edges(edges, self.now).raise_if_broken()
        with _task_errors(plans[0]):
            versions = self.input_versions(wider=False)
            known = inputs or {}
            read = {
                edge.evidence: known.get(edge.evidence) or versions.of(edge) or Versions(rows=uuid4().hex)
                for edge in edges
            }
            # The files behind a view may change while the task is built, and so may any table on a shared engine: the
            # task reads a state no earlier than the one digested here.
            shared = not self.warehouse.has_exclusive_access
            self._seen_before[task] = self._contents_of(
                edge for edge in edges if shared or self.now[edge.evidence].rows is None
            )
            self.open()
        created: list[tuple[PlanArtifact, Created, float]] = []
        for plan in plans:
            with _task_errors(plan):
                begun = time.monotonic()
                kind = plan.task.kind
                made = self.warehouse.create(plan.name, plan.sql, schema=plan.schema, kind=kind)
                created.append((plan, made, time.monotonic() - begun))
        for plan, made, seconds in created:
            with _task_errors(plan):
                self._keep(plan, made, read, because=because, seconds=seconds)
        self._tasks[task] = _Taken(started_at=started_at, seconds=time.monotonic() - started)

    def _keep(
        self, plan: PlanArtifact, created: Created, inputs: Mapping[str, Versions], *, because: str, seconds: float
    ) -> None:
        """Add the record of a created output."""
        read = {name: inputs[name] for name in plan.deps.inputs}
        versions = output_versions(plan, read, build=uuid4().hex)
        digests: dict[str, str] = {}
        if created.rows is None:
            digests[SIGNATURE] = self.warehouse.sign_view(plan.name)
        elif created.rows <= self.cutoff_rows and self.warehouse.compares_contents:
            self._types[plan.name] = created.types
        self._note(
            BuildRecord(
                name=plan.name,
                schema=created.schema,
                rows=created.rows,
                version=table_version(plan, versions),
                versions=versions,
                calculations=own_calculations(plan),
                task=plan.task.name,
                kind=plan.task.kind,
                fingerprint=plan.fingerprint,
                inputs=read,
                digests=digests,
                input_digests=self._planned_files(read),
                reads={name: schema_to_duckdb(types) for name, types in plan.deps.required_types.items()},
                built_at=datetime.now(UTC),
                seconds=seconds,
                because=because,
            )
        )

    def _planned_files(self, read: Iterable[str]) -> dict[str, str]:
        """The versions that files had when they were observed, until ``verify_files`` finds that they still have it."""
        found = {name: self.now[name].version for name in read if name in self.files}
        return {name: version for name, version in found.items() if version is not None}

    def _note(self, record: BuildRecord) -> None:
        """Keep a record until the transaction ends, in place of an earlier one of the same table."""
        self._records[record.name] = record
        self._pending[record.name] = Evidence.of(record)

    def carry(self, task: str, records: Mapping[str, BuildRecord]) -> None:
        """Carry a task's tables forward: they stay unchanged and receive these records."""
        self.open()
        for name in sorted(records):
            self.warehouse.lock(name)
            self._note(records[name])
        self._tasks[task] = None

    def publish(self, log: Callable[[Sequence[Built]], None] | None = None) -> tuple[Built, ...]:
        """Commit the transaction: all tables and records appear together.

        Args:
            log: records the built tasks, in the same transaction.

        Raises:
            EngineError: if this fails; the transaction can only be abandoned then.
        """
        if self.started is None:
            return ()
        self._take_digests()
        self._store.record(self._records.values())
        built = tuple(
            Built(
                task=task,
                outputs=tuple(self._pending[plan.name] for plan in self.plans.of_task(task)),
                started_at=taken.started_at,
                seconds=taken.seconds,
            )
            for task, taken in self._tasks.items()
            if taken is not None
        )
        if log is not None:
            log(built)
        self.warehouse.commit()
        self.published.update(self._pending)
        self._clear()
        return built

    def abandon(self) -> None:
        """Roll the transaction back."""
        if self.started is not None:
            self.warehouse.roll_back()
            self._clear()

    def _clear(self) -> None:
        self.started = None
        for kept in (self._tasks, self._pending, self._records, self._types, self._seen_before):
            kept.clear()

    def _take_digests(self) -> None:
        """Digest the tables, as a whole and for each reader, and their inputs, for later comparison."""
        all_groups = {name: self._groups(name) for name in self._types}
        tables = {name: (self._types[name], groups) for name, groups in all_groups.items()}
        taken = self.warehouse.contents_of(tables)
        for (name, (_, groups)), found in zip(tables.items(), taken, strict=True):
            digests = dict(zip(map(columns_key, groups), found, strict=True))
            self._note(replace(self._records[name], digests={**self._records[name].digests, **digests}))
        for task, taken_by in self._tasks.items():
            if taken_by is None:
                continue
            edges = requirements(task, self.plans.deps_of(task))
            before = self._seen_before[task]
            read = {**self._contents_of(edge for edge in edges if edge.evidence not in before), **before}
            for plan in self.plans.of_task(task):
                own = {name: found for name, found in read.items() if name in plan.deps.inputs}
                if own:
                    record = self._records[plan.name]
                    self._note(replace(record, input_digests={**record.input_digests, **own}))

    def _contents_of(self, edges: Iterable[EdgeRequirement]) -> dict[str, str]:
        """Digests of the columns that a task reads, where contents are compared."""
        digests = self.input_digests
        return {edge.evidence: found for edge in edges if (found := digests.of(edge)) is not None}

    def _groups(self, output: str) -> list[tuple[str, ...]]:
        plan = self.plans[output]
        wanted = self.groups(output) if plan.task.early_cutoff else ()
        found = {tuple(columns) for columns in wanted if all(column in plan.schema for column in columns)}
        return sorted({*found, whole_table(plan.schema)})


@contextmanager
def _task_errors(plan: PlanArtifact) -> Generator[None]:
    """Raise errors of the engine as errors of the task."""
    try:
        yield
    except EngineError as error:
        raise task_failed(plan, error) from error
