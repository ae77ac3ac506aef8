"""Edits that change what a query computes. Each changes a parsed query in place, in one place if it has one."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from sqlglot import exp

from tests.laws.query_places import constants, inner_queries, is_grouped, own_column, selects, terms

COMPARED_OTHERWISE: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.LT: exp.LTE,
    exp.LTE: exp.LT,
    exp.GT: exp.GTE,
    exp.GTE: exp.GT,
    exp.NEQ: exp.EQ,
    exp.EQ: exp.NEQ,
}
CALCULATED_OTHERWISE: Mapping[type[exp.Expr], type[exp.Expr]] = {exp.Add: exp.Sub, exp.Sub: exp.Add, exp.Mul: exp.Add}
SUMMED_OTHERWISE: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.Sum: exp.Max,
    exp.Avg: exp.Min,
    exp.Min: exp.Max,
    exp.Max: exp.Min,
}
DATE = re.compile(r"\d{4}-\d\d?-\d\d?")


class HarmfulEdit(NamedTuple):
    """What is changed, and what is made ready for that in the query that the mutant is compared with."""

    change: Callable[[exp.Query], None]
    prepare: Callable[[exp.Query], None] | None = None


def changed_literal(query: exp.Query) -> None:
    for literal in constants(query):
        text = literal.name
        if not literal.is_string:
            literal.replace(exp.Literal.number(f"{text}1"))
        elif DATE.fullmatch(text):
            literal.replace(exp.Literal.string(f"{int(text[:4]) - 1}{text[4:]}"))
        else:
            literal.replace(exp.Literal.string(f"{text}x"))
        return


def changed_comparison(query: exp.Query) -> None:
    _retyped(query, COMPARED_OTHERWISE)


def changed_arithmetic(query: exp.Query) -> None:
    _retyped(query, CALCULATED_OTHERWISE)


def changed_aggregate(query: exp.Query) -> None:
    _retyped(query, SUMMED_OTHERWISE)


def counted_once(query: exp.Query) -> None:
    for count in query.find_all(exp.Count):
        if isinstance(count.this, exp.Column):
            count.set("this", exp.Distinct(expressions=[count.this]))
            return


def _retyped(query: exp.Query, others: Mapping[type[exp.Expr], type[exp.Expr]]) -> None:
    """Replace the first node of the first of these types that there is; one that may be unread comes last."""
    for kind, other in others.items():
        for node in sorted(query.find_all(kind), key=_may_be_unread):
            if not node.find(exp.Interval):
                node.replace(other(this=node.this, expression=node.args.get("expression")))
                return


def _may_be_unread(node: exp.Expr) -> bool:
    return node.find_ancestor(exp.With) is not None and node.find_ancestor(exp.Where, exp.Having) is None


def dropped_conjunct(query: exp.Query) -> None:
    for clause in query.find_all(exp.Where):
        if len(terms(clause.this)) > 1:
            clause.set("this", clause.this.this)
            return


def added_conjunct(query: exp.Query) -> None:
    for select in query.find_all(exp.Select):
        column = own_column(select)
        if column is not None:
            select.where(exp.cast(column, "text").neq("4217"), copy=False)
            return


def changed_join(query: exp.Query) -> None:
    for join in query.find_all(exp.Join):
        if join.args.get("on"):
            join.set("side", None if join.side else "LEFT")
            join.set("kind", None)
            return


def changed_sort_direction(query: exp.Query) -> None:
    order = query.args.get("order")
    if order is not None:
        first = order.expressions[0]
        first.set("desc", not first.args.get("desc"))


def changed_limit(query: exp.Query) -> None:
    limit = query.args.get("limit")
    query.limit(int(limit.expression.name) + 1 if limit else 17, copy=False)


def renamed_output(query: exp.Query) -> None:
    select = selects(query)[0]
    if select.is_star:
        return
    first, *others = select.expressions
    name = first.alias_or_name
    clauses = [query.args.get(clause) for clause in ("order", "group", "having")]
    if isinstance(first, exp.Alias) or select is not query:
        for column in [column for clause in clauses if clause for column in clause.find_all(exp.Column)]:
            if column.name == name and not column.table:
                column.set("this", exp.to_identifier(f"{name}_x", quoted=True))
    renamed = exp.alias_(first.unalias(), f"{name}_x", quoted=True)
    select.set("expressions", [renamed, *others])


def reordered_outputs(query: exp.Query) -> None:
    order = query.args.get("order")
    by_place = order is not None and any(isinstance(found.this, exp.Literal) for found in order.expressions)
    if isinstance(query, exp.Select) and len(query.expressions) > 1 and not query.is_star and not by_place:
        first, second, *others = query.expressions
        query.set("expressions", [second, first, *others])


def union_all_as_union(query: exp.Query) -> None:
    for union in query.find_all(exp.Union):
        if not union.args.get("distinct"):
            union.set("distinct", True)  # noqa: FBT003 - SQLGlot's signature
            return


def made_distinct(query: exp.Query) -> None:
    """Put DISTINCT into a query in WITH or FROM."""
    for inner in inner_queries(query):
        if isinstance(inner, exp.Select) and not is_grouped(inner) and own_column(inner):
            inner.distinct(copy=False)
            return


def column_under_distinct(query: exp.Query) -> None:
    for inner in inner_queries(query):
        if isinstance(inner, exp.Select) and inner.args.get("distinct") and not is_grouped(inner):
            _with_one_more_column(inner)


def made_group_by_all(query: exp.Query) -> None:
    """Let a query in WITH or FROM group by all."""
    for inner in inner_queries(query):
        plain = isinstance(inner, exp.Select) and inner.args.get("group") and not inner.find(exp.Window)
        if plain and own_column(inner):
            inner.set("group", exp.Group(all=True))
            return


def column_under_group_by_all(query: exp.Query) -> None:
    for inner in inner_queries(query):
        if isinstance(inner, exp.Select) and inner.args.get("group") and inner.args["group"].args.get("all"):
            _with_one_more_column(inner)


def made_union(query: exp.Query) -> None:
    """Let a query in WITH or FROM drop the rows that it has twice."""
    for inner in inner_queries(query):
        if isinstance(inner, exp.Union):
            inner.set("distinct", True)  # noqa: FBT003 - SQLGlot's signature
            return


def column_under_union(query: exp.Query) -> None:
    for inner in inner_queries(query):
        if isinstance(inner, exp.SetOperation) and inner.args.get("distinct"):
            for number, select in enumerate(selects(inner)):
                select.select(exp.alias_(exp.Literal.number(number), "one_more"), copy=False)


def _with_one_more_column(select: exp.Select) -> None:
    column = own_column(select)
    if column is not None:
        select.select(exp.alias_(exp.cast(column, "text"), "one_more"), copy=False)


HARMFUL_EDITS: Mapping[str, HarmfulEdit] = {
    "changed literal": HarmfulEdit(changed_literal),
    "changed comparison": HarmfulEdit(changed_comparison),
    "changed arithmetic": HarmfulEdit(changed_arithmetic),
    "changed aggregate": HarmfulEdit(changed_aggregate),
    "counted once": HarmfulEdit(counted_once),
    "dropped conjunct": HarmfulEdit(dropped_conjunct),
    "added conjunct": HarmfulEdit(added_conjunct),
    "changed join": HarmfulEdit(changed_join),
    "changed sort direction": HarmfulEdit(changed_sort_direction),
    "changed limit": HarmfulEdit(changed_limit),
    "renamed output": HarmfulEdit(renamed_output),
    "reordered outputs": HarmfulEdit(reordered_outputs),
    "union all as union": HarmfulEdit(union_all_as_union),
    "column under distinct": HarmfulEdit(column_under_distinct, prepare=made_distinct),
    "column under union": HarmfulEdit(column_under_union, prepare=made_union),
    "column under group by all": HarmfulEdit(column_under_group_by_all, prepare=made_group_by_all),
}
