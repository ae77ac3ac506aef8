"""The wording of user-visible messages: every error, reason and notice, as text files that are reviewed in a diff.

Renew them with ``python -m pytest tests/docs/test_messages.py --renew-snapshots``; all other tests assert codes and values.
"""

import re
import runpy
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import ibis
import pytest
from ibis.backends.duckdb import Backend as DuckDBBackend

from relspec_core import (
    EvidenceCatalog,
    EvidenceChange,
    EvidenceReference,
    ExecutionContext,
    Impact,
    PlanCatalog,
    PlanCompiler,
    RelspecError,
    RunHistory,
    RunOptions,
    RunRecord,
    RunReport,
    SourceSpec,
    TaskBuildContext,
    TaskCatalog,
    TaskGraph,
    TaskSpec,
    catalog_at,
    catalog_diff,
    check_catalog,
    compile_task_catalog,
    compile_what_compiles,
    contract_of,
    dropped,
    explain,
    find_column_reference,
    find_project,
    find_reference,
    hamilton_module,
    impact_of,
    lineage_tree,
    plan_run,
    plan_snapshot,
    read_plan_snapshot,
    recalculated,
    renamed,
    retyped,
    run,
    schedule_rules,
    schema_in_file,
    task_fixtures,
    task_graph_from_catalog,
    type_named,
    unused_columns,
    warehouse_of,
    write_hamilton_module,
)
from relspec_core.engines.connection_url import connect_to
from relspec_core.engines.duckdb_file import connect
from relspec_core.graph_edge_validation import validate_edges
from relspec_core.runs.history import RunSummary, TaskOutcome
from relspec_core.runs.report import RunInterrupted
from tests.support.catalogs import SHOP, sql_task
from tests.support.message_snapshots import FOLDER, MessageSnapshots, error_of, sections

PAGES = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder: messages show paths relative to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tasks_in(text: str) -> dict[str, Any]:
    """What a module named ``tasks.py`` in the working folder defines."""
    file = Path("tasks.py")
    file.write_text(f"import ibis\nfrom relspec_core import *\n\n{text}\n", encoding="utf-8")
    return runpy.run_path(str(file))


def declared(text: str) -> RelspecError:
    """The error of a module's tasks and sources, declared but not compiled."""

    def declare() -> TaskCatalog:
        values = tasks_in(text).values()
        return TaskCatalog(
            [value for value in values if isinstance(value, TaskSpec)],
            [value for value in values if isinstance(value, SourceSpec)],
        )

    return error_of(declare)


def compiled(text: str, *, sources: tuple[SourceSpec, ...] = SHOP) -> RelspecError:
    """The error of compiling a module's tasks."""
    tasks = [value for value in tasks_in(text).values() if isinstance(value, TaskSpec)]
    return error_of(lambda: compile_task_catalog(TaskCatalog(tasks, sources)))


def built(body: str, *, sources: tuple[SourceSpec, ...] = SHOP) -> RelspecError:
    """The error of compiling one task, given by what it returns."""
    return compiled(f"@task\ndef totals(ctx):\n    return {body}", sources=sources)


def query(text: str, *, sources: tuple[SourceSpec, ...] = SHOP, **declared: str) -> RelspecError:
    """The error of compiling a SQL text in a task."""

    def build(ctx: TaskBuildContext) -> ibis.Table:
        return ctx.sql(text, **declared)

    plain = TaskSpec("totals", build)
    object.__setattr__(plain, "location", None)
    return error_of(lambda: compile_task_catalog(TaskCatalog([plain], sources)))


def sql_folder(**files: str) -> Callable[[], TaskCatalog]:
    """The catalog of a folder with these files and no others."""

    def load() -> TaskCatalog:
        for old in Path().glob("sql/*"):
            old.unlink()
        for name, text in files.items():
            path = Path("sql") / f"{name}.sql"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return TaskCatalog.from_folder("sql")

    return load


def of_file(name: str, text: str | bytes, action: Callable[[Path], object]) -> RelspecError:
    """The error of an action on a file with this text."""
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return error_of(lambda: action(Path(name)))


def test_declarations(message_snapshots: MessageSnapshots) -> None:
    builder = "@task({})\ndef totals(ctx):\n    return ctx.table('orders')"
    message_snapshots(
        "declarations",
        {
            "a task's name is no name": declared(builder.format("name='a.b.c.d'")),
            "two outputs of one name": declared(builder.format("outputs=['a', 'a']")),
            "an unknown kind": declared(builder.format("kind='tabel'")),
            "a cron that is none": declared(builder.format("cron='6 0'")),
            "retries below zero": declared(builder.format("retries=-1")),
            "a builder that is no function": declared("totals = TaskSpec('totals', 3)"),
            "a source's name is no name": declared("orders = SourceSpec('a..b')"),
            "a source's schema is none": declared("orders = SourceSpec('orders', schema=3)"),
            "a source's schema has an unknown type": declared("orders = SourceSpec('orders', schema={'id': 'nt64'})"),
            "a credential in a URL": declared("orders = SourceSpec('orders', path='ftp://ann:pw@shop.example/a.csv')"),
            "two tasks of one name": declared(
                "first = TaskSpec('totals', lambda ctx: 1)\nsecond = TaskSpec('totals', lambda ctx: 2)"
            ),
            "a source twice": declared("first = SourceSpec('orders')\nsecond = SourceSpec('orders')"),
            "two writers": declared(
                "first = TaskSpec('a', lambda ctx: 1, outputs=('x',))\n"
                "second = TaskSpec('b', lambda ctx: 2, outputs=('x',))"
            ),
            "a task writes a source": declared("a = TaskSpec('a', lambda ctx: 1, outputs=('a',))\nb = SourceSpec('a')"),
            "several problems": declared(
                "a = TaskSpec('a', lambda ctx: 1, outputs=('a',))\nb = SourceSpec('a')\nc = SourceSpec('a')"
            ),
        },
    )


def test_sql_files(message_snapshots: MessageSnapshots) -> None:
    def of(**files: str) -> RelspecError:
        return error_of(sql_folder(**files))

    def header(text: str) -> RelspecError:
        return of(totals=f"/* ---\n{text}\n--- */\nSELECT 1 AS one")

    Path("empty").mkdir()
    Path("file.txt").write_text("", encoding="utf-8")
    message_snapshots(
        "sql_files",
        {
            "no such folder": error_of(lambda: TaskCatalog.from_folder("nowhere")),
            "an empty folder": error_of(lambda: TaskCatalog.from_folder("empty")),
            "a file in place of a folder": error_of(lambda: TaskCatalog.from_folder("file.txt")),
            "an open header": of(totals="/* ---\nkind: view\nSELECT 1"),
            "a header that is no YAML": header("kind: [view"),
            "a header without keys": header("- view"),
            "an unknown key": header("kidn: view"),
            "a key twice": header("kind: view\nkind: table"),
            "a list for a text": header("kind: [view]"),
            "a list for a dialect": header("dialect: [spark]"),
            "a text for a whole number": header("retries: often"),
            "a text for a truth value": header("internal: perhaps"),
            "a list of lists for owners": header("owners: [[a]]"),
            "a kind that TaskSpec refuses": header("kind: viw"),
            "problems in two files": of(a="/* ---\nkind: viw\n--- */ SELECT 1", b="/* ---\nkidn: a\n--- */ SELECT 1"),
            "a file that is no UTF-8": error_of(_latin_file),
        },
    )


def _latin_file() -> TaskCatalog:
    Path("sql/totals.sql").unlink(missing_ok=True)
    (Path("sql") / "totals.sql").write_bytes(b"SELECT '\xe9' AS letter")
    return TaskCatalog.from_folder("sql")


def test_plans(message_snapshots: MessageSnapshots) -> None:
    message_snapshots(
        "plans",
        {
            "an unknown table": built("ctx.table('oders')"),
            "an unknown column as an attribute": built("ctx.table('orders').select(ctx.table('orders').amout)"),
            "an unknown column as a name": built("ctx.table('orders').select('amout')"),
            "a builder that raises": built("1 / 0"),
            "a builder that returns no table": built("[1, 2]"),
            "a builder that returns no mapping of tables": built("{'a': 1}"),
            "other outputs than declared": compiled(
                "@task(outputs=['a', 'b'])\ndef totals(ctx):\n    return {'a': ctx.table('orders')}"
            ),
            "one table for two outputs": compiled(
                "@task(outputs=['a', 'b'])\ndef totals(ctx):\n    return ctx.table('orders')"
            ),
            "an output that another task writes": compiled(
                "@task\ndef totals(ctx):\n    return ctx.table('orders')\n\n"
                "@task\ndef more(ctx):\n    return {'totals': ctx.table('orders')}"
            ),
            "an output that is a source": compiled(
                "@task\ndef totals(ctx):\n    return {'orders': ctx.table('customers')}"
            ),
            "tasks that read one another": compiled(
                "@task\ndef first(ctx):\n    return ctx.table('second')\n\n"
                "@task\ndef second(ctx):\n    return ctx.table('first')"
            ),
            "an operation that DuckDB lacks": built("ctx.table('orders').select(x=ctx.table('orders').note.soundex())"),
            "a view over an in-memory table": compiled(
                "@task(kind='view')\ndef totals(ctx):\n    return ibis.memtable({'a': [1]})"
            ),
            "a view over a Python function": compiled(
                "@ibis.udf.scalar.python\ndef twice(x: int) -> int:\n    return 2 * x\n\n"
                "@task(kind='view')\ndef totals(ctx):\n"
                "    return ctx.table('orders').select(x=twice(ctx.table('orders').amount))"
            ),
        },
    )


def test_sql_texts(message_snapshots: MessageSnapshots) -> None:
    message_snapshots(
        "sql_texts",
        {
            "it does not parse": query("SELECT amount FROM orders WHERE (amount > 1"),
            "another word than expected": query("SELECT FROM WHERE"),
            "a clause without its expression": query("SELECT amount FROM orders WHERE )"),
            "a quote that is never closed": query("SELECT 'amount FROM orders"),
            "a comment that is never closed": query("SELECT amount FROM orders /* why"),
            "an unknown dialect": query("SELECT amount FROM orders", dialect="sprak"),
            "two queries": query("SELECT amount FROM orders; SELECT 1"),
            "no query": query("DROP TABLE orders"),
            "no text": query(""),
            "a column by its position": query("SELECT #1 FROM orders"),
            "a pivot by data": query("PIVOT orders ON note USING sum(amount)"),
            "an unknown table": query("SELECT amount FROM oders"),
            "an unknown column": query("SELECT amout FROM orders"),
            "an unknown column of a table": query("SELECT orders.amout FROM orders JOIN customers USING (customer_id)"),
            "a column of another table": query("SELECT customers.amount FROM orders, customers"),
            "an ambiguous column": query("SELECT customer_id FROM orders, customers"),
            "a table twice": query("SELECT 1 AS one FROM orders JOIN orders ON true"),
            "two columns of one name": query("SELECT amount, note AS amount FROM orders"),
            "a wrong type": query("SELECT sum(note) AS total FROM orders"),
            "an unknown function": query("SELECT sumn(amount) AS total FROM orders"),
            "an unknown table function": query("SELECT * FROM sumn(1)"),
            "an aggregate in WHERE": query("SELECT amount FROM orders WHERE sum(amount) > 1"),
            "a star of an unknown table": query("SELECT o.* FROM orders"),
            "an order by position over unknown columns": query(
                "SELECT * FROM (SELECT * FROM range(3) UNION ALL SELECT amount FROM orders ORDER BY 1) AS s"
            ),
            "a star with a joined column twice": query(
                "SELECT * EXCLUDE (range) FROM orders JOIN customers USING (customer_id), range(2)"
            ),
            "columns that are not grouped": query("SELECT note, sum(amount) AS total FROM orders"),
            "a type that Ibis does not know": query("SELECT row(1, 2) AS pair FROM orders"),
            "a text that DuckDB has no words for": query(
                "SELECT x FROM orders LATERAL VIEW OUTER inline(note) AS x", dialect="spark"
            ),
            "two names that are one in DuckDB": query(
                'WITH "Orders" AS (SELECT 1 AS one) SELECT one FROM "Orders", orders', dialect="postgres"
            ),
            "several unknown columns": query("SELECT amout, nte FROM orders"),
            "a place in a file": error_of(
                lambda: compile_task_catalog(
                    sql_folder(totals="SELECT order_id,\n  amout\nFROM orders")() + TaskCatalog([], SHOP)
                )
            ),
            "a dialect in a header": error_of(
                lambda: compile_task_catalog(sql_folder(totals="/* ---\ndialect: sprak\n--- */\nSELECT 1 AS one")())
            ),
        },
    )


def test_sources(message_snapshots: MessageSnapshots) -> None:
    def of_path(*paths: str) -> RelspecError:
        return built("ctx.table('raw')", sources=(SourceSpec("raw", path=paths),))

    Path("notes.docx").write_text("", encoding="utf-8")
    Path("notes.zip").write_text("no archive", encoding="utf-8")
    fsspec.filesystem("memory").pipe("/messages/people.csv", b"id\n1\n")
    message_snapshots(
        "sources",
        {
            "no remote file": of_path("memory://messages/persons.csv"),
            "no archive": of_path("zip://notes.csv::file://notes.zip"),
            "files of an unknown kind": of_path("notes.docx"),
            "no file": of_path("data/*.csv"),
            "no file at two paths": of_path("a.csv", "b.csv"),
            "an unknown protocol": of_path("s33://shop/orders.csv"),
            "no schema file": error_of(lambda: schema_in_file(Path("schema.yml"))),
            "a schema file that is no YAML": of_file("schema.yml", "a: [", schema_in_file),
            "a schema file that is no mapping": of_file("schema.yml", "- a", schema_in_file),
            "a schema file with unknown types": of_file("schema.yml", "a: nt64\nb: txt", schema_in_file),
            "a schema file that is no Arrow": of_file("schema.arrow", "nothing", schema_in_file),
            "a schema file of an unknown kind": error_of(lambda: schema_in_file(Path("notes.docx"))),
            "an unknown type": error_of(lambda: type_named("nt64")),
        },
    )


def test_readiness(message_snapshots: MessageSnapshots) -> None:
    plans = compile_task_catalog(
        TaskCatalog(
            [TaskSpec("totals", lambda ctx: ctx.sql("SELECT note, amount + 1 AS more FROM orders, customers"))], SHOP
        )
    )
    graph = task_graph_from_catalog(plans)
    evidence = EvidenceCatalog.from_sources({"orders": {"order_id": "int64", "amount": "string"}})
    report = validate_edges(graph.edges, evidence)
    schedule = schedule_rules(graph.graph, evidence=evidence)
    complete = EvidenceCatalog.from_sources({source.name: source.schema for source in SHOP})
    message_snapshots(
        "readiness",
        {
            "edges that are not satisfied": report,
            "an error of them": error_of(report.raise_if_broken),
            "edges that are satisfied": validate_edges(graph.edges, complete),
            "the explanation of a blocked task": schedule.explain("totals"),
            "the explanation of a ready task": schedule_rules(graph.graph, evidence=complete).explain("totals"),
        },
    )


def test_projects(message_snapshots: MessageSnapshots, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path()))
    for name, text in {
        "shop_of_messages": "from relspec_core import TaskCatalog\ncatalog = TaskCatalog([])\nother = 3",
        "empty_of_messages": "",
    }.items():
        Path(f"{name}.py").write_text(text, encoding="utf-8")

    def project(text: str) -> RelspecError:
        return of_file("pyproject.toml", text, lambda _: find_project(Path.cwd()))

    message_snapshots(
        "projects",
        {
            "no module": error_of(lambda: catalog_at(":catalog")),
            "an unknown module": error_of(lambda: catalog_at("shpo:catalog")),
            "an unknown attribute": error_of(lambda: catalog_at("shop_of_messages:catalogue")),
            "an attribute that is no catalog": error_of(lambda: catalog_at("shop_of_messages:other")),
            "a module without tasks": error_of(lambda: catalog_at("empty_of_messages")),
            "no catalog is named": project("[tool.relspec]"),
            "a project file that is no TOML": project("[tool"),
            "an unknown setting": project("[tool.relspec]\ncatalogue = 'a'"),
            "a variable that is not set": project("[tool.relspec]\ncatalog = 'a'\ndatabase = '${RELSPEC_NO_SUCH}'"),
        },
    )


TABLES = """
CREATE TABLE orders AS SELECT * FROM (
  VALUES (1::BIGINT, 10::BIGINT, 100::BIGINT, 'x', DATE '2026-01-01'), (2, 11, 200, 'y', DATE '2026-01-02')
) AS o(order_id, customer_id, amount, note, day);
"""
TEXTS = {
    "how_many": "SELECT count(*) AS n FROM orders",
    "notes": "SELECT upper(note) AS note FROM paid",
    "paid": "SELECT customer_id, amount, note FROM orders WHERE amount > 0",
    "spent": "SELECT customer_id, sum(amount) AS total FROM paid GROUP BY customer_id",
}
MORE_ROWS = "INSERT INTO orders VALUES (3, 12, 5, 'z', DATE '2026-01-03')"


class Shop:
    """SQL files over a table of two orders; both are edited between runs."""

    def __init__(self, con: DuckDBBackend) -> None:
        self.con = con
        self.texts = dict(TEXTS)
        con.con.execute(TABLES)

    @property
    def catalog(self) -> TaskCatalog:
        return sql_folder(**self.texts)()

    def run(self, *statements: str, targets: tuple[str, ...] | None = None, **edits: str) -> str:
        """The report of a run after these statements and edits."""
        for statement in statements:
            self.con.con.execute(statement)
        self.texts |= edits
        report = run(self.catalog, backend=self.con, targets=targets, quiet=True)
        return str(replace(report, seconds=1.0))


@pytest.fixture
def shop(con: DuckDBBackend) -> Shop:
    return Shop(con)


def test_reasons_to_run(message_snapshots: MessageSnapshots, shop: Shop) -> None:
    paid = "SELECT customer_id, amount + 1 AS amount, note FROM orders WHERE amount > 50"
    message_snapshots(
        "reasons_to_run",
        {
            "nothing is built yet": shop.run(),
            "nothing has changed": shop.run(),
            "a source changed": shop.run(MORE_ROWS),
            "a filter changed": shop.run(paid="SELECT customer_id, amount, note FROM orders WHERE amount > 50"),
            "a calculation changed": shop.run(notes="SELECT lower(note) AS note FROM paid"),
            "a calculation that others read changed": shop.run(paid=paid),
            "columns were added and dropped": shop.run(how_many="SELECT count(*) AS m FROM orders"),
            "columns were reordered": shop.run(
                paid=paid.replace("customer_id, amount + 1 AS amount", "amount + 1 AS amount, customer_id")
            ),
            "a calculation changed, and its values did not": shop.run(
                paid="SELECT amount - 0 + 1 AS amount, customer_id, note FROM orders WHERE amount > 50"
            ),
            "a table became a view": shop.run(how_many="/* kind: view */ SELECT count(*) AS m FROM orders"),
            "a table was changed outside relspec": shop.run("UPDATE notes SET note = 'other'"),
            "a table was dropped": shop.run("DROP TABLE paid"),
            "a plan is not deterministic": shop.run(paid="SELECT customer_id, random() AS amount, note FROM orders"),
            "a plan is not deterministic, and nothing changed": shop.run(),
            "a source lost a column": shop.run("ALTER TABLE orders DROP COLUMN note"),
            "a source lost its table": shop.run("DROP TABLE orders"),
        },
    )


def test_failures(message_snapshots: MessageSnapshots, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    def failure(*targets: str, **options: Any) -> RelspecError:  # noqa: ANN401 - as RunOptions takes them
        chosen = targets or None
        return error_of(lambda: run(shop.catalog, backend=shop.con, targets=chosen, options=RunOptions(**options)))

    shop.run()
    shop.texts |= {"cast": "SELECT note::INT AS number FROM paid", "more": "SELECT number FROM cast"}
    capsys.readouterr()
    failed = replace(run(shop.catalog, backend=shop.con, targets=["more"]), seconds=1.0)
    shown = capsys.readouterr().err
    held = duckdb.connect("held.duckdb")
    Path("file").write_text("", encoding="utf-8")
    shop.con.con.execute("CREATE TABLE raw AS SELECT 1 AS one")
    Path("raw.csv").write_text("one\n1\n", encoding="utf-8")
    raw = TaskCatalog([], [SourceSpec("raw", path="raw.csv")]) + sql_folder(one="SELECT one FROM raw")()
    message_snapshots(
        "failures",
        {
            "a task that fails, and its reader": failed,
            "what is shown meanwhile": shown,
            "the error of a report": error_of(failed.raise_if_failed),
            "all or nothing": replace(
                run(shop.catalog, backend=shop.con, options=RunOptions(quiet=True, all_or_nothing=True)), seconds=1.0
            ),
            "an unknown target": failure("spend"),
            "two unknown targets": failure("x", "y"),
            "no workers": failure(workers=0),
            "no threads": failure(threads=0),
            "no time": failure(timeout=0),
            "a memory limit that is none": failure(memory_limit="lots"),
            "a database that this process holds": error_of(lambda: connect("held.duckdb", read_only=True)),
            "a file that is no database": error_of(lambda: connect("/dev/null", read_only=True)),
            "a database in a file in place of a folder": error_of(lambda: connect("file/shop.duckdb")),
            "an unknown engine": error_of(lambda: connect_to("shop://localhost/orders")),
            "a table where a source's view should be": replace(run(raw, backend=shop.con, quiet=True), seconds=1.0),
        },
    )
    held.close()


def test_run_records(message_snapshots: MessageSnapshots) -> None:
    started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ran = TaskOutcome(
        task="paid",
        outcome="ran",
        reason="'paid' does not exist yet",
        rows=1200,
        bytes=34_000,
        started_at=started,
        seconds=2.5,
        peak_memory=5_000_000,
        worker=1,
    )
    failed = TaskOutcome(task="spent", outcome="failed", reason="no", error="first line\n\nLINE 1", upstream=("paid",))
    record = RunRecord(
        number=7,
        started_at=started,
        ended_at=started + timedelta(minutes=3),
        outcome="failed",
        pid=4711,
        host="shop",
        targets=("spent",),
        workers=2,
        peak_memory=5_000_000_000,
        counts={"ran": 1, "failed": 1},
        tasks=(ran, failed),
    )
    summary = RunSummary(**{field.name: getattr(record, field.name) for field in fields(RunSummary)})
    running = replace(record, ended_at=None, outcome="running", targets=(), tasks=(), counts={})
    message_snapshots(
        "run_records",
        {
            "a run that failed": record,
            "a run that is running": running,
            "a run that was interrupted": replace(running, outcome="interrupted"),
            "a run whose process died": replace(running, outcome="died"),
            "runs": RunHistory(runs=(summary,)),
            "no runs": RunHistory(),
            "an interrupted run": RunInterrupted(RunReport(ran={"paid": "new"}), is_stuck=False),
        },
    )


def test_projections(message_snapshots: MessageSnapshots) -> None:
    plans = compile_task_catalog(
        TaskCatalog([sql_task("SELECT 1 AS one", "a_b"), sql_task("SELECT 2 AS two", "a.b")]), backend=None
    )
    graph = task_graph_from_catalog(plans)
    Path("folder").mkdir()
    message_snapshots(
        "projections",
        {
            "names that collide": error_of(lambda: hamilton_module(graph, plans, catalog="shop:catalog")),
            "a folder in place of a file": error_of(
                lambda: write_hamilton_module(*shop_plans(), "folder", catalog="shop:catalog")
            ),
        },
    )


def shop_plans(**more: str) -> tuple[TaskGraph, PlanCatalog]:
    plans = compile_task_catalog(sql_folder(**TEXTS, **more)() + TaskCatalog([], SHOP))
    return task_graph_from_catalog(plans), plans


def test_insights(message_snapshots: MessageSnapshots, shop: Shop) -> None:
    graph, plans = shop_plans()
    catalog = shop.catalog
    compiler = PlanCompiler(sources=SHOP, backend=shop.con, ctx=ExecutionContext())
    partial = compile_what_compiles(catalog, backend=shop.con)

    def impact(change: EvidenceChange) -> Impact:
        return impact_of(change, plans=plans, graph=graph, compiler=compiler)

    shop.texts |= {"cast": "SELECT note::INT AS number FROM paid"}
    planned, explained = plan_run(catalog, backend=shop.con), explain(catalog, "spent", backend=shop.con)
    amount = EvidenceReference(evidence="orders", column="amount")
    after = shop_plans(paid_twice="SELECT * FROM paid", extra="SELECT 1 AS one")[1]
    shop.run()
    message_snapshots(
        "insights",
        {
            "the plan of a run": planned,
            "the explanation of a task": explained,
            "the contract of a source": contract_of("orders", graph),
            "the lineage of a column": lineage_tree(EvidenceReference(evidence="paid", column="amount"), plans),
            "what no task reads": unused_columns(
                catalog, plans=plans, graph=graph, warehouse=warehouse_of(ibis.duckdb.connect())
            ),
            "two catalogs": catalog_diff(plan_snapshot(plans), plan_snapshot(after)),
            "a catalog that can be checked": check_catalog(catalog, backend=shop.con),
            "a dropped column": impact(dropped(amount, graph)),
            "a renamed column": impact(renamed(amount, "amt", graph)),
            "a column of another type": impact(retyped("orders", "amount", ibis.dtype("string"), graph)),
            "other values": impact(recalculated(amount, graph)),
            "a dropped table": impact(dropped(EvidenceReference(evidence="orders", column=None), graph)),
            "an unknown evidence": error_of(lambda: find_reference("oders.amount", graph)),
            "an unknown column": error_of(lambda: find_reference("orders.amout", graph)),
            "no column": error_of(lambda: find_column_reference("orders", graph)),
            "a name that is taken": error_of(lambda: renamed(amount, "note", graph)),
            "no task": error_of(lambda: task_fixtures("spend", partial, catalog="./sql")),
            "no saved plan": of_file("plan.json", "{", read_plan_snapshot),
        },
    )


def test_every_code_has_an_instance() -> None:
    found = {code for file in FOLDER.glob("*.txt") for _, text in sections(file.stem) for code in codes_in(text)}
    assert found == codes_in(PAGES.read_text(encoding="utf-8"), r"^## (RS\d+)$")


def codes_in(text: str, pattern: str = r"^\[(RS\d+)\]") -> set[str]:
    return set(re.findall(pattern, text, flags=re.MULTILINE))
