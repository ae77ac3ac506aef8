"""Laws of the Dagster layer, as properties of random catalogs, in this process on a real instance."""

import random
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import duckdb
import ibis
from hypothesis import given, note, settings
from hypothesis import strategies as st

from relspec_core import PlanCatalog, compile_task_catalog, run
from relspec_dagster import build_definitions
from relspec_dagster.freshness.carry_forward import KEEP_UNCHANGED
from tests.laws.cutting import bag_of, quoted
from tests.laws.generated import Generated, catalogs, value
from tests.support.catalogs import empty_backend

# A step in Dagster takes a hundred times what a task takes.
few = settings(max_examples=max(2, settings().max_examples // 7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same sources in two files, one for Dagster and one for relspec alone."""

    folder: Path
    generated: Generated
    plans: PlanCatalog
    job: dg.JobDefinition
    instance: dg.DagsterInstance

    def materialize(self, names: frozenset[str], *, tags: Mapping[str, str] | None = None) -> None:
        keys = [dg.AssetKey(name) for name in sorted(names)]
        assert self.job.execute_in_process(instance=self.instance, asset_selection=keys, tags=tags).success

    def execute(self, sql: str) -> None:
        for name in ("dagster", "relspec"):
            with duckdb.connect(self.folder / f"{name}.duckdb") as connection:
                connection.execute(sql)

    def run(self) -> None:
        backend = ibis.duckdb.connect(self.folder / "relspec.duckdb")
        try:
            run(self.generated.catalog, backend=backend, quiet=True).raise_if_failed()
        finally:
            backend.disconnect()

    def tables(self, name: str) -> dict[str, Counter[str]]:
        with duckdb.connect(self.folder / f"{name}.duckdb") as connection:
            return {plan.name: bag_of(connection, f"FROM {quoted(plan.name)}") for plan in self.plans}


@contextmanager
def pair_of(generated: Generated) -> Generator[Pair]:
    with TemporaryDirectory() as text:
        folder = Path(text)
        for name in ("dagster", "relspec"):
            backend = ibis.duckdb.connect(folder / f"{name}.duckdb")
            generated.load(backend)
            backend.disconnect()
        definitions = build_definitions(generated.catalog, database=folder / "dagster.duckdb")
        with dg.DagsterInstance.ephemeral(tempdir=text) as instance:
            yield Pair(
                folder=folder,
                generated=generated,
                plans=compile_task_catalog(generated.catalog, backend=empty_backend()),
                job=definitions.resolve_implicit_global_asset_job_def(),
                instance=instance,
            )


def parts_in_order(plans: PlanCatalog, numbers: random.Random) -> list[frozenset[str]]:
    """All tables in a few random parts, each after the parts that it reads from."""
    waiting = {plan.name: {name for name in plan.deps.inputs if name in plans} for plan in plans}
    order: list[str] = []
    while waiting:
        name = numbers.choice([name for name, reads in waiting.items() if not reads - set(order)])
        order.append(name)
        del waiting[name]
    cuts = sorted({0, *(numbers.randrange(len(order)) for _ in range(2)), len(order)})
    return [frozenset(order[start:end]) for start, end in pairwise(cuts)]


@few
@given(st.randoms(use_true_random=False), catalogs(most=4))
def test_whatever_order_materializes_the_tables_that_relspec_run_gives(
    numbers: random.Random, generated: Generated
) -> None:
    """At first in parts, then, after a change of a source, by one run that keeps what is unchanged."""
    with pair_of(generated) as pair:
        for part in parts_in_order(pair.plans, numbers):
            note(f"materialize {sorted(part)}")
            pair.materialize(part)
        pair.run()
        assert pair.tables("dagster") == pair.tables("relspec")

        source = numbers.choice(generated.sources)
        column = numbers.choice(source.schema.names)
        change = f"UPDATE {quoted(source.name)} SET {quoted(column)} = {value(source.schema[column], numbers)} "
        note(f"{change} WHERE rowid < 3")
        pair.execute(f"{change} WHERE rowid < 3")
        pair.materialize(frozenset(plan.name for plan in pair.plans), tags=KEEP_UNCHANGED)
        pair.run()
        assert pair.tables("dagster") == pair.tables("relspec")
