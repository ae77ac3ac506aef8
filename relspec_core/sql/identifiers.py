"""The tables that a query reads, and one spelling for each table and column in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect, NormalizationStrategy
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

from relspec_core.model.names import NameIndex, from_table, table_parts
from relspec_core.sql.clauses import part, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


IGNORE_CASE = (NormalizationStrategy.CASE_INSENSITIVE, NormalizationStrategy.CASE_INSENSITIVE_UPPERCASE)


def ignores_case(dialect: str) -> bool:
    """Whether a dialect's names are case-insensitive."""
    return Dialect.get_or_raise(dialect).normalization_strategy in IGNORE_CASE


def read_tables(query: exp.Expr) -> tuple[str, ...]:
    """The names of the tables that a query reads, sorted, without its common table expressions."""
    names: set[str] = set()
    for table in query.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and not _is_cte(table):
            names.add(from_table(table))
    return tuple(sorted(names))


def rename_tables(query: exp.Expr, find: Callable[[str], str | None]) -> None:
    """Replace each table name by its declared spelling, in place, keeping the original name as its alias."""
    if any(table.db for table in query.find_all(exp.Table)):
        _rename_shadowing_ctes(query)
        _alias_tables(query)
    for table in list(query.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or _is_cte(table):
            continue
        written = from_table(table)
        declared = find(written)
        if declared is not None and declared != written:
            if not table.alias:
                table.set("alias", exp.TableAlias(this=quoted(table.name)))
            for key, name in zip(("this", "db", "catalog"), _padded(declared), strict=True):
                table.set(key, quoted(name) if name else None)


def _rename_shadowing_ctes(query: exp.Expr) -> None:
    """Rename common table expressions, in place, whose name equals that of a schema-qualified table."""
    tables = list(query.find_all(exp.Table))
    read = {table.name.casefold() for table in tables if table.db}
    for table in tables:
        if table.name.casefold() in read and _is_cte(table):
            if not table.alias:
                table.set("alias", exp.TableAlias(this=quoted(table.name)))
            table.set("this", quoted(f"{table.name}_expression"))
    for cte in query.find_all(exp.CTE):
        if cte.alias.casefold() in read:
            cte.args["alias"].set("this", quoted(f"{cte.alias}_expression"))


def _padded(name: str) -> tuple[str | None, ...]:
    parts = tuple(reversed(table_parts(name)))
    return (*parts, *(None,) * (3 - len(parts)))


def _is_cte(table: exp.Table) -> bool:
    """Whether a table's name refers to a common table expression in scope."""
    if table.db:
        return False
    node: exp.Expr | None = table
    while node is not None:
        clause = part(node, "with")
        if clause is not None:
            inside = next((cte for cte in clause.expressions if _contains(cte, table)), None)
            for cte in clause.expressions:
                if cte is inside and not clause.args.get("recursive"):
                    break
                if cte.alias.casefold() == table.name.casefold():
                    return True
                if cte is inside:
                    break
        node = node.parent
    return False


def _contains(node: exp.Expr, inner: exp.Expr) -> bool:
    found: exp.Expr | None = inner
    while found is not None and found is not node:
        found = found.parent
    return found is node


def spell(query: exp.Expr, schemas: Mapping[str, Mapping[str, str]], dialect: str) -> dict[str, dict[str, str]]:
    """Unify the spelling of each name, in place, and give each table an alias.

    Returns:
        For each table, the columns' spelling in the query to their true names.
    """
    if not ignores_case(dialect):
        normalize_identifiers(query, dialect=dialect)
        return {name: {column: column for column in columns} for name, columns in schemas.items()}
    declared = [column for table in sorted(schemas) for column in schemas[table]]
    spelling = NameIndex(
        [*declared, *(identifier.name for identifier in query.find_all(exp.Identifier))], ignore_case=True
    )
    _alias_tables(query)
    for identifier in query.find_all(exp.Identifier):
        if not _names_table(identifier):
            identifier.set("this", spelling.find(identifier.name))
    return {name: {spelling.find(column) or column: column for column in columns} for name, columns in schemas.items()}


def _alias_tables(query: exp.Expr) -> None:
    """Give each input table an alias, and replace schema-qualified references to its columns.

    If tables of several schemas share a name, the alias includes the schema's name.
    """
    tables = [
        found for found in query.find_all(exp.Table) if isinstance(found.this, exp.Identifier) and not _is_cte(found)
    ]
    schemas: dict[str, set[str]] = {}
    for table in tables:
        schemas.setdefault(table.name.casefold(), set()).add(table.db.casefold())
    aliases: dict[tuple[str, str], str] = {}
    for table in tables:
        shared = len(schemas[table.name.casefold()]) > 1
        alias = f"{table.db}.{table.name}" if shared and table.db else table.name
        aliases[table.db.casefold(), table.name.casefold()] = alias
        if not table.alias:
            given = table.args.get("alias") or exp.TableAlias()
            given.set("this", quoted(alias))
            table.set("alias", given)
            if alias != table.name:
                _requalify(table, alias)
    for column in query.find_all(exp.Column):
        alias = aliases.get((column.db.casefold(), column.table.casefold()))
        if column.db and alias is not None:
            column.set("table", quoted(alias))
            column.set("db", None)
            column.set("catalog", None)


def _requalify(table: exp.Table, alias: str) -> None:
    """Qualify the columns that refer to a table's bare name in its SELECT by its alias, in place."""
    select = table.find_ancestor(exp.Select)
    for column in select.find_all(exp.Column) if select is not None else ():
        if (
            not column.db
            and column.table.casefold() == table.name.casefold()
            and column.find_ancestor(exp.Select) is select
        ):
            column.set("table", quoted(alias))


def _names_table(identifier: exp.Identifier) -> bool:
    """Whether an identifier is part of an input table's name, which already has its declared spelling."""
    return isinstance(identifier.parent, exp.Table) and not _is_cte(identifier.parent)
