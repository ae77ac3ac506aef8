"""Steps of random plans in Ibis: each makes of a table, and perhaps another one, a table, as three picks say.

Every table has an integer column. Every step is deterministic: what depends on an order is ordered by all that it shows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import ibis.selectors as s

from tests.laws.plan_columns import MOST_COLUMNS, fresh, ints, lists, of_kind, pick, plain, some, structs, with_int

Step = Callable[[ir.Table, ir.Table, Sequence[int]], ir.Table]


# -- columns -----------------------------------------------------------------------------------------------------------


def project(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.select(some(t, p[0]))


def drop(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    gone = pick(t.columns, p[0])
    return t.drop(gone) if ints(t) != [gone] else t.select(gone)


def rename(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.rename({fresh(t, "r"): pick(t.columns, p[0])})


def swap(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    one, other = pick(ints(t), p[0]), pick(ints(t), p[1])
    return t.select(**{name: t[{one: other, other: one}.get(name, name)] for name in t.columns})


def replace(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    name = pick(ints(t), p[0])
    return t.mutate(**{name: t[name] * 2 + p[1] % 3})


def add(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    one, other, any_one = t[pick(ints(t), p[0])], t[pick(ints(t), p[1])], t[pick(t.columns, p[2])]
    values = (
        one + other,
        any_one.isnull().ifelse(one, other),
        ibis.coalesce(one, other, 0),
        (one.cast("string") + "!").length(),
        one.cast("int32").cast("int64"),
        ibis.cases((one > other, one), (any_one.isnull(), 7), else_=other),
        one.isin([1, 2, 3]).ifelse(other, 0),
        one.between(other, 4).cast("int64"),
        one.nullif(other),
        ibis.greatest(one, other, 2),
    )
    return t.mutate(**{fresh(t, "n"): values[p[2] % len(values)].cast("int64")})


@ibis.udf.scalar.python
def plus_seven(number: int) -> int:
    return number + 7


@ibis.udf.scalar.builtin(name="xor")
def bits_of_either(one: int, other: int) -> int:  # ty: ignore[invalid-implicit-return-in-function-with-stub-body]
    ...


@ibis.udf.agg.builtin(name="bit_or")
def all_bits(number: int) -> int:  # ty: ignore[invalid-implicit-return-in-function-with-stub-body]
    ...


def call(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    # What Ibis takes for a small integer may be a HUGEINT in DuckDB, which no Python function is found for.
    one, other = (t[pick(ints(t), number)].cast("int32").cast("int64") for number in p[:2])
    value = (plus_seven(one), bits_of_either(one, other), all_bits(one).over(group_by=t[pick(plain(t), p[1])]))
    return t.mutate(**{fresh(t, "f"): value[p[2] % 3].cast("int64")})


# -- structs and lists -------------------------------------------------------------------------------------------------


def make_struct(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    made = ibis.struct({"x": t[pick(ints(t), p[0])], "Y z": t[pick(t.columns, p[1])]})
    return t.mutate(**{fresh(t, "s"): made})


def take_field(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if not structs(t):
        t = make_struct(t, o, p)
    column = t[pick(structs(t), p[0])]
    field = column[pick(column.names, p[1])]
    match p[2] % 3:
        case 0:
            return t.mutate(**{fresh(t, "f"): field})
        case 1:
            return t.filter(field.notnull())
        case _:
            return t.select(*some(t, p[1]), **{fresh(t, "f"): field})


def lift(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if not structs(t):
        t = make_struct(t, o, p)
    name = pick(structs(t), p[0])
    fields = {fresh(t, f"p{at}_"): t[name][field] for at, field in enumerate(t[name].names)}
    return t.select(*(own for own in t.columns if own != name), **fields)


def make_list(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.mutate(**{fresh(t, "l"): ibis.array([t[pick(ints(t), p[0])], t[pick(ints(t), p[1])]])})


def of_list(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if not lists(t):
        t = make_list(t, o, p)
    column: Any = t[pick(lists(t), p[0])]
    number = t[pick(ints(t), p[1])]
    values = (
        column.length(),
        column.map(lambda x: x + number).sort().length(),
        column.filter(lambda x: x > number).length(),
        column[0],
        column.contains(number).cast("int64"),
        column.unique().length(),
        column.concat(column).length(),
    )
    return t.mutate(**{fresh(t, "n"): values[p[2] % len(values)].cast("int64")})


def map_list(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if not lists(t):
        t = make_list(t, o, p)
    column, number = t[pick(lists(t), p[0])], t[pick(ints(t), p[1])]
    return t.mutate(**{fresh(t, "l"): column.map(lambda x: ibis.coalesce(x + number, 0))})


def unnest(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if not lists(t):
        t = make_list(t, o, p)
    name = pick(lists(t), p[0])
    match p[2] % 4:
        case 0:
            return t.unnest(name)
        case 1:
            return t.unnest(name, offset=fresh(t, "at"), keep_empty=True)
        case 2:
            return t.select(*(own for own in some(t, p[1]) if own != name), **{fresh(t, "u"): t[name].unnest()})
        case _:
            return t.unnest(name).select(pick(ints(t), p[1]))


def collect(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    key, value = pick(plain(t), p[0]), t[pick(ints(t), p[1])]
    collected = t.group_by(key).agg(**{fresh(t, "l"): value.collect(order_by=value, include_null=p[2] % 2 == 0)})
    return with_int(collected)


# -- rows --------------------------------------------------------------------------------------------------------------


def keep(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    column = t[pick(t.columns, p[0])]
    if column.type() == dt.int64:
        return t.filter(column > p[1] % 4, (column != p[2] % 4) | column.isnull())
    if column.type().is_string():
        return t.filter((column == "x") | column.isnull())
    if column.type().is_date():
        return t.filter((column.year() > 2020) | (t[pick(ints(t), p[1])] > 1))
    return t.filter(column.notnull() | (t[pick(ints(t), p[1])] > 1))


def drop_null(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.drop_null([pick(t.columns, p[0]), pick(t.columns, p[1])], how=("any", "all")[p[2] % 2])


def distinct(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.select(some(t, p[0])).distinct()


def top(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    chosen = t.select(some(t, p[0]))
    limited = chosen.order_by([chosen[name].desc() for name in chosen.columns]).limit(p[1] % 5 + 1, offset=p[1] % 2)
    return limited.select(pick(ints(limited), p[2])) if p[2] % 2 else limited


def sort(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    first, second = pick(t.columns, p[0]), pick(ints(t), p[1])
    return t.order_by([t[second].desc()] if first == second else [first, t[second].desc()])


def within(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    mine, other = t[pick(ints(t), p[0])], o[pick(ints(o), p[1])]
    match p[2] % 3:
        case 0:
            return t.filter(mine.isin(other))
        case 1:
            return t.filter(mine >= other.min())
        case _:
            return t.mutate(**{fresh(t, "q"): mine + other.max().as_scalar()})


def exists(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    other = o.view()
    other = other.filter(other[pick(ints(o), p[2])] > p[0] % 3)
    found = (t[pick(ints(t), p[0])] == other[pick(ints(o), p[1])]).any()
    return t.filter(~found if p[2] % 2 else found)


# -- groups and windows ------------------------------------------------------------------------------------------------


def group(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    keys = list(dict.fromkeys([pick(t.columns, p[0]), pick(t.columns, p[1])]))
    value, test = t[pick(ints(t), p[2])], t[pick(ints(t), p[0] + 1)]
    return t.group_by(keys).agg(
        **{
            fresh(t, "many"): t.count(),
            fresh(t, "sum"): value.sum(),
            fresh(t, "most"): value.max(where=test > 1),
        }
    )


def summarize(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    value, other, any_one = t[pick(ints(t), p[0])], t[pick(ints(t), p[1])], t[pick(t.columns, p[2])]
    grouped = t.group_by(**{fresh(t, "k"): value % 2}).agg(
        **{
            fresh(t, "first"): other.first(order_by=[other, value]),
            fresh(t, "two"): (value + other).sum() - value.min(),
            fresh(t, "bits"): all_bits(value),
            fresh(t, "some"): any_one.notnull().any().cast("int64"),
            fresh(t, "many"): t.count(where=any_one.notnull()),
        }
    )
    return grouped.filter(grouped[grouped.columns[-1]] > p[1] % 2) if p[2] % 2 else grouped


def total(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.agg(many=t.count(), most=t[pick(ints(t), p[0])].max(), different=t[pick(t.columns, p[1])].nunique())


def count(t: ir.Table, _o: ir.Table, _p: Sequence[int]) -> ir.Table:
    return t.count().name("many").as_table()


def window(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    value, key, order = t[pick(ints(t), p[0])], t[pick(plain(t), p[1])], t[pick(ints(t), p[2])]
    new = (
        value.sum().over(group_by=key),
        ibis.rank().over(group_by=key, order_by=order),
        value.max().over(group_by=key, order_by=order, range=(None, 0)),
        ibis.dense_rank().over(order_by=order.desc()),
        value.sum(where=order > 1).over(group_by=[key, order]),
        value.lag().over(group_by=key, order_by=[value, *(t[name] for name in t.columns)]),
        value - value.mean().over(group_by=key).floor(),
        ibis.row_number().over(group_by=key, order_by=[order, *(t[name] for name in t.columns)]),
    )
    return t.mutate(**{fresh(t, "w"): new[p[0] % len(new)].cast("int64")})


def best(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    key, order = t[pick(plain(t), p[0])], t[pick(ints(t), p[1])]
    ranked = t.mutate(**{fresh(t, "w"): ibis.rank().over(group_by=key, order_by=order.desc())})
    found = ranked.filter(ranked[ranked.columns[-1]] <= p[2] % 2)
    return found.select(t.columns) if p[2] % 3 else found


# -- reshaping ---------------------------------------------------------------------------------------------------------


def wider(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    key, names, value = pick(plain(t), p[0]), pick(ints(t), p[1]), pick(ints(t), p[2])
    chosen = t.select(k=t[key], n=t[names].cast("string"), v=t[value])
    wide = chosen.pivot_wider(
        id_cols=["k"], names_from="n", names=["0", "1", "2"], names_prefix="n_", values_from="v", values_agg="sum"
    )
    return wide.cast(dict.fromkeys(of_kind(wide, lambda kind: kind.is_integer()), "int64")).select(
        "k", *some_of(wide, p[2])
    )


def some_of(wide: ir.Table, number: int) -> list[str]:
    return [name for at, name in enumerate(wide.columns[1:]) if at == number % 3 or number >> at & 1]


def longer(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    columns = list(dict.fromkeys([pick(ints(t), p[0]), pick(ints(t), p[1])]))
    names, values = fresh(t, "name"), fresh(t, "value")
    long = t.select(*dict.fromkeys([*columns, pick(t.columns, p[2])])).pivot_longer(
        s.cols(*columns), names_to=names, values_to=values
    )
    return long.drop(names) if p[2] % 2 else long


# -- two tables --------------------------------------------------------------------------------------------------------


def join(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    if p[0] % 5 == 0:
        o = t.view()
    right = o.select(**{f"o_{at}": o[name] for at, name in enumerate(some(o, p[2]))})
    kinds = ("inner", "left", "semi", "anti", "outer", "right")
    joined = t.join(right, [(pick(ints(t), p[0]), pick(ints(right), p[1]))], how=kinds[p[2] % len(kinds)])
    taken = [name for name in joined.columns if name in t.columns][:4]
    kept = joined.select([*taken, *(name for name in joined.columns if name not in t.columns)][:MOST_COLUMNS])
    return with_int(kept)


def join_between(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    right = with_int(o.select(**{f"b_{at}": o[name] for at, name in enumerate(some(o, p[2])[:3])})).view()
    left = with_int(t.select(**{f"a_{at}": t[name] for at, name in enumerate(some(t, p[1])[:4])}))
    low, high = left[pick(ints(left), p[0])], left[pick(ints(left), p[1])]
    middle = right[pick(ints(right), p[2])]
    return left.join(right, [low <= middle, middle <= high], how=("inner", "left", "semi", "anti")[p[0] % 4])


def cross(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    one_row = o.agg([o[pick(ints(o), p[0])].max().name(fresh(t, "x")), o.count().name(fresh(t, "y"))])
    return t.cross_join(one_row)


def asof(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    at = pick(ints(o), p[1])
    right = o.group_by(o_at=o[at], o_key=o[pick(ints(o), p[2])] % 2).agg(o_most=o[pick(ints(o), p[0])].max())
    left = t.mutate(**{(key := fresh(t, "key")): t[pick(ints(t), p[0])] % 2})
    on = left[pick(ints(t), p[1])] >= right.o_at
    joined = left.asof_join(right, on, left[key] == right.o_key)
    return joined.drop(*(name for name in ("o_key", key) if name in joined.columns))


def combine(t: ir.Table, o: ir.Table, p: Sequence[int]) -> ir.Table:
    width = min(len(ints(t)), len(ints(o)), 2)
    left = t.select(**{f"u{at}": t[name] for at, name in enumerate(ints(t)[:width])})
    right = o.select(**{f"u{at}": o[name] for at, name in enumerate(reversed(ints(o)[-width:]))})
    match p[0] % 6:
        case 0:
            combined = left.union(right, distinct=True)
        case 1:
            combined = left.intersect(right)
        case 2:
            combined = left.difference(right)
        case 3:
            combined = left.difference(right, distinct=False)
        case _:
            combined = left.union(right)
    return combined.select("u0") if p[1] % 2 else combined


def lookup(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    name = fresh(t, "label")
    table = ibis.memtable({"mem_key": [0, 1, 2], name: [p[1] % 3, 5, 6]})
    return t.join(table, t[pick(ints(t), p[0])] == table.mem_key, how="left").drop("mem_key")


def times(t: ir.Table, _o: ir.Table, p: Sequence[int]) -> ir.Table:
    return t.cross_join(ibis.range(0, p[0] % 3 + 1).unnest().cast("int64").name(fresh(t, "g")).as_table())


# Those of an in-memory table or a Python function can't be in a view.
OF_THIS_PROCESS: tuple[Step, ...] = (lookup, call)
STEPS: tuple[Step, ...] = (
    project, drop, rename, swap, replace, add, call,
    make_struct, take_field, lift, make_list, of_list, map_list, unnest, collect,
    keep, drop_null, distinct, top, sort, within, exists,
    group, summarize, total, count, window, best, wider, longer,
    join, join_between, cross, asof, combine, lookup, times,
)  # fmt: skip
