# SPDX-License-Identifier: MIT-0
"""Take the rows of a till export in, so that none is lost, doubled or added up twice.

Copy: ``kit copy intake --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

In go an opened table (`Source`) and one `Take` per column worth loading; `pos.recognise` finds them
(``[Take(**vars(pick)) for pick in match.picks]``), or write them yourself. Out comes an `Export`:
the same rows as text, in columns named ``table.column``. No other column is asked of the source, so
a forbidden one never becomes a cell in memory. Then, for whole columns at once:

1. what a spreadsheet was told to leave alone is unpacked: ``="0123"`` and ``'0123`` become 0123
   (in a text, ``'`` goes only before a digit or ``+ - = @``: the name ``'t Hooft`` stays);
2. repeated header lines, blank rows and rows of totals are set aside as rejects;
3. each column of money is added up from its digits alone, for `reconcile`;
4. cells that stand only on an order's first row are filled down, within the same order;
5. groups of columns (``Product Item 3 Name``) become rows of their own, under the same ``#row``;
6. several columns for one field are joined by a blank, and amounts get the kit's sign.

Nothing is converted here. When it has been, `reconcile` compares the typed table with the file:
rows, sums, and amounts that must add up in every row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

ROW = "#row"  # the column with the row number that a spreadsheet would show
SUMMED = frozenset({"money", "number"})  # types that stand in a row of totals
# Exactly two decimals leave no doubt where the cents are; 17 more signs still fit an int64.
CLEAR = r"^[^\d.,]*\d[\d., ']{0,17}[.,]\d\d[^\d.,]*$"
LABEL = r"(?i)^(grand |sub ?)?(total|totals|sum|summe|gesamt|totaal|totale|totaux|итого|合計)\s*:?$"

HEADER = "the header line again"
EMPTY = "blank in every column that is read"
SUMS = "a row of totals, or amounts without a name"
BARE = "nothing in the columns that every row needs; an extra picture, perhaps"

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class IntakeError(Exception):
    """Base of the errors below. Messages name fields and positions, never a cell."""


class NothingToTake(IntakeError):
    """No column was asked for, or one that the table does not have."""


class WrongTable(IntakeError):
    """`reconcile` was handed a table that was not converted from this export."""


class Rejected(Protocol):
    """What a source says about a row that it could not read; never the row."""

    @property
    def row(self) -> int: ...  # noqa: D102
    @property
    def column(self) -> str: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102


class Source(Protocol):
    """One opened table; ``names`` are unique, ``batches`` gives ROW and what is asked, as text."""

    @property
    def header(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def names(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def rejects(self) -> Sequence[Rejected]: ...  # noqa: D102
    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]: ...  # noqa: D102


@dataclass(frozen=True)
class Take:
    """One column to load, and what becomes of it.

    Attributes:
        index: Where it stands in the file, counted from 0.
        field: The ``table.column`` it fills; several columns may fill one, in the order given.
        type: As converted later; here only money and number differ, and text (see guards above).
        group: The number or name of its group, ``"3"`` of ``Product Item 3 Name``; else ``""``.
        zone: Appended to each cell, for a header like ``Created (UTC)``.
        sign: -1 turns an amount.
        fill: Filled down within the column that is the *key*.
        key: Tells which rows are one order.
        needed: A row that is blank in every needed column is set aside.
        total: Added up for `reconcile`.
    """

    index: int
    field: str
    type: str = "text"
    group: str = ""
    zone: str = ""
    sign: int = 1
    fill: bool = False
    key: bool = False
    needed: bool = False
    total: bool = False


@dataclass(frozen=True)
class Reject:
    """A row that was set aside, and why. Never the value."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Total:
    """One money column by the digits of its cells, cell by cell.

    Attributes:
        rows: The rows with a clear amount, that is one with exactly two decimals.
        cents: Those amounts.
        unclear: The rows with anything else in the cell; on neither side of a sum.
        stated: What the file's own row of totals says; None if there is none, or it is unclear.
    """

    rows: Places
    cents: Places
    unclear: Places
    stated: int | None


@dataclass(frozen=True)
class Check:
    """One control: what the file says, and what was found. They should be equal."""

    what: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        """Return True if nothing is missing and nothing is too much."""
        return self.expected == self.found


@dataclass(frozen=True)
class Export:
    """The rows of an export as text, not yet converted.

    Attributes:
        table: ROW and one text column per field. A row of the file may be several rows here.
        types: Field to type, for the conversion.
        rejects: The rows set aside, by the source or here.
        totals: Field to what its cells add up to.
        shared: Fields that belong to a whole order: they stand in each of its rows, and count once.
        orders: For each row of the table the number of its order.
        rows: Rows in the file under its header, rejects included.
    """

    table: pa.Table
    types: dict[str, str]
    rejects: list[Reject]
    totals: dict[str, Total]
    shared: frozenset[str]
    orders: Places
    rows: int

    def order_of(self, row: Places) -> Places:
        """Return the order of each row number, for any table made of this one."""
        known = self.table[ROW].to_numpy()
        at = np.minimum(np.searchsorted(known, row), max(len(known) - 1, 0))
        return np.where(known[at] == row, self.orders[at], -1 - row) if len(known) else -1 - row

    def once(self, field: str, row: Places) -> Mask:
        """Return the rows in which a field counts when it is added up: an order's first, or all."""
        counts = np.full(len(row), field not in self.shared)
        counts[np.unique(self.order_of(row), return_index=True)[1]] = True
        return counts


def read(
    source: Source,
    takes: Sequence[Take],
    *,
    group_field: str = "",
    group_type: str = "text",
) -> Export:
    """Load the wanted columns of one table and put its rows in order.

    Args:
        source: The opened table.
        takes: The columns to load; at least one.
        group_field: Where the name of a group goes, e.g. ``"stores.name"``.
        group_type: The type of that field.

    Raises:
        NothingToTake: If *takes* is empty or points beyond the table.
    """
    if not takes or max(t.index for t in takes) >= len(source.names):
        raise NothingToTake("no column to load, or one beyond the last; recognise the header again")
    names = [source.names[t.index] for t in takes]
    batches = list(source.batches(names))
    rejects = [Reject(r.row, r.column, r.reason) for r in source.rejects]
    if not batches:
        shape = pa.schema([(ROW, pa.int64()), *((n, pa.string()) for n in names)])
        batches = [pa.RecordBatch.from_pylist([], schema=shape)]
    loaded = pa.Table.from_batches(batches)
    row = loaded[ROW].to_numpy()
    cells: Sequence[pa.ChunkedArray] = [
        _unpack(loaded[n], t.type) for n, t in zip(names, takes, strict=True)
    ]
    lost = len({r.row for r in rejects if not r.column})

    aside = _set_aside(cells, takes, [source.header[t.index] for t in takes])
    for reason, mask in aside.items():
        rejects += [Reject(int(n), "", reason) for n in row[mask]]
    stated = [c.filter(pa.array(aside[SUMS])) for c in cells]
    kept = ~np.logical_or.reduce([*aside.values()])
    rows, row = lost + len(kept), row[kept]
    cells = [c.filter(pa.array(kept)) for c in cells]
    each = list(zip(takes, cells, stated, strict=True))
    totals = {t.field: _add_up(c, row, t.sign, s) for t, c, s in each if t.total}

    order = next((_codes(c) for t, c, _ in each if t.key), np.arange(len(row)))
    if any(t.key for t in takes):
        cells = _fill_down(cells, takes, order)
    needed = [_blank(c) for t, c in zip(takes, cells, strict=True) if t.needed]
    if needed and (bare := np.logical_and.reduce(needed)).any():
        rejects += [Reject(int(n), "", BARE) for n in row[bare]]
        cells = [c.filter(pa.array(~bare)) for c in cells]
        row, order = row[~bare], order[~bare]
    at, groups, takes, cells = _ungroup(cells, takes, len(row))
    row, order = row[at], order[at]
    fields: dict[str, list[pa.ChunkedArray]] = {}
    for take, cell in zip(takes, cells, strict=True):
        fields.setdefault(take.field, []).append(_finish(cell, take))
    types = {t.field: t.type for t in takes}
    shared = frozenset(t.field for t in takes if t.fill or (groups is not None and not t.group))
    table = {ROW: row, **{field: _join(parts) for field, parts in fields.items()}}
    if groups is not None and group_field:
        table[group_field], types[group_field] = groups, group_type
    rejects.sort(key=lambda r: r.row)
    return Export(pa.table(table), types, rejects, totals, shared, order, rows)


def reconcile(
    export: Export,
    converted: pa.Table,
    *,
    refused: Sequence[Rejected] = (),
    foots: Mapping[str, str] | None = None,
) -> list[Check]:
    """Compare the converted rows with what the file says.

    Args:
        export: As read.
        converted: Its table with money as int64 cents, with ROW. Rows may have been left out.
        refused: The conversion's rejects: these rows are accounted for, and in no sum.
        foots: What must add up in every row: ``{"lines.net_cents": "lines.gross_cents -
            lines.discount_cents"}``. A row with a null in it is not counted.

    Returns:
        Checks; look at those that are not `Check.ok`.

    Raises:
        WrongTable: If a column is not there, or the rows are not those of *export*.
    """
    if ROW not in converted.column_names:
        raise WrongTable(f"no column {ROW}; convert the whole table of this export")
    row = converted[ROW].to_numpy()
    if not np.isin(row, export.table[ROW].to_numpy()).all():
        raise WrongTable("rows that are not in this export; convert its own table")

    def cents(name: str) -> pa.ChunkedArray:
        if name not in converted.column_names or not pa.types.is_int64(converted[name].type):
            raise WrongTable(f"{name} is not there as int64 cents; convert it as money")
        return converted[name]

    aside = {r.row for r in export.rejects if not r.column} | {r.row for r in refused}
    checks = [Check("rows", export.rows, len(aside.union(row.tolist())))]
    for name, total in export.totals.items():
        unit = export.order_of if name in export.shared else np.asarray
        wanted = total.cents[np.isin(unit(total.rows), unit(row))]
        counted = export.once(name, row) & ~np.isin(unit(row), unit(total.unclear))
        found = pc.sum(cents(name).filter(pa.array(counted))).as_py() or 0
        checks.append(Check(f"sum of {name}", int(wanted.sum()), found))
        if total.stated is not None and not len(total.unclear):
            whole = int(total.cents.sum())
            checks.append(Check(f"{name} in the file's row of totals", total.stated, whole))
    for name, rule in (foots or {}).items():
        start, *steps = re.split(r" ([+-]) ", rule)
        value = cents(start)
        for sign, other in zip(steps[::2], steps[1::2], strict=True):
            value = (pc.add if sign == "+" else pc.subtract)(value, cents(other))
        equal = pc.drop_null(pc.equal(value, cents(name)))
        checks.append(Check(f"{name} = {rule}", len(equal), pc.sum(equal).as_py() or 0))
    return checks


def _unpack(cells: pa.ChunkedArray, type_: str) -> pa.ChunkedArray:
    """Take off the signs that made a spreadsheet leave a cell alone; null becomes blank."""
    cells = pc.fill_null(cells, "")
    if pc.any(pc.starts_with(cells, "=")).as_py():
        cells = pc.replace_substring_regex(cells, r'^="([^"]*)"$', r"\1")
    if pc.any(pc.starts_with(cells, "'")).as_py():
        before = r"^'([-=+@\d])" if type_ == "text" else "^'()"
        cells = pc.replace_substring_regex(cells, before, r"\1")
    return cells


def _blank(cells: pa.ChunkedArray) -> Mask:
    """Return which cells hold nothing but white space."""
    return np.asarray(pc.equal(pc.utf8_trim_whitespace(cells), ""))


def _set_aside(
    cells: Sequence[pa.ChunkedArray], takes: Sequence[Take], header: Sequence[str]
) -> dict[str, Mask]:
    """Return reason → rows that are no records: the header again, blank, totals."""
    blank = [_blank(c) for c in cells]
    empty = np.logical_and.reduce(blank)
    again = ~empty
    for cell, name in zip(cells, header, strict=True):
        if again.any():  # seldom beyond the first column
            again &= np.asarray(pc.equal(pc.utf8_trim_whitespace(cell), name.strip()))
    named = [i for i, t in enumerate(takes) if t.type not in SUMMED]
    said = np.sum([~blank[i] for i in named], axis=0) if named else np.full(len(empty), 2)
    sums = ~empty & (said == 0)
    for i in named:  # few rows say one thing only, so few are looked at
        alone = np.flatnonzero(~blank[i] & (said == 1) & ~again)
        label = pc.match_substring_regex(pc.utf8_trim_whitespace(cells[i].take(alone)), LABEL)
        sums[alone[np.asarray(label, dtype=bool)]] = len(named) > 1
    return {HEADER: again, EMPTY: empty, SUMS: sums & ~again}


def _add_up(cells: pa.ChunkedArray, row: Places, sign: int, stated: pa.ChunkedArray) -> Total:
    """Read amounts by their digits. On purpose simpler than the conversion that it checks."""
    coded = pc.dictionary_encode(pa.chunked_array([*cells.chunks, *stated.chunks], pa.string()))
    coded = coded.combine_chunks()  # prices repeat: each is looked at once
    texts, code = coded.dictionary, np.asarray(coded.indices)
    clear = np.asarray(pc.match_substring_regex(texts, CLEAR), dtype=bool)
    minus = np.asarray(pc.match_substring_regex(texts, r"[-−(]"), dtype=bool)
    digits = pc.replace_substring_regex(pc.if_else(clear, texts, "0"), r"\D", "")
    cents = np.where(minus, -sign, sign) * pc.cast(digits, pa.int64()).to_numpy()
    code, last = code[: len(row)], code[len(row) :]
    return Total(
        row[clear[code]],
        cents[code[clear[code]]],
        row[~clear[code] & ~_blank(cells)],
        int(cents[last[0]]) if len(last) == 1 and clear[last[0]] else None,
    )


def _codes(key: pa.ChunkedArray) -> Places:
    """Return one number per order; a row with a blank key is an order of its own."""
    codes = np.asarray(pc.dictionary_encode(key.combine_chunks()).indices, dtype=np.int64)
    return np.where(_blank(key), -1 - np.arange(len(codes)), codes)


def _fill_down(
    cells: Sequence[pa.ChunkedArray], takes: Sequence[Take], codes: Places
) -> list[pa.ChunkedArray]:
    """Fill blank cells of `fill` columns with the last one above in the same order."""
    by_order = np.argsort(codes, kind="stable")
    place = np.arange(len(codes))
    starts = np.diff(codes[by_order], prepend=np.iinfo(np.int64).min) != 0
    start = np.maximum.accumulate(np.where(starts, place, 0))
    filled = []
    for take, cell in zip(takes, cells, strict=True):
        blank = _blank(cell)
        if take.fill and blank.any():
            last = np.maximum.accumulate(np.where(blank[by_order], -1, place))
            origin = np.empty_like(place)
            origin[by_order] = by_order[np.where(last >= start, last, place)]
            cell = cell.take(pa.array(origin))
        filled.append(cell)
    return filled


def _ungroup(
    cells: Sequence[pa.ChunkedArray], takes: Sequence[Take], rows: int
) -> tuple[Places, pa.Array | None, Sequence[Take], Sequence[pa.ChunkedArray]]:
    """Make a row of each group that holds something; a row without any stays one row.

    Returns:
        For each new row the old one; its group; and the takes and cells, one per grouped field.
    """
    names = list(dict.fromkeys(t.group for t in takes if t.group))
    if not names:
        return np.arange(rows), None, takes, cells
    each = list(zip(takes, cells, strict=True))
    used = [
        ~np.logical_and.reduce([_blank(c) for t, c in each if t.group == name]) for name in names
    ]
    used.append(~np.logical_or.reduce(used))
    places = [np.flatnonzero(u) for u in used]
    at, group = np.concatenate(places), np.repeat(np.arange(len(used)), [len(p) for p in places])
    order = np.lexsort((group, at))
    new = [(t, c.take(at[order])) for t, c in each if not t.group]
    for take in {t.field: t for t in takes if t.group}.values():
        pieces: list[pa.Array] = []
        for name, place in zip([*names, ""], places, strict=True):
            found = [c for t, c in each if t.group == name and t.field == take.field and name]
            blank = pa.array([""] * len(place), pa.string())
            pieces += found[0].take(place).chunks if found else [blank]
        new.append((take, pa.chunked_array(pieces, pa.string()).take(order)))
    labels = pa.array([*names, ""]).take(group[order])
    return at[order], labels, [t for t, _ in new], [c for _, c in new]


def _finish(cells: pa.ChunkedArray, take: Take) -> pa.ChunkedArray:
    """Append the zone, turn the sign."""
    if take.zone:
        cells = pc.if_else(_blank(cells), cells, pc.binary_join_element_wise(cells, take.zone, " "))
    if take.sign == -1:
        bare = pc.replace_substring_regex(cells, r"[-−()]", "")
        some = pc.match_substring_regex(cells, "[1-9]")
        below = pc.match_substring_regex(cells, r"[-−(]")
        turned = pc.binary_join_element_wise("-", pc.utf8_trim_whitespace(bare), "")
        cells = pc.if_else(below, bare, pc.if_else(some, turned, cells))
    return cells


def _join(parts: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Join the cells of several columns by one blank, without those that are blank."""
    joined, *others = parts
    for part in others:  # one by one: Arrow 26's null_handling="skip" loses rows that are all null
        both = pc.binary_join_element_wise(joined, part, " ")
        joined = pc.if_else(_blank(joined), part, pc.if_else(_blank(part), joined, both))
    return joined
