"""Transpiling of queries of other dialects into the backend's, including outer lateral joins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import ErrorLevel, exp
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify_columns import qualify_columns
from sqlglot.optimizer.qualify_tables import qualify_tables
from sqlglot.schema import MappingSchema

from relspec_core.errors import SqlError
from relspec_core.model.formatting import first_line
from relspec_core.model.names import to_table
from relspec_core.sql.parsing import parse_query

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relspec_core.errors import TextPosition
    from relspec_core.sql.positions import TextPositions


QUOTES_DECIDE = (NormalizationStrategy.LOWERCASE, NormalizationStrategy.UPPERCASE)


def is_foreign(dialect: str, target: str) -> bool:
    """Whether a text has to be transpiled for a backend of the target dialect."""
    return type(Dialect.get_or_raise(dialect)) is not type(Dialect.get_or_raise(target))


def transpile(
    query: exp.Query, *, types: Mapping[str, Mapping[str, str]], dialect: str, target: str, places: TextPositions
) -> tuple[exp.Query, TextPositions]:
    """Transpile a query into the target dialect, with positions that refer to the original text.

    Names are unchanged. The meaning of an expression can depend on its types (``5 / 2`` is 2 in Postgres and 2.5 in
    DuckDB), so types are inferred first.

    Args:
        query: parsed; modified in place: types are annotated, and outer laterals become joins.
        types: each table's columns with DuckDB type names.
        dialect: of the query.
        target: dialect of the result.
        places: positions in the query's text.

    Raises:
        SqlError: RS103, if the query can't be expressed in the target dialect, or two of its names are equal there.
    """
    _refuse_split_names(query, dialect=dialect, target=target, places=places)
    _annotate(query, types, dialect)
    if issubclass(type(Dialect.get_or_raise(dialect)), TSQL):
        _join_texts(query)
    try:
        join_laterals(query)
    except ValueError as error:
        raise _untranslatable(dialect, target, str(error), places.start) from error
    try:
        text = query.sql(target, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise _untranslatable(dialect, target, first_line(error), places.start) from error
    found = places.rewritten(text, dialect=target)
    try:
        return parse_query(text, dialect=target), found
    except ParseError as error:
        first = error.errors[0]
        raise _untranslatable(
            dialect, target, first["description"], found.ending(first["line"], first["col"])
        ) from error


def _untranslatable(dialect: str, target: str, message: str, place: TextPosition) -> SqlError:
    return SqlError(
        f"the {dialect} text can't be written in {target}'s SQL: {message}",
        hint=f"rewrite it, or write it in {target}'s SQL.",
        place=place,
    )


def _annotate(query: exp.Query, types: Mapping[str, Mapping[str, str]], dialect: str) -> None:
    """Annotate expressions with inferred types, in place; unresolved names are reported later."""
    double = query.copy()
    pairs = list(zip(query.walk(), double.walk(), strict=True))
    for identifier in double.find_all(exp.Identifier):
        identifier.set("this", identifier.name.casefold())
    schema = MappingSchema(dialect="duckdb", normalize=False)
    for name, columns in types.items():
        folded = {column.casefold(): kind for column, kind in columns.items()}
        schema.add_table(to_table(name.casefold()), folded, match_depth=False, normalize=False)
    try:
        qualified = qualify_columns(
            qualify_tables(double, dialect=dialect), schema=schema, allow_partial_qualification=True
        )
        annotate_types(qualified, schema=schema, dialect=Dialect.get_or_raise(dialect))
    except SqlglotError:
        return
    for own, other in pairs:
        if other.type is not None and not other.is_type(exp.DType.UNKNOWN):
            own.type = other.type


def _join_texts(query: exp.Query) -> None:
    """Replace the ``+`` of texts by ``||``, in place, innermost first, so that ``a + b + c`` is one text."""
    for plus in reversed(list(query.find_all(exp.Add))):
        sides = (plus.left, plus.right)
        is_text = [side.is_type(*exp.DataType.TEXT_TYPES) for side in sides]
        if any(is_text) and not any(side.is_type(*exp.DataType.NUMERIC_TYPES) for side in sides):
            joined = exp.DPipe(this=plus.left, expression=plus.right, safe=False)
            joined.type = exp.DType.TEXT.into_expr()
            plus.replace(joined)


def _refuse_split_names(query: exp.Query, *, dialect: str, target: str, places: TextPositions) -> None:
    """Raise if names that quotes distinguish are equal in the target, such as ``"Orders"`` and ``orders``."""
    if Dialect.get_or_raise(dialect).normalization_strategy not in QUOTES_DECIDE:
        return
    normal = normalize_identifiers(query.copy(), dialect=dialect)
    ctes = {cte.alias.casefold(): cte.alias for cte in normal.find_all(exp.CTE)}
    for table in normal.find_all(exp.Table):
        cte = ctes.get(table.name.casefold())
        if cte is not None and not table.db and cte != table.name:
            raise SqlError(
                f"'{cte}' and '{table.name}' are two names in {dialect} and one in {target}",
                hint="rename the common table expression.",
                place=places.ending(table.this.meta.get("line"), table.this.meta.get("col")),
            )


SPREADING = (exp.Explode, exp.ExplodeOuter)


def join_laterals(query: exp.Expr) -> None:
    """Rewrite ``APPLY`` and outer lateral views as joins that keep rows without a match, in place.

    SQLGlot's DuckDB generator drops the conditions of the former and treats the latter as inner joins.

    Raises:
        ValueError: for unsupported forms, which the message names.
    """
    for join in query.find_all(exp.Join):
        lateral = join.this
        if isinstance(lateral, exp.Lateral) and lateral.args.get("cross_apply") is not None:
            if lateral.args["cross_apply"]:
                join.set("kind", "CROSS")
            else:
                join.set("side", "LEFT")
                join.set("on", exp.true())
            lateral.set("cross_apply", None)
    for select in query.find_all(exp.Select):
        views = select.args.get("laterals") or []
        if any(map(_is_outer, views)):
            select.set("laterals", None)  # all of them, as each can refer to columns of earlier ones
            select.set("joins", [*(select.args.get("joins") or []), *_joined(views)])
    for lateral in query.find_all(exp.Lateral):
        if _is_outer(lateral):
            raise ValueError("an outer LATERAL VIEW at this position")


def _is_outer(lateral: exp.Expr) -> bool:
    return bool(lateral.args.get("outer")) or isinstance(lateral.this, exp.ExplodeOuter)


def _joined(views: list[exp.Expr]) -> Iterator[exp.Join]:
    for view in views:
        alias = view.args.get("alias")
        spreads = isinstance(view.this, SPREADING) and not isinstance(view.this, exp.Posexplode)
        if not spreads or alias is None or len(alias.columns) != 1:
            raise ValueError(
                f"LATERAL VIEW OUTER {view.this.sql_name()}, which is not explode(...) with the name of one column"
            )
        values = exp.Unnest(expressions=[view.this.this.copy()], alias=alias.copy())
        if _is_outer(view):
            yield exp.Join(this=values, side="LEFT", on=exp.true())
        else:
            yield exp.Join(this=values, kind="CROSS")
