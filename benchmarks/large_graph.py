"""Cost of a graph of 100,000 tasks beyond compiling its plans: building it, its waves, and readiness.

The plans of three real queries, which read one, two and three tables, are used for all tasks, under other names.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import ibis

from relspec_core import (
    EvidenceCatalog,
    PlanArtifact,
    PlanCatalog,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskSpec,
    compile_task_catalog,
    schedule_rules,
    task_graph_from_catalog,
)
from relspec_core.evidence import Evidence
from relspec_core.fingerprints.column_fingerprints import ColumnFingerprint, ColumnFingerprints, in_order
from relspec_core.inferred_deps import ColumnUse, InferredDeps
from relspec_core.rustworkx_schedule import Readiness

COLUMNS = {"id": "int64", "kind": "string", "amount": "decimal(16, 2)", "day": "date", "note": "string"}
JOIN = "FROM read_0 AS l JOIN read_1 AS r ON l.id = r.id"
QUERIES = (
    "SELECT id, upper(kind) AS kind, amount, day, note FROM read_0 WHERE amount > 0",
    f"SELECT l.id, l.kind, r.amount, l.day, r.note {JOIN}",
    f"SELECT l.id, l.kind, l.amount::DECIMAL(16, 2) AS amount, r.day, m.note {JOIN} JOIN read_2 AS m ON l.id = m.id",
)
GRAPH, WAVES, READY = "build the graph", "all waves", "readiness of everything"
SECONDS = 2.0
FAN_OUTS = (1, 10, 100, 1_000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Size of the graph: layers of this many tasks, over as many sources as a layer has tasks."""

    layers: int
    width: int

    @property
    def tasks(self) -> int:
        """Number of tasks."""
        return self.layers * self.width


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=100)
    parser.add_argument("--width", type=int, default=1_000)
    options = parser.parse_args()
    shape = Shape(layers=options.layers, width=options.width)
    plans = large_catalog(shape)
    _stages(plans, shape, rounds=options.rounds)
    _arrivals(plans, rounds=options.rounds)


def large_catalog(shape: Shape) -> PlanCatalog:
    """Plans of tasks that read one to three tables each: one of the layer above, and others of any layer above."""
    numbers = random.Random(5)  # noqa: S311 - the same graph each time
    queries = _queries()
    layers = [[f"source_{at:05}" for at in range(shape.width)]]
    sources = {name: SourceSpec(name, schema=COLUMNS) for name in layers[0]}
    schemas = dict.fromkeys(sources, ibis.schema(COLUMNS))
    plans: list[PlanArtifact] = []
    for number in range(shape.layers):
        layer = [f"task_{number:03}_{at:05}" for at in range(shape.width)]
        for at, name in enumerate(layer):
            read = dict.fromkeys([layers[-1][at]])
            wanted = 1 + numbers.randrange(len(queries))
            while len(read) < wanted:
                read[numbers.choice(numbers.choice(layers))] = None
            plans.append(_renamed(queries[wanted - 1], name, {found: schemas[found] for found in read}))
            schemas[name] = plans[-1].schema
        layers.append(layer)
    schemas = {name: schemas[name] for name in sources}
    return PlanCatalog(tuple(plans), sources=sources, schemas=schemas, dialect="duckdb")


def _queries() -> tuple[PlanArtifact, ...]:
    def builder(text: str) -> Callable[[TaskBuildContext], ibis.Table]:
        return lambda ctx: ctx.sql(text)

    sources = [SourceSpec(f"read_{at}", schema=COLUMNS) for at in range(3)]
    tasks = [TaskSpec(f"query_{at}", builder(text)) for at, text in enumerate(QUERIES)]
    return tuple(compile_task_catalog(TaskCatalog(tasks, sources)))


def _renamed(plan: PlanArtifact, name: str, read: Mapping[str, ibis.Schema]) -> PlanArtifact:
    """The same plan for another task that reads other tables, with the types that these have."""
    names = {f"read_{at}": found for at, found in enumerate(read)}
    deps = plan.deps

    def uses(found: tuple[ColumnUse, ...]) -> tuple[ColumnUse, ...]:
        return tuple(sorted(replace(use, evidence=names[use.evidence]) for use in found))

    def calculation(found: ColumnFingerprint) -> ColumnFingerprint:
        inputs = in_order(replace(source, evidence=names[source.evidence]) for source in found.inputs)
        return replace(found, inputs=inputs)

    return replace(
        plan,
        name=name,
        schema=_copied(plan.schema),
        task=replace(plan.task, name=name),
        deps=InferredDeps(
            inputs=tuple(sorted(read)),
            required_columns={names[found]: columns for found, columns in deps.required_columns.items()},
            required_types={
                names[found]: {column: read[names[found]][column] for column in types}
                for found, types in deps.required_types.items()
            },
            lineage={column: uses(found) for column, found in deps.lineage.items()},
            row_uses=uses(deps.row_uses),
        ),
        calculations=ColumnFingerprints(
            rows=calculation(plan.calculations.rows),
            columns={column: calculation(found) for column, found in plan.calculations.columns.items()},
        ),
        input_schemas=read,
    )


@dataclass(slots=True)
class Clock:
    """Wall and CPU seconds of each stage."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Time the body."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[name], self.cpu[name] = time.perf_counter() - wall, time.process_time() - cpu


def _stages(plans: PlanCatalog, shape: Shape, *, rounds: int) -> None:
    """Time the stages after compiling."""
    sources = EvidenceCatalog.from_sources(plans.schemas)
    everything = sources.with_evidence(*(Evidence(name=plan.name, schema=_copied(plan.schema)) for plan in plans))
    clocks: list[Clock] = []
    for _ in range(rounds):
        gc.collect()  # garbage of the round before is not part of this one
        clock = Clock()
        with clock.stage(GRAPH):
            graph = task_graph_from_catalog(plans)
        with clock.stage(WAVES):
            schedule = schedule_rules(graph, evidence=sources)
        with clock.stage(READY):
            readiness = Readiness(graph, evidence=everything)
        clocks.append(clock)
        if (len(schedule.waves), len(readiness.ready)) != (shape.layers, shape.tasks) or schedule.blocked:
            raise SystemExit("not all tasks are ready, each in its wave")
    print(f"\n{shape.tasks:,} tasks in {shape.layers} waves, {len(graph.edges):,} edges; medians of {rounds} rounds\n")
    print(f"  {'':30}{'seconds':>10}{'of the CPU':>12}")
    for stage in (GRAPH, WAVES, READY):
        wall, cpu = (median(spent[stage] for spent in side) for side in _sides(clocks))
        print(f"  {stage:30}{wall:>10.2f}{cpu:>12.2f}")
    wall, cpu = (median(sum(spent.values()) for spent in side) for side in _sides(clocks))
    print(f"  {'in all':30}{wall:>10.2f}{cpu:>12.2f}\n")
    print(f"  goal: in all <= {SECONDS:g} s of the CPU: {cpu:.2f}, {'met' if cpu <= SECONDS else 'MISSED'}", flush=True)


def _copied(schema: ibis.Schema) -> ibis.Schema:
    """An equal schema, as a warehouse returns one: not the object that the plans were made with."""
    return ibis.schema(dict(schema.items()))


def _sides(clocks: Sequence[Clock]) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    return [clock.wall for clock in clocks], [clock.cpu for clock in clocks]


def _arrivals(plans: PlanCatalog, *, rounds: int) -> None:
    """Time the arrival of one evidence, by how many tasks read it, in a graph of the same size."""
    query = next(iter(_queries()))
    busy = ibis.schema(COLUMNS)
    read = {f"busy_{number:05}": number for number in FAN_OUTS}
    readers = [
        _renamed(query, f"of_{name}_{at:05}", {name: busy}) for name, number in read.items() for at in range(number)
    ]
    sources = {name: SourceSpec(name, schema=COLUMNS) for name in read}
    schemas = {**plans.schemas, **dict.fromkeys(sources, busy)}
    more = PlanCatalog((*plans, *readers), sources={**plans.sources, **sources}, schemas=schemas, dialect="duckdb")
    graph = task_graph_from_catalog(more)
    there = EvidenceCatalog.from_sources(plans.schemas)
    arriving = EvidenceCatalog.from_sources(dict.fromkeys(read, COLUMNS))
    spent: list[dict[str, float]] = []
    for _ in range(rounds):
        readiness = Readiness(graph, evidence=there)
        found: dict[str, float] = {}
        for name, number in read.items():
            start = time.perf_counter()
            ready = readiness.arrive(arriving[name])
            found[name] = time.perf_counter() - start
            if len(ready) != number:
                raise SystemExit(f"{len(ready)} of the {number} readers of {name} are ready")
        spent.append(found)
    print(f"\nOne evidence arrives in a graph of {len(graph.tasks):,} tasks; medians of {rounds} rounds\n")
    print(f"  {'readers, all newly ready':30}{'microseconds':>14}{'for each':>12}")
    for name, number in read.items():
        each = 1e6 * median(found[name] for found in spent)
        print(f"  {number:<30,}{each:>14.0f}{each / number:>12.2f}")


if __name__ == "__main__":
    main()
