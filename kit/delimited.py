# SPDX-License-Identifier: MIT-0
"""Read CSV and other text files as they stand: no zero cut off, no row gone unnoticed.

Copy: ``kit copy delimited --into DIR``, or take this file as it is.
Needs: Python 3.11, numpy, pyarrow. Nothing else from this kit.
Data: none.

Encoding (byte order mark, UTF-8, UTF-16, else cp1252), delimiter, lines of notes above
the header and the header itself are found out; nothing is guessed about the values.
A `Table` is streamed as row numbers (the file's first row is 1) and Arrow text columns.
A column that is not asked for never gets past the tokenizer.

Source: Arrow 26 cuts leading zeros when it infers types, and stops at the first ragged
row; both are switched off here. It numbers rows only when it does not read in parallel.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

HEAD_BYTES = 1 << 18  # 256 KiB show delimiter and header, and parse in about 10 ms
BLOCK_BYTES = 1 << 20  # peak 160 MB for any file; 4 MiB: 290 MB, no faster. Grows for long rows
LONGEST_ROW_BYTES = 1 << 28  # 256 MiB: beyond it a quote was never closed
LINE_CHARS = 1 << 16  # a longer line of plain text comes in pieces
OVERLAP_CHARS = 80  # repeated from piece to piece, so that no card number is cut in two
TABLE_ENDINGS = (".csv", ".tsv", ".tab", ".psv")
PROSE_ENDINGS = (".md", ".html", ".htm", ".xml", ".py", ".sql", ".eml", ".mbox")  # no columns
DELIMITERS = ",;\t|"
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

Open = Callable[[], AbstractContextManager[BinaryIO]]
Chunk = tuple[pa.Array, list[pa.Array]]  # row numbers, columns
Reject = Callable[[int, str], None]


class DelimitedError(Exception):
    """The file is damaged. Messages name a row, never a cell's text."""


Error = DelimitedError  # what every reader calls the base of its errors


@dataclass(eq=False)
class Table:
    """One table in a text file; every call of `chunks` reads the file anew."""

    place: str
    kind: str
    header: tuple[str, ...]
    header_row: int
    _chunks: Callable[[Sequence[int], int, Reject], Iterator[Chunk]] = field(repr=False)
    _leftover: Callable[[], Table | None] = field(default=lambda: None, repr=False)

    def chunks(self, wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        """Yield row numbers and columns as text; raise `DelimitedError` if it is damaged.

        Args:
            wanted: Positions in the header, the first being 0.
            rows: At most so many rows at once.
            reject: Called with row number and reason for each row that does not fit.
        """
        return self._chunks(wanted, rows, reject)

    def leftover(self) -> Table | None:
        """Return, after reading, what the columns did not show, as text: a row, a cell."""
        return self._leftover()


def kind(name: str, head: bytes, members: Sequence[str] = ()) -> str:
    """Tell whether a file is text: csv or prose if its name says so, text, or empty."""
    if members:
        return ""
    if name.lower().endswith(TABLE_ENDINGS):
        return "csv"
    if name.lower().endswith(PROSE_ENDINGS):
        return "prose"
    if _by_mark(head)[0] == "utf-8":
        odd = sum(head.count(byte) for byte in (*range(7), *range(14, 27), *range(28, 32)))
        if 0 in head or odd * 50 > len(head):  # more than 2 % control characters
            return ""
    return "text"


def tables(
    kind: str, open_: Open, path: Path | None = None, skip: Callable[[str, str], None] | None = None
) -> Iterator[Table]:
    """Yield the table in a text file; prose becomes a table of one column, ``line``.

    Args:
        kind: What `kind` said: csv is a table even with one column, text if it is regular.
        open_: Opens the file anew, as bytes in which one can seek.
        path: Not used.
        skip: Called for the encoded parts of a mail: its attachments, often its text.
    """
    text = _probe(open_)
    if kind == "prose" and skip:
        with open_() as stream:
            lines = iter(lambda: stream.readline(LINE_CHARS), b"")
            if any(re.match(rb"(?i)content-transfer-encoding: *base64", line) for line in lines):
                skip("", "a mail with encoded parts; save its attachments and text as files")
    yield (None if kind == "prose" else _table(text, must=kind == "csv")) or _lines(text, "")


@dataclass(frozen=True)
class _Text:
    """How the bytes of a text file are to be read."""

    open: Open
    codec: str
    start: int  # bytes of the byte order mark
    odd_quotes: bool


def _by_mark(head: bytes) -> tuple[str, int]:
    for mark, codec in MARKS:
        if head.startswith(mark):
            return codec, len(mark)
    head = head[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if len(head) > 7 and max(even, odd) * 4 > len(head) and min(even, odd) * 20 < len(head):
        return ("utf-16-le" if odd > even else "utf-16-be"), 0  # Western text without its mark
    return "utf-8", 0


def _probe(open_: Open) -> _Text:
    """Decide the encoding from every byte: a sample misses the one accent on the last line."""
    with open_() as stream:
        codec, start = _by_mark(stream.read(4096))
        stream.seek(start)
        decoder = codecs.getincrementaldecoder(codec)()
        valid, undefined, quotes = True, False, 0
        while True:
            piece = stream.read(1 << 20)
            try:
                if valid:
                    decoder.decode(piece, final=not piece)
            except UnicodeDecodeError:
                valid = False
            if not piece:
                break
            quotes += piece.count(b'"')
            undefined = undefined or any(byte in piece for byte in b"\x81\x8d\x8f\x90\x9d")
    if not valid and codec != "utf-8":
        raise DelimitedError(f"begins as {codec} and goes on as something else; save it as UTF-8")
    if not valid:  # cp1252 leaves five bytes undefined; latin-1 reads every byte
        codec = "latin-1" if undefined else "cp1252"
    return _Text(open_, codec, start, quotes % 2 == 1)


def _lines(text: _Text, place: str) -> Table:
    """Return plain text as a table of one column."""

    def pieces() -> Iterator[tuple[int, str]]:
        with text.open() as raw:
            raw.seek(text.start)
            stream = io.TextIOWrapper(raw, text.codec, newline=None)
            number, before, whole = 0, "", True
            while line := stream.readline(LINE_CHARS):
                number += whole
                whole = line.endswith("\n")
                yield number, before + line.removesuffix("\n")
                before = "" if whole else line[-OVERLAP_CHARS:]

    return _one_column(place, "line", pieces)


def _one_column(place: str, name: str, pieces: Callable[[], Iterator[tuple[int, str]]]) -> Table:
    def chunks(wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        stream = pieces()
        while part := list(islice(stream, rows)):
            column = pa.array([piece for _, piece in part], pa.string())
            yield pa.array([number for number, _ in part]), [column for _ in wanted]

    return Table(place, "text", (name,), 0, chunks)


# ---- finding the table


def _table(text: _Text, *, must: bool) -> Table | None:
    """Return the table, or None if this is prose."""
    with text.open() as stream:
        stream.seek(text.start)
        raw = stream.read(HEAD_BYTES)
    head = codecs.getincrementaldecoder(text.codec)().decode(raw)
    said = re.match(r'"?sep=(.)"?[;,\t|]*(\r\n|\r|\n)', head, re.IGNORECASE)
    begin = said.end() if said else 0
    delimiter, records, ends = _sniff(head[begin:], said[1] if said else DELIMITERS)
    at, width = _find_header(records)
    if not must and not said and not _is_regular(records, width):
        return None
    notes = [delimiter.join(record) for record in records[:at]] if at else []
    above = 0 if at is None else at + 1  # records before the data
    header = tuple(records[at][:width]) if at is not None else ()
    offset = len(head[: begin + (ends[above - 1] if above else 0)].encode(text.codec))
    body = _Body(text, delimiter, text.start + offset, above + bool(said), width, notes)
    return Table(
        "",
        "csv",
        header + ("",) * (width - len(header)),
        body.above if above else 0,
        body.chunks,
        body.leftover,
    )


def _sniff(head: str, delimiters: str) -> tuple[str, list[list[str]], list[int]]:
    """Return the delimiter under which most records have the same number of cells."""

    def score(delimiter: str) -> tuple[int, int]:
        widths = Counter(len(record) for record in found[delimiter][0] if len(record) > 1)
        return max(((count, width) for width, count in widths.items()), default=(0, 0))

    found = {delimiter: _records(head, delimiter) for delimiter in delimiters}
    best = max(delimiters, key=score)  # the first of equals: the comma
    return best, *found[best]


def _records(head: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """Return the first records, and where in *head* each one ends."""
    position = 0

    def lines() -> Iterator[str]:
        nonlocal position
        for line in io.StringIO(head, newline=""):
            position += len(line)
            yield line

    records: list[list[str]] = []
    ends: list[int] = []
    try:
        for record in islice(csv.reader(lines(), delimiter=delimiter), 200):
            records.append(record)
            ends.append(position)
    except csv.Error:  # a cell over 128 KiB: what stands above it is enough
        pass
    return records, ends


def _is_regular(records: Sequence[Sequence[str]], width: int) -> bool:
    """Tell a table from prose: two rows or more, nine in ten as wide as each other."""
    filled = [record for record in records if any(record)]
    same = sum(len(record) == width for record in filled)
    return width > 1 and same > 1 and same * 10 >= len(filled) * 9


def _find_header(records: Sequence[Sequence[str]]) -> tuple[int | None, int]:
    """Return which record is the header (None: there is none), and the number of columns.

    Notes above a header are narrower than the table, or padded with blank cells to its width.
    """
    widths = Counter(len(record) for record in records if any(record))
    width = max(((count, width) for width, count in widths.items()), default=(0, 1))[1]
    least = max(min(2, width), (width + 1) // 2)
    full = [
        at
        for at, record in enumerate(records[:50])
        if len(record) == width and _filled(record) >= least
    ]
    if not full:
        return None, width
    first = full[0]
    above = records[first - 1] if first else ()
    if len(above) == _filled(above) == width - 1 > 0 and not records[first][-1].strip():
        return first - 1, width  # every row ends in a delimiter, the header does not
    if not _is_data(records[first]):
        return first, width
    for this, after in zip(full, full[1:], strict=False):  # notes as wide as the table?
        if _filled(records[this]) == width and not _is_data(records[this]):
            return (this if _is_data(records[after]) else None), width
    return None, width


def _filled(record: Sequence[str]) -> int:
    return sum(bool(cell.strip()) for cell in record)


def _is_data(record: Sequence[str]) -> bool:
    """Tell a row of values from one of names: half numbers or dates, or an e-mail address."""
    cells = [cell.strip() for cell in record if 0 < len(cell.strip()) < 100]
    numbers = sum(bool(re.fullmatch(r"(?=\D*\d)[\s\d.,:/()+$€£%-]+", cell)) for cell in cells)
    mails = any(re.fullmatch(r"[^\s@]+@[^\s@]+\.[^\s@]+", cell) for cell in cells)
    return mails or 0 < len(cells) <= 2 * numbers


# ---- reading it


@dataclass(frozen=True)
class _Body:
    """The rows below the header."""

    text: _Text
    delimiter: str
    offset: int  # bytes above the first row
    above: int  # records above the first row
    width: int
    notes: Sequence[str]
    state: dict[str, bool] = field(default_factory=dict)  # ragged? broken?

    def chunks(self, wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        def ragged(number: int, row: Any) -> None:
            self.state["ragged"] = True
            reject(number, f"has {row.actual_columns} cells, the header has {self.width}")

        if self.text.odd_quotes:
            self._check_quotes()
        for numbers, columns in self._read(wanted, ragged):
            for start in range(0, len(numbers), rows):
                stop = start + rows
                yield numbers[start:stop], [column[start:stop] for column in columns]

    def leftover(self) -> Table | None:
        """Return the rows that do not fit, or the whole text if a quote spoils it."""
        if self.state.get("broken"):
            return _lines(self.text, "read line by line")
        if not self.notes and not self.state.get("ragged"):
            return None

        def pieces() -> Iterator[tuple[int, str]]:
            kept: list[tuple[int, str]] = []
            yield from enumerate(self.notes, self.above - len(self.notes))
            for _ in self._read((), lambda number, row: kept.append((number, row.text))):
                yield from kept
                kept.clear()
            yield from kept

        return _one_column("rows that do not fit the header", "text", pieces)

    def _check_quotes(self) -> None:
        """Refuse a quote that is never closed: it would swallow every row below it.

        An odd number of quotes is the sign; an inch mark in a name gives it too, and is let pass.
        """
        end, number = "end of the file", self.above
        with self.text.open() as raw:
            raw.seek(self.offset)
            stream = io.TextIOWrapper(raw, self.text.codec, newline="")

            def lines() -> Iterator[str]:
                last = "\n"
                for last in stream:
                    yield last
                yield end if last.endswith(("\n", "\r")) else "\n" + end

            record: list[str] = []
            try:
                for record in csv.reader(lines(), delimiter=self.delimiter):  # noqa: B007
                    number += 1
            except csv.Error:  # over 128 KiB in one cell, beside an odd number of quotes
                number, record = number + 1, []
        if self.delimiter.join(record) != end:
            self._break(number)

    def _break(self, row: int) -> None:
        self.state["broken"] = True
        raise DelimitedError(
            f"row {row}: a quote is opened and never closed; close it, or export the file again"
        ) from None

    def _read(self, wanted: Sequence[int], ragged: Callable[[int, Any], None]) -> Iterator[Chunk]:
        """Read with the smallest block that every row fits in."""
        block, done, told = BLOCK_BYTES, self.above, self.above

        def once(number: int, row: Any) -> None:
            nonlocal told
            if number > told:  # not told before the block had to grow
                told = number
                ragged(number, row)

        while True:
            try:
                for numbers, columns in self._arrow(wanted, once, block, done):
                    done = numbers[-1].as_py()
                    yield numbers, columns
                return
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error) or block >= LONGEST_ROW_BYTES:
                    self._break(done + 1)
                block *= 4

    def _arrow(
        self, wanted: Sequence[int], ragged: Callable[[int, Any], None], block: int, done: int
    ) -> Iterator[Chunk]:
        """Yield the rows after number *done*."""
        gaps: list[int] = []

        def note(row: Any) -> str:
            gaps.append(self.above + row.number)
            ragged(gaps[-1], row)
            return "skip"

        names = [str(position) for position in range(self.width)]
        with self.text.open() as stream:
            stream.seek(self.offset)
            if not stream.read(1):
                return
            stream.seek(self.offset)
            reader = pyarrow.csv.open_csv(
                pa.PythonFile(stream, mode="r"),
                read_options=pyarrow.csv.ReadOptions(
                    column_names=names,
                    block_size=block,
                    use_threads=False,  # in parallel the rows have no numbers
                    encoding="utf8" if self.text.codec == "utf-8" else self.text.codec,
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    ignore_empty_lines=False,  # a person counts them too
                    invalid_row_handler=note,
                ),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()),
                    strings_can_be_null=False,
                    include_columns=[names[at] for at in wanted] or ["none"],
                    include_missing_columns=not wanted,  # no cell at all, and still the count
                ),
            )
            last = self.above
            for batch in reader:
                span = np.arange(last + 1, last + 1 + batch.num_rows + len(gaps))
                numbers = span[~np.isin(span, gaps)][: batch.num_rows]
                if not len(numbers):
                    continue
                last = int(numbers[-1])
                gaps = [number for number in gaps if number > last]
                if new := int((numbers > done).sum()):
                    columns = batch.columns if wanted else []
                    yield pa.array(numbers[-new:]), [column[-new:] for column in columns]
