"""An owner hands over whatever the till wrote: every cell arrives, every row is accounted for."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kit import delimited

HEADER, ROW = ("Date", "Item", "Total"), ("2026-11-24", "Rose", "12")


def opened(data):
    """Return a file in memory the way the kit opens one."""
    return lambda: io.BytesIO(data)


def table(data, name="export.csv"):
    """Return the table in these bytes."""
    return next(delimited.tables(delimited.kind(name, data[:8192]), opened(data)))


def read(found, wanted=None):
    """Return row numbers, rows and rejects."""
    rejects, numbers, rows = [], [], []
    wanted = range(len(found.header)) if wanted is None else wanted
    for chunk, columns in found.chunks(
        wanted, 3, lambda row, reason: rejects.append((row, reason))
    ):
        numbers += chunk.to_pylist()
        rows += list(zip(*(column.to_pylist() for column in columns), strict=True))
    return numbers, rows, rejects


def written(rows, **dialect):
    """Return rows as the csv module writes them."""
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows(rows)
    return text.getvalue()


TEXT = written([HEADER, ROW], delimiter=";")


@pytest.mark.parametrize(
    ("data", "header_row"),
    [
        *(
            pytest.param(written([HEADER, ROW], delimiter=d).encode(), 1, id=f"delimiter {d!r}")
            for d in ",;\t|"
        ),
        pytest.param(b"sep=;\r\n" + TEXT.encode(), 2, id="sep= line"),
        pytest.param(b'"sep=;"\r\n' + TEXT.encode(), 2, id="quoted sep= line"),
        pytest.param(b"\xef\xbb\xbf" + TEXT.encode(), 1, id="byte order mark"),
        pytest.param(b"\xef\xbb\xbfsep=;\n" + TEXT.encode(), 2, id="mark and sep="),
        pytest.param(("\ufeff" + TEXT).encode("utf-16-le"), 1, id="UTF-16"),
        pytest.param(("\ufeff" + TEXT).encode("utf-16-be"), 1, id="UTF-16, big end first"),
        pytest.param(TEXT.encode("utf-16-le"), 1, id="UTF-16 without its mark"),
        pytest.param(("\ufeff" + TEXT).encode("utf-32-le"), 1, id="UTF-32"),
        pytest.param(TEXT.replace("\r\n", "\r").encode(), 1, id="old Mac line ends"),
        pytest.param(TEXT.replace("\r\n", "\n").strip().encode(), 1, id="no line end at the end"),
        pytest.param(b"Sales report\nShop 7, Boston\n\n" + TEXT.encode(), 4, id="notes above"),
        pytest.param(b"Sales report;;\nFrom;2026-11-01;\n" + TEXT.encode(), 3, id="padded notes"),
        pytest.param(b'"A note\nin two lines"\n' + TEXT.encode(), 2, id="note in two lines"),
    ],
)
def test_every_way_a_till_writes_a_table_is_read(data, header_row):
    """The owner need not know what an encoding is."""
    found = table(data)

    assert (found.header, found.header_row) == (HEADER, header_row)
    assert read(found) == ([header_row + 1], [ROW], [])


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("José;€".encode("cp1252"), ("José", "€")),
        ("José;\x81".encode("latin-1"), ("José", "\x81")),
        ("José;€".encode(), ("José", "€")),
        (b"a\0b;c", ("a\0b", "c")),
        (b"007;1e5", ("007", "1e5")),
        (b'="0012";\'42', ('="0012"', "'42")),
        (b'5" pot;"12"" pot"', ('5" pot', '12" pot')),
        (b"NULL;N/A", ("NULL", "N/A")),
        (b'"two\r\nlines";', ("two\r\nlines", "")),
    ],
)
def test_cells_arrive_as_they_stand(data, word):
    """A postcode keeps its zero, an accent on the last line is not lost."""
    _, rows, rejects = read(table(b"Name;Note\n" + data + b"\nx;y\n"))

    assert rows == [word, ("x", "y")]
    assert not rejects


def test_row_numbers_stay_right_after_rows_that_do_not_fit():
    """The owner is told the row that a spreadsheet shows, even below a broken one."""
    data = b'note\nA,B\n1,"two\nlines"\n3\n\n4,5\n6,7,8\n9,10\n'

    numbers, rows, rejects = read(found := table(data))

    assert numbers == [3, 5, 6, 8]
    assert rows == [("1", "two\nlines"), ("", ""), ("4", "5"), ("9", "10")]
    assert rejects == [
        (4, "has 1 cells, the header has 2"),
        (7, "has 3 cells, the header has 2"),
    ]
    assert read(found.leftover())[:2] == ([1, 4, 7], [("note",), ("3",), ("6,7,8",)])


@pytest.mark.parametrize("size", [1, 7, 64, 1 << 20])
def test_row_numbers_do_not_depend_on_blocks(size, monkeypatch):
    """The same file gives the same numbers however much of it is held at once."""
    rows = [["A", "B"]] + [[str(n), "x\n" * (n % 50)] for n in range(2, 400)]
    for ragged in (5, 6, 200, 399):
        rows[ragged - 1] = [str(ragged)]
    data = written(rows).encode()
    monkeypatch.setattr(delimited, "BLOCK_BYTES", size)

    numbers, cells, rejects = read(table(data))

    assert [row for row, _ in rejects] == [5, 6, 200, 399]
    assert numbers == [n for n in range(2, 400) if n not in (5, 6, 200, 399)]
    assert cells == [(str(n), "x\n" * (n % 50)) for n in numbers]


def test_a_cell_of_ten_megabytes_is_read():
    """A note with a picture pasted into it does not stop the import, nor count rows twice."""
    data = b"A,B\n1\n" + b"1,2\n" * 1000 + b'"' + b"x" * 10_000_000 + b'",2\n3\n5,6\n'

    numbers, rows, rejects = read(table(data))

    assert len(numbers) == 1002
    assert len(rows[1000][0]) == 10_000_000
    assert [row for row, _ in rejects] == [2, 1004]
    assert numbers[-2:] == [1003, 1005]


def test_a_column_not_asked_for_is_not_read():
    """A card number nobody wants is never in memory as a cell."""
    found = table(b"Name,Card\nAna,4242424242424242\n")
    seen = list(found.chunks([0], 10, lambda row, reason: None))

    assert [len(columns) for _, columns in seen] == [1]
    assert read(found, [])[0] == [2]
    assert read(found, [1, 0])[1] == [("4242424242424242", "Ana")]


@pytest.mark.parametrize(
    ("data", "header", "header_row"),
    [
        pytest.param(b"A,A,,B\n1,2,3,4\n", ("A", "A", "", "B"), 1, id="repeated and blank"),
        pytest.param(b'"A\nlong",B\n1,2\n', ("A\nlong", "B"), 1, id="in two lines"),
        pytest.param(b"A,B\n1,2,\n3,4,\n", ("A", "B", ""), 1, id="rows end in a comma"),
        pytest.param(b"1,2\n3,4\n", ("", ""), 0, id="none, numbers"),
        pytest.param(b"Ana,ana@example.com\nBen,ben@example.com\n", ("", ""), 0, id="none, mail"),
        pytest.param(b"From,To\n1,2\nA,B\n5,6\n", ("From", "To"), 1, id="again in the middle"),
        pytest.param(b"Name\nAna\nBen\n", ("Name",), 1, id="one column"),
        pytest.param(b"A,B\n", ("A", "B"), 1, id="header only"),
        pytest.param(b"A,B", ("A", "B"), 1, id="header only, no line end"),
    ],
)
def test_the_header_is_found_as_it_stands(data, header, header_row):
    """A layout is recognised by its header, so no row may pass for it."""
    found = table(data)

    assert (found.header, found.header_row) == (header, header_row)
    assert not read(found)[2]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b'A,B\n1,2\n"3,4\n5,6\n', id="makes a short row"),
        pytest.param(b'A,B\n1,2\n3,"4\n5,6\n', id="swallows the rest"),
        pytest.param(b'A,B\n1,2\n3,"4', id="at the very end"),
    ],
)
def test_refuses_a_quote_that_is_never_closed(data):
    """It would swallow every sale below it into one cell, and nobody would notice."""
    found = table(data)

    with pytest.raises(delimited.DelimitedError, match="row 3: a quote is opened and never") as err:
        read(found)
    assert "5" not in str(err.value).replace("row 3", "")
    assert read(found.leftover())[0] == list(range(1, data.count(b"\n") + (data[-1:] != b"\n") + 1))


def test_refuses_text_that_is_not_what_its_mark_says():
    """Half of a UTF-16 file is not read as if it were all."""
    with pytest.raises(delimited.DelimitedError, match="save it as UTF-8"):
        table(b"\xff\xfeA\0,\0B")


def test_the_file_may_say_its_delimiter():
    """Decimal commas in every cell do not win against a sep= line."""
    assert read(table(b"sep=;\nA,0;B,0\n1,5;2,5\n"))[1] == [("1,5", "2,5")]


def test_a_row_that_does_not_fit_is_left_over_also_without_notes():
    """Its text is there for a scanner, and only after reading."""
    found = table(b"A,B\n1,2\n3,4,5\n")

    assert found.leftover() is None
    read(found)
    assert read(found.leftover())[1] == [("3,4,5",)]


def test_a_lone_inch_mark_does_not_spoil_a_file():
    """An odd number of quotes alone is no reason to refuse."""
    assert read(table(b'A,B\n5" pot,2\n'))[1] == [('5" pot', "2")]


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("letter.txt", b"Dear Ana, thank you.\nYours, Ben, in a hurry, as ever\n", "text"),
        ("read.md", b"a,b\n1,2\n", "text"),
        ("export.txt", b"a\tb\n1\t2\n", "csv"),
        ("notes.txt", b"\n\n", "text"),
    ],
)
def test_prose_is_read_line_by_line(name, data, kind):
    """A letter has commas, but no columns; its words are looked at all the same."""
    found = table(data, name)

    assert found.kind == kind
    if kind == "text":
        assert [row for (row,) in read(found)[1]] == data.decode().splitlines()


def test_a_long_line_comes_in_pieces_that_overlap():
    """A card number at the seam is whole in one of the pieces."""
    card = "4242424242424242"
    line = "x" * (delimited.LINE_CHARS - 5) + card + "y" * 10

    numbers, rows, _ = read(table(f"a\n{line}\nb\n".encode(), "log.md"))

    assert numbers == [1, 2, 2, 3]
    assert any(card in piece for (piece,) in rows)


def test_a_picture_is_not_text():
    """What cannot be read is said to be so, not read as gibberish."""
    assert delimited.kind("x", bytes(range(256)) * 4) == ""


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\r\n", "\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_csv_writes_is_read_back(rows, delimiter, quoting, end, encoding):
    """Whatever a customer types into a note comes back, letter by letter."""
    said = f"sep={delimiter}{end}"
    body = written([HEADER, *rows], delimiter=delimiter, quoting=quoting, lineterminator=end)
    assume([*csv.reader(io.StringIO(body, newline=""), delimiter=delimiter)][1:] == rows)
    found = delimited._table(delimited._probe(opened((said + body).encode(encoding))), must=True)

    assert read(found)[1:] == ([tuple(row) for row in rows], [])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A year of sales is read on an old till PC: 200 MB of CSV in 200 MB of memory."""
    path = tmp_path / "big.csv"
    line = b"2026-11-24,Rose,12.50,a note that nobody will ever read again,4242\n"
    with path.open("wb") as file:
        file.write(b"Date,Item,Total,Note,Last four\n")
        for _ in range(200):
            file.write(line * (1_000_000 // len(line)))
    script = (
        "import re, sys; from pathlib import Path; from kit import delimited as d\n"
        "t = next(d.tables('csv', lambda: Path(sys.argv[1]).open('rb')))\n"
        "n = sum(len(c) for c, _ in t.chunks(range(5), 65536, print))\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]\n"
        "print(n, int(peak) // 1024)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, path], capture_output=True, text=True, check=True
    )
    rows, peak_mib = map(int, out.stdout.split())

    assert rows == 200 * (1_000_000 // len(line))
    assert peak_mib < 200
