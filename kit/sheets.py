# SPDX-License-Identifier: MIT-0
"""Read an Excel workbook as text, hidden sheets and comments too: what is not seen leaks.

Copy: ``kit copy sheets --into DIR``, or take this file as it is.
Needs: Python 3.11, openpyxl, pyarrow. Nothing else from this kit.
Data: none.

Read: every sheet, comments, text boxes, and the copies of cells that a pivot table, a
chart or a link to another workbook keeps. A date becomes ``2026-11-24``, a whole number its
digits as stored, a formula its last result (the formula itself if none was saved). Nothing
is calculated or fetched.

The XML is read row by row. A document type declaration is refused, since entities are
how a small file becomes a large one; sizes are checked before anything is unpacked.

Source: ECMA-376 part 1, section 18.3 (sheets), 18.8 (styles); row and column limits are
Excel's. openpyxl tells which number formats mean a date; its own reader would turn a
16-digit number in a date column into an error mark.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from datetime import time as clock
from itertools import islice
from pathlib import Path
from typing import IO, BinaryIO
from xml.etree import ElementTree  # noqa: S405  document types are refused first, see _xml
from xml.parsers import expat

import pyarrow as pa
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format
from openpyxl.utils import column_index_from_string
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900, from_excel

LAST_ROW, LAST_COLUMN = 1_048_576, 16_384  # Excel's own limits
SNIFF_ROWS = 50  # a header stands among them
SHARED_BYTES = 1 << 28  # 256 MiB of distinct texts, which are held in memory
UNPACKED_BYTES = 1 << 31  # 2 GiB of XML in all, which are not
RATIO, SMALL_BYTES = 200, 1 << 24  # sheets pack 5 to 50 times smaller, bombs about 1,000
OTHER_PARTS = (
    (r"xl/(comments/?comment|comments)\d*\.xml", "comments"),
    (r"xl/threadedComments/[^/]+\.xml", "comments"),
    (r"xl/drawings/drawing\d+\.xml", "text boxes"),
    (r"xl/pivotCache/pivotCache(Definition|Records)\d+\.xml", "pivot table's copy"),
    (r"xl/charts/chart\d+\.xml", "chart's copy"),  # stays when the cells behind it are deleted
    (r"xl/externalLinks/externalLink\d+\.xml", "copy from another workbook"),
)

Open = Callable[[], AbstractContextManager[BinaryIO]]
Chunk = tuple[pa.Array, list[pa.Array]]  # row numbers, columns
Row = tuple[int, Sequence[str | None]]
Reject = Callable[[int, str], None]


class SheetsError(Exception):
    """The workbook is damaged or hostile. Messages name a part of it, never a cell's text."""


Error = SheetsError  # what every reader calls the base of its errors


@dataclass(eq=False)
class Table:
    """One table in a workbook; every call of `chunks` reads it anew."""

    place: str
    kind: str
    header: tuple[str, ...]
    header_row: int
    _rows: Callable[[Sequence[int], Reject], Iterator[Row]] = field(repr=False)
    _leftover: Callable[[], Table | None] = field(default=lambda: None, repr=False)

    def chunks(self, wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        """Yield row numbers and columns as text, at most *rows* at once.

        Args:
            wanted: Positions in the header, the first being 0; other cells are passed over.
            rows: At most so many rows at once.
            reject: Called with row number and reason for each row wider than the header.

        Raises:
            SheetsError: If the XML is damaged or hostile.
        """
        return _pack(self._rows(wanted, reject), len(wanted), rows)

    def leftover(self) -> Table | None:
        """Return, after reading, the lines above the header and the rows wider than it."""
        return self._leftover()


def kind(name: str, head: bytes, members: Sequence[str] = ()) -> str:
    """Tell a workbook by what is in it, not by its name: ``xlsx`` or empty."""
    return "xlsx" if "xl/workbook.xml" in members else ""


def tables(
    kind: str, open_: Open, path: Path | None = None, skip: Callable[[str, str], None] | None = None
) -> Iterator[Table]:
    """Yield every sheet that is not empty, then comments, text boxes and copies of cells.

    Args:
        kind: Not used.
        open_: Opens the file anew, as bytes in which one can seek.
        path: Not used.
        skip: Called with place and reason for what was not looked into.

    Raises:
        SheetsError: If this is no workbook, or grows too much when unpacked.
    """
    book = _Book(open_)
    with book.archive() as archive:
        names = archive.namelist()
        for info in archive.infolist():
            if info.file_size > max(SMALL_BYTES, RATIO * info.compress_size):
                raise SheetsError("grows too much when unpacked, as a zip bomb does; delete it")
        if sum(info.file_size for info in archive.infolist()) > UNPACKED_BYTES:
            raise SheetsError(f"over {UNPACKED_BYTES >> 30} GiB when unpacked; save it as CSV")
        sheets = list(book.sheets(archive))
    for title, part in sheets:
        if part in names and (table := _sheet(book, title, part)):
            yield table
    for pattern, what in OTHER_PARTS:
        for part in sorted(name for name in names if re.fullmatch(pattern, name)):
            yield _texts(book, f"{what} ({part})", part)
    if skip and (pictures := sum(name.startswith("xl/media/") for name in names)):
        skip(f"{pictures} pictures", "look at them by eye")


def _sheet(book: _Book, title: str, part: str) -> Table | None:
    """Return one sheet as a table, or None if it is empty."""
    first = list(islice(book.rows(part), SNIFF_ROWS))
    filled = [(number, cells) for number, cells in first if any(t for t, _ in cells.values())]
    if not filled:
        return None
    width = 1 + max(at for _, cells in filled for at, (text, _) in cells.items() if text)
    header_row, header = 0, {}
    for number, cells in filled:
        texts = [text for text, _ in cells.values() if text]
        numbers = sum(is_number for text, is_number in cells.values() if text)
        if len(texts) >= max(min(2, width), (width + 1) // 2) and 2 * numbers < len(texts):
            header_row, header = number, cells
            break
    names = tuple(header.get(at, ("", False))[0] for at in range(width))
    wide: list[int] = []

    def rows(wanted: Sequence[int], reject: Reject) -> Iterator[Row]:
        wide.clear()
        for number, cells in book.rows(part, {*wanted, *range(width, LAST_COLUMN)}):
            if any(at >= width and text for at, (text, _) in cells.items()):
                wide.append(number)
                reject(number, f"has cells beyond the last of {width} columns")
            elif number > header_row:
                yield number, [cells.get(at, ("", False))[0] for at in wanted]

    def leftover() -> Table | None:
        notes = {number for number, _ in filled if number < header_row}
        if not (wide or notes):
            return None
        return Table(f"sheet {title}, outside its table", "text", ("text",), 0, rest)

    def rest(wanted: Sequence[int], reject: Reject) -> Iterator[Row]:
        outside = set(wide)
        for number, cells in book.rows(part):
            if number < header_row or number in outside:
                yield from ((number, [text] * len(wanted)) for text, _ in cells.values() if text)

    return Table(f"sheet {title}", "xlsx", names, header_row, rows, leftover)


def _texts(book: _Book, place: str, part: str) -> Table:
    """Return comments with their cell, or any other part as the texts in it."""

    def rows(wanted: Sequence[int], reject: Reject) -> Iterator[Row]:
        with book.archive() as archive:
            for number, row in enumerate(found(archive), 1):
                yield number, [row[at] for at in wanted]

    def found(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
        if "omments" in part:
            for note in _xml(archive, part, "comment", "threadedComment"):
                yield note.get("ref", ""), _text(note, "t", "text")
        else:
            for item in _xml(archive, part, "p", "s", "n", "d", "x", "pt", "cell"):
                if text := item.get("v") or _text(item, "t", "v"):
                    yield "", text

    return Table(place, "xlsx", ("cell", "text"), 0, rows)


@dataclass(eq=False)
class _Book:
    """A workbook and what its sheets share."""

    open: Open
    shared: list[str] = field(default_factory=list)
    dates: list[bool] = field(default_factory=list)  # for each cell style: does it show a date?
    epoch: datetime = CALENDAR_WINDOWS_1900

    @contextmanager
    def archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            with self.open() as stream, zipfile.ZipFile(stream) as archive:
                yield archive
        except (zipfile.BadZipFile, ElementTree.ParseError, expat.ExpatError, EOFError, zlib.error,
                KeyError, IndexError, ValueError, RuntimeError):  # fmt: skip
            raise SheetsError("a damaged workbook; open it in Excel and save it again") from None

    def sheets(self, archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
        """Read what the sheets share, then yield their titles and parts."""
        names = archive.namelist()
        if "xl/sharedStrings.xml" in names:
            if archive.getinfo("xl/sharedStrings.xml").file_size > SHARED_BYTES:
                raise SheetsError(
                    f"over {SHARED_BYTES >> 20} MiB of distinct texts; save it as CSV"
                )
            self.shared = [_text(item, "t") for item in _xml(archive, "xl/sharedStrings.xml", "si")]
        if "xl/styles.xml" in names:
            self.dates = _date_styles(archive)
        for properties in _xml(archive, "xl/workbook.xml", "workbookPr"):
            if properties.get("date1904") in ("1", "true"):
                self.epoch = CALENDAR_MAC_1904
        targets = {
            link.get("Id"): link.get("Target", "")
            for link in _xml(archive, "xl/_rels/workbook.xml.rels", "Relationship")
        }
        for sheet in _xml(archive, "xl/workbook.xml", "sheet"):
            link = next((v for k, v in sheet.items() if k.endswith("}id")), "")
            part = targets.get(link, "")
            hidden = " (hidden)" if sheet.get("state", "visible") != "visible" else ""
            yield sheet.get("name", "") + hidden, part[1:] if part.startswith("/") else f"xl/{part}"

    def rows(
        self, part: str, wanted: set[int] | None = None
    ) -> Iterator[tuple[int, dict[int, tuple[str, bool]]]]:
        """Yield row numbers and cells: position → text, and whether it is a number or date."""
        columns: dict[str, int] = {}
        number = 0
        with self.archive() as archive:
            for row in _xml(archive, part, "row"):
                number = int(row.get("r") or number + 1)
                if not 0 < number <= LAST_ROW:
                    raise SheetsError("a row number beyond Excel's last row; delete the file")
                cells: dict[int, tuple[str, bool]] = {}
                at = -1
                for cell in row:
                    letters = cell.get("r", "").rstrip("0123456789")
                    if letters and letters not in columns:
                        columns[letters] = column_index_from_string(letters) - 1
                    at = columns[letters] if letters else at + 1
                    if wanted is None or at in wanted:
                        cells[at] = self.value(cell)
                yield number, cells

    def value(self, cell: ElementTree.Element) -> tuple[str, bool]:
        """Return a cell as a person sees it, without the format's ornaments."""
        parts = {_local(part): part for part in cell}
        type_ = cell.get("t", "n")
        if type_ == "inlineStr" and "is" in parts:
            return _text(parts["is"], "t"), False
        stored = parts["v"].text if "v" in parts else None
        if stored is None:  # no result was saved: show the formula, it may hold a text
            formula = parts["f"].text if "f" in parts else None
            return (f"={formula}" if formula else ""), False
        if type_ == "s":
            return self.shared[int(stored)], False
        if type_ == "b":
            return ("TRUE" if stored == "1" else "FALSE"), False
        if type_ != "n":
            return _unescape(stored), type_ == "d"
        style = int(cell.get("s", 0))
        if style < len(self.dates) and self.dates[style]:
            return _date(stored, self.epoch), True
        return _number(stored), True


def _date_styles(archive: zipfile.ZipFile) -> list[bool]:
    """Return, for each cell style, whether its number format shows a date or a time."""
    formats = dict(BUILTIN_FORMATS)
    for format_ in _xml(archive, "xl/styles.xml", "numFmt"):
        formats[int(format_.get("numFmtId", 0))] = format_.get("formatCode", "")
    return [
        bool(is_date_format(formats.get(int(style.get("numFmtId", 0)), "General")))
        for styles in _xml(archive, "xl/styles.xml", "cellXfs")
        for style in styles
    ]


def _number(stored: str) -> str:
    """Return a number without float noise: 42 for 42.0, 0.3 for 0.30000000000000004."""
    if re.fullmatch(r"-?\d+", stored):
        return stored  # every digit as stored: sixteen of them may be a card number
    value = float(stored)
    return str(int(value)) if value.is_integer() and abs(value) < 1e21 else f"{value:.15g}"


def _date(stored: str, epoch: datetime) -> str:
    """Return a date, a time or both in ISO form; a number that is none of them as a number."""
    try:
        shown = from_excel(float(stored), epoch)
    except (OverflowError, ValueError):
        return _number(stored)
    if isinstance(shown, datetime):
        return str(shown.date() if shown.time() == clock(0) else shown.replace(microsecond=0))
    return str(shown.replace(microsecond=0)) if isinstance(shown, clock) else _number(stored)


def _text(element: ElementTree.Element, *tags: str) -> str:
    """Join the texts inside, without the reading aids of East Asian scripts."""
    aids = {id(t) for aid in element.iter() if _local(aid) == "rPh" for t in aid.iter()}
    texts = (t.text for t in element.iter() if _local(t) in tags and id(t) not in aids)
    return _unescape("".join(text for text in texts if text))


def _unescape(text: str) -> str:
    """Undo ``_x000D_``, which is how Excel writes a character that XML cannot hold."""
    return re.sub(r"_x(00[01][0-9A-Fa-f]|005F)_", lambda m: chr(int(m[1], 16)), text)


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _xml(archive: zipfile.ZipFile, part: str, *tags: str) -> Iterator[ElementTree.Element]:
    """Yield the elements of these names one by one, keeping nothing of those gone by."""
    with archive.open(part) as stream:
        _refuse_document_type(stream)
    with archive.open(part) as stream:
        above: list[ElementTree.Element] = []
        for event, element in ElementTree.iterparse(stream, ("start", "end")):  # noqa: S314
            if event == "start":
                above.append(element)
                continue
            above.pop()
            if _local(element) in tags:
                yield element
                if above:
                    above[-1].clear()


def _refuse_document_type(stream: IO[bytes]) -> None:
    """Stop at a document type declaration, which can only stand above the first element."""

    class Begun(Exception):  # noqa: N818
        """The first element is reached: all is well."""

    def begun(name: str, attributes: dict[str, str]) -> None:
        raise Begun

    def declared(*about: object) -> None:
        raise SheetsError("declares XML entities, as an attack does; delete it")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begun
    parser.StartDoctypeDeclHandler = declared
    try:
        while piece := stream.read(4096):
            parser.Parse(piece)
    except Begun:
        return


def _pack(rows: Iterator[Row], width: int, size: int) -> Iterator[Chunk]:
    """Turn rows into columns, *size* rows at a time."""
    while part := list(islice(rows, size)):
        numbers = pa.array([number for number, _ in part], pa.int64())
        columns = zip(*(cells for _, cells in part), strict=True) if width else ()
        yield numbers, [pa.array(column, pa.string()) for column in columns]
