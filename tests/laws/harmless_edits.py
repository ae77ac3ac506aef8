"""Edits that leave what a query computes as it is. Each changes a parsed query in place wherever it can."""

from collections.abc import Callable, Mapping
from functools import reduce
from itertools import pairwise

import sqlglot
from sqlglot import exp

from tests.laws.query_places import (
    COMPARISONS,
    comma_joins,
    conjunctions,
    constants,
    inner_queries,
    is_grouped,
    is_whole,
    own_column,
    reads_of,
    terms,
)

MIRRORED: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ,
    exp.NEQ: exp.NEQ,
    exp.LT: exp.GT,
    exp.GT: exp.LT,
    exp.LTE: exp.GTE,
    exp.GTE: exp.LTE,
}
ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div)


def quoted_names(query: exp.Query) -> None:
    for identifier in query.find_all(exp.Identifier):
        identifier.set("quoted", True)  # noqa: FBT003 - SQLGlot's signature


def qualified_tables(query: exp.Query) -> None:
    own = {cte.alias for cte in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if table.name not in own:
            table.set("db", exp.to_identifier("main"))


def renamed_aliases(query: exp.Query) -> None:
    for item in query.find_all(exp.Table, exp.Subquery):
        if isinstance(item.parent, (exp.From, exp.Join)) and item.alias_or_name:
            columns = [exp.to_identifier(name) for name in item.alias_column_names]
            item.set("alias", exp.TableAlias(this=exp.to_identifier(f"{item.alias_or_name}_r"), columns=columns))
    for column in query.find_all(exp.Column):
        if column.table:
            column.set("table", exp.to_identifier(f"{column.table}_r"))


def renamed_ctes(query: exp.Query) -> None:
    for cte in list(query.find_all(exp.CTE)):
        reads, name = reads_of(cte), f"{cte.alias}_r"
        for table in reads:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("this", exp.to_identifier(name))
        if reads:
            cte.args["alias"].set("this", exp.to_identifier(name))


def reordered_ctes(query: exp.Query) -> None:
    for clause in query.find_all(exp.With):
        for one, other in pairwise(clause.expressions):
            if not any(table.name == one.alias for table in other.find_all(exp.Table)):
                places = {id(one): other, id(other): one}
                clause.set("expressions", [places.get(id(cte), cte) for cte in clause.expressions])
                break


def reordered_and_terms(query: exp.Query) -> None:
    for found in reversed(conjunctions(query)):  # the innermost first
        around, parts = exp.Paren(), terms(found)[::-1]
        found.replace(around)
        around.replace(reduce(lambda left, right: exp.And(this=left, expression=right), parts))


def reordered_in_lists(query: exp.Query) -> None:
    for found in query.find_all(exp.In):
        found.set("expressions", found.expressions[::-1])


def reordered_from_items(query: exp.Query) -> None:
    for select in query.find_all(exp.Select):
        joins, source = select.args.get("joins") or [], select.find(exp.From)
        if source is None or len(comma_joins(select)) != len(joins) or select.is_star:
            continue
        holders = [source, *joins]
        for holder, item in zip(holders, [holder.this for holder in reversed(holders)], strict=True):
            holder.set("this", item)


def swapped_comparison_sides(query: exp.Query) -> None:
    for found in list(query.find_all(*COMPARISONS)):
        if not isinstance(found.expression, (exp.Any, exp.All)):
            found.replace(MIRRORED[type(found)](this=found.expression, expression=found.this))


def between_as_two_comparisons(query: exp.Query) -> None:
    for found in list(query.find_all(exp.Between)):
        low = exp.GTE(this=found.this.copy(), expression=found.args["low"])
        both = exp.And(this=low, expression=exp.LTE(this=found.this, expression=found.args["high"]))
        bare = isinstance(found.parent, (exp.And, exp.Where, exp.Having))
        found.replace(both if bare else exp.Paren(this=both))


def redundant_parentheses(query: exp.Query) -> None:
    for found in list(query.find_all(*COMPARISONS, *ARITHMETIC, exp.Like, exp.In, exp.Between)):
        around = exp.Paren()
        found.replace(around)
        around.set("this", found)


def comma_as_cross_join(query: exp.Query) -> None:
    for select in query.find_all(exp.Select):
        if all(join.side in ("", "LEFT") for join in select.args.get("joins") or ()):
            for join in comma_joins(select):
                join.set("kind", "CROSS")


def inlined_cte(query: exp.Query) -> None:
    for cte in query.find_all(exp.CTE):
        reads, clause = reads_of(cte), cte.parent
        if len(reads) != 1 or clause is None:
            continue
        (read,) = reads
        names = read.alias_column_names or cte.alias_column_names
        columns = [exp.to_identifier(name) for name in names]
        cte.pop()
        alias = exp.TableAlias(this=exp.to_identifier(read.alias_or_name), columns=columns)
        read.replace(exp.Subquery(this=cte.this, alias=alias))
        if not clause.expressions:
            clause.pop()
        return


def folded_constants(query: exp.Query) -> None:
    found = constants(query)
    sums = {
        id(literal.parent): literal.parent
        for literal in found
        if isinstance(literal.parent, exp.Add) and is_whole(literal.parent.this) and is_whole(literal.parent.expression)
    }
    for added in sums.values():
        added.replace(exp.Literal.number(int(added.this.name) + int(added.expression.name)))


def unfolded_constants(query: exp.Query) -> None:
    for literal in constants(query):
        if is_whole(literal) and isinstance(literal.parent, (*COMPARISONS, exp.Between, exp.In)):
            less = exp.Sub(this=literal.copy(), expression=exp.Literal.number(1))
            literal.replace(exp.Add(this=exp.Paren(this=less), expression=exp.Literal.number(1)))


def unread_column(query: exp.Query) -> None:
    for inner in inner_queries(query):
        if not isinstance(inner, exp.Select) or inner.args.get("distinct") or _groups_by_all(inner):
            continue
        column = exp.Count(this=exp.Star()) if is_grouped(inner) else own_column(inner)
        if column is not None:
            inner.select(exp.alias_(column, "unread"), copy=False)
            return


def _groups_by_all(select: exp.Select) -> bool:
    group = select.args.get("group")
    return group is not None and bool(group.args.get("all"))


def _between_tokens(text: str, filling: str) -> str:
    return filling.join(text[token.start : token.end + 1] for token in sqlglot.tokenize(text, read="duckdb"))


def whitespace(query: exp.Query) -> str:
    return _between_tokens(query.sql("duckdb"), "\n \t")


def comments(query: exp.Query) -> str:
    return f"/* why */ {_between_tokens(query.sql('duckdb'), ' /* so */ ')} -- because"


TREE_EDITS: Mapping[str, Callable[[exp.Query], None]] = {
    "quoted names": quoted_names,
    "qualified tables": qualified_tables,
    "renamed aliases": renamed_aliases,
    "renamed ctes": renamed_ctes,
    "reordered ctes": reordered_ctes,
    "reordered and terms": reordered_and_terms,
    "reordered in lists": reordered_in_lists,
    "reordered from items": reordered_from_items,
    "swapped comparison sides": swapped_comparison_sides,
    "between as two comparisons": between_as_two_comparisons,
    "redundant parentheses": redundant_parentheses,
    "comma as cross join": comma_as_cross_join,
    "inlined cte": inlined_cte,
    "folded constants": folded_constants,
    "unfolded constants": unfolded_constants,
    "unread column": unread_column,
}
TEXT_EDITS: Mapping[str, Callable[[exp.Query], str]] = {"whitespace": whitespace, "comments": comments}
