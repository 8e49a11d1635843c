"""A workbook shows its owner one sheet and carries ten: all of them are read, none is believed."""

from __future__ import annotations

import datetime as dt
import io
import weakref
import zipfile

import openpyxl
import pytest
from openpyxl.comments import Comment

from kit import sheets


def saved(fill):
    """Return the bytes of a workbook that *fill* has filled."""
    book = openpyxl.Workbook()
    fill(book)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def simple(rows):
    """Return the bytes of a workbook with these rows."""
    return saved(lambda book: [book.active.append(row) for row in rows])


def found(data):
    """Return the tables in these bytes by their place."""
    return {one.place: one for one in sheets.tables("xlsx", lambda: io.BytesIO(data))}


def read(table, wanted=None):
    """Return row numbers, rows and rejects."""
    rejects, numbers, rows = [], [], []
    wanted = range(len(table.header)) if wanted is None else wanted
    for chunk, columns in table.chunks(wanted, 2, lambda row, reason: rejects.append(row)):
        numbers += chunk.to_pylist()
        rows += list(zip(*(column.to_pylist() for column in columns), strict=True))
    return numbers, rows, rejects


def repacked(data, part, change):
    """Return the workbook with one part changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == part else content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (42, "42"),
        (42.0, "42"),
        (0.1 + 0.2, "0.3"),
        (-12.5, "-12.5"),
        (4242424242424242, "4242424242424242"),
        ("0012", "0012"),
        (" two\nlines ", " two\nlines "),
        (dt.date(2026, 11, 24), "2026-11-24"),
        (dt.datetime.fromisoformat("2026-11-24 09:30"), "2026-11-24 09:30:00"),
        (dt.time(9, 30), "09:30:00"),
        (True, "TRUE"),
        ("=1+1", "=1+1"),
        ("#N/A", "#N/A"),
        (None, ""),
    ],
)
def test_a_cell_is_read_as_a_person_sees_it(value, shown):
    """A phone number is not 5550100.0 and a date is not 46350."""
    table = found(simple([["Name", "Value"], ["Ana", value]]))["sheet Sheet"]

    assert (table.header, table.header_row) == (("Name", "Value"), 1)
    assert read(table) == ([2], [("Ana", shown)], [])


def test_a_card_number_in_a_date_column_keeps_its_digits():
    """It is shown as ##### in Excel, and is a card number all the same."""

    def fill(book):
        book.active.append(["Day", "Note"])
        book.active.append([4242424242424242, "x"])
        book.active["A2"].number_format = "yyyy-mm-dd"

    assert read(found(saved(fill))["sheet Sheet"])[1] == [("4242424242424242", "x")]


def test_nineteen_digits_stay_nineteen_digits():
    """Some tills write numbers longer than Excel can count."""
    digits = "4242424242424242425"
    data = repacked(
        simple([["A", "B"], ["x", 7]]),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b"<v>7</v>", f"<v>{digits}</v>".encode()),
    )

    assert read(found(data)["sheet Sheet"])[1] == [("x", digits)]


def test_rows_gone_by_are_not_kept():
    """A sheet of a million rows is read on an old till PC."""
    rows = []
    with zipfile.ZipFile(io.BytesIO(simple([["A", "B"]] * 200))) as archive:
        for row in sheets._xml(archive, "xl/worksheets/sheet1.xml", "row"):
            rows.append(weakref.ref(row))
            assert sum(ref() is not None for ref in rows) < 5

    assert len(rows) == 200


def test_the_result_of_a_formula_is_read():
    """Excel saves both; the result is what the owner sees."""
    data = repacked(
        simple([["A", "B"], ["x", "=1+1"]]),
        "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(b"<v />", b"<v>2</v>").replace(b"<v></v>", b"<v>2</v>"),
    )

    assert read(found(data)["sheet Sheet"])[1] == [("x", "2")]


def test_hidden_sheets_and_comments_are_found():
    """What nobody sees is what leaks when the file is mailed."""

    def fill(book):
        book.active.append(["A", "B"])
        for title, state in (("Old", "hidden"), ("Older", "veryHidden")):
            sheet = book.create_sheet(title)
            sheet.append(["Name", "Card"])
            sheet.append(["Ana", "4242 4242 4242 4242"])
            sheet.sheet_state = state
        book.active["B1"].comment = Comment("rings at 555-0100", "Ben")

    tables = found(saved(fill))

    assert read(tables["sheet Old (hidden)"])[1] == [("Ana", "4242 4242 4242 4242")]
    assert "sheet Older (hidden)" in tables
    comments = next(table for place, table in tables.items() if place.startswith("comments"))
    assert read(comments)[1] == [("B1", "rings at 555-0100")]


def test_notes_above_and_cells_beyond_the_table_are_not_lost():
    """Rows keep the numbers that Excel shows, and what does not fit is still looked at."""
    rows = [["Report for Ana"], [], ["A", "B"]] + [["x", "y"]] * 60 + [["p", "q", "r"], ["z", "z"]]
    table = found(simple(rows))["sheet Sheet"]

    numbers, cells, rejects = read(table)

    assert (table.header, table.header_row) == (("A", "B"), 3)
    assert numbers == [*range(4, 64), 65]
    assert cells[-1] == ("z", "z")
    assert rejects == [64]
    rest = read(table.leftover())
    assert rest[0] == [1, 64, 64, 64]
    assert rest[1] == [("Report for Ana",), ("p",), ("q",), ("r",)]


def test_a_column_not_asked_for_is_not_converted():
    """A card number nobody wants is passed over."""
    table = found(simple([["A", "B"], ["x", "y"]]))["sheet Sheet"]

    assert read(table, [1])[1] == [("y",)]
    assert read(table, [])[0] == [2]


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([["Ana", 1, 2], ["Ben", 3, 4]], id="numbers"),
        pytest.param([[dt.date(2026, 1, 1), 5]], id="dates"),
    ],
)
def test_a_sheet_without_header_loses_no_row(rows):
    """The first sale is not taken for a header."""
    table = found(simple(rows))["sheet Sheet"]

    assert table.header_row == 0
    assert read(table)[0] == list(range(1, len(rows) + 1))


def test_an_empty_sheet_is_no_table():
    """Excel adds empty sheets by itself."""
    assert found(simple([])) == {}


def bomb():
    """Return a workbook with 40 MB of nothing in it."""
    return repacked(simple([["A"]]), "xl/worksheets/sheet1.xml", lambda xml: b" " * 40_000_000)


def entities(xml):
    """Return the part with a billion laughs in front of it."""
    laughs = b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    at = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
    return xml[:at] + laughs + xml[at:]


def with_shared_texts(data=None):
    """Return a workbook as Excel writes it: texts stand in a part of their own."""
    texts = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>A</t></si>'
        b"<si><r><t>Jo</t></r><r><t>s\xc3\xa9_x000D_</t></r><rPh><t>aid</t></rPh></si></sst>"
    )
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row><c t="s"><v>0</v></c></row><row><c t="s"><v>1</v></c></row>'
        b"</sheetData></worksheet>"
    )
    out = io.BytesIO(repacked(simple([["A"]]), SHEET, lambda xml: sheet))
    with zipfile.ZipFile(out, "a") as archive:
        if "xl/sharedStrings.xml" not in archive.namelist():
            archive.writestr("xl/sharedStrings.xml", texts)
    return out.getvalue()


def test_texts_shared_by_the_sheets_are_read():
    """Excel writes each text once; half-bold names and cells without an address are read too."""
    table = found(with_shared_texts())["sheet Sheet"]

    assert table.header == ("A",)
    assert read(table) == ([2], [("José\r",)], [])


SHEET = "xl/worksheets/sheet1.xml"
DATA = simple([["A", "B"], ["x", "secret"]])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(bomb(), id="zip bomb"),
        pytest.param(repacked(DATA, SHEET, entities), id="entities in a sheet"),
        pytest.param(
            repacked(with_shared_texts(), "xl/sharedStrings.xml", entities), id="entities in texts"
        ),
        pytest.param(repacked(DATA, "xl/workbook.xml", entities), id="entities in the book"),
        pytest.param(repacked(DATA, SHEET, lambda x: x[: len(x) // 2]), id="cut short"),
        pytest.param(
            repacked(DATA, SHEET, lambda x: x.replace(b'r="2"', b'r="9999999"')),
            id="row beyond the last",
        ),
        pytest.param(
            repacked(DATA, SHEET, lambda x: x.replace(b'r="B2"', b'r="ZZZZZ2"')),
            id="column beyond the last",
        ),
        pytest.param(
            repacked(with_shared_texts(), SHEET, lambda x: x.replace(b"<v>1</v>", b"<v>99</v>")),
            id="text that is not there",
        ),
        pytest.param(DATA[: len(DATA) // 2], id="half a file"),
        pytest.param(b"PK\x03\x04", id="no zip file"),
    ],
)
def test_refuses(data):
    """A workbook from the mail may be broken on purpose; it is refused in one plain line."""
    with pytest.raises(sheets.SheetsError) as caught:
        for table in found(data).values():
            read(table)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_bomb_is_refused_before_it_is_unpacked():
    """Its size is read from the table of contents."""
    with pytest.raises(sheets.SheetsError, match="as a zip bomb does"):
        found(bomb())


@pytest.mark.parametrize(
    ("part", "xml"),
    [
        pytest.param(
            "xl/drawings/drawing1.xml", "<d><a:p><a:r><a:t>a@example.com</a:t></a:r></a:p></d>",
            id="text box",
        ),
        pytest.param(
            "xl/pivotCache/pivotCacheDefinition1.xml",
            '<cache><sharedItems><s v="a@example.com"/></sharedItems></cache>', id="pivot table",
        ),
        pytest.param(
            "xl/charts/chart1.xml",
            '<c><strCache><pt idx="0"><v>a@example.com</v></pt></strCache></c>', id="chart",
        ),
        pytest.param(
            "xl/externalLinks/externalLink1.xml",
            '<e><sheetData><row r="1"><cell r="A1" t="str"><v>a@example.com</v></cell></row>'
            "</sheetData></e>",
            id="another workbook",
        ),
    ],
)  # fmt: skip
def test_copies_outside_the_cells_are_found(part, xml):
    """Who deletes the sheet and keeps the chart or the pivot table still sends the customers."""
    data = io.BytesIO(simple([["A"], ["1"]]))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr(part, xml.replace("<d>", '<d xmlns:a="urn:a">'))

    place, copy = found(data.getvalue()).popitem()

    assert part in place
    assert read(copy)[1] == [("", "a@example.com")]


def test_pictures_are_counted():
    """What was not looked into is said."""
    data, skipped = io.BytesIO(DATA), []
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("xl/media/image1.png", b"x")
    again = lambda: io.BytesIO(data.getvalue())  # noqa: E731
    list(sheets.tables("xlsx", again, None, lambda *about: skipped.append(about)))

    assert skipped == [("1 pictures", "look at them by eye")]
