"""The header of a ``.sql`` file: a YAML comment that declares its task."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from relspec_core.errors import CatalogError, RelspecError, SourceLocation, TextPosition, raise_all
from relspec_core.model.formatting import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


KEYS = ("kind", "description", "owners", "tags", "group", "kinds", "cron", "internal", "retries", "pool", "dialect")
YES_OR_NO = {"true": True, "false": False}
WANTED = {  # the keys whose values are not plain text
    "owners": "a name, or a list of names",
    "kinds": "a word, or a list of words",
    "tags": "a mapping of labels to values, or a list of labels",
    "internal": "true or false",
    "retries": "a whole number from 0",
}
# Between dashes a header may contain the end of a comment, as in "*/5 * * * *". Blank lines may precede it.
FENCED = re.compile(r"\A\s*/\*\s*---[ \t]*\n(?P<yaml>.*?)^[ \t]*---\s*\*/", re.DOTALL | re.MULTILINE)
OPENED = re.compile(r"\A\s*/\*\s*---[ \t]*$", re.MULTILINE)
BLOCK = re.compile(r"\A\s*/\*(?P<yaml>.*?)\*/", re.DOTALL)
LINES = re.compile(r"\A\s*(?P<lines>--[^\n]*(?:\n[ \t]*--[^\n]*)*)")
FENCED_LINES = re.compile(r"--[ \t]*---[ \t]*$", re.MULTILINE)
DASHES = re.compile(r"^([ \t]*)--(?:[ \t]*---[ \t]*$)?", re.MULTILINE)
KEY_LINE = re.compile(r"^[ \t]*(\w+):(?=\s|$)", re.MULTILINE)
HEADER_HINT = "write YAML between /* --- and --- */, one key per line: kind: view."
UNCLOSED_HINT = "close it with --- */ before the query."

Value: TypeAlias = "str | list[Value] | dict[str, Value]"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlHeader:
    """The contents of a header.

    Attributes:
        declared: arguments of ``TaskSpec``.
        dialect: the dialect of the query's text; None: the backend's.
        dialect_place: the position of the dialect in the header.
        text: the whole file with its header blanked out, so that lines and columns are the file's.
    """

    declared: Mapping[str, Any]
    dialect: str | None
    dialect_place: TextPosition | None
    text: str


def read_header(path: Path, text: str) -> SqlHeader | None:
    """Read the header of a file; None if it has none.

    Raises:
        CatalogError: RS100, if it is invalid; a ``CompileError`` if several keys are.
    """
    header = _header(path, text)
    if header is None:
        return None
    yaml_text, end = header
    values, places = _values(path, yaml_text)
    dialect = values.pop("dialect", None)
    if dialect is not None and not isinstance(dialect, str):
        raise _invalid_value(path, "dialect", "a name", places["dialect"])
    return SqlHeader(
        declared={key: _declared(path, key, value, places[key]) for key, value in values.items()},
        dialect=dialect,
        dialect_place=places.get("dialect"),
        text=_blanked(text[:end]) + text[end:],
    )


def _header(path: Path, text: str) -> tuple[str, int] | None:
    """The YAML of a file's header, everything before it blanked out, and the header's end; None if there is none.

    The first comment is a header if dashes fence it, or if its lines begin with known keys.
    """
    fenced = FENCED.match(text)
    if fenced is None and OPENED.match(text):
        raise CatalogError("the header is not closed", at=str(_location(path, 1)), hint=UNCLOSED_HINT)
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
    """The values of a header by key, scalars as written, and the position of each key."""
    try:
        root = yaml.compose(header, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = error.problem or str(error)
        raise CatalogError(
            f"the header is not valid YAML: {said}",
            at=str(_location(path, line)),
            hint="fix it; quote values that begin with * or contain a colon.",
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
    hint = "keep one." if twice else alternatives(name, KEYS)
    return CatalogError(f"the header {what}", at=str(_location(path, place.line)), hint=hint)


def _declared(path: Path, key: str, value: Value, place: TextPosition) -> Any:  # noqa: ANN401 - as TaskSpec takes it
    """A header's value converted to the argument of ``TaskSpec``."""
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
        raise _invalid_value(path, key, WANTED[key], place)
    if key not in WANTED and not isinstance(value, str):
        raise _invalid_value(path, key, "plain text", place)
    return value


def _all_texts(values: Iterable[Value]) -> bool:
    return all(isinstance(value, str) for value in values)


def _invalid_value(path: Path, key: str, wanted: str, place: TextPosition) -> CatalogError:
    return CatalogError(
        f"the value of '{key}' in the header is not {wanted}", at=str(_location(path, place.line)), hint=HEADER_HINT
    )


def _location(path: Path, line: int) -> SourceLocation:
    return SourceLocation(str(path.absolute()), line)
