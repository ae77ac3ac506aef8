"""Joins by ``USING`` and natural joins: the values of joined columns, and expansion of stars over them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import OptimizeError

from relspec_core.sql.clauses import from_items, part, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


MARK = "relspec_using"
UNSEEN = ("SEMI", "ANTI")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromItem:
    """An item of a FROM clause.

    Attributes:
        alias: the qualifier of its columns.
        columns: their names in order; None if unknown.
        join: its join with the preceding items; None for the first.
    """

    alias: str
    columns: Sequence[str] | None
    join: exp.Join | None = None

    @property
    def is_seen(self) -> bool:
        """Whether its columns are visible outside the join's condition."""
        return self.join is None or self.join.kind not in UNSEEN


@dataclass(slots=True, kw_only=True)
class JoinedColumn:
    """A column that several items are joined by.

    Attributes:
        owners: the aliases of all items that share it.
        counting: the aliases of the items whose values are coalesced into its value.
    """

    owners: list[str]
    counting: list[str]

    def join(self, right: str, join: exp.Join) -> None:
        """Add an item: inner and left joins keep the left side's value, right joins take the right side's."""
        if join.kind in UNSEEN:
            return
        self.owners.append(right)
        if join.side == "RIGHT":
            self.counting[:] = [right]
        elif join.side == "FULL":
            self.counting.append(right)

    def value(self, name: str) -> exp.Expr:
        """The column's value as an expression."""
        columns = [exp.column(quoted(name), quoted(alias)) for alias in self.counting]
        return columns[0] if len(columns) == 1 else exp.Coalesce(this=columns[0], expressions=columns[1:])


@dataclass(slots=True)
class JoinGroup:
    """FROM items connected by JOINs; a comma has lower precedence and starts the next group.

    Attributes:
        items: in order.
        joined: the columns that they are joined by.
    """

    items: list[FromItem] = field(default_factory=list)
    joined: dict[str, JoinedColumn] = field(default_factory=dict)


def unwrap_joins(query: exp.Expr) -> None:
    """Remove redundant parentheses around joins at the start of a FROM clause or of a group in it, in place."""
    for select in query.find_all(exp.Select):
        clause = part(select, "from")
        if clause is None:
            continue
        joins = _unwrapped(clause)
        for join in select.args.get("joins") or []:
            joins += [join, *(_unwrapped(join) if _is_comma(join) else [])]
        select.set("joins", joins or None)


def _unwrapped(holder: exp.Expr) -> list[exp.Join]:
    """Replace an item in parentheses by the first one in it, in place, and return the joins of the others."""
    item = holder.this
    if not isinstance(item, exp.Subquery) or any(item.args[key] for key in item.args if key not in ("this", "joins")):
        return []
    inner = item.this
    if not isinstance(inner, exp.Table) and not (isinstance(inner, exp.Subquery) and inner.args.get("joins")):
        return []
    joins = [*(inner.args.get("joins") or []), *(item.args.get("joins") or [])]
    inner.set("joins", None)
    holder.set("this", inner)
    return [*_unwrapped(holder), *joins]


def is_by_columns(join: exp.Join) -> bool:
    """Whether a join is by common columns of both sides."""
    return bool(join.args.get("using")) or join.method == "NATURAL"


def join_groups(items: Sequence[FromItem]) -> list[JoinGroup]:
    """Group FROM items, and mark joins by columns, in place, with the item that each column is compared with.

    Natural joins become ``USING`` joins if the columns are known, as older SQLGlot releases do not expand them.

    Args:
        items: of a query that is not qualified yet.
    """
    groups = [JoinGroup()]
    for item in items:
        join = item.join
        if join is not None and _is_comma(join):
            groups.append(JoinGroup())
        group = groups[-1]
        if join is not None and is_by_columns(join):
            _name_natural_keys(item, join, group)
            owners = {name.name: _owner(name.name, group) for name in join.args.get("using") or []}
            join.meta[MARK] = {name: owner for name, owner in owners.items() if owner is not None}
            for name, owner in join.meta[MARK].items():
                group.joined.setdefault(name, JoinedColumn(owners=[owner], counting=[owner])).join(item.alias, join)
        group.items.append(item)
    return groups


def _is_comma(join: exp.Join) -> bool:
    return not any((join.kind, join.side, join.method, join.args.get("on"), join.args.get("using")))


def _name_natural_keys(item: FromItem, join: exp.Join, group: JoinGroup) -> None:
    if join.method != "NATURAL" or item.columns is None or any(other.columns is None for other in group.items):
        return
    left = dict.fromkeys(name for other in group.items if other.is_seen for name in other.columns or ())
    shared = [name for name in left if name in set(item.columns)]
    if shared:
        join.set("method", None)
        join.set("using", [quoted(name) for name in shared])


def _owner(name: str, group: JoinGroup) -> str | None:
    """The first item of a group that has a column; None if that is unknown."""
    for item in group.items:
        if item.columns is None:
            return item.alias if len(group.items) == 1 else None
        if item.is_seen and name in item.columns:
            return item.alias
    return None


def name_joined_columns(select: exp.Select, groups: Sequence[JoinGroup]) -> None:
    """Replace joined columns by their values, in place, where qualification does not.

    That is in HAVING, where an alias takes precedence over a column that is not grouped, in QUALIFY, in the expressions
    of ORDER BY, where a whole expression may be an alias, and in the arguments of table functions.
    """
    values = {name: column for group in reversed(groups) for name, column in group.joined.items()}
    group = select.args.get("group")
    grouped = {column.name for column in group.find_all(exp.Column)} if group is not None else set()
    aliases = {projection.alias for projection in select.expressions if isinstance(projection, exp.Alias)}
    clauses = [select.args.get("qualify"), select.args.get("having"), select.args.get("order")]
    unknown = [item.join.this for found in groups for item in found.items if item.join and item.columns is None]
    for clause in [*clauses, *(item for item in unknown if not item.args.get("pivots"))]:
        for column in list(clause.find_all(exp.Column)) if clause is not None else ():
            is_alias = column.name in aliases and (
                (isinstance(clause, exp.Having) and column.name not in grouped)
                or (isinstance(clause, exp.Order) and isinstance(column.parent, exp.Ordered))
            )
            own = column.parent_select is select and not column.table and not _is_bound(column, column.name)
            if own and column.name in values and not is_alias:
                column.replace(values[column.name].value(column.name))


def _is_bound(node: exp.Expr, name: str) -> bool:
    """Whether a name is the variable of an enclosing comprehension."""
    around = node.find_ancestor(exp.Comprehension, exp.Select)
    return isinstance(around, exp.Comprehension) and (around.expression.name == name or _is_bound(around, name))


def mark_using_joins(query: exp.Expr) -> None:
    """Mark joins by common columns, in place, as qualification turns them into conditions."""
    for join in query.find_all(exp.Join):
        if is_by_columns(join):
            join.meta.setdefault(MARK, {})


def settle_using_joins(query: exp.Expr) -> None:
    """Correct the values of columns that tables were joined by, in place.

    Qualification writes COALESCE over all of them, and compares later joins with the very first table, which is wrong
    after a comma, a right join or a full join.

    Raises:
        OptimizeError: if a star remains, which would include joined columns twice.
    """
    for select in query.find_all(exp.Select):
        if any(MARK in join.meta for join in select.args.get("joins") or []):
            if any(isinstance(projection, exp.Star) for projection in select.expressions):
                raise OptimizeError("The columns of a star over tables joined with USING are unknown")
            values, written = _joined_values(select)
            for coalesce in list(select.find_all(exp.Coalesce)):
                if not _is_shadowed(coalesce, select, written):
                    _settle(coalesce, values, written)


def _joined_values(select: exp.Select) -> tuple[dict[str, JoinedColumn], dict[str, set[str]]]:
    """The joined columns, and the tables in the COALESCE of each; corrects join conditions in place."""
    values: dict[str, JoinedColumn] = {}
    written: dict[str, set[str]] = {}
    clause = part(select, "from")
    left = [clause.this.alias_or_name] if clause is not None else []
    joined: dict[str, JoinedColumn] = {}
    for join in select.args["joins"]:
        if _is_comma(join):
            left, joined = [], {}
        conditions = _conditions(join)
        for condition in conditions:
            name, right = condition.expression.name, condition.expression.table
            first = condition.this.find(exp.Column).table
            owner = join.meta[MARK].get(name, left[0] if len(left) == 1 else first)
            column = joined.setdefault(name, JoinedColumn(owners=[owner], counting=[owner]))
            condition.set("this", column.value(name))
            column.join(right, join)
            values.setdefault(name, column)
            written.setdefault(name, {first}).update(set() if join.kind in UNSEEN else {right})
        if join.method == "ASOF" and conditions:  # searched backwards for the last column
            last = conditions[-1]
            last.replace(exp.GTE(this=last.this.copy(), expression=last.expression.copy()))
        left.append(join.alias_or_name)
    return values, written


def _conditions(join: exp.Join) -> list[exp.Expr]:
    """The comparisons in the condition of a join by common columns."""
    on = join.args.get("on")
    if MARK not in join.meta or on is None:
        return []
    return list(on.flatten()) if isinstance(on, exp.And) else [on]


def _is_shadowed(node: exp.Expr, select: exp.Select, written: Mapping[str, set[str]]) -> bool:
    """Whether a query between a node and its SELECT reuses one of the aliases."""
    aliases = {alias for aliases in written.values() for alias in aliases}
    inner = node.parent_select
    while inner is not None and inner is not select:
        if any(item.alias_or_name in aliases for item in from_items(inner)):
            return True
        inner = inner.parent_select
    return False


def _settle(coalesce: exp.Coalesce, values: Mapping[str, JoinedColumn], written: Mapping[str, set[str]]) -> None:
    columns = [coalesce.this, *coalesce.expressions]
    if not all(isinstance(column, exp.Column) for column in columns) or len({column.name for column in columns}) > 1:
        return
    name = columns[0].name
    if name in values and {column.text("table") for column in columns} == written[name]:
        coalesce.replace(values[name].value(name))


def spelled_star(projection: exp.Expr, groups: Sequence[JoinGroup]) -> list[exp.Expr]:
    """The columns that a plain star expands to; the projection itself if it is none, or they are unknown.

    Args:
        projection: of a SELECT that is not qualified yet.
        groups: the items of its FROM clause.
    """
    star = projection.this if isinstance(projection, exp.Column) else projection
    if not isinstance(star, exp.Star) or star.args.get("ilike") is not None:
        return [projection]
    gone = {_place(column) for column in star.args.get("except_") or star.args.get("except") or []}
    if isinstance(projection, exp.Column):
        return _of_table(projection.table, star, groups, gone) or [projection]
    is_plain = not any(star.args.get(key) for key in ("except_", "except", "replace", "rename"))
    for group in groups:
        for item in group.items:
            if item.columns is None and not (is_plain and item.alias and not group.joined):
                return [projection]
    return list(_changed(_all_columns(groups, gone), star))


def _of_table(table: str, star: exp.Star, groups: Sequence[JoinGroup], gone: set[tuple[str, str]]) -> list[exp.Expr]:
    columns = next((item.columns for group in groups for item in group.items if item.alias == table), None) or ()
    kept = [name for name in columns if not gone & {("", name), (table, name)}]
    return list(_changed(((table, name, _column(table, name)) for name in kept), star))


def _all_columns(groups: Sequence[JoinGroup], gone: set[tuple[str, str]]) -> Iterator[tuple[str, str, exp.Expr]]:
    """Each column with its item's alias, its name and its value; a joined one at its position in the first item."""
    for group in groups:
        shown: set[str] = set()
        for item in group.items:
            if item.columns is None:
                yield item.alias, "*", exp.Column(this=exp.Star(), table=quoted(item.alias))
            for name in item.columns or () if item.is_seen else ():
                joined = group.joined.get(name)
                if gone & {("", name), (item.alias, name)}:
                    continue
                if joined is None or item.alias not in joined.owners:
                    yield item.alias, name, _column(item.alias, name)
                elif name not in shown:
                    shown.add(name)
                    yield item.alias, name, joined.value(name)


def _changed(columns: Iterator[tuple[str, str, exp.Expr]], star: exp.Star) -> Iterator[exp.Expr]:
    """The projections after a star's REPLACE and RENAME; DuckDB replaces only one of several columns of a name."""
    replaced = {alias.alias: alias.this for alias in star.args.get("replace") or []}
    renamed = {_place(alias.this): alias.alias for alias in star.args.get("rename") or []}
    done: set[str] = set()
    for alias, name, value in columns:
        if name in done:
            continue
        if name in replaced:
            done.add(name)
        new = renamed.get((alias, name), renamed.get(("", name), name))
        named = quoted(new)
        yield value if name == "*" else exp.alias_(replaced[name].copy() if name in replaced else value, named)


def _place(column: exp.Expr) -> tuple[str, str]:
    return (column.table if isinstance(column, exp.Column) else "", column.name)


def _column(alias: str, name: str) -> exp.Column:
    return exp.column(quoted(name), quoted(alias))
