# SPDX-License-Identifier: MIT-0
"""Write tables to a workbook for Excel or LibreOffice in which no cell can ever be a formula.

Copy: ``kit copy workbook --into DIR``, or take this file as it is.
Needs: Python 3.11, pyarrow, openpyxl. Nothing else from this kit.
Data: none.

One sheet per table. Columns are text, int64, bool, date32 or timestamp("us", "UTC"); a cell may be
empty (null). Text is stored as text, also in a column formatted as text, so that editing a phone
number does not make it a number; dates and instants are real dates, and an instant shows its ``Z``:
it is UTC. A text that would be a formula if it were ever pasted or saved as CSV gets an apostrophe
in front (see `guard`), and so does an empty text, which a sheet cannot tell from an empty cell.
`read` takes the apostrophe off again.

What a workbook cannot hold exactly is refused by its place: an int of 16 digits, a date before
1900-03-01, an instant finer than a millisecond, a text over 32,767 characters, a sheet of more
than 1,048,576 rows.

Source: OWASP, CSV Injection (the leading characters); Microsoft, Excel specifications and limits
(rows, characters, digits); ECMA-376 part 1, 22.9.2.19 (the ``_xHHHH_`` escape). openpyxl alone
would take ``=1+1`` for a formula and cut a long text without a word. It makes the empty workbook
here; the rows go in as joined Arrow columns.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import openpyxl
import pyarrow as pa
import pyarrow.compute as pc
from openpyxl.utils import get_column_letter

Progress: TypeAlias = Callable[[int, int | None], None]

KINDS = {
    "text": pa.string(),
    "int": pa.int64(),
    "flag": pa.bool_(),
    "date": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
}
TYPES = {kind: name for name, kind in KINDS.items()}
FORMATS = {"text": "@", "date": "yyyy-mm-dd", "instant": 'yyyy-mm-dd"T"hh:mm:ss"Z"'}

BATCH_ROWS = 65_536
MAX_ROWS = 1_048_576  # header included
MAX_TEXT = 32_767  # characters in a cell, as UTF-16 counts them: those in WIDE are two
WIDE = "[\U00010000-\U0010ffff]"
MAX_INT = 10**15  # Excel keeps 15 digits and makes the rest zeros
EPOCH = 25_569  # 1970-01-01 as a workbook counts days
FIRST_DAY = 61  # 1900-03-01; before it Excel counts a 29 February 1900 that never was
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}")  # 31 characters: the longest title of a sheet

# A sign, "=" or "@", also full-width or behind blanks and unseen characters; a tab or line break.
# Apostrophes are looked through: a text that already looks guarded is guarded once more.
FORMULA = r"^'*(?:[\s\p{Z}\p{Cf}]*[=+\-@＝＋－＠]|[\t\r\n])"
HARMLESS = r"^[+\-][0-9]+(?:\.[0-9]+)?$"  # a lone number or an E.164 phone computes nothing
EMPTY = r"^'*$"  # a sheet has no other way to tell an empty text from an empty cell

# What XML cannot write (and CR, which it reads as LF), and text that looks like its escape
ESCAPED = r"[\x00-\x08\x0b-\x1f" + "\ufffe\uffff" + r"]|_x[0-9A-Fa-f]{4}_"


class WorkbookError(Exception):
    """Base of the errors below. Messages name table, column and row, never a value."""


class Exists(WorkbookError):
    """A file of that name is there already."""


class CannotHold(WorkbookError):
    """A workbook has no way to hold this name, type or cell without changing it."""


class CannotWrite(WorkbookError):
    """The disk or the folder refused. Nothing was changed."""


class CannotRead(WorkbookError):
    """The file is damaged, no workbook, or its cells do not fit their column."""


def write(
    tables: Mapping[str, pa.Table],
    folder: Path,
    *,
    name: str = "shop",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write tables to one workbook, whole or, if anything goes wrong, not at all.

    The file can be read by you alone, where the system knows such a thing.

    Args:
        tables: One entry per sheet.
        folder: Is made if it is not there.
        name: Of the file, without its ending.
        overwrite: Replace a file of the same name.
        progress: Called with the rows done and the rows to do.

    Returns:
        The file, in a list, as other writers return theirs.

    Raises:
        Exists: If the file is there and *overwrite* is false.
        CannotHold: If a name, a type or a cell does not fit into a workbook.
        CannotWrite: If the disk is full or the folder cannot be written to.
    """
    _check(tables, name)
    target = folder / f"{name}.xlsx"
    if target.exists() and not overwrite:
        raise Exists(f"{target.name} is already there; choose another folder or overwrite")
    draft: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, at = tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
        draft = Path(at)
        with open(handle, "wb") as file:  # noqa: PTH123 (mkstemp has opened it)
            _fill(file, tables, progress)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise CannotWrite(
            f"writing to {folder.name} failed ({error.strerror}); "
            "make room or choose another folder"
        ) from error
    finally:
        if draft:
            draft.unlink(missing_ok=True)
    return [target]


def read(path: Path, *, schemas: Mapping[str, pa.Schema] | None = None) -> dict[str, pa.Table]:
    """Read back what `write` wrote.

    Args:
        path: The ``.xlsx`` file, or a folder that holds just one.
        schemas: Column types by table name. Without them a column's type is told from its cells,
            and one that is empty from top to bottom is text.

    Returns:
        Tables by the titles of their sheets.

    Raises:
        CannotRead: If the file is no workbook, or a cell is not of its column's type.
    """
    files = sorted(path.glob("[!.]*.xlsx")) if path.is_dir() else [path]
    if len(files) != 1:
        raise CannotRead(f"{len(files)} workbooks in {path.name}; name the file to read")
    try:
        with files[0].open("rb") as file:  # openpyxl left to itself keeps it open after an error
            book = openpyxl.load_workbook(file, read_only=True)
            return {sheet.title: _table(sheet, schemas or {}) for sheet in book.worksheets}
    except (OSError, ValueError, TypeError, LookupError, pa.ArrowException, zipfile.BadZipFile):
        raise CannotRead(  # from None: the cause may quote a cell
            f"{path.name} is damaged, or a cell does not fit its column; "
            "write it anew, or import it as a till export"
        ) from None


def guard(column: pa.Array) -> pa.Array:
    """Put an apostrophe before each text that a spreadsheet would take for a formula.

    That is a text that starts with ``= + - @`` (plain or full-width, also behind blanks), a tab or
    a line break, but not a lone number (``-12.50``) or a phone number in E.164. An empty text gets
    one too. `unguard` is the way back, for every text.
    """
    risky = pc.match_substring_regex(column, f"{FORMULA}|{EMPTY}")
    risky = pc.and_not(risky, pc.match_substring_regex(column, HARMLESS))
    return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)


def unguard(column: pa.Array) -> pa.Array:
    """Take the apostrophe of `guard` off again."""
    return pc.replace_substring_regex(column, f"^'({FORMULA[1:]}|{EMPTY[1:]})", r"\1")


def _check(tables: Mapping[str, pa.Table], name: str) -> None:
    """Refuse what no sheet can be made of, before anything is written."""
    for title in (name, *tables):
        if not NAME.fullmatch(title):
            raise CannotHold(f"{title!r} cannot be a name; use letters, digits and _, 31 at most")
    if len({title.casefold() for title in tables}) < max(len(tables), 1):
        raise CannotHold("no tables, or two whose names differ in case only; rename one")
    for title, table in tables.items():
        if table.num_rows >= MAX_ROWS:
            raise CannotHold(
                f"table {title} has {table.num_rows:,} rows and a sheet holds {MAX_ROWS - 1:,}; "
                "write csv or parquet"
            )
        if not table.column_names or len(set(table.column_names)) < table.num_columns:
            raise CannotHold(f"table {title} has no columns, or two of the same name; rename one")
        for field in table.schema:
            if field.type not in TYPES:
                raise CannotHold(
                    f"{title}.{field.name} is {field.type}; cast it to one of "
                    + ", ".join(str(kind) for kind in TYPES)
                )


def _fill(
    file: io.BufferedIOBase, tables: Mapping[str, pa.Table], progress: Progress | None
) -> None:
    """Have openpyxl make the workbook with its header rows, then put the other rows in."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, table in tables.items():
        sheet = book.create_sheet(title)
        sheet.freeze_panes = "A2"
        heads = guard(pa.array(table.column_names, pa.string())).to_pylist()
        for at, (head, kind) in enumerate(zip(heads, table.schema.types, strict=True), 1):
            cell = sheet.cell(1, at, _escape(head))
            cell.data_type = "s"
            cell.number_format = FORMATS.get(TYPES[kind], "General")  # gives the column its style
    empty = io.BytesIO()
    book.save(empty)
    sheets = {f"xl/worksheets/sheet{n}.xml": sheet for n, sheet in enumerate(book.worksheets, 1)}
    total = sum(table.num_rows for table in tables.values())
    done = 0
    with zipfile.ZipFile(empty) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            if part not in sheets:
                new.writestr(part, old.read(part))
                continue
            table = tables[sheets[part].title]
            before, end, after = old.read(part).partition(b"</sheetData>")
            corner = f"A1:{get_column_letter(table.num_columns)}{table.num_rows + 1}".encode()
            with new.open(part, "w", force_zip64=True) as out:
                out.write(re.sub(rb'(?<=<dimension ref=")[^"]*', corner, before))
                for rows, data in _rows(sheets[part], table):
                    out.write(data)
                    done += rows
                    if progress:
                        progress(done, total)
                out.write(end + after)


def _rows(
    sheet: openpyxl.worksheet.worksheet.Worksheet, table: pa.Table
) -> Iterator[tuple[int, bytes]]:
    """Yield the rows after the header in pieces: how many, and their XML."""
    done = 0
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        numbers = pa.array(range(done + 2, done + 2 + batch.num_rows)).cast(pa.string())
        cells: list[pa.Array | str] = ['<row r="', numbers, '">']
        for at, (name, column) in enumerate(zip(table.column_names, batch, strict=True), 1):
            kind = TYPES[column.type]
            value, bad, why = _values(column)
            if (index := pc.index(bad, True).as_py()) >= 0:
                raise CannotHold(
                    f"{sheet.title}.{name}, row {done + 2 + index}: {why}, which a workbook cannot "
                    "hold exactly; write csv or parquet"
                )
            start, end = "<v>", "</v></c>"
            if kind == "text":
                start, end = '<is><t xml:space="preserve">', "</t></is></c>"
            mark = {"text": ' t="inlineStr"', "flag": ' t="b"'}.get(kind, "")
            place = f'<c r="{get_column_letter(at)}'
            start = f'" s="{sheet.cell(1, at).style_id}"{mark}>{start}'
            cell = pc.binary_join_element_wise(place, numbers, start, value, end, "")
            cells.append(pc.fill_null(cell, ""))
        done += batch.num_rows
        yield (
            batch.num_rows,
            "".join(pc.binary_join_element_wise(*cells, "</row>", "").to_pylist()).encode(),
        )


def _values(column: pa.Array) -> tuple[pa.Array, pa.Array, str]:
    """Return a column as a sheet's XML holds it, which cells do not fit, and why they do not."""
    kind = TYPES[column.type]
    if kind == "text":
        text = guard(column)
        units = pc.add(pc.utf8_length(text), pc.count_substring_regex(text, WIDE))
        long = pc.greater(units, MAX_TEXT)
        if pc.any(pc.match_substring_regex(text, ESCAPED)).as_py():
            text = pa.array([None if t is None else _escape(t) for t in text.to_pylist()])
        for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = pc.replace_substring(text, plain, entity)
        return text, long, f"a text of more than {MAX_TEXT:,} characters"
    if kind == "flag":
        return column.cast(pa.int8()).cast(pa.string()), pa.array([], pa.bool_()), ""
    if kind == "int":
        large = pc.or_(pc.greater_equal(column, MAX_INT), pc.less_equal(column, -MAX_INT))
        return column.cast(pa.string()), large, "a number of more than 15 digits"
    if kind == "date":
        days = pc.add(column.cast(pa.int32()), EPOCH)
        return days.cast(pa.string()), pc.less(days, FIRST_DAY), "a day before 1900-03-01"
    micros = column.cast(pa.int64())
    millis = pc.divide(micros, 1000)
    days = pc.add(pc.divide(millis.cast(pa.float64()), 86_400e3), float(EPOCH))
    fine = pc.not_equal(pc.multiply(millis, 1000), micros)
    bad = pc.or_(pc.less(days, float(FIRST_DAY)), fine)
    return days.cast(pa.string()), bad, "a part of a millisecond or a day before 1900-03-01"


def _escape(text: str) -> str:
    return re.sub(ESCAPED, lambda m: f"_x{ord(m[0][0]):04X}_{m[0][1:]}", text)


def _unescape(text: str) -> str:
    return re.sub("_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), text)


def _table(
    sheet: openpyxl.worksheet.worksheet.Worksheet, schemas: Mapping[str, pa.Schema]
) -> pa.Table:
    """Return one sheet as a table."""
    rows = sheet.iter_rows()
    names = [_unescape(cell.value) for cell in next(rows, ())]
    if not names:
        raise ValueError("an empty sheet")
    columns: list[list[object]] = [[] for _ in names]
    kinds = [""] * len(names)
    for row in rows:
        cells = itertools.chain(row, itertools.repeat(None))  # a row may stop at its last cell
        for at, cell in enumerate(itertools.islice(cells, len(names))):
            value, kind = _cell(cell)
            columns[at].append(value)
            kinds[at] = kinds[at] or kind
    names = unguard(pa.array(names, pa.string())).to_pylist()
    wanted = schemas.get(sheet.title, pa.schema([]))
    table = {}
    for name, values, kind in zip(names, columns, kinds, strict=True):
        told = wanted.field(name).type if name in wanted.names else KINDS[kind or "text"]
        array = pa.array(values, told)
        table[name] = unguard(array) if told == KINDS["text"] else array
    return pa.table(table)


def _cell(cell: object) -> tuple[object, str]:
    """Return a cell's value and its kind; the kind of an empty cell is "" ."""
    value = getattr(cell, "value", None)
    if value is None:
        return None, ""
    if isinstance(value, bool):
        return value, "flag"
    if isinstance(value, datetime):
        if "h" in getattr(cell, "number_format", ""):
            return value.replace(tzinfo=UTC), "instant"
        return value.date(), "date"
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("a fraction")  # Arrow would cut it off
    return (_unescape(value), "text") if isinstance(value, str) else (value, "int")
