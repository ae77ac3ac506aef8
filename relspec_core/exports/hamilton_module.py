"""The inferred graph as the text of a Python module for Apache Hamilton."""

from __future__ import annotations

import keyword
import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from relspec_core.errors import ProjectionError
from relspec_core.graph_inference import TaskGraph
from relspec_core.plan_catalog import PlanArtifact, PlanCatalog
from relspec_core.projects.catalog_loading import reference_of
from relspec_core.task_catalog import TaskCatalog

OUTPUT_VARIABLE = "HAMILTON_DAG_OUTPUT"
DEFAULT_OUTPUT = Path("hamilton_dag.py")
TRUTHY = frozenset({"1", "true", "yes", "on"})
FALSY = frozenset({"", "0", "false", "no", "off"})

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
    catalog: str | TaskCatalog | None = None,
    database: str | Path | None = None,
) -> Path | None:
    """The path of the module, written where ``HAMILTON_DAG_OUTPUT`` asks for it; None where it does not.

    Args and errors are those of ``write_hamilton_module``; a catalog object is replaced by its name in its module.
    """
    path = hamilton_output_path(environ)
    if path is None:
        return None
    if isinstance(catalog, TaskCatalog):
        catalog = reference_of(catalog)
    return write_hamilton_module(task_graph, plan_catalog, path, catalog=catalog, database=database)


def write_hamilton_module(
    task_graph: TaskGraph,
    plan_catalog: PlanCatalog,
    path: str | Path,
    *,
    catalog: str | None = None,
    database: str | Path | None = None,
) -> Path:
    """Write the module atomically and return its path; an equal file is not written again.

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
        yield f"from relspec_core import {imported}"


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
