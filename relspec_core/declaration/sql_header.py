"""The header of a ``.sql`` file: a comment in YAML that says how its task is declared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from relspec_core.errors import CatalogError, RelspecError, SourceLocation, TextPosition, raise_all
from relspec_core.model.formatting import did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


KEYS = ("kind", "description", "owners", "tags", "group", "kinds", "cron", "internal", "retries", "pool", "dialect")
YES_OR_NO = {"true": True, "false": False}
WANTED = {  # of the keys whose values are no texts
    "owners": "a name, or a list of names",
    "kinds": "a word, or a list of words",
    "tags": "a mapping of labels to values, or a list of labels",
    "internal": "true or false",
    "retries": "a whole number from 0",
}
# Between dashes the header may hold what ends a comment, as "*/5 * * * *" does. Blank lines may stand before it.
FENCED = re.compile(r"\A\s*/\*\s*---[ \t]*\n(?P<yaml>.*?)^[ \t]*---\s*\*/", re.DOTALL | re.MULTILINE)
OPENED = re.compile(r"\A\s*/\*\s*---[ \t]*$", re.MULTILINE)
BLOCK = re.compile(r"\A\s*/\*(?P<yaml>.*?)\*/", re.DOTALL)
LINES = re.compile(r"\A\s*(?P<lines>--[^\n]*(?:\n[ \t]*--[^\n]*)*)")
FENCED_LINES = re.compile(r"--[ \t]*---[ \t]*$", re.MULTILINE)
DASHES = re.compile(r"^([ \t]*)--(?:[ \t]*---[ \t]*$)?", re.MULTILINE)
KEY_LINE = re.compile(r"^[ \t]*(\w+):(?=\s|$)", re.MULTILINE)
HEADER_HINT = "write it as YAML between /* --- and --- */, a line each: kind: view."
UNCLOSED_HINT = "close it with --- */ ahead of the query."

Value: TypeAlias = "str | list[Value] | dict[str, Value]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlHeader:
    """What a header says.

    Attributes:
        declared: in terms of ``TaskSpec``.
        dialect: of the query's text; None: the backend's.
        dialect_place: where the header names it.
        text: of the whole file, with blanks in place of the header, so that lines and columns are the file's.
    """

    declared: Mapping[str, Any]
    dialect: str | None
    dialect_place: TextPosition | None
    text: str


def read_header(path: Path, text: str) -> SqlHeader | None:
    """The header of a file; None where it has none.

    Raises:
        CatalogError: RS100, where it can't be used; a ``CompileError`` where several keys of it can't.
    """
    header = _header(path, text)
    if header is None:
        return None
    yaml_text, end = header
    values, places = _values(path, yaml_text)
    dialect = values.pop("dialect", None)
    if dialect is not None and not isinstance(dialect, str):
        raise _misused(path, "dialect", "a name", places["dialect"])
    return SqlHeader(
        declared={key: _declared(path, key, value, places[key]) for key, value in values.items()},
        dialect=dialect,
        dialect_place=places.get("dialect"),
        text=_blanked(text[:end]) + text[end:],
    )


def _header(path: Path, text: str) -> tuple[str, int] | None:
    """The YAML of a file's header, with blanks for all that is not YAML, and where it ends; None where there is none.

    The first comment is a header where dashes fence it, and where its lines begin with keys that headers have.
    """
    fenced = FENCED.match(text)
    if fenced is None and OPENED.match(text):
        raise CatalogError("the header is never closed", at=str(_location(path, 1)), hint=UNCLOSED_HINT)
    if block := fenced or BLOCK.match(text):
        said = block["yaml"]
        start, end = block.span("yaml")[0], block.end()
    elif lines := LINES.match(text):
        fenced = FENCED_LINES.match(lines["lines"])
        said = DASHES.sub(lambda dashes: " " * len(dashes[0]), lines["lines"])
        start, end = lines.span("lines")
    else:
        return None
    keys = KEY_LINE.findall(said)
    if not fenced and not (KEY_LINE.match(said.lstrip()) and any(key in KEYS for key in keys)):
        return None
    return _blanked(text[:start]) + said, end


def _blanked(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _values(path: Path, header: str) -> tuple[dict[str, Value], dict[str, TextPosition]]:
    """What a header says by key, every scalar a text as written, and where each key stands."""
    try:
        root = yaml.compose(header, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = error.problem or str(error)
        raise CatalogError(
            f"the header is no YAML: {said}",
            at=str(_location(path, line)),
            hint="mend it; put quotes around what begins with * or has a colon in it.",
        ) from error
    if root is None:
        return {}, {}
    if not isinstance(root, yaml.MappingNode):
        raise CatalogError(
            "the header has no keys", at=str(_location(path, root.start_mark.line + 1)), hint=HEADER_HINT
        )
    values: dict[str, Value] = {}
    places: dict[str, TextPosition] = {}
    problems: list[RelspecError] = []
    for key, value in root.value:
        place = TextPosition(key.start_mark.line + 1, key.start_mark.column + 1)
        name = str(_value(key))
        if name not in KEYS or name in places:
            problems.append(_unusable_key(path, name, place, twice=name in places))
            continue
        places[name] = place
        if (said := _value(value)) != "":
            values[name] = said
    raise_all(problems)
    return values, places


def _value(node: yaml.Node) -> Value:
    match node:
        case yaml.MappingNode():
            return {str(_value(key)): _value(value) for key, value in node.value}
        case yaml.SequenceNode():
            return [_value(item) for item in node.value]
        case _:
            return str(node.value)


def _unusable_key(path: Path, name: str, place: TextPosition, *, twice: bool) -> CatalogError:
    what = f"has '{name}' twice" if twice else f"has an unknown key '{name}'"
    hint = "keep one." if twice else f"{did_you_mean(name, KEYS)}There are {listed(KEYS)}."
    return CatalogError(f"the header {what}", at=str(_location(path, place.line)), hint=hint)


def _declared(path: Path, key: str, value: Value, place: TextPosition) -> Any:  # noqa: ANN401 - as TaskSpec takes it
    """A header's value as ``TaskSpec`` has it."""
    match key, value:
        case (("owners" | "kinds"), str()):
            return (value,)
        case (("owners" | "kinds"), list()) if _all_texts(value):
            return tuple(value)
        case "tags", list() if _all_texts(value):
            return dict.fromkeys(map(str, value), "")
        case "internal", str() if value.lower() in YES_OR_NO:
            return YES_OR_NO[value.lower()]
        case "retries", str() if value.isdecimal():
            return int(value)
    if key in WANTED and not (key == "tags" and isinstance(value, dict) and _all_texts(value.values())):
        raise _misused(path, key, WANTED[key], place)
    if key not in WANTED and not isinstance(value, str):
        raise _misused(path, key, "a text", place)
    return value


def _all_texts(values: Iterable[Value]) -> bool:
    return all(isinstance(value, str) for value in values)


def _misused(path: Path, key: str, wanted: str, place: TextPosition) -> CatalogError:
    return CatalogError(f"'{key}' of the header is not {wanted}", at=str(_location(path, place.line)), hint=HEADER_HINT)


def _location(path: Path, line: int) -> SourceLocation:
    return SourceLocation(str(path.absolute()), line)
