"""Workbook promises a file for Excel in which nothing a customer typed is ever a formula."""

from __future__ import annotations

import datetime
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit import tables, workbook
from kit.workbook import (
    KINDS,
    MAX_ROWS,
    MAX_TEXT,
    CannotHold,
    CannotRead,
    CannotWrite,
    Exists,
    WorkbookError,
    guard,
    read,
    unguard,
    write,
)

SCHEMA = pa.schema(
    {
        "customer_id": KINDS["text"],
        "visits": KINDS["int"],
        "accepts_email": KINDS["flag"],
        "birthday": KINDS["date"],
        "created_at": KINDS["instant"],
        '=odd,"<name>&\r': KINDS["text"],
    }.items()
)
FIRST = datetime.datetime(1900, 3, 1)  # noqa: DTZ001 (hypothesis adds the zone)
TEXTS = st.text() | st.text("=+-@'\t\r\n＝ 01\x00\x1f\ufffe&<>_x000D") | st.just("+12025550100")
INSTANTS = st.datetimes(min_value=FIRST, timezones=st.just(datetime.UTC)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS,
        st.none() | st.integers(1 - 10**15, 10**15 - 1),
        st.none() | st.booleans(),
        st.none() | st.dates(min_value=FIRST.date()),
        st.none() | INSTANTS,
        st.none() | TEXTS,
    ),
    max_size=6,
)
ATTACKS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1", "'=1"]


def table(rows):
    """Return rows as a table of every type."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


SMALL = table(
    [
        ("cus_1", 3, True, datetime.date(1990, 2, 28), None, "José"),
        ("", None, False, None, datetime.datetime(2026, 7, 18, 12, 59, 30, 0, datetime.UTC), ""),
        (None, -5, None, None, datetime.datetime(2026, 7, 18, 0, 0, 0, 0, datetime.UTC), "#N/A"),
    ]
)


@given(rows=ROWS)
@example(rows=[(None,) * 6])
@example(rows=[("",) + (None,) * 5])
@example(
    rows=[("_x000D_\r\n\x00", -1, False, FIRST.date(), FIRST.replace(tzinfo=datetime.UTC), "'")]
)
@settings(max_examples=50, deadline=None)  # openpyxl takes its time
def test_round_trip(rows):
    """What went into the workbook comes out of it, to the last empty cell."""
    with tempfile.TemporaryDirectory() as folder:
        [path] = write({"customers": table(rows)}, Path(folder))
        back = read(path, schemas={"customers": SCHEMA})

    assert back["customers"].equals(table(rows))


def test_types_come_back_without_being_told(tmp_path):
    """A date is a date, and a postcode that looks like a number is text."""
    codes = pa.table({"postcode": ["01930", "12"], "price_cents": [1930, 12]})
    write({"small": SMALL, "codes": codes}, tmp_path)
    back = read(tmp_path)

    assert back["small"].equals(SMALL)
    assert back["codes"].equals(codes)


def test_no_cell_is_a_formula_or_an_error(tmp_path):
    """Whatever a customer typed, Excel shows it and computes nothing; headers included."""
    texts = [*ATTACKS, "#N/A", "#REF!", "TRUE", "12", "+12025550100"]
    [path] = write({"customers": pa.table({"=name()": texts})}, tmp_path)
    book = openpyxl.load_workbook(path)
    cells = [cell for row in book["customers"].iter_rows() for cell in row]

    assert {cell.data_type for cell in cells} <= {"s", "inlineStr"}
    assert not any(str(cell.value).lstrip().startswith(("=", "@")) for cell in cells)
    assert b"<f>" not in zipfile.ZipFile(path).read("xl/worksheets/sheet1.xml")


def test_dates_are_real_dates_and_money_is_whole_cents(tmp_path):
    """The owner can sort by date and sum the cents."""
    [path] = write({"customers": SMALL}, tmp_path)
    sheet = openpyxl.load_workbook(path)["customers"]

    assert sheet["B2"].value == 3
    assert sheet["C2"].value is True
    assert str(sheet["D2"].value) == "1990-02-28 00:00:00"
    assert str(sheet["E3"].value) == "2026-07-18 12:59:30"
    assert sheet["E3"].number_format == 'yyyy-mm-dd"T"hh:mm:ss"Z"'
    assert sheet["A2"].number_format == "@"
    assert sheet.freeze_panes == "A2"
    assert sheet.dimensions == "A1:F4"


@settings(deadline=None)
@given(texts=st.lists(st.none() | TEXTS))
@example(texts=ATTACKS)
def test_guard_can_be_undone(texts):
    """What a customer typed is never lost by making it safe."""
    column = pa.array(texts, pa.string())

    assert unguard(guard(column)).equals(column)


@settings(deadline=None)
@given(text=TEXTS)
def test_guard_is_the_one_of_the_csv(text):
    """The lines written twice, here and in tables.py, do the same but for empty texts."""
    if text.strip("'"):
        assert guard(pa.array([text])).equals(tables.guard(pa.array([text])))
    assert (workbook.FORMULA, workbook.HARMLESS) == (tables.FORMULA, tables.HARMLESS)
    assert KINDS == tables.KINDS


def test_progress_counts_rows_of_all_sheets(tmp_path):
    """The bar of a long export tells the truth."""
    calls = []
    write(
        {"a": SMALL, "b": SMALL}, tmp_path, progress=lambda done, total: calls.append((done, total))
    )

    assert calls == [(3, 6), (6, 6)]


def test_an_existing_file_is_kept(tmp_path):
    """Yesterday's workbook is not lost to a slip."""
    write({"a": SMALL}, tmp_path)
    with pytest.raises(Exists):
        write({"a": SMALL.slice(0, 1)}, tmp_path)

    assert read(tmp_path)["a"].equals(SMALL)
    assert write({"a": SMALL.slice(0, 2)}, tmp_path, overwrite=True)
    assert read(tmp_path)["a"].num_rows == 2


def test_an_error_halfway_changes_nothing(tmp_path):
    """A cell that does not fit leaves yesterday's workbook, and no scrap of the new one."""
    [path] = write({"a": SMALL}, tmp_path)
    before = path.read_bytes()
    with pytest.raises(CannotHold):
        write({"a": SMALL, "b": pa.table({"n": [10**15]})}, tmp_path, overwrite=True)

    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]


FULL_DISK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from kit import workbook
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
ids = pa.table({"a": [f"{i * 7919 % 1_000_003:x}-{i}" for i in range(50_000)]})
try:
    workbook.write({"a": ids}, Path(sys.argv[1]))
except workbook.CannotWrite as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file size to set")
def test_a_full_disk_is_one_plain_line_and_leaves_nothing(tmp_path):
    """The owner learns to make room; no half workbook lies about looking whole."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True
    )

    assert done.stderr == ""
    assert re.fullmatch(r"writing to \S+ failed \(.+\); make room or .+\n", done.stdout)
    assert list(tmp_path.iterdir()) == []


NINES = pa.array([4242_4242_4242_4242], pa.int64())
OLD = pa.array([datetime.date(1900, 2, 28)])
FINE = pa.array([datetime.datetime(2026, 7, 18, 0, 0, 0, 4242, datetime.UTC)], KINDS["instant"])


@pytest.mark.parametrize(
    ("sheets", "told"),
    [
        pytest.param({}, "no tables", id="no tables"),
        pytest.param({"a/b": SMALL}, "name", id="a name that is no title"),
        pytest.param({"a" * 32: SMALL}, "31", id="a title too long"),
        pytest.param({"a": SMALL, "A": SMALL}, "case", id="titles that differ in case only"),
        pytest.param({"a": pa.table({})}, "columns", id="no columns"),
        pytest.param({"a": pa.table({"n": [42.42]})}, "a.n", id="a type with rounding errors"),
        pytest.param({"a": pa.table({"n": NINES})}, "a.n, row 2", id="16 digits"),
        pytest.param({"a": pa.table({"n": OLD})}, "a.n, row 2", id="before March 1900"),
        pytest.param({"a": pa.table({"n": FINE})}, "a.n, row 2", id="finer than a millisecond"),
        pytest.param(
            {"a": pa.table({"n": ["x", "42" * 20_000]})}, "a.n, row 3", id="a text too long"
        ),
        pytest.param(
            {"a": pa.table({"n": ["\U0001f337" * 16_384]})}, "a.n, row 2", id="too many tulips"
        ),
        pytest.param(
            {"a": pa.table({"n": pa.nulls(MAX_ROWS, pa.string())})},
            "1,048,575",
            id="a row too many",
        ),
    ],
)
def test_refuses_to_write(sheets, told, tmp_path):
    """What a workbook would cut, round or lose is refused by its place, never quoted."""
    with pytest.raises(CannotHold, match=told) as caught:
        write(sheets, tmp_path / "new")

    assert isinstance(caught.value, WorkbookError)
    assert "42" not in str(caught.value)
    assert not list(tmp_path.glob("new/*"))


def test_the_longest_text_fits(tmp_path):
    """The limit is the documented one, not one less."""
    longest = pa.table({"note": ["x" * MAX_TEXT]})
    [path] = write({"a": longest}, tmp_path)

    assert read(path)["a"].equals(longest)


def test_refuses_a_folder_that_cannot_be(tmp_path):
    """A folder name that is already a file is told as such."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(CannotWrite):
        write({"a": SMALL}, tmp_path / "taken")


def strange(*rows):
    """Return the bytes of a workbook that somebody else made."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"PK\x03\x044242", id="damaged"),
        pytest.param(strange(["n"], [1], ["4242"]), id="text among numbers"),
        pytest.param(strange(["n"], [42.42]), id="a number with decimals"),
        pytest.param(strange(["n", None], [1, 4242]), id="a column without a name"),
        pytest.param(strange(), id="an empty sheet"),
    ],
)
def test_refuses_to_read(content, tmp_path):
    """A file we did not write is told as such: no traceback, and no cell in the message."""
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(CannotRead) as caught:
        read(tmp_path / "a.xlsx")

    assert "42" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_refuses_to_guess_between_workbooks(tmp_path):
    """Nobody guesses which of two customer lists is the right one."""
    write({"a": SMALL}, tmp_path)
    write({"a": SMALL}, tmp_path, name="copy")
    with pytest.raises(CannotRead, match="2 workbooks"):
        read(tmp_path)
