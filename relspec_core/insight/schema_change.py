"""Changes that somebody may make to an evidence: what it would have then, and which values would not be the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ibis

from relspec_core.errors import CatalogError
from relspec_core.insight.column_reference import columns_of, find_column
from relspec_core.model.formatting import listed, nearest
from relspec_core.model.schemas import fits, same_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import ibis.expr.datatypes as dt

    from relspec_core.graph_inference import TaskGraph
    from relspec_core.insight.column_reference import EvidenceReference


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceChange:
    """One evidence, as it would be.

    Attributes:
        evidence: what is changed.
        steps: the change in words, at least one.
        schema: what it would have; None: it would be gone.
        renamed: old names, of columns or of the evidence itself, to new ones.
        guessed: whether the new names are only likely ones.
        values: columns whose values would not be the same.
        rows: whether other rows would be in it, or none can tell.
    """

    evidence: str
    steps: tuple[str, ...]
    schema: ibis.Schema | None
    renamed: Mapping[str, str] = field(default_factory=dict)
    guessed: bool = False
    values: frozenset[str] = frozenset()
    rows: bool = False

    def __str__(self) -> str:
        return "; ".join(self.steps)


def dropped(found: EvidenceReference, graph: TaskGraph) -> EvidenceChange:
    """The evidence, or the column, is gone."""
    return EvidenceChange(
        evidence=found.evidence,
        steps=(f"'{found}' is dropped",),
        schema=None if found.column is None else _without(found, graph),
    )


def renamed(found: EvidenceReference, new: str, graph: TaskGraph) -> EvidenceChange:
    """The evidence, or the column, has another name.

    Raises:
        CatalogError: RS100, where something else has that name.
    """
    steps = (f"'{found}' is renamed to '{new}'",)
    columns = columns_of(found.evidence, graph)
    taken = graph.evidence if found.column is None else tuple(columns)
    if new in taken:
        raise CatalogError(f"'{found}' can't be renamed to '{new}': there is one", hint=f"taken are {listed(taken)}.")
    if found.column is None:
        return EvidenceChange(evidence=found.evidence, steps=steps, schema=None, renamed={found.evidence: new})
    return EvidenceChange(
        evidence=found.evidence,
        steps=steps,
        schema=ibis.schema({new if name == found.column else name: kind for name, kind in columns.items()}),
        renamed={found.column: new},
    )


def retyped(evidence: str, column: str, kind: dt.DataType, graph: TaskGraph) -> EvidenceChange:
    """The column has another type."""
    find_column(evidence, column, graph)
    columns = dict(columns_of(evidence, graph).items())
    return EvidenceChange(
        evidence=evidence,
        steps=(_type_step(f"{evidence}.{column}", columns[column], kind),),
        schema=ibis.schema({**columns, column: kind}),
        values=frozenset([column]),
    )


def recalculated(found: EvidenceReference, graph: TaskGraph) -> EvidenceChange:
    """The column has other values; of a whole evidence, everything in it may be other than it was."""
    whole = found.column is None
    return EvidenceChange(
        evidence=found.evidence,
        steps=(f"{'the rows' if whole else 'the values'} of '{found}' change",),
        schema=columns_of(found.evidence, graph),
        values=frozenset() if found.column is None else frozenset([found.column]),
        rows=whole,
    )


def proposed(evidence: str, schema: ibis.Schema, graph: TaskGraph) -> EvidenceChange:
    """The evidence has this schema instead of its own."""
    now = columns_of(evidence, graph)
    lost = [column for column in now if column not in schema]
    new = [column for column in schema if column not in now]
    names = likely_renames({name: now[name] for name in lost}, {name: schema[name] for name in new})
    values = [name for name in now if name in schema and not same_type(now[name], schema[name])]
    same = {name: now[name] for name in schema if name in now and name not in values}  # nullable or not, as they are
    steps = [
        *(
            f"'{evidence}.{name}' is gone{f', its new name likely {names[name]!r}' if name in names else ''}"
            for name in lost
        ),
        *(_type_step(f"{evidence}.{name}", now[name], schema[name]) for name in values),
        *(f"'{evidence}.{name}' is new" for name in new if name not in names.values()),
    ]
    return EvidenceChange(
        evidence=evidence,
        steps=tuple(steps) or (f"'{evidence}' stays as it is",),
        schema=ibis.schema({**dict(schema.items()), **same}),
        renamed=names,
        guessed=True,
        values=frozenset(values),
    )


def likely_renames(lost: Mapping[str, dt.DataType], new: Mapping[str, dt.DataType]) -> dict[str, str]:
    """For lost columns the new one that each has likely become: a like name with a type that fits, each taken once.

    One lost column and one new column of the same type are taken for the same whatever their names.

    >>> import ibis.expr.datatypes as dt
    >>> likely_renames({"amount": dt.int64}, {"amt": dt.int64, "note": dt.string})
    {'amount': 'amt'}
    """
    left = dict(new)
    found: dict[str, str] = {}
    for name, kind in lost.items():
        alike = nearest(name, [other for other, type_ in left.items() if fits(kind, type_)])
        if alike is not None:
            found[name] = alike
            del left[alike]
    unmatched = [name for name in lost if name not in found]
    if len(unmatched) == len(left) == 1 and same_type(lost[unmatched[0]], *left.values()):
        found[unmatched[0]] = next(iter(left))
    return found


def _without(found: EvidenceReference, graph: TaskGraph) -> ibis.Schema:
    columns = columns_of(found.evidence, graph).items()
    return ibis.schema({name: kind for name, kind in columns if name != found.column})


def _type_step(column: str, now: dt.DataType, kind: dt.DataType) -> str:
    widened = ", which is wider" if fits(now, kind) and not same_type(now, kind) else ""
    return f"'{column}' becomes {kind} instead of {now}{widened}"
