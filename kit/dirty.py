# SPDX-License-Identifier: MIT-0
"""Make tidy tables as untidy as a real till export, and keep the answers to mark the cleaning by.

Copy: ``kit copy dirty --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

Goes in: tables named and shaped as those of the made-up shop; only ``customers`` is needed. Comes
out: the same tables with dirt in customers, addresses and sales, and the truth, one row for each
thing that was done, in the columns table, row (counted from 0, in the dirty table), column, kind
and clean (the value before, as text; an instant as ``2026-07-18T12:59:30Z``)::

    duplicate         an added row; clean = number of the row it copies, column = ""
    new id            a copy's own id: all copies but the exact ones have one
    typo, nickname, swapped, moved     what else differs between a copy and its row
    household         two people on one card: ``Ana & Ben``
    card, cvv         a published test card number in a note, without or with its cvv
    email in phone    an address in the wrong column
    future birthday   a hundred years too late
    wrong total       a sale's total that its parts do not add up to
    mojibake, guard   ``JosÃ©``; ``'02134`` and ``="02134"``
    not available     ``N/A`` and its relatives
    phone format, date format, blanks, case
    ragged            column = "": in the CSV of `Dirty.write` this row has a cell too many (even
                      row numbers) or one too few (odd); in the tables it is whole

What is not in the truth is as it was. Added rows stand at the end, so a tidy row keeps its number.
A cell has one kind of dirt at most. Birthdays and sign-up times become text columns.

Level 2 dirties the share of rows that `RATES` says, level 1 a quarter of it, level 3 three times as
much, level 0 nothing. Every kind occurs at least once if there is a cell to hold it.

Source: RATES are start values, not measured. Card numbers: the payment processors' test cards.
Draws are splitmix64 counters, integers only, so the same seed gives the same dirt everywhere.
"""

from __future__ import annotations

import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

Rows: TypeAlias = npt.NDArray[np.int64]
Draws: TypeAlias = npt.NDArray[np.uint64]
Change: TypeAlias = Callable[[str, int], str]  # a cell's text and a drawn number
Person: TypeAlias = Mapping[str, str | None]
Copy: TypeAlias = tuple[int, dict[str, tuple[str, str]]]  # of a row; by column: kind, new text

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # the step of splitmix64

SHARE = {0: (0, 1), 1: (1, 4), 2: (1, 1), 3: (3, 1)}  # of RATES, by level
RATES = (  # rows in a thousand at level 2
    {"exact": 5, "typo": 8, "nickname": 5, "swapped": 3, "moved": 5, "household": 8, "card": 4}
    | {"cvv": 2, "email in phone": 5, "future birthday": 3, "wrong total": 3, "mojibake": 10}
    | {"guard": 10, "not available": 20, "phone format": 250, "date format": 80, "blanks": 30}
    | {"case": 50, "ragged": 3}
)
TEXT = pa.string()
TRUTH = pa.schema(
    {"table": TEXT, "row": pa.int64(), "column": TEXT, "kind": TEXT, "clean": TEXT}.items()
)
CARDS = (
    "4242424242424242 4000056655665556 4111111111111111 5555555555554444 5105105105105100 "
    "2223003122003222 378282246310005 371449635398431 6011111111111117 6011000990139424 "
    "3056930009020004 36227206271667 3566002020360505 6200000000000005"
).split()
NOTES = (
    "card {} exp {month:02}/{year}, ring when ready",
    "pays w/ {} {month:02}/{year}",
    "keep on file: {} exp {month:02}-{year}",
    "cc {} good thru {month}/{year}, wants gift wrap",
)
CVVS = (" cvv {}", " sec code {}", " CVC: {}", " (cvv2 {})")
PHONES = "({}) {}-{}|{}-{}-{}|{}.{}.{}|{}{}{}|1-{}-{}-{}|+1 {} {} {}|({}){}-{} cell".split("|")
DATES = "{m:02}/{d:02}/{y}|{m}/{d}/{yy}|{d:02}.{m:02}.{y}|{d}/{m}/{y}|{b} {d}, {y}|{d}-{b}-{yy}"
GUARDS = ('="{}"', "'{}")  # as a spreadsheet keeps a leading zero
MISSING = ("N/A", "n/a", "-", "NULL", "none", "unknown", "?")
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
NICKNAMES = dict(
    pair.split(":")
    for pair in (
        "Andrew:Andy Anthony:Tony Barbara:Barb Benjamin:Ben Christopher:Chris Daniel:Dan "
        "David:Dave Elizabeth:Liz James:Jim Jennifer:Jen Jessica:Jess John:Jack Joseph:Joe "
        "Katherine:Kate Kimberly:Kim Margaret:Peggy Matthew:Matt Michael:Mike Patricia:Pat "
        "Rebecca:Becky Richard:Rick Robert:Bob Stephanie:Steph Susan:Sue Thomas:Tom William:Bill"
    ).split()
)
NAMES = tuple(NICKNAMES)
ID = {"customers": "customer_id", "addresses": "address_id", "sales": "sale_id"}
BODY = pacsv.WriteOptions(include_header=False)


class DirtyError(Exception):
    """Base of the errors below. Messages name table and column, never a value."""


class NoSuchLevel(DirtyError):
    """The level is not 0, 1, 2 or 3."""


class BadTable(DirtyError):
    """A table or a column of the made-up shop is missing."""


class Exists(DirtyError):
    """A file of that name is there already."""


@dataclass(frozen=True)
class Dirty:
    """The untidy tables and what was done to them."""

    tables: dict[str, pa.Table]
    truth: pa.Table

    def write(self, folder: Path, *, overwrite: bool = False) -> list[Path]:
        """Write a CSV per table as an old till would, ragged rows included, and ``truth.csv``.

        The cells go out as they are. No formula is made harmless: these files are the exercise,
        not something to hand to a customer.

        Raises:
            Exists: If one of the files is there already and *overwrite* is false.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = {folder / f"{name}.csv": name for name in (*self.tables, "truth")}
        if there := [path.name for path in files if path.exists() and not overwrite]:
            raise Exists(f"{there[0]} is already there; choose another folder or overwrite")
        ragged = self.truth.filter(pc.equal(self.truth["kind"], "ragged"))
        for path, name in files.items():
            torn = ragged.filter(pc.equal(ragged["table"], name))["row"].to_pylist()
            draft = path.with_name(f".{path.name}.part")
            with draft.open("wb") as file:
                _write_csv(self.tables.get(name, self.truth), torn, file)
            draft.replace(path)
        return list(files)


def dirty(tables: Mapping[str, pa.Table], *, seed: int, level: int = 2) -> Dirty:
    """Return an untidy copy of a shop's tables and the truth about each change.

    Args:
        tables: Tables of the made-up shop by name. A kind of dirt whose table is not among them is
            left out; tables without dirt are handed through.
        seed: Of the dirt alone; the tables may have been made with the same or another.
        level: 0 to 3, from untouched to hopeless.

    Raises:
        NoSuchLevel: If *level* is not 0, 1, 2 or 3.
        BadTable: If there are no customers, or a column to be dirtied is missing.
    """
    if level not in SHARE:
        raise NoSuchLevel(f"there is no level {level}; take 0 (untouched), 1, 2 or 3 (hopeless)")
    if "customers" not in tables:
        raise BadTable("there is no table customers; hand over the tables of a made-up shop")
    if level == 0:
        return Dirty(dict(tables), TRUTH.empty_table())
    mess = _Mess(tables, seed, SHARE[level])
    mess.add_copies()
    for kind, change, places in CELLS:
        for place in places:
            mess.change_cells(kind, place, change)
    for name in ("customers", "sales"):
        mess.tear_rows(name)
    return mess.result()


class _Mess:
    """The tables while they are being dirtied."""

    def __init__(self, tables: Mapping[str, pa.Table], seed: int, share: tuple[int, int]) -> None:
        self.clean = dict(tables)
        self.seed = seed
        self.share = share
        self.tables = {name: _as_text(tables[name], name) for name in COLUMNS if name in tables}
        self.cells: dict[tuple[str, str], dict[int, tuple[str, str | None, str | None]]] = {}
        self.rows: list[tuple[str, int, str, str, str | None]] = []

    def add_copies(self) -> None:
        """Add customers anew; all but the exact copies get a number of their own."""
        people, copies = self.tables["customers"], list[Copy]()
        streets, removals = self.tables.get("addresses"), list[Copy]()
        home: dict[str, int] = {}  # the first address of each customer
        if streets is not None:
            for row, owner in enumerate(streets["customer_id"].to_pylist()):
                home.setdefault(owner, row)
        numbers = {name: _new_ids(table[ID[name]]) for name, table in self.tables.items()}
        free = _filled(people["first_name"]) & _filled(people["last_name"])
        housed = np.asarray(pc.is_in(people["customer_id"], pa.array(home, TEXT)))
        for kind in ("exact", "typo", "nickname", "swapped", "moved"):
            fit = np.flatnonzero(free & housed if kind == "moved" else free)
            for row, luck in self._choose(kind, "customers", fit):
                free[row] = False
                person = people.slice(row, 1).to_pylist()[0]
                changes = {c: (kind, v) for c, v in _variant(kind, person, luck).items()}
                if kind != "exact":
                    changes["customer_id"] = "new id", next(numbers["customers"])
                copies.append((row, changes))
                if kind == "moved" and streets is not None:
                    old = home[person["customer_id"]]
                    new = {
                        "address_id": ("new id", next(numbers["addresses"])),
                        "customer_id": changes["customer_id"],
                        "street": ("moved", _move(streets["street"][old].as_py(), luck)),
                    }
                    removals.append((old, new))
        self._append("customers", copies)
        self._append("addresses", removals)

    def _append(self, name: str, copies: list[Copy]) -> None:
        """Put copies of rows, and what is changed in them, at the end of a table."""
        if copies:
            table = self.tables[name]
            added = table.take(pa.array([row for row, _ in copies], pa.int64()))
            self.tables[name] = pa.concat_tables([table, added])
            for at, (row, changes) in enumerate(copies, table.num_rows):
                self.rows.append((name, at, "", "duplicate", str(row)))
                for column, (kind, value) in changes.items():
                    self._set(name, column, at, kind, table[column][row].as_py(), value)

    def change_cells(self, kind: str, place: str, change: Change) -> None:
        """Change the chosen cells of one column, if they still are as they were."""
        name, _, column = place.partition(".")
        if name not in self.tables:
            return
        values = self.tables[name][column]
        free = np.ones(len(values), bool) if kind in ANYWHERE else _filled(values)
        free[list(self.cells.get((name, column), {}))] = False
        chosen = self._choose(kind, place, np.flatnonzero(free))
        olds = values.take(pa.array([row for row, _ in chosen], pa.int64())).to_pylist()
        for (row, luck), old in zip(chosen, olds, strict=True):
            self._set(name, column, row, kind, old, change(old or "", luck))

    def tear_rows(self, name: str) -> None:
        """Note which rows `Dirty.write` gives a wrong number of cells."""
        if name in self.tables:
            for row, _ in self._choose("ragged", name, np.arange(self.tables[name].num_rows)):
                self.rows.append((name, row, "", "ragged", None))

    def result(self) -> Dirty:
        """Put the changed cells into the columns."""
        tables = dict(self.clean)
        truth = list(self.rows)
        for name, table in self.tables.items():
            columns = dict(zip(table.column_names, table.combine_chunks().columns, strict=True))
            for (owner, column), changed in self.cells.items():
                if owner == name:
                    rows = sorted(changed)
                    mask = np.zeros(table.num_rows, bool)
                    mask[rows] = True
                    news = pa.array([changed[row][2] for row in rows], TEXT)
                    old = columns[column].combine_chunks()
                    columns[column] = pc.replace_with_mask(old, mask, news)
                    truth += [(name, row, column, *changed[row][:2]) for row in rows]
            if name == "sales":
                columns["total_cents"] = columns["total_cents"].cast(pa.int64())
            tables[name] = pa.table(columns)
        truth.sort(key=lambda cell: cell[:3])
        answers = list(zip(*truth, strict=True)) or [()] * len(TRUTH)
        arrays = [pa.array(v, t) for v, t in zip(answers, TRUTH.types, strict=True)]
        return Dirty(tables, pa.table(arrays, schema=TRUTH))

    def _set(
        self, name: str, column: str, row: int, kind: str, old: str | None, new: str | None
    ) -> None:
        """Change a cell, unless the change leaves it as it is."""
        if new != old:
            self.cells.setdefault((name, column), {})[row] = (kind, old, new)

    def _choose(self, kind: str, place: str, rows: Rows) -> list[tuple[int, int]]:
        """Return the share of *rows* that is due, and a number drawn for each of them."""
        times, of = self.share
        count = min(len(rows), max(1, len(rows) * RATES[kind] * times // (1000 * of)))
        order = np.argsort(_draws(self.seed, f"choose {kind} {place}", rows), kind="stable")
        chosen = np.sort(rows[order[:count]])
        luck = _draws(self.seed, f"change {kind} {place}", chosen) >> np.uint64(16)
        return list(zip(chosen.tolist(), luck.tolist(), strict=True))


def _typo(text: str, luck: int) -> str:
    """Double a letter, drop one, or change two about."""
    at = luck // 3 % max(len(text) - 1, 1)
    slips = (
        text[: at + 1] + text[at:],
        text[:at] + text[at + 1 :],
        text[:at] + text[at : at + 2][::-1] + text[at + 2 :],
    )
    slip = slips[luck % 3]
    return slip if slip not in ("", text) else slips[0]


def _variant(kind: str, person: Person, luck: int) -> dict[str, str]:
    """Return what a copy of a customer has otherwise."""
    first, last = person["first_name"] or "", person["last_name"] or ""
    if kind == "typo":
        return {"last_name": _typo(last, luck)}
    if kind == "nickname":
        return {"first_name": NICKNAMES.get(first, first[:1] + ".")}
    return {"first_name": last, "last_name": first} if kind == "swapped" else {}


def _move(street: str | None, luck: int) -> str:
    """Return another house in the same street, for want of a map."""
    number = str(1 + luck % 997)
    moved = re.sub(r"\d+", number, street or "", count=1)
    return moved if moved != street else f"{number} {street or 'Main Street'}"


def _card(text: str, luck: int, *, cvv: bool = False) -> str:
    """Return a note as a tired employee types it while the customer spells the number."""
    number = CARDS[luck % len(CARDS)]
    amex = re.fullmatch(r"(\d{4})(\d{6})(\d{5})", number)  # 15 digits are printed 4-6-5
    blocks = amex.groups() if amex else re.findall(r"\d{1,4}", number)
    number = ("", " ", "-", " ")[luck // 16 % 4].join(blocks)
    note = NOTES[luck // 64 % len(NOTES)]
    note = note.format(number, month=luck // 256 % 12 + 1, year=luck // 4096 % 4 + 27)
    if cvv:
        code = f"{luck // 65_536 % 10_000:04}" if amex else f"{luck // 65_536 % 1_000:03}"
        head, comma, tail = note.partition(",")
        note = head + CVVS[luck // 2**32 % len(CVVS)].format(code) + comma + tail
    return f"{text}. {note}" if text else note


def _mojibake(text: str, luck: int) -> str:
    """Return UTF-8 read as Windows-1252: in a plain text, its blank was a fixed one."""
    if text.isascii():
        text = text.replace(" ", "\xa0", 1) if " " in text else text + "\xa0"
    # five bytes have no letter there and are shown as they are
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())


def _phone(text: str, luck: int) -> str:
    """Return an E.164 number as people write it."""
    if match := re.fullmatch(r"\+1(\d{3})(\d{3})(\d{4})", text):
        return PHONES[luck % len(PHONES)].format(*match.groups())
    return f"{text[:3]} {text[3:6]} {text[6:]}"


def _date(text: str, luck: int) -> str:
    """Return an ISO date or instant the way other programs and people write it."""
    y, m, d = (int(part) for part in text[:10].split("-"))
    form = DATES.split("|")[luck // 2 % 6]
    date = form.format(y=y, yy=f"{y % 100:02}", m=m, d=d, b=MONTHS[m - 1])
    if len(text) == 10:
        return date
    hour, minute = int(text[11:13]), text[14:16]
    if luck % 2:
        return f"{date} {hour:02}:{minute}"
    return f"{date} {hour % 12 or 12}:{minute} {'PM' if hour >= 12 else 'AM'}"


def _blanks(text: str, luck: int) -> str:
    return (f" {text}", f"{text} ", f"{text}\xa0", f"  {text} ", f"{text}\u200b")[luck % 5]


def _case(text: str, luck: int) -> str:
    """Return other letters, if there are any."""
    return next((t for t in (text.upper(), text.lower())[:: 1 - 2 * (luck % 2)] if t != text), text)


CELLS: list[tuple[str, Change, list[str]]] = [  # rare kinds first, so that they find a cell
    ("card", _card, ["customers.note"]),
    ("cvv", lambda t, n: _card(t, n, cvv=True), ["customers.note"]),
    ("future birthday", lambda t, n: f"{int(t[:4]) + 100}{t[4:]}", ["customers.birthday"]),
    ("wrong total", lambda t, n: str(int(t) + 10 ** (n % 5)), ["sales.total_cents"]),
    ("email in phone", lambda t, n: f"{NAMES[n % 25].lower()}@example.com", ["customers.phone"]),
    ("household", lambda t, n: f"{t} {'&+'[n % 2]} {NAMES[n // 2 % 25]}", ["customers.first_name"]),
    ("mojibake", _mojibake, ["customers.last_name", "addresses.street"]),
    ("guard", lambda t, n: GUARDS[n % 2].format(t), ["customers.phone", "addresses.postcode"]),
    ("not available", lambda t, n: MISSING[n % 7], ["customers.email", "customers.phone"]),
    ("not available", lambda t, n: MISSING[n % 7], ["customers.birthday"]),
    ("blanks", _blanks, ["customers.first_name", "customers.email"]),
    ("case", _case, ["customers.last_name", "customers.email"]),
    ("date format", _date, ["customers.birthday", "customers.created_at"]),
    ("phone format", _phone, ["customers.phone"]),
]
ANYWHERE = ("card", "cvv", "email in phone", "not available")  # also where the cell is empty
COLUMNS = {
    table: [p.partition(".")[2] for _, _, places in CELLS for p in places if p.startswith(table)]
    for table in ID
}


def _as_text(table: pa.Table, name: str) -> pa.Table:
    """Return a table with text in the columns that may get dirty."""
    needed = {ID[name], "customer_id", *COLUMNS[name]}
    if missing := sorted(needed - set(table.column_names)):
        raise BadTable(f"table {name} has no column {missing[0]}; hand over the whole table")
    columns = dict(zip(table.column_names, table.combine_chunks().columns, strict=True))
    for column in COLUMNS[name]:
        if pa.types.is_timestamp(columns[column].type):
            text = columns[column].cast(pa.timestamp("us")).cast(TEXT)
            text = pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "")
            columns[column] = pc.replace_substring(text, ".000000Z", "Z")
        columns[column] = columns[column].cast(TEXT)
    return pa.table(columns)


def _filled(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Return which cells hold more than an empty text."""
    return np.asarray(pc.fill_null(pc.not_equal(column, ""), False))


def _new_ids(column: pa.ChunkedArray) -> Iterator[str]:
    """Yield the numbers that the till would give out next."""
    last = pc.max(column).as_py() or ""
    prefix = last.rstrip("0123456789")
    digits = last[len(prefix) :]
    for number in itertools.count(int(digits or 0) + 1):
        yield f"{prefix}{number:0{len(digits)}}"


def _mix(z: Draws) -> Draws:  # the same numbers as mix in generate.py; a test compares them
    """Stir 64 bits until each depends on all (the last step of splitmix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _draws(seed: int, stream: str, rows: Rows) -> Draws:
    """Return 64 random bits for each row number, in a stream of its own."""
    key = np.array([seed % 2**64], np.uint64) + GOLDEN
    for part in (zlib.crc32(b"dirty"), zlib.crc32(stream.encode())):
        key = _mix(key) + GOLDEN * np.array([part + 1], np.uint64)
    return _mix(rows.astype(np.uint64) * GOLDEN + _mix(key))


def _write_csv(table: pa.Table, torn: list[int], file: BinaryIO) -> None:
    """Write a table, with a cell more in the even ones of the torn rows, one less in the odd."""
    pacsv.write_csv(table.slice(0, 0), file)
    start = 0
    for row in [*torn, table.num_rows]:
        pacsv.write_csv(table.slice(start, row - start), file, BODY)
        for batch in table.slice(row, 1).to_batches():
            line = io.BytesIO()
            pacsv.write_csv(batch.select(table.column_names[: -1 if row % 2 else None]), line, BODY)
            file.write(line.getvalue() if row % 2 else line.getvalue()[:-1] + b",\n")
        start = row + 1
