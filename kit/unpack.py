# SPDX-License-Identifier: MIT-0
"""Read databases, JSON, Parquet and notebooks as text: copies of customer data hide in them.

Copy: ``kit copy unpack --into DIR``, or take this file as it is.
Needs: Python 3.11, pyarrow. Nothing else from this kit.
Data: none.

SQLite: every table, without leaving a file beside the database. JSON: one object a line,
or a list of objects; ``{"a": {"b": 1}}`` becomes column ``a.b``, a list stays JSON.
Parquet: every column as text. Notebooks: the source of each cell, and its saved output,
which is a copy of the data that goes wherever the notebook goes.

Source: https://www.sqlite.org/wal.html, section 5; https://nbformat.readthedocs.io, 3 and 4.
"""

from __future__ import annotations

import codecs
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

IN_MEMORY_BYTES = 1 << 28  # 256 MiB: a notebook, a JSON list, or a database in a zip file
NAMES = 2_000  # more keys than this are values used as keys, such as customer numbers
BREAKING_TAGS = {"tr", "br", "p", "div", "li", "pre", "table", "h1", "h2", "h3"}
SPOKEN_ATTRIBUTES = ("href", "title", "alt", "value", "content")

Open = Callable[[], AbstractContextManager[BinaryIO]]
Chunk = tuple[pa.Array, list[pa.Array]]  # row numbers, columns
Row = tuple[int, Sequence[str | None]]
Reject = Callable[[int, str], None]
Skip = Callable[[str, str], None]


class UnpackError(Exception):
    """The file is damaged or in use. Messages name a place in it, never a value."""


Error = UnpackError  # what every reader calls the base of its errors


@dataclass(eq=False)
class Table:
    """One table in a file; every call of `chunks` reads it anew."""

    place: str
    kind: str
    header: tuple[str, ...]
    _chunks: Callable[[Sequence[int], int, Reject], Iterator[Chunk]] = field(repr=False)
    header_row: int = 0  # there is no header line

    def chunks(self, wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        """Yield row numbers and as many text columns as *wanted*, at most *rows* at once.

        *reject* is called with a row number and the reason for what could not be read.
        """
        return self._chunks(wanted, rows, reject)

    def leftover(self) -> None:
        """Return nothing: whatever is in these files is in a column."""


def kind(name: str, head: bytes, members: Sequence[str] = ()) -> str:
    """Tell a file by its first bytes, or its name where they say nothing; empty if unknown."""
    if head.startswith(b"SQLite format 3\0"):
        return "sqlite"
    if head.startswith(b"PAR1"):
        return "parquet"
    endings = {".ipynb": "notebook", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json"}
    return endings.get(Path(name.lower()).suffix, "") if not members else ""


def tables(kind: str, open_: Open, path: Path | None, skip: Skip) -> Iterator[Table]:
    """Yield the tables in a file; raise `UnpackError` if it is damaged or in use.

    Args:
        kind: What `kind` said.
        open_: Opens the file anew, as bytes in which one can seek.
        path: The file on disk, or None if there is only *open_*.
        skip: Called with place and reason for what was not looked into.
    """
    if kind == "sqlite":
        return _database(open_, path)
    if kind == "parquet":
        return iter([_parquet(open_)])
    if kind == "notebook":
        return _notebook(_json(open_), skip)
    records = _json_list if kind == "json" else _json_lines
    return iter([_objects(lambda: records(open_))])


# ---- SQLite


def _database(open_: Open, path: Path | None) -> Iterator[Table]:
    with _connect(open_, path) as connection:
        listed = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall()
        found = [
            (name, [row[1] for row in connection.execute(f"PRAGMA table_xinfo({_quoted(name)})")])
            for name, sql in listed
            if not (sql or "")
            .upper()
            .startswith("CREATE VIRTUAL")  # its text is in tables beside it
        ]
    for name, columns in found:
        yield _database_table(open_, path, name, columns)


def _database_table(open_: Open, path: Path | None, name: str, columns: list[str]) -> Table:
    def rows(wanted: Sequence[int], reject: Reject) -> Iterator[Row]:
        binary = 0
        asked = ", ".join(_quoted(columns[at]) for at in wanted) or "NULL"
        with _connect(open_, path) as connection:
            cursor = connection.execute(f"SELECT {asked} FROM {_quoted(name)}")  # noqa: S608
            for number, values in enumerate(cursor, 1):
                cells = [_shown(value) for value in values]
                binary += sum(
                    a is not None and b is None for a, b in zip(values, cells, strict=True)
                )
                yield number, cells
        if binary:
            reject(0, f"{binary} binary values, such as pictures or sealed fields")

    return _of_rows(f"table {name}", "sqlite", columns, rows)


@contextmanager
def _connect(open_: Open, path: Path | None) -> Iterator[sqlite3.Connection]:
    """Open a database without changing it, or the folder it is in."""
    try:
        if path is None:
            with open_() as stream:
                data = _all(stream)
            if data[18:20] == b"\2\2":  # in WAL mode; the log is not in the zip file
                data = data[:18] + b"\1\1" + data[20:]
            database = sqlite3.connect(":memory:")
            database.deserialize(data)
        else:
            database = sqlite3.connect(_uri(path), uri=True)
        with closing(database) as connection:
            connection.text_factory = _decoded
            connection.execute("PRAGMA trusted_schema = OFF")  # the file may not run functions
            yield connection
    except sqlite3.Error:
        raise UnpackError("a damaged database, or one in use; close its program") from None


def _uri(path: Path) -> str:
    """Return an address that opens the file read-only.

    A database in WAL mode makes files beside itself even when it is only read. Without a log
    it is complete, and ``immutable`` keeps SQLite from making one. With a log and the index
    of a running program it is read as that program does; with a log alone it is refused.
    """
    log, index = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
    with path.open("rb") as stream:
        in_wal_mode = stream.read(20)[18:] == b"\2\2"
    pending = log.exists() and log.stat().st_size > 0
    if in_wal_mode and pending and not index.exists():
        raise UnpackError("changes wait in its -wal file; open and close it in its program")
    mode = "mode=ro&immutable=1" if in_wal_mode and not pending else "mode=ro"
    return f"{path.resolve().as_uri()}?{mode}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")  # reads every byte


def _shown(value: object) -> str | None:
    """Return a value as text, or None if it is missing or binary."""
    if isinstance(value, bytes):
        try:
            return None if 0 in value else value.decode()
        except UnicodeDecodeError:
            return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else f"{value:.15g}"
    if isinstance(value, (list, dict)):
        return json.dumps(value, default=str, ensure_ascii=False)
    return None if value is None else str(value)


# ---- JSON


def _parse(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=str,  # digits as they stand
            parse_float=str,
            parse_constant=str,
        )
    except (ValueError, RecursionError):
        raise UnpackError("not JSON, or cut short; export it again") from None


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with every key; one that stands in it twice gets a number."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        name, copy = _clean(key), 1
        while name in found:
            copy += 1
            name = f"{_clean(key)} ({copy})"
        found[name] = value
    return found


def _clean(text: str) -> str:
    """Replace half characters, which JSON can write and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _dump(value: Any) -> str:
    return _clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _all(stream: BinaryIO) -> bytes:
    data = stream.read(IN_MEMORY_BYTES + 1)
    if len(data) > IN_MEMORY_BYTES:
        raise UnpackError(f"over {IN_MEMORY_BYTES >> 20} MiB; export it in parts, or as CSV")
    return data


def _json(open_: Open) -> Any:
    with open_() as stream:
        return _parse(_decoded(_all(stream).removeprefix(codecs.BOM_UTF8)))


def _json_list(open_: Open) -> Iterator[tuple[int, Any]]:
    """Yield the records: a list, the only list in an object, or one record."""
    value = _json(open_)
    if (
        isinstance(value, dict)
        and len(value) == 1
        and isinstance(only := [*value.values()][0], list)
    ):
        value = only
    return enumerate(value if isinstance(value, list) else [value], 1)


def _json_lines(open_: Open) -> Iterator[tuple[int, Any]]:
    with open_() as stream:
        for number, line in enumerate(stream, 1):
            if text := _decoded(line.removeprefix(codecs.BOM_UTF8)).strip():
                try:
                    yield number, _parse(text)
                except UnpackError as error:
                    raise UnpackError(f"line {number}: {error}") from None


def _objects(records: Callable[[], Iterable[tuple[int, Any]]]) -> Table:
    """Return records as a table whose columns are all the keys that occur; they are read twice."""
    names: dict[str, None] = {}
    for _, record in records():
        names |= dict.fromkeys(_object(_flat(record)))
        if len(names) > NAMES:
            names = {"record": None}
            break
    header = list(names)

    def rows(wanted: Sequence[int], reject: Reject) -> Iterator[Row]:
        for number, record in records():
            whole = header == ["record"]
            cells = {"record": _dump(record)} if whole else _object(_flat(record))
            yield number, [cells.get(header[at]) for at in wanted]

    return _of_rows("", "jsonl", header, rows)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield a record as dotted keys and texts."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{path}.{key}" if path else key)
    else:
        yield path or "value", value if value is None else _dump(value)


# ---- Parquet


def _parquet(open_: Open) -> Table:
    with _parquet_file(open_) as file:
        header = tuple(file.schema_arrow.names)

    def chunks(wanted: Sequence[int], rows: int, reject: Reject) -> Iterator[Chunk]:
        first = 1
        with _parquet_file(open_) as file:
            names = [header[at] for at in wanted]
            for batch in file.iter_batches(rows, columns=names, use_threads=False):
                numbers = pa.array(range(first, first + batch.num_rows), pa.int64())
                yield numbers, [_text_column(batch.column(name)) for name in names]
                first += batch.num_rows

    return Table("", "parquet", header, chunks)


@contextmanager
def _parquet_file(open_: Open) -> Iterator[Any]:
    with open_() as stream:
        try:
            yield pyarrow.parquet.ParquetFile(pa.PythonFile(stream, mode="r"))
        except (pa.ArrowException, OSError, KeyError):
            raise UnpackError("a damaged Parquet file; export it again") from None


def _text_column(column: pa.Array) -> pa.Array:
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists, structures, bytes
        return pa.array([_shown(value) for value in column.to_pylist()], pa.string())


# ---- notebooks


def _notebook(notebook: Any, skip: Skip) -> Iterator[Table]:
    """Yield the lines of each cell's source and saved outputs."""
    content = _dict(notebook)
    cells = _list(content, "cells")
    if "worksheets" in content:  # version 3 keeps them one level down
        cells = [one for sheet in _list(content, "worksheets") for one in _list(sheet, "cells")]
    for number, cell in enumerate(map(_dict, cells), 1):
        place = f"cell {number}"
        yield from _lines(place, [_joined(cell.get("source", cell.get("input", "")))])
        pictures: list[str] = []
        texts = [text for one in _list(cell, "outputs") for text in _output(_dict(one), pictures)]
        for bundle in _dict(cell.get("attachments")).values():
            texts += _mimes(bundle, pictures)
        yield from _lines(f"{place}, output", texts)
        if pictures:
            skip(f"{place}, output", f"{len(pictures)} pictures or files; look at them by eye")
    widgets = _dict(content.get("metadata")).get("widgets")  # what they last showed
    yield from _lines("widgets", [json.dumps(widgets, indent=1)] if widgets else [])


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(holder: Any, key: str) -> list[Any]:
    value = _dict(holder).get(key)
    return value if isinstance(value, list) else []


def _joined(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "".join(value)
    return value if isinstance(value, str) else _dump(value)


def _output(parts: dict[str, Any], pictures: list[str]) -> Iterator[str]:
    """Yield the texts of one saved output: printed, shown, or an error with its traceback."""
    for key in ("text", "ename", "evalue", "html", "latex", "json", "svg"):
        if key in parts:
            yield _stripped(_joined(parts[key])) if key in ("html", "svg") else _joined(parts[key])
    trace = "\n".join(_joined(line) for line in _list(parts, "traceback"))
    yield re.sub(r"\x1b\[[\d;]*m", "", trace)  # its colours
    yield from _mimes(parts.get("data"), pictures)


def _mimes(bundle: Any, pictures: list[str]) -> Iterator[str]:
    for mime, value in _dict(bundle).items():
        if mime in ("text/html", "image/svg+xml"):
            yield _stripped(_joined(value))
        elif mime.startswith(
            ("image/", "audio/", "video/", "application/pdf", "application/octet")
        ):
            pictures.append(mime)
        else:
            yield _joined(value)


class _Stripper(HTMLParser):
    """Keeps what a reader can see or click, and comments."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Break the line at a row; keep addresses and titles."""
        self.texts.append("\n" if tag in BREAKING_TAGS else "\t" if tag in ("td", "th") else "")
        self.texts += [f" {value} " for key, value in attrs if key in SPOKEN_ATTRIBUTES and value]

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.texts.append(data)

    handle_comment = handle_data


def _stripped(html: str) -> str:
    stripper = _Stripper()
    stripper.feed(html)
    stripper.close()
    return "".join(stripper.texts)


def _lines(place: str, texts: Iterable[str]) -> Iterator[Table]:
    lines = [_clean(line) for text in texts for line in text.splitlines()]
    if any(line.strip() for line in lines):
        yield _of_rows(
            place,
            "notebook",
            ["text"],
            lambda wanted, reject: ((n, [line] * len(wanted)) for n, line in enumerate(lines, 1)),
        )


def _of_rows(
    place: str,
    kind: str,
    header: Sequence[str],
    rows: Callable[[Sequence[int], Reject], Iterator[Row]],
) -> Table:
    def chunks(wanted: Sequence[int], size: int, reject: Reject) -> Iterator[Chunk]:
        return _pack(rows(wanted, reject), len(wanted), size)

    return Table(place, kind, tuple(header), chunks)


def _pack(rows: Iterator[Row], width: int, size: int) -> Iterator[Chunk]:  # as in sheets.py
    """Turn rows into columns, *size* rows at a time."""
    while part := list(islice(rows, size)):
        numbers = pa.array([number for number, _ in part], pa.int64())
        columns = zip(*(cells for _, cells in part), strict=True) if width else ()
        yield numbers, [pa.array(column, pa.string()) for column in columns]
