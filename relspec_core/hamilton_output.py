"""The inferred graph as a Python module for Apache Hamilton, and what that module calls when a driver executes it.

Hamilton itself is imported by the written module only.
"""

from __future__ import annotations

import importlib
import keyword
import os
import shutil
import unicodedata
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import ibis

from relspec_core.errors import CatalogError, ProjectionError, listed
from relspec_core.evidence import Evidence
from relspec_core.evidence_store import EvidenceStore
from relspec_core.execution import build_task, edge_versions, observe
from relspec_core.graph_inference import TaskGraph, task_graph_from_catalog
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog, compile_task_catalog
from relspec_core.staleness import freshness
from relspec_core.task_catalog import TaskCatalog
from relspec_core.warehouse import Warehouse, connect

if TYPE_CHECKING:
    from hamilton.driver import Driver
    from ibis.backends import BaseBackend

    from relspec_core.task_catalog import ExecutionContext

__all__ = [
    "Evidence",
    "HamiltonRun",
    "SourceInput",
    "catalog_at",
    "draw_hamilton_module",
    "hamilton_module",
    "hamilton_output_path",
    "write_hamilton_module",
    "write_if_asked",
]

OUTPUT_VARIABLE = "HAMILTON_DAG_OUTPUT"
DEFAULT_OUTPUT = Path("hamilton_dag.py")
TRUTHY = frozenset({"1", "true", "yes", "on"})
FALSY = frozenset({"", "0", "false", "no", "off"})

SourceInput: TypeAlias = str | Path | None
"""What a driver may give for a source: a file or glob to read it from; None: what the catalog says."""

MODULE_NAMES = frozenset(
    {
        *(
            "CATALOG",
            "DATABASE",
            "Evidence",
            "HamiltonRun",
            "SourceInput",
            "dict",
            "extract_fields",
            "tag",
            "tag_outputs",
        ),
        *("relspec_built", "relspec_read", "relspec_run"),
    }
)
# Hamilton calls functions with keywords, next to parameters of its own that have these names.
HAMILTON_NAMES = frozenset({"execute_lifecycle_for_node", "field_to_extract", "node", "self"})
WIDTH = 88
INDENT = "    "


class HamiltonRun:
    """Builds single tasks for the functions of a written module, upstream first, as Hamilton asks for them.

    The catalog is compiled once, here. What there is in the warehouse is looked at anew for each task, so that a run
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
            yield Warehouse(self._database)
            return
        backend = connect(self._database)
        try:
            yield Warehouse(backend)
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
        )


def _brought_up_to_date(
    task: str, plans: PlanCatalog, given: Iterable[Evidence], warehouse: Warehouse
) -> dict[str, Evidence]:
    """The outputs of the one task of these plans; all that it reads counts as sources, whose versions are known."""
    evidence = observe(plans, warehouse).with_evidence(*given)
    version = edge_versions(evidence, warehouse)
    fresh = freshness(task_graph_from_catalog(plans), plans, evidence=evidence, edge_version=version)[task]
    if fresh.stale is None:
        return {plan.name: evidence[plan.name] for plan in plans}
    versioned = [replace(evidence[name], version=found) for name, found in fresh.inputs.items()]
    now = evidence.with_evidence(*versioned)
    built = build_task(task, plan_catalog=plans, warehouse=warehouse, evidence=now, because=fresh.reason)
    return {output.name: output for output in built.outputs}


def catalog_at(import_path: str) -> TaskCatalog:
    """The catalog that ``package.module:attribute`` names.

    Raises:
        CatalogError: RS100, where there is none.
    """
    module, _, attribute = import_path.partition(":")
    at = f"catalog '{import_path}'"
    try:
        found = attrgetter(attribute)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError) as error:
        hint = "write it as package.module:attribute, and start where the package can be imported."
        raise CatalogError(f"the catalog can't be imported: {error}", at=at, hint=hint) from error
    if not isinstance(found, TaskCatalog):
        raise CatalogError(f"it is a {type(found).__name__}", at=at, hint="name an attribute that is a TaskCatalog.")
    return found


def hamilton_output_path(environ: Mapping[str, str]) -> Path | None:
    """Where ``HAMILTON_DAG_OUTPUT`` wants the module; None where it does not.

    >>> hamilton_output_path({"HAMILTON_DAG_OUTPUT": "True"}).name
    'hamilton_dag.py'
    >>> hamilton_output_path({"HAMILTON_DAG_OUTPUT": "build/dag.py"}).name
    'dag.py'
    >>> hamilton_output_path({"HAMILTON_DAG_OUTPUT": "0"}) is None
    True
    """
    asked = environ.get(OUTPUT_VARIABLE, "").strip()
    if asked.lower() in FALSY:
        return None
    return DEFAULT_OUTPUT if asked.lower() in TRUTHY else Path(asked)


def write_if_asked(
    task_graph: TaskGraph,
    plan_catalog: PlanCatalog,
    environ: Mapping[str, str],
    *,
    catalog: str | None = None,
    database: str | Path | None = None,
) -> Path | None:
    """The path of the module, written where ``HAMILTON_DAG_OUTPUT`` asks for it; None where it does not.

    Args and errors are those of ``write_hamilton_module``.
    """
    path = hamilton_output_path(environ)
    if path is None:
        return None
    return write_hamilton_module(task_graph, plan_catalog, path, catalog=catalog, database=database)


def write_hamilton_module(
    task_graph: TaskGraph,
    plan_catalog: PlanCatalog,
    path: str | Path,
    *,
    catalog: str | None = None,
    database: str | Path | None = None,
) -> Path:
    """The path of the module, which is there complete or, after an error, as it was; an equal one is left alone.

    Args:
        task_graph: of the plans.
        plan_catalog: the plans.
        path: of the file; its folder is made.
        catalog: see ``hamilton_module``.
        database: see ``hamilton_module``.

    Raises:
        ProjectionError: RS501, where names collide or the file can't be written.
    """
    target = Path(path)
    text = hamilton_module(task_graph, plan_catalog, catalog=catalog, database=database).encode()
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        if target.is_file() and target.read_bytes() == text:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(text)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ProjectionError(
            f"the Hamilton module can't be written: {error.strerror}",
            at=str(target),
            hint=f"name a file that can be written, in {OUTPUT_VARIABLE} or the call.",
        ) from error
    return target


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


def hamilton_module(
    task_graph: TaskGraph,
    plan_catalog: PlanCatalog,
    *,
    catalog: str | None = None,
    database: str | Path | None = None,
) -> str:
    """The text of a Hamilton module: a function per task, by name; the same text for the same plans.

    Args:
        task_graph: of the plans.
        plan_catalog: the plans.
        catalog: ``package.module:attribute``, for the module to find the catalog. None: every driver must be given a
            ``HamiltonRun`` as ``relspec_run``.
        database: path of the DuckDB file, as it is to stand in the module. None: in memory, gone after each execution.

    Raises:
        ProjectionError: RS501, where two names become one Python identifier; names all such.
    """
    names = _Names.of(task_graph)
    functions = [_function(task, task_graph, plan_catalog, names) for task in task_graph.tasks]
    head = [_docstring(_about(task_graph, names, catalog), ""), *_imports(task_graph, names, catalog)]
    if catalog is not None:
        head += ["", f"CATALOG = {_text(catalog)}", f"DATABASE = {None if database is None else _text(str(database))}"]
        functions.insert(0, RELSPEC_RUN)
    return "\n\n\n".join(["\n".join(head), *functions]) + "\n"


RELSPEC_RUN = '''def relspec_run() -> HamiltonRun:
    """The compiled catalog and its warehouse; give another in a driver's config."""
    return HamiltonRun(CATALOG, DATABASE)'''


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """Python identifiers: of each evidence, and of each task whose function is not simply its one output's."""

    evidence: Mapping[str, str]
    tasks: Mapping[str, str]

    @classmethod
    def of(cls, graph: TaskGraph) -> _Names:
        evidence = {name: _identifier(name) for name in graph.evidence}
        taken = set(evidence.values())
        plain = {task: _identifier(task) for task in graph.tasks if graph.outputs_of(task) != (task,)}
        tasks = {task: f"{name}_task" if name in taken else name for task, name in plain.items()}
        meant: dict[str, list[str]] = {}
        for kind, found in (("evidence", evidence), ("task", tasks)):
            for name, identifier in found.items():
                meant.setdefault(identifier, []).append(f"{kind} '{name}'")
        collisions = [f"{' and '.join(who)} would both be '{name}'" for name, who in meant.items() if len(who) > 1]
        if collisions:
            raise ProjectionError(
                f"names collide in the Hamilton module: {'; '.join(collisions)}",
                hint="rename one of each; what can't stand in a Python name becomes an underscore.",
            )
        return cls(evidence=evidence, tasks=tasks)


def _identifier(name: str) -> str:
    """A name as a Python identifier that Hamilton takes for a node's.

    >>> [_identifier(name) for name in ("staging.orders", "2024-sales", "_tmp", "class", "tag")]
    ['staging_orders', 'table_2024_sales', 'table_tmp', 'class_', 'tag_']
    """
    plain = "".join(char if f"_{char}".isidentifier() else "_" for char in unicodedata.normalize("NFKC", name))
    if plain.startswith("_"):  # Hamilton passes over such functions
        plain = f"table{plain}"
    elif not plain.isidentifier():
        plain = f"table_{plain}"
    return f"{plain}_" if keyword.iskeyword(plain) or plain in MODULE_NAMES | HAMILTON_NAMES else plain


def _about(graph: TaskGraph, names: _Names, catalog: str | None) -> str:
    outputs = [output for task in graph.tasks for output in graph.outputs_of(task) if not graph.readers(output)]
    target = names.evidence[outputs[0]] if outputs else "..."
    run = "" if catalog else '.with_config({"relspec_run": HamiltonRun(catalog, backend)})'
    lines = [
        f"The task graph of {catalog or 'a relspec catalog'}, for Apache Hamilton.",
        "",
        f"Written by relspec from inferred dependencies; set {OUTPUT_VARIABLE} to write it again.",
        "Each function brings one task's tables up to date in the warehouse and gives their evidence.",
        "",
        f"    dr = driver.Builder().with_modules(module){run}.build()",
        f'    dr.execute(["{target}"])  # this, what it needs, and nothing else',
    ]
    if graph.sources:
        path = f'{{"{names.evidence[graph.sources[0]]}": "other/file.csv"}}'
        lines += ["", "Sources are inputs, which may be left out; given a path, a source is read from there:", ""]
        lines += [f'    dr.execute(["{target}"], inputs={path})']
    if catalog:
        lines += ["", "Another warehouse, or parameters:", ""]
        lines += ['    .with_config({"relspec_run": HamiltonRun(CATALOG, "other.duckdb")})']
    return "\n".join(lines)


def _imports(graph: TaskGraph, names: _Names, catalog: str | None) -> Iterator[str]:
    if graph.tasks or catalog:
        yield ""
    if graph.tasks:
        modifiers = "extract_fields, tag" if names.tasks else "tag"
        yield f"from hamilton.function_modifiers import {modifiers}"
    wanted = {"Evidence": graph.tasks, "HamiltonRun": graph.tasks or catalog, "SourceInput": graph.sources}
    if any(wanted.values()):
        imported = ", ".join(name for name, users in wanted.items() if users)
        yield f"from relspec_core.hamilton_output import {imported}"


def _function(task: str, graph: TaskGraph, plans: PlanCatalog, names: _Names) -> str:
    """The decorated function of one task; Hamilton takes the outputs apart where they are not simply the task's own."""
    outputs = plans.of_task(task)
    made = [edge.evidence for edge in graph.edges_of(task) if graph.producer(edge.evidence) is not None]
    reads = {edge.evidence: names.evidence[edge.evidence] for edge in graph.edges_of(task)}
    parameters = [
        "relspec_run: HamiltonRun",
        *(f"{reads[name]}: Evidence" for name in made),
        *(f"{reads[name]}: SourceInput = None" for name in reads if name not in made),
    ]
    if task in names.tasks:
        function, gives = names.tasks[task], "dict[str, Evidence]"
        fields = {plan.name: names.evidence[plan.name] for plan in outputs}
        lines = _wrapped("@tag(", [f"target_={_text(function)}", *_named(task, function, key="task")], ")")
        for plan in outputs:
            lines += _wrapped("@tag(", [f"target_={_text(fields[plan.name])}", *_tags(plan, fields[plan.name])], ")")
        lines += _wrapped("@extract_fields({", [f"{_text(field)}: Evidence" for field in fields.values()], "})")
    else:
        function, gives, fields = names.evidence[task], "Evidence", {}
        lines = _wrapped("@tag(", _tags(outputs[0], function), ")")
    lines += _wrapped(f"def {function}(", parameters, f") -> {gives}:")
    lines.append(_docstring(outputs[0].task.description or f"Task '{task}'.", INDENT))
    return "\n".join([*lines, *_body(task, reads, fields)])


def _body(task: str, reads: Mapping[str, str], fields: Mapping[str, str]) -> Iterator[str]:
    """What the function does: build, and give the one output, or the outputs by field."""
    name = _text(task)
    read = [f"{_text(evidence)}: {parameter}" for evidence, parameter in reads.items()]
    before, after = ("relspec_built = ", "") if fields else ("return ", f"[{name}]")
    line = f"{INDENT}{before}relspec_run.build({name}, {{{', '.join(read)}}}){after}"
    if len(line) > WIDTH:
        yield from _wrapped(f"{INDENT}relspec_read = {{", read, "}")
        line = f"{INDENT}{before}relspec_run.build({name}, relspec_read){after}"
    yield line
    if fields:
        given = [f"{_text(field)}: relspec_built[{_text(output)}]" for output, field in fields.items()]
        yield from _wrapped(f"{INDENT}return {{", given, "}")


def _tags(plan: PlanArtifact, identifier: str) -> list[str]:
    """The arguments of ``@tag`` for one output: what it is, what it must be able to read, and its fingerprint."""
    found = plan.deps.required_columns
    lists = {
        "required_columns": [f"{name}.{column}" for name, columns in found.items() for column in columns],
        "required_rows": [name for name, columns in found.items() if not columns],
        "unresolved": [f"{name}: {reason}" for name, reason in plan.deps.unresolved.items()],
    }
    return [
        f"task={_text(plan.task.name)}",
        *_named(plan.name, identifier, key="evidence"),
        *(
            "\n".join(_wrapped(f"{INDENT}{key}=[", map(_text, texts), "]")).lstrip()
            for key, texts in lists.items()
            if texts  # Hamilton takes no empty list
        ),
        f"fingerprint={_text(plan.fingerprint)}",
    ]


def _named(name: str, identifier: str, *, key: str) -> list[str]:
    """A name as a tag; where it can't be a node's name, Hamilton's drawings show it instead of the node's."""
    shown = [f"display_name={_text(name)}"] if identifier != name else []
    return [f"{key}={_text(name)}", *shown]


def _wrapped(start: str, items: Iterable[str], end: str) -> list[str]:
    """Items between start and end, the way ruff lays them out: on one line where they fit, else one a line."""
    items = list(items)
    line = f"{start}{', '.join(items)}{end}"
    if "\n" not in line and len(line) < WIDTH:  # one less: a comma may follow
        return [line]
    indent = start[: len(start) - len(start.lstrip())]
    return [start, *(f"{indent}{INDENT}{item}," for item in items), f"{indent}{end}"]


def _docstring(text: str, indent: str) -> str:
    lines = [_escaped(line).rstrip() for line in text.strip().split("\n")]
    last = lines[-1]
    if last.endswith('"'):
        lines[-1] = f'{last[:-1]}\\"'
    lines = "\n".join(lines).replace('"""', '\\"\\"\\"').split("\n")
    if len(lines) == 1:
        return f'{indent}"""{lines[0]}"""'
    return "\n".join([f'{indent}"""{lines[0]}', *(f"{indent}{line}".rstrip() for line in lines[1:]), f'{indent}"""'])


def _text(value: str) -> str:
    quoted = _escaped(value).replace('"', '\\"')
    return f'"{quoted}"'


def _escaped(value: str) -> str:
    """The text as it stands in a string literal, but for quotes."""
    quoted = value.replace("\\", "\\\\")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in quoted)
