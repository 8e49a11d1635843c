"""A copy of customer data in a forgotten corner leaks like any other: all corners are seen."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import openpyxl
import pytest

from kit import delimited, sheets, sources, unpack

READERS = (sheets, unpack, delimited)
CSV = b"Name,Phone\nAna,555-0100\n"


def find(*paths, **more):
    """Return what is found, as place and rows, and what was skipped, as place and reason."""
    skipped, places = [], {}
    for source in sources.find(paths, readers=READERS, skipped=skipped, **more):
        name = f"{source.path.name}: {source.place}" if source.place else source.path.name
        assert name not in places
        places[name] = source.read()
    return places, {one.place or one.path.name: one.reason for one in skipped}


def zipped(members, path=None):
    """Return a zip file of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    if path:
        path.write_bytes(out.getvalue())
    return path or out.getvalue()


def test_everything_in_a_folder_is_found(tmp_path):
    """Hidden files, old copies and every kind of table; caches of programs are passed by."""
    (tmp_path / "b.csv").write_bytes(CSV)
    (tmp_path / ".hidden.csv").write_bytes(CSV)
    (tmp_path / "letter.txt").write_bytes(b"Dear Ana,\nthank you.\n")
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n')
    for folder in (".ipynb_checkpoints", "node_modules", ".git"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "old.ipynb").write_text(json.dumps({"cells": [{"source": "x = 1"}]}))
    with closing(sqlite3.connect(tmp_path / "till.db")) as connection:
        connection.execute("CREATE TABLE t (a)")
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.create_sheet("Notes").append(["c", "d"])
    book["Notes"].sheet_state = "hidden"
    book.save(tmp_path / "book.xlsx")

    places, skipped = find(tmp_path)

    assert list(places) == [
        ".hidden.csv",
        "b.csv",
        "book.xlsx: sheet Sheet",
        "book.xlsx: sheet Notes (hidden)",
        "letter.txt",
        "rows.jsonl",
        "till.db: table t",
        "old.ipynb: cell 1",
    ]
    assert skipped == {}


def test_batches_have_the_row_number_first_then_text(tmp_path):
    """Every finding can be looked up in a spreadsheet."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"Name,Name,,#row\na,b,c,d\ne,f,g,h\n")
    source = sources.open_one(path, readers=READERS)

    assert source.header == ("Name", "Name", "", "#row")
    assert source.names == ("Name", "Name (2)", "column 3", "#row (2)")
    assert source.read().to_pydict() == {
        "#row": [2, 3],
        "Name": ["a", "e"],
        "Name (2)": ["b", "f"],
        "column 3": ["c", "g"],
        "#row (2)": ["d", "h"],
    }
    assert [batch.num_rows for batch in source.batches(["Name"], rows=1)] == [1, 1]
    assert source.read(["column 3"]).column_names == ["#row", "column 3"]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (("A", "A", "A (2)"), ("A", "A (3)", "A (2)")),
        (("A ", "A"), ("A", "A (2)")),
        (("", "column 1"), ("column 1", "column 1 (2)")),
    ],
)
def test_names_never_repeat(header, names):
    """Two columns of one name would hide one of them."""
    assert sources._unique(header) == names


def test_what_does_not_fit_is_looked_at_too(tmp_path):
    """A comma too many in the notes pushes the card number out of its column."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"for Ana\nA,B\n1,2\n3,pays with 4242424242424242, thanks\n")

    places, skipped = find(path)

    rest = places["a.csv: rows that do not fit the header"]
    assert rest["#row"].to_pylist() == [1, 4]
    assert "4242424242424242" in rest["text"][1].as_py()
    assert skipped == {}


def test_damage_does_not_end_the_search(tmp_path):
    """One broken export does not hide the next one, and its own text is still looked at."""
    (tmp_path / "a.csv").write_bytes(b'A,B\n1,"2\n3,4\n')
    (tmp_path / "b.csv").write_bytes(CSV)
    (tmp_path / "c.json").write_bytes(b'{"phone": "555-0100"')

    places, skipped = find(tmp_path)

    assert places["a.csv: read line by line"]["line"].to_pylist() == ["A,B", '1,"2', "3,4"]
    assert places["b.csv"].num_rows == 1
    assert "555-0100" in str(places["c.json"])
    assert "row 2: a quote is opened" in skipped["a.csv"]
    assert "not JSON" in skipped["c.json"]


def test_zip_files_are_read_in_place(tmp_path):
    """An export is mailed as a zip file and forgotten as one; its members' names are only names."""
    inner = zipped({"deep.csv": CSV, "deeper.zip": zipped({"x.csv": CSV})})
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (a)")
    members = {
        "../../evil.csv": CSV,
        "/abs.csv": CSV,
        "b\x1b[31m.csv": CSV,
        "inner.zip": inner,
        "till.db": db.serialize(),
        "empty.csv": b"",
    }
    db.close()
    folder = tmp_path / "folder"
    folder.mkdir()
    path = zipped(members, folder / "a.zip")

    places, skipped = find(folder)

    assert list(places) == [
        "a.zip: ../../evil.csv",
        "a.zip: /abs.csv",
        "a.zip: b?[31m.csv",
        "a.zip: inner.zip, deep.csv",
        "a.zip: till.db, table t",
    ]
    assert places["a.zip: inner.zip, deep.csv"]["Phone"].to_pylist() == ["555-0100"]
    assert skipped == {
        "inner.zip, deeper.zip": "too deep or too large inside a zip file; unpack that first",
        "empty.csv": "empty; nothing to do",
    }
    assert [*tmp_path.rglob("*")] == [folder, path]


def test_zip_bombs_are_not_unpacked(tmp_path):
    """A small file from the mail does not fill the till PC."""
    bomb = zipped({"bomb.csv": b"0" * 30_000_000, "a.csv": CSV}, tmp_path / "a.zip")
    assert bomb.stat().st_size < 50_000

    places, skipped = find(tmp_path)

    assert list(places) == ["a.zip: a.csv"]
    assert "zip bomb" in skipped["bomb.csv"]


def test_a_zip_file_that_holds_too_much_is_refused(tmp_path, monkeypatch):
    """Many harmless members are a bomb as well, also when nested."""
    zipped({f"{n}.csv": CSV for n in range(9)}, tmp_path / "a.zip")
    zipped({"in.zip": zipped({"a.csv": CSV * 20})}, tmp_path / "b.zip")
    monkeypatch.setattr(sources, "ZIP_MEMBERS", 8)
    monkeypatch.setattr(sources, "ZIP_BYTES", 400)

    places, skipped = find(tmp_path)

    assert places == {}
    assert skipped["a.zip"] == "9 files, 0 MiB when unpacked; unpack it first"
    assert "when unpacked" in skipped["in.zip"]


def encrypted(data):
    """Return the zip file with its members marked as encrypted."""
    data = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("a.pdf", b"%PDF-1.7", "a PDF"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "save it as CSV or XLSX"),
        ("a.png", b"\x89PNG\r\n", "a picture"),
        ("a.csv.gz", b"\x1f\x8b\x08", "unpack it first"),
        ("a.age", b"age-encryption.org/v1\n", "encrypted"),
        ("a.ods", zipped({"mimetype": "x"}), "save it as CSV or XLSX"),
        ("a.docx", zipped({"[Content_Types].xml": "", "word/document.xml": ""}), "office"),
        ("a.bin", bytes(range(256)), "unknown"),
        ("a.csv", b"", "empty"),
        ("a.zip", encrypted(zipped({"a.csv": CSV})), "encrypted with a password"),
        pytest.param("a.zip", zipped({"a.csv": CSV})[:60], "damaged zip file", id="cut zip"),
        ("a.xlsx", zipped({"xl/workbook.xml": "<x/>"}), "damaged workbook"),
        ("a.db", b"SQLite format 3\0" + b"x" * 200, "damaged database"),
    ],
)
def test_what_is_not_looked_into_is_said(tmp_path, name, data, word):
    """No news is not good news: the report names each file, and what to do about it."""
    (tmp_path / name).write_bytes(data)

    places, skipped = find(tmp_path)

    assert places == {}
    assert len(skipped) == 1
    assert word in next(iter(skipped.values()))


def test_links_are_not_followed(tmp_path):
    """A link to the root of the disk is not searched by surprise."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.csv").write_bytes(CSV)
    try:
        (tmp_path / "link.csv").symlink_to(tmp_path / "real" / "a.csv")
        (tmp_path / "loop").symlink_to(tmp_path)
    except OSError:
        pytest.skip("this system lets no one make links")

    places, skipped = find(tmp_path)

    assert list(places) == ["a.csv"]
    assert "a link" in skipped["link.csv"]
    assert "a link" in skipped["loop"]


def test_progress_is_told_in_bytes(tmp_path):
    """A long search shows how far it is."""
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(CSV)
    told = []

    find(tmp_path, progress=lambda done, total: told.append((done, total)))

    assert told == [(len(CSV), 2 * len(CSV)), (2 * len(CSV), 2 * len(CSV))]


@pytest.mark.parametrize(
    ("name", "data", "error", "word"),
    [
        pytest.param("a.csv", None, sources.NotATable, "no such file", id="missing"),
        pytest.param(".", None, sources.NotATable, "a folder; name one file", id="folder"),
        pytest.param("a.csv", b"", sources.NotATable, "empty", id="empty"),
        pytest.param("a.txt", b"secret, prose\n", sources.NotATable, "no table", id="prose"),
        pytest.param("a.pdf", b"%PDF secret", sources.NotATable, "a PDF", id="PDF"),
        pytest.param("a.json", b'{"secret"', sources.NotATable, "not JSON", id="broken JSON"),
        pytest.param(
            "a.zip",
            zipped({"a.csv": CSV, "b.csv": CSV}),
            sources.NotATable,
            "2 tables",
            id="two tables",
        ),
        pytest.param("a.csv", b'A,B\n1,"secret', sources.BrokenFile, "row 2", id="open quote"),
        pytest.param("a.csv", b"\xff\xfesecrets", sources.SourceError, "utf-16", id="no UTF-16"),
    ],
)
def test_refuses(tmp_path, name, data, error, word):
    """A till export that cannot be read whole is refused in one line that repeats nothing of it."""
    if data is not None:
        (tmp_path / name).write_bytes(data)

    with pytest.raises(error, match=word) as caught:
        sources.open_one(tmp_path / name, readers=READERS).read()

    assert isinstance(caught.value, sources.SourceError)
    assert "secret" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_refuses_a_column_that_is_not_there(tmp_path):
    """A misspelt column is an error at once, not an empty answer."""
    (tmp_path / "a.csv").write_bytes(CSV)
    source = sources.open_one(tmp_path / "a.csv", readers=READERS)

    with pytest.raises(sources.NoSuchColumn, match="'Fone'"):
        source.batches(["Fone"])


def test_open_one_takes_the_sheet_the_owner_sees(tmp_path):
    """A hidden sheet in front is not the export."""
    book = openpyxl.Workbook()
    book.active.title = "Hidden"
    book.active.append(["x", "y"])
    book.create_sheet("Empty")
    book.create_sheet("Sales").append(["a", "b"])
    book["Hidden"].sheet_state = "hidden"
    book.active = 2
    book.save(tmp_path / "a.xlsx")

    assert sources.open_one(tmp_path / "a.xlsx", readers=READERS).place == "sheet Sales"


def test_open_one_reads_the_export_in_a_zip_file(tmp_path):
    """Some tills mail their exports zipped."""
    zipped({"export.csv": CSV, "readme.txt": "Thank you."}, tmp_path / "a.zip")

    source = sources.open_one(tmp_path / "a.zip", readers=READERS)

    assert source.read().num_rows == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may open everything")
def test_a_file_that_may_not_be_opened_is_said(tmp_path):
    """The search goes on, and the report names it."""
    path = Path(tmp_path, "a.csv")
    path.write_bytes(CSV)
    path.chmod(0)

    assert "check rights" in find(tmp_path)[1]["a.csv"]
