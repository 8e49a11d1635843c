# SPDX-License-Identifier: MIT-0
"""Split a till's export into the shop's tables, so that a second import changes nothing.

Copy: ``kit copy fold --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

An export is one flat table: the same sale on five rows, with the customer's name on each. Out
come the stores, customers, sales and lines, each once, linked by id. An id is made of the till's
name and what the till calls the thing, so that the next export gives the same id::

    square-7FQ1                 the till's own id
    square-sku-1042             another column that tells them apart
    woocommerce-email-9K2M…     a stand-in for one that would give a person away
    square-7FQ1-3               the third line of that sale

What has no id of its own and nothing to tell it by is left out and counted: the next import could
not know it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROW = "#row"
StandIn = Callable[[list[str | None]], list[str | None]]


class FoldError(Exception):
    """The table is not one that `fold` can split. The message never holds a cell's value."""


@dataclass(frozen=True)
class Rule:
    """How the rows of one table are told apart and what they hang on.

    Attributes:
        key: The id column that is made.
        known_by: Columns that tell a row from the others, the best one first.
        hidden: Those of them that would give a person away; stand-ins are used.
        links: Id column → the table it points to, taken from the same row of the export.
        part_of: The link without which the row means nothing.
        numbered: Rows of one parent are counted when nothing else tells them apart.
    """

    key: str
    known_by: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    part_of: str = ""
    numbered: bool = False


RULES = {  # parents first
    "stores": Rule("store_id", ("store_id", "name")),
    "employees": Rule("employee_id", ("employee_id", "name"), hidden=("name",)),
    "suppliers": Rule("supplier_id", ("supplier_id", "name")),
    "categories": Rule("category_id", ("category_id", "name")),
    "products": Rule(
        "product_id",
        ("product_id", "sku", "barcode", "handle", "name"),
        links={"category_id": "categories", "supplier_id": "suppliers"},
    ),
    "customers": Rule(
        "customer_id",
        ("customer_id", "reference", "username", "email", "phone"),
        hidden=("username", "email", "phone"),
    ),
    "addresses": Rule(
        "address_id",
        ("address_id",),
        links={"customer_id": "customers"},
        part_of="customer_id",
        numbered=True,
    ),
    "sales": Rule(
        "sale_id",
        ("sale_id",),
        links={"store_id": "stores", "employee_id": "employees", "customer_id": "customers"},
    ),
    "lines": Rule(
        "line_id",
        ("line_id",),
        links={"sale_id": "sales", "product_id": "products"},
        part_of="sale_id",
        numbered=True,
    ),
    "payments": Rule(
        "payment_id", ("payment_id", "reference"), links={"sale_id": "sales"}, numbered=True
    ),
    "refunds": Rule(
        "refund_id", ("refund_id",), links={"sale_id": "sales"}, part_of="sale_id", numbered=True
    ),
    "payouts": Rule("payout_id", ("payout_id",)),
}
EACH_ROW = {"lines"}  # one row of the export is one line, however alike two of them are
FROM_LINES = ("gross_cents", "discount_cents", "net_cents", "tax_cents")  # if the sale says none
PER_STORE = {"products": "opening_stock"}  # the export says it store by store; the shop adds it up


@dataclass(frozen=True)
class LeftOut:
    """Rows of the export from which no row of *table* could be made, and why."""

    table: str
    rows: int
    first: int
    reason: str


@dataclass(frozen=True)
class Folded:
    """The tables of an export.

    Attributes:
        tables: Name → Arrow table with its key, links and columns, parents first.
        derived: Name → columns that were worked out here; they never replace what the till said.
        left_out: What could not be taken over.
    """

    tables: Mapping[str, pa.Table]
    derived: Mapping[str, tuple[str, ...]]
    left_out: tuple[LeftOut, ...]


def fold(flat: pa.Table, *, source: str, stand_in: StandIn) -> Folded:
    """Split one export.

    Args:
        flat: Typed columns named ``table.column``, and ``#row``, the row of the export.
        source: The till, such as ``square``; it stands in front of every id.
        stand_in: Gives the same short text for the same value, from which nobody gets it back,
            such as ``pseudonyms.Pseudonyms.one_way``.

    Raises:
        FoldError: A column names a table that is not known here.
    """
    parts: dict[str, dict[str, pa.Array]] = {}
    for name in flat.column_names:
        table, dot, column = name.partition(".")
        if not dot:
            continue
        if table not in RULES:
            raise FoldError(f"{table}: no such table of a shop; this export is not one of a till")
        parts.setdefault(table, {})[column] = _whole(flat.column(name))
    numbers = _whole(flat.column(ROW)) if ROW in flat.column_names else None
    ids: dict[str, pa.Array] = {}
    made: dict[str, pa.Table] = {}
    left: list[LeftOut] = []
    for table, rule in RULES.items():
        if table not in parts:
            continue
        columns = parts[table]
        present = _any_value(columns.values(), len(flat))
        links = {name: ids[to] for name, to in rule.links.items() if to in ids}
        key = _ids(rule, columns, links, present, source, stand_in, each=table in EACH_ROW)
        ids[table] = key
        without = pc.and_(present, pc.is_null(key))
        if rows := pc.sum(without).as_py() or 0:
            first = numbers.filter(without)[0].as_py() if numbers is not None else 0
            missing = f"no {rule.part_of}" if rule.part_of else "no " + " or ".join(rule.known_by)
            left.append(LeftOut(table, rows, first, f"{missing}, so it could not be known again"))
        summed = PER_STORE.get(table, "") if "stores" in parts else ""
        made[table] = _distinct(rule.key, key, {**columns, **links}, summed)
    derived = _add_up(made)
    return Folded({n: t for n, t in made.items() if t.num_rows}, derived, tuple(left))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _any_value(columns: object, rows: int) -> pa.Array:
    """Return which rows of the export say anything about a table."""
    present = pa.repeat(pa.scalar(value=False), rows)
    for column in columns:  # type: ignore[attr-defined]
        said = pc.is_valid(column)
        if pa.types.is_string(column.type):
            said = pc.and_(said, pc.fill_null(pc.not_equal(column, ""), fill_value=False))
        present = pc.or_(present, said)
    return present


def _ids(
    rule: Rule,
    columns: Mapping[str, pa.Array],
    links: Mapping[str, pa.Array],
    present: pa.Array,
    source: str,
    stand_in: StandIn,
    *,
    each: bool,
) -> pa.Array:
    """Return an id for each row of the export, null where there is none."""
    nothing = pa.nulls(len(present), pa.string())
    found = nothing
    for name in rule.known_by:
        if name not in columns:
            continue
        text = _text(columns[name])
        if name in rule.hidden:
            told = text.dictionary_encode()  # each stand-in once: 10 us
            names = pa.array(stand_in(told.dictionary.to_pylist()), pa.string())
            text = names.take(told.indices)
        mark = f"{source}-" if name == rule.key else f"{source}-{name}-"
        found = pc.coalesce(found, pc.binary_join_element_wise(mark, text, ""))
    parent = links.get(rule.part_of or next(iter(rule.links), ""), nothing)
    if rule.numbered:
        nth = _ordinal(parent) if each else pa.repeat(pa.scalar(1), len(parent))
        counted = pc.binary_join_element_wise(parent, pc.cast(nth, pa.string()), "-")
        found = pc.coalesce(found, counted)
    if rule.part_of:
        found = pc.if_else(pc.is_valid(parent), found, nothing)
    return pc.if_else(present, found, nothing)


def _text(column: pa.Array) -> pa.Array:
    """Return what tells rows apart as text; blank is nothing."""
    text = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _ordinal(parent: pa.Array) -> pa.Array:
    """Count the rows of each parent: 1, 2, 3, in the order of the export."""
    codes = pc.fill_null(parent.dictionary_encode().indices, -1).to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-2))
    sizes = np.diff(starts, append=len(codes))
    nth = np.empty(len(codes), np.int64)
    nth[order] = np.arange(len(codes)) - np.repeat(starts, sizes) + 1
    return pa.array(nth)


def _distinct(key: str, ids: pa.Array, columns: Mapping[str, pa.Array], summed: str) -> pa.Table:
    """Return one row for each id: the first value that the export says, column by column."""
    rest = {name: cells for name, cells in columns.items() if name != key}
    place = pa.array(range(len(ids)), pa.int64())  # Arrow's groups come in no order of their own
    table = pa.table({key: ids, ROW: place, **rest}).filter(pc.is_valid(ids))
    how = [
        (name, "sum" if name == summed else "first", pc.ScalarAggregateOptions(skip_nulls=True))
        for name in rest
    ]
    grouped = table.group_by(key, use_threads=False).aggregate([*how, (ROW, "min")])
    grouped = grouped.sort_by(f"{ROW}_min")
    names = [key, *rest]
    cells = [grouped.column(key)]
    cells += [grouped.column(f"{name}_{way}") for name, way, _ in how]
    return pa.table(dict(zip(names, cells, strict=True)))


def _add_up(made: dict[str, pa.Table]) -> dict[str, tuple[str, ...]]:
    """Give sales without sums of their own those of their lines."""
    sales, lines = made.get("sales"), made.get("lines")
    if sales is None or lines is None or "sale_id" not in lines.column_names:
        return {}
    wanted: Sequence[str] = [
        name for name in FROM_LINES if name in lines.column_names and name not in sales.column_names
    ]
    if not wanted:
        return {}
    sums = lines.group_by("sale_id", use_threads=False).aggregate([(n, "sum") for n in wanted])
    at = pc.index_in(sales.column("sale_id"), value_set=sums.column("sale_id"))
    for name in wanted:
        sales = sales.append_column(name, sums.column(f"{name}_sum").take(at))
    made["sales"] = sales
    return {"sales": tuple(wanted)}
