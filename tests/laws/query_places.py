"""Places in a parsed query where tests edit it."""

from collections.abc import Iterator

from sqlglot import exp

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE)


def comma_joins(select: exp.Select) -> list[exp.Join]:
    """The FROM items after a comma."""
    told = ("kind", "side", "method", "on", "using")
    return [join for join in select.args.get("joins") or () if not any(join.args.get(name) for name in told)]


def terms(node: exp.Expr) -> list[exp.Expr]:
    """What AND connects; the node itself where it is no AND."""
    return list(node.flatten(unnest=False)) if isinstance(node, exp.And) else [node]


def conjunctions(query: exp.Query) -> list[exp.And]:
    """Every AND, less those that are a term of another."""
    return [found for found in query.find_all(exp.And) if not isinstance(found.parent, exp.And)]


def constants(query: exp.Query) -> list[exp.Literal]:
    """The literals, or parts of a sum or a cast, that something is compared with."""
    compared = (*COMPARISONS, exp.Between, exp.In)
    return [
        found
        for found in query.find_all(exp.Literal)
        if isinstance(found.parent, compared)
        or (isinstance(found.parent, (exp.Add, exp.Sub, exp.Cast)) and isinstance(found.parent.parent, compared))
    ]


def is_whole(node: exp.Expr | None) -> bool:
    """Whether it is the literal of an integer."""
    return isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit()


def reads_of(cte: exp.CTE) -> list[exp.Table]:
    """The FROM items that read a common table expression; none where the name may also mean a table."""
    clause = cte.find_ancestor(exp.With)
    if clause is None or clause.parent is None:
        return []
    found = [table for table in clause.parent.find_all(exp.Table) if table.name == cte.alias and not table.db]
    earlier = clause.expressions[: clause.expressions.index(cte) + 1]
    return [] if any(table.find_ancestor(exp.CTE) in earlier for table in found) else found


def inner_queries(query: exp.Query) -> Iterator[exp.Query]:
    """The queries in WITH and FROM that can have one more column: their readers select columns by name."""
    for holder in query.find_all(exp.CTE, exp.Subquery):
        inner = holder.this
        if not isinstance(inner, (exp.Select, exp.SetOperation)) or holder.alias_column_names:
            continue
        reads = reads_of(holder) if isinstance(holder, exp.CTE) else [holder]
        places = [read for read in reads if isinstance(read.parent, (exp.From, exp.Join))]
        readers = [read.find_ancestor(exp.Select) for read in places]
        if readers and len(places) == len(reads) and not any(reader is None or reader.is_star for reader in readers):
            yield inner


def own_column(select: exp.Select) -> exp.Column | None:
    """A column that a SELECT filters by itself."""
    where = select.args.get("where")
    columns = where.find_all(exp.Column) if where else ()
    return next((column.copy() for column in columns if column.find_ancestor(exp.Select) is select), None)


def is_grouped(select: exp.Select) -> bool:
    """Whether a SELECT yields groups, or one row of totals."""
    if select.args.get("group"):
        return True
    totals = select.find_all(exp.AggFunc)
    return any(found.find_ancestor(exp.Select) is select and not found.find_ancestor(exp.Window) for found in totals)


def selects(query: exp.Query) -> list[exp.Select]:
    """The SELECTs that a query is, or that its set operations connect."""
    if isinstance(query, exp.SetOperation):
        return [*selects(query.this), *selects(query.expression)]
    return selects(query.this) if isinstance(query, exp.Subquery) else [query.assert_is(exp.Select)]
