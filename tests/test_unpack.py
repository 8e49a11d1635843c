"""Customer data is copied into databases, JSON, Parquet and notebooks: every cell is read."""

from __future__ import annotations

import decimal
import inspect
import io
import json
import sqlite3
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kit import sheets, unpack


def found(data, kind, path=None, skipped=None):
    """Return the tables in these bytes."""
    skipped = [] if skipped is None else skipped
    skip = lambda place, reason: skipped.append((place, reason))  # noqa: E731
    return list(unpack.tables(kind, lambda: io.BytesIO(data), path, skip))


def read(table, wanted=None):
    """Return row numbers, rows and rejects."""
    rejects, numbers, rows = [], [], []
    wanted = range(len(table.header)) if wanted is None else wanted
    for chunk, columns in table.chunks(wanted, 2, lambda row, reason: rejects.append(reason)):
        numbers += chunk.to_pylist()
        rows += list(zip(*(column.to_pylist() for column in columns), strict=True))
    return numbers, rows, rejects


def database(path, *, wal=False):
    """Write a small database."""
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute('CREATE TABLE "odd ""name" (phone TEXT, "a b" REAL, picture BLOB)')
        connection.execute("CREATE VIEW v AS SELECT 1")
        rows = [("555-0100", 42.0, b"text"), (None, 0.1 + 0.2, b"\0\1\2"), ("José", 5, None)]
        connection.executemany('INSERT INTO "odd ""name" VALUES (?, ?, ?)', rows)
        connection.commit()
    return path


@pytest.mark.parametrize("wal", [False, True])
def test_a_database_is_read_and_nothing_left_beside_it(tmp_path, wal):
    """The till's folder is as it was, byte for byte."""
    path = database(tmp_path / "till #1.sqlite", wal=wal)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    (table,) = found(b"", "sqlite", path)
    numbers, rows, rejects = read(table)

    assert (table.place, table.header) == ('table odd "name', ("phone", "a b", "picture"))
    assert rows == [("555-0100", "42", "text"), (None, "0.3", None), ("José", "5", None)]
    assert numbers == [1, 2, 3]
    assert rejects == ["1 binary values, such as pictures or sealed fields"]
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_database_in_a_zip_file_is_read_in_memory(tmp_path):
    """It is never written to disk in the clear."""
    data = database(tmp_path / "a.sqlite", wal=True).read_bytes()

    assert len(read(found(data, "sqlite")[0])[1]) == 3


def test_a_running_tills_last_sales_are_read(tmp_path):
    """They are in the -wal file beside the database, and stay there."""
    path = database(tmp_path / "till.sqlite", wal=True)
    with closing(sqlite3.connect(path)) as till:
        till.execute('INSERT INTO "odd ""name" VALUES (\'555-0199\', 1, NULL)')
        till.commit()
        names = {file.name for file in tmp_path.iterdir()}

        rows = read(found(b"", "sqlite", path)[0])[1]

        assert rows[-1][0] == "555-0199"
        assert {file.name for file in tmp_path.iterdir()} == names
        log = (tmp_path / "till.sqlite-wal").read_bytes()
    (tmp_path / "copy.sqlite").write_bytes(path.read_bytes())
    (tmp_path / "copy.sqlite-wal").write_bytes(log)
    with pytest.raises(unpack.UnpackError, match="-wal"):
        found(b"", "sqlite", tmp_path / "copy.sqlite")
    assert not (tmp_path / "copy.sqlite-shm").exists()


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        (
            '{"a": 1, "b": {"c": "x"}}\n\n{"b": {"c": null}, "d": [1]}',
            ("a", "b.c", "d"),
            [("1", "x", None), (None, None, '["1"]')],
        ),
        ('{"a": 1, "a": 2}', ("a", "a (2)"), [("1", "2")]),
        ('{"a.b": 1, "a": {"b": 2}}', ("a.b", "a.b (2)"), [("1", "2")]),
        (
            '{"n": 4242424242424242424242, "f": 1.10, "t": true}',
            ("n", "f", "t"),
            [("4242424242424242424242", "1.10", "true")],
        ),
        ('"just text"', ("value",), [("just text",)]),
        ('{"half": "\\ud83d"}', ("half",), [("?",)]),
        ('\ufeff{"a": "é"}', ("a",), [("é",)]),
    ],
)
def test_json_lines_become_columns(text, header, rows):
    """Every key is a column, every digit stays, a key that stands there twice is read twice."""
    (table,) = found(text.encode(), "jsonl")

    assert (table.header, read(table)[1]) == (header, rows)


def test_row_numbers_of_json_are_its_lines():
    """A finding names the line that an editor shows."""
    assert read(found(b'{"a": 1}\n\n{"a": 2}\n', "jsonl")[0])[0] == [1, 3]


@pytest.mark.parametrize(
    "value",
    [[{"a": "x"}, {"a": "y"}], {"customers": [{"a": "x"}, {"a": "y"}]}],
)
def test_a_json_list_is_a_table(value):
    """Exports wrap the list in an object as often as not."""
    (table,) = found(json.dumps(value).encode(), "json")

    assert read(table) == ([1, 2], [("x",), ("y",)], [])


def test_values_used_as_keys_do_not_make_ten_thousand_columns():
    """`{"555-0100": …}` is one column of records, each looked at whole."""
    text = json.dumps({f"555-{n}": n for n in range(unpack.NAMES + 1)})
    (table,) = found(text.encode(), "jsonl")

    assert table.header == ("record",)
    assert '"555-7"' in read(table)[1][0][0]


def test_parquet_becomes_text():
    """Types do not hide a value from the search."""
    source = pa.table(
        {
            "n": [42, None],
            "f": [42.5, 0.25],
            "d": [decimal.Decimal("1.10"), None],
            "c": pa.array(["x", "y"]).dictionary_encode(),
            "b": [b"text", b"\0\xff"],
            "l": [["José"], []],
            "s": [{"card": "4242"}, None],
        }
    )
    stream = io.BytesIO()
    pq.write_table(source, stream, row_group_size=1)
    (table,) = found(stream.getvalue(), "parquet")

    assert read(table) == (
        [1, 2],
        [
            ("42", "42.5", "1.10", "x", "text", '["José"]', '{"card": "4242"}'),
            (None, "0.25", None, "y", None, "[]", None),
        ],
        [],
    )
    assert read(table, [3])[1] == [("x",), ("y",)]
    assert read(table, [])[0] == [1, 2]


def notebook():
    """Return a notebook that has been run on customer data."""
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["Ana 555-0100\n", "Ben"]},
        {
            "output_type": "execute_result",
            "data": {
                "text/plain": "table",
                "text/html": "<table><tr><td>Ana</td><td>555-0101</td></tr></table>"
                '<a href="mailto:ana@example.com">mail</a><!-- 555-0103 -->',
                "image/png": "iVBORw0KGgo=",
                "application/vnd.plotly.v1+json": {"x": ["555-0104"]},
            },
        },
        {
            "output_type": "error",
            "ename": "E",
            "evalue": "555-0102",
            "traceback": ["\x1b[31mred 555-0105\x1b[0m"],
        },
    ]
    cells = [
        {"cell_type": "markdown", "source": "# Title", "attachments": {"a.png": {"image/png": ""}}},
        {"cell_type": "code", "source": ["x = 1\n", "x"], "outputs": outputs},
        {"cell_type": "code", "source": "", "outputs": []},
    ]
    metadata = {"widgets": {"state": {"value": "555-0106"}}}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4}).encode()


def test_a_notebooks_saved_outputs_are_read():
    """They are a copy of the data that goes wherever the notebook goes."""
    skipped = []
    tables = {table.place: read(table)[1] for table in found(notebook(), "notebook", None, skipped)}

    assert list(tables) == ["cell 1", "cell 2", "cell 2, output", "widgets"]
    assert tables["cell 2"] == [("x = 1",), ("x",)]
    shown = "\n".join(line for (line,) in tables["cell 2, output"])
    for number in range(100, 106):
        assert f"555-0{number}" in shown
    assert "Ana\t555-0101" in shown
    assert "ana@example.com" in shown
    assert "<td>" not in shown
    assert "\x1b" not in shown
    assert "iVBOR" not in shown
    assert "555-0106" in str(tables["widgets"])
    assert skipped == [
        ("cell 1, output", "1 pictures or files; look at them by eye"),
        ("cell 2, output", "1 pictures or files; look at them by eye"),
    ]


def test_old_notebooks_are_read():
    """Version 3 kept its cells one level down, and its outputs under other names."""
    cell = {"cell_type": "code", "input": "x", "outputs": [{"text": "555-0100", "png": "iVBOR"}]}
    data = json.dumps({"worksheets": [{"cells": [cell]}], "nbformat": 3}).encode()

    assert [read(table)[1] for table in found(data, "notebook")] == [[("x",)], [("555-0100",)]]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b'{"a": "secret"', "json", id="JSON cut short"),
        pytest.param(b'{"a": 1}\n{"a": "secret', "jsonl", id="line cut short"),
        pytest.param(b"[" * 100_000, "json", id="JSON too deep"),
        pytest.param(b"secret", "notebook", id="no notebook"),
        pytest.param(b"PAR1secretPAR1", "parquet", id="no Parquet"),
        pytest.param(b"SQLite format 3\0" + b"secret" * 100, "sqlite", id="no database"),
    ],
)
def test_refuses(data, kind):
    """Damage is told in one plain line that repeats nothing."""
    with pytest.raises(unpack.UnpackError) as caught:
        for table in found(data, kind):
            read(table)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b"[]",
        b"1",
        b'{"cells": 1}',
        b'{"cells": [1, null]}',
        b'{"cells": [{"outputs": [1], "source": 5, "attachments": []}]}',
    ],
)
def test_a_notebook_of_any_shape_is_no_crash(data):
    """A file named .ipynb may hold anything."""
    for table in found(data, "notebook"):
        read(table)


def test_the_copied_function_is_still_the_same():
    """`_pack` stands in two files, so that each can be taken alone."""
    one, two = (
        inspect.getsource(module._pack).replace("  # as in sheets.py", "")
        for module in (sheets, unpack)
    )

    assert one == two
