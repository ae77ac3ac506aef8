"""What a query reads according to DuckDB: the columns that its optimizer leaves in the scans.

Shares nothing with relspec's inference: DuckDB parses, binds and prunes. Where it is more than the truth:

- A window function that nothing reads stays where it stands, and so do all others of that SELECT with it.
- A join with a scalar subquery stays where nothing reads its value.
- Below a UNION ALL of which only the rows are read, one column stays.
- A recursive CTE keeps all of its columns.
- Of aggregates without GROUP BY one stays, also where only the row is read.
- Beside a DISTINCT, the other side of the join keeps all of its columns.

It is less than the text names where an outer join multiplies rows that a DISTINCT takes together again: that join goes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from relspec_core import InferredDeps

# What the optimizer learns from data, and conditions that can't hold, take scans away: nearly all on empty tables.
# A filter pushed into a scan takes its column off the scan's projections; late materialization scans a table twice.
DISABLED = (
    "statistics_propagation",
    "empty_result_pullup",
    "filter_pushdown",
    "join_filter_pushdown",
    "late_materialization",
    "compressed_materialization",
)

FROM_ITEMS = (exp.From, exp.Join, exp.Lateral, exp.Subquery, exp.SetOperation)

Columns = frozenset[tuple[str, str]]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveColumns:
    """What DuckDB reads for one query.

    Attributes:
        required: the columns of each scanned table, sorted; none: rows only.
        fields: the paths of struct fields of each table of which not all fields are read, sorted.
        rows: the columns that decide which rows there are, and in which order.
        names: of the outputs, in order; they may repeat.
        outputs: by name the columns that an output's values and the rows need; of outputs that share a name the first.
    """

    required: Mapping[str, tuple[str, ...]]
    fields: Mapping[str, tuple[str, ...]]
    rows: Columns
    names: tuple[str, ...]
    outputs: Mapping[str, Columns]

    def reads_less(self, deps: InferredDeps) -> bool:
        """Whether DuckDB does without a column that is required."""
        return any(set(columns) - set(self.required.get(name, ())) for name, columns in deps.required_columns.items())

    def disagreements(self, deps: InferredDeps) -> list[str]:
        """What DuckDB contradicts in a query's inferred dependencies, as sentences."""
        if list(deps.lineage) != list(self.outputs):
            return [f"the outputs are {list(self.outputs)}, not {list(deps.lineage)}"]
        found = []
        if dict(deps.required_columns) != self.required:
            found.append(f"{dict(deps.required_columns)} is required, but {self.required} is read")
        if idle := row_columns(deps) - self.rows:
            found.append(f"{sorted(idle)} decide nothing about the rows")
        for output, uses in deps.lineage.items():
            lineage = {(use.evidence, use.column) for use in uses}
            if missing := self.outputs[output] - self.rows - lineage:
                found.append(f"output '{output}' comes from {sorted(missing)} too")
            if needless := lineage - self.outputs[output]:
                found.append(f"output '{output}' does not come from {sorted(needless)}")
        return found


def row_columns(deps: InferredDeps) -> Columns:
    """The columns that decide the rows, as inferred."""
    return frozenset((use.evidence, use.column) for use in deps.row_uses)


def may_read_more(query: str) -> bool:
    """Whether a query has any of the shapes in which DuckDB reads more than the truth."""
    tree = sqlglot.parse_one(query, read="duckdb")
    if tree.find(exp.Window, exp.Union) or (tree.find(exp.Distinct) and tree.find(exp.Join)):
        return True
    if any(select.find(exp.AggFunc) and not select.args.get("group") for select in tree.find_all(exp.Select)):
        return True
    return any(not isinstance(subquery.parent, FROM_ITEMS) for subquery in tree.find_all(exp.Subquery))


def may_drop_joins(query: str) -> bool:
    """Whether a query has the shape in which DuckDB reads less than the text names."""
    tree = sqlglot.parse_one(query, read="duckdb")
    return tree.find(exp.Distinct) is not None and any(join.side for join in tree.find_all(exp.Join))


class PlanOracle:
    """Asks DuckDB about queries over empty tables.

    Args:
        tables: column to type, in order, by table.
        setup: statements to run first.
        con: a database to use, whose tables of these names are replaced; one of its own where left out.
    """

    def __init__(
        self,
        tables: Mapping[str, Mapping[str, str]],
        *,
        setup: Sequence[str] = (),
        con: duckdb.DuckDBPyConnection | None = None,
    ) -> None:
        self._con = con or duckdb.connect(config={"threads": 1})
        for statement in setup:
            self._con.execute(statement)
        for name, columns in tables.items():
            listing = ", ".join(f"{quoted(column)} {kind}" for column, kind in columns.items())
            self._con.execute(f"CREATE OR REPLACE TABLE {quoted(name)} ({listing})")
        self._con.execute(f"SET disabled_optimizers = '{','.join(DISABLED)}'")
        self._tables = tables
        # A plan names a table as DuckDB spells it, with catalog, schema and quotes.
        self._names = {
            scan["Table"]: name for name in tables for scan in self._scans(f"SELECT count(*) FROM {quoted(name)}")
        }

    def ask(self, query: str) -> LiveColumns:
        """Everything about one query; costs a plan for each output."""
        names = [column for column, *_ in self._con.execute(f"DESCRIBE {query}").fetchall()]
        positions = {name: position for position, name in reversed(list(enumerate(names)))}
        inlined = self._inlined(query)
        inner = f"({inlined}\n) AS q({', '.join(f'out{position}' for position, _ in enumerate(names))})"
        paths = self._paths(inlined)
        return LiveColumns(
            required=self._columns(paths),
            fields={
                name: fields for name, read in paths.items() if (fields := tuple(sorted(read - {*self._tables[name]})))
            },
            names=tuple(names),
            rows=self._pairs(f"SELECT 1 FROM {inner}"),
            outputs={name: self._pairs(f"SELECT out{positions[name]} FROM {inner}") for name in dict.fromkeys(names)},
        )

    def _pairs(self, query: str) -> Columns:
        columns = self._columns(self._paths(query))
        return frozenset((name, column) for name, found in columns.items() for column in found)

    def _columns(self, paths: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
        return {
            name: tuple(sorted({self._column(name, path) for path in found})) for name, found in sorted(paths.items())
        }

    def _column(self, table: str, path: str) -> str:
        """The column of a path: a struct's fields follow it behind dots, which a column's own name may hold too."""
        return max((name for name in self._tables[table] if path == name or path.startswith(f"{name}.")), key=len)

    def _paths(self, query: str) -> dict[str, set[str]]:
        """The columns, or the paths of struct fields, that each scanned table is read for."""
        found: dict[str, set[str]] = {}
        for scan in self._scans(query):
            # Several projections are a list, one is a text, none is an empty text.
            read = scan["Projections"]
            found.setdefault(self._names[scan["Table"]], set()).update([read] if isinstance(read, str) else read)
        return {name: read - {""} for name, read in found.items()}

    def _inlined(self, query: str) -> str:
        """The query with no CTE kept: below one that is kept, DuckDB prunes nothing in a subquery."""
        tree = self._con.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()[0][0]
        inlined = tree.replace("CTE_MATERIALIZE_DEFAULT", "CTE_MATERIALIZE_NEVER")
        if inlined == tree:  # also where DuckDB can't write a query as JSON, such as a PIVOT
            return query.strip().rstrip(";")
        return self._con.execute("SELECT json_deserialize_sql(?::JSON)", [inlined]).fetchall()[0][0]

    def _scans(self, query: str) -> Iterator[Mapping[str, Any]]:
        """What the plan says of each scan of a table; table functions, VALUES and readers of a kept CTE are no such."""
        ((_, plan),) = self._con.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchall()
        pending = json.loads(plan)
        while pending:
            node = pending.pop()
            pending.extend(node["children"])
            if "Table" in node["extra_info"]:
                yield node["extra_info"]
