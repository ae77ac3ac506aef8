"""Detection of nondeterministic expressions."""

from __future__ import annotations

from sqlglot import exp

CHANGING = (
    exp.Rand,
    exp.Randn,
    exp.Uuid,
    exp.CurrentDate,
    exp.CurrentDatetime,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.CurrentUser,
)
CHANGING_NAMES = frozenset(
    {
        "clock_timestamp", "current_localtime", "current_localtimestamp", "currval", "gen_random_uuid",
        "get_current_time", "get_current_timestamp", "getenv", "localtime", "localtimestamp", "nextval", "now",
        "random", "statement_timestamp", "today", "transaction_timestamp", "txid_current", "uuid", "uuidv4", "uuidv7",
    }
)  # fmt: skip
READING_NAMES = frozenset(
    {
        "glob", "parquet_metadata", "parquet_scan", "read_blob", "read_csv", "read_csv_auto", "read_json",
        "read_json_auto", "read_ndjson", "read_parquet", "read_text", "sniff_csv", "query", "query_table",
    }
)  # fmt: skip
READING = tuple(found for name in ("ReadCSV", "ReadParquet") if (found := getattr(exp, name, None)) is not None)
ORDERED_BY_CHANCE = (exp.First, exp.Last, exp.AnyValue, exp.ArrayAgg, exp.GroupConcat)
BY_POSITION = (exp.RowNumber, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue, exp.NthValue, exp.Ntile)


def volatile(node: exp.Expr) -> str | None:
    """The reason why an expression is nondeterministic; None if it is deterministic.

    Args:
        node: one node of a tree; its children are not examined.
    """
    name = node.name.casefold() if isinstance(node, exp.Anonymous) else ""
    if isinstance(node, CHANGING) or name in CHANGING_NAMES:
        return f"calls {name or _spelled(node)}, which is nondeterministic"
    if isinstance(node, READING) or name in READING_NAMES:
        return f"reads data by {name or _spelled(node)} that relspec does not track"
    if isinstance(node, ORDERED_BY_CHANCE) and not _is_ordered(node):
        return f"calls {_spelled(node)} without an order"
    if isinstance(node, exp.Window) and isinstance(_innermost(node.this), BY_POSITION) and not _has_order(node):
        return f"calls {_spelled(_innermost(node.this))} over a window without an order"
    if isinstance(node, exp.TableSample):
        return "samples rows"
    return None


def reads_unseen(query: exp.Expr) -> bool:
    """Whether a query reads data that relspec can't track: files, or tables whose name is a value."""
    return any(
        isinstance(node, READING) or (isinstance(node, exp.Anonymous) and node.name.casefold() in READING_NAMES)
        for node in query.find_all(exp.Func)
    )


def unordered_limit(select: exp.Expr) -> str | None:
    """The reason why the rows of a query are nondeterministic; None if they are not, or the node is no query."""
    if not isinstance(select, exp.Query) or select.args.get("order") is not None:
        return None
    if select.args.get("limit") is not None or select.args.get("offset") is not None:
        return "uses LIMIT without an order"
    distinct = select.args.get("distinct")
    if isinstance(distinct, exp.Distinct) and distinct.args.get("on") is not None:
        return "uses DISTINCT ON without an order"
    return None


def _spelled(node: exp.Expr) -> str:
    return node.sql_name().lower() if isinstance(node, exp.Func) else node.key


def _innermost(node: exp.Expr) -> exp.Expr:
    while isinstance(node, (exp.IgnoreNulls, exp.RespectNulls, exp.Filter)):
        node = node.this
    return node


def _is_ordered(node: exp.Expr) -> bool:
    if isinstance(node.this, exp.Order) or node.find(exp.Order) is not None:
        return True
    parent = node.parent
    while isinstance(parent, (exp.Filter, exp.IgnoreNulls, exp.RespectNulls, exp.Paren)):
        parent = parent.parent
    return isinstance(parent, (exp.WithinGroup, exp.Order)) or (isinstance(parent, exp.Window) and _has_order(parent))


def _has_order(window: exp.Window) -> bool:
    # A named window is assumed to have an order.
    return window.args.get("order") is not None or isinstance(window.args.get("alias"), exp.Identifier)
