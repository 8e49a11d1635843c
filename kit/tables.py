# SPDX-License-Identifier: MIT-0
"""Write tables to files that a spreadsheet may open without running what a customer typed.

Copy: ``kit copy tables --into DIR``, or take this file as it is.
Needs: Python 3.11, pyarrow. Nothing else from this kit.
Data: none.

Columns are text, int64, bool, date32 or timestamp("us", "UTC"); a cell may be empty (null).

- ``csv``: one file per table. UTF-8, LF, a header; text is always quoted and nothing else ever
  is, so ``""`` is an empty text, no characters at all are a null, and a reader can tell text from
  numbers. Dates are ``2026-07-18``, instants ``2026-07-18T12:59:30Z``, flags ``true``/``false``.
  The same table gives the same bytes on every machine, however it was cut into batches.
- ``parquet``: one file per table, zstd. The only format that needs no rule to hold every value.
- ``sqlite``: one file, STRICT tables, written in one transaction. Flags are 0/1, dates and
  instants are text as above; a comment beside each column in its CREATE TABLE says which.

In a CSV a text that a spreadsheet would take for a formula gets an apostrophe in front; see
`guard`. `read` takes it off again. Not covered: a CSV opened in a program told to split cells at
some other character than the comma.

Source: OWASP, CSV Injection, for the leading characters; RFC 4180 for the quotes.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

Data: TypeAlias = pa.Table | pa.RecordBatchReader | Iterable[pa.RecordBatch]
Progress: TypeAlias = Callable[[int, int | None], None]
Streams: TypeAlias = dict[str, tuple[pa.Schema, Iterator[pa.RecordBatch]]]

KINDS = {
    "text": pa.string(),
    "int": pa.int64(),
    "flag": pa.bool_(),
    "date": pa.date32(),
    "instant": pa.timestamp("us", "UTC"),
}
TYPES = {kind: name for name, kind in KINDS.items()}

BATCH_ROWS = 65_536  # some 10 MB of a shop's rows at a time
LOOK_ROWS = 10_000  # records of a CSV looked at to tell the kinds of its columns
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,30}")  # a safe file name, and a sheet's 31 characters

# A sign, "=" or "@", also full-width or behind blanks and unseen characters; a tab or line break.
# Apostrophes are looked through: a text that already looks guarded is guarded once more.
FORMULA = r"^'*(?:[\s\p{Z}\p{Cf}]*[=+\-@＝＋－＠]|[\t\r\n])"
HARMLESS = r"^[+\-][0-9]+(?:\.[0-9]+)?$"  # a lone number or an E.164 phone computes nothing


class TablesError(Exception):
    """Base of the errors below. Messages name table, column and row, never a value."""


class Exists(TablesError):
    """A file of that name is there already."""


class CannotHold(TablesError):
    """The format has no way to hold this name, type or cell without changing it."""


class CannotWrite(TablesError):
    """The disk or the folder refused. Nothing was changed."""


class CannotRead(TablesError):
    """The file is damaged, of another kind, or its cells do not fit their column."""


def write(
    tables: Mapping[str, Data],
    folder: Path,
    *,
    format: str = "csv",
    name: str = "shop",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write tables to a folder, all of them or, if anything goes wrong, none.

    The files can be read by you alone, where the system knows such a thing.

    Args:
        tables: One entry per table: a table, a reader, or batches (the first tells the columns).
            Batches are written as they come: memory does not grow with the number of rows.
        folder: Is made if it is not there.
        format: ``csv``, ``parquet`` or ``sqlite``. (For ``xlsx`` there is the workbook tool.)
        name: Of the one file that ``sqlite`` makes.
        overwrite: Replace files of the same name. Others in the folder are left alone.
        progress: Called with the rows done and, where it is known, the rows to do.

    Returns:
        The files, in the order of the tables.

    Raises:
        Exists: If a file is there and *overwrite* is false.
        CannotHold: If a name or a type does not fit the format.
        CannotWrite: If the disk is full or the folder cannot be written to.
    """
    if format not in WRITERS:
        raise CannotHold(f"unknown format {format!r}; take one of {', '.join(WRITERS)}")
    streams = _streams(tables, progress)
    parts = {name: streams} if format == "sqlite" else {n: {n: s} for n, s in streams.items()}
    targets = [folder / f"{_checked(stem)}.{format}" for stem in parts]
    for target in targets:
        if target.exists() and not overwrite:
            raise Exists(f"{target.name} is already there; choose another folder or overwrite")
    drafts: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, part in zip(targets, parts.values(), strict=True):
            handle, draft = tempfile.mkstemp(prefix=f".{target.name}.", dir=folder)
            os.close(handle)
            drafts.append(Path(draft))
            WRITERS[format](drafts[-1], part)
            with drafts[-1].open("rb+") as file:  # Windows syncs only what is open for writing
                os.fsync(file.fileno())
        for done, target in zip(drafts, targets, strict=True):
            done.replace(target)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or "the disk may be full"
        raise CannotWrite(
            f"writing to {folder.name} failed ({reason}); make room or choose another folder"
        ) from error
    finally:
        for left in drafts:
            left.unlink(missing_ok=True)
    return targets


def read(path: Path, *, schemas: Mapping[str, pa.Schema] | None = None) -> dict[str, pa.Table]:
    """Read back what `write` wrote: one file, or every such file of a folder.

    Args:
        path: A ``.csv``, ``.parquet`` or ``.sqlite`` file, or a folder of them.
        schemas: For CSV, the column types by table name. Without them a column's type is told from
            its cells, and one that is empty in the first 10,000 rows is text.

    Returns:
        Tables by name. A CSV or Parquet file's table is named after the file.

    Raises:
        CannotRead: If there is nothing to read, a file is damaged, or two hold the same table.
    """
    files = [path]
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix in READERS and f.name[0] != ".")
    tables: dict[str, pa.Table] = {}
    for file in files:
        if file.suffix not in READERS or not file.is_file():
            raise CannotRead(f"{file.name} is no csv, parquet or sqlite file; check its name")
        try:
            found = READERS[file.suffix](file, schemas or {})
        except (OSError, ValueError, LookupError, sqlite3.Error, pa.ArrowException):
            raise CannotRead(  # from None: the cause may quote a row
                f"{file.name} is damaged, or a row does not fit its columns; "
                "write it anew, or import it as a till export"
            ) from None
        if both := tables.keys() & found.keys():
            raise CannotRead(f"table {min(both)} is in two files; read one file at a time")
        tables |= found
    if not tables:
        raise CannotRead(f"no table in {path.name}; is it the right folder?")
    return tables


def canonical_csv(data: Data) -> Iterator[bytes]:
    """Yield a table as the bytes of its CSV file, a batch at a time."""
    schema, batches = _stream("table", data)
    heads = _csv_cells(pa.array(schema.names, pa.string()))  # a column's name may be an attack too
    yield ",".join(heads.to_pylist()).encode() + b"\n"
    for batch in batches:
        cells = [_csv_cells(column) for column in batch.columns]
        yield _bytes([x for column in cells for x in (column, ",")][:-1] + ["\n"])


def sha256(data: Data) -> str:
    """Return the hash of a table's canonical CSV, in hex: equal tables, equal hash."""
    digest = hashlib.sha256()
    for part in canonical_csv(data):
        digest.update(part)
    return digest.hexdigest()


def guard(column: pa.Array) -> pa.Array:
    """Put an apostrophe before each text that a spreadsheet would take for a formula.

    That is a text that starts with ``= + - @`` (plain or full-width, also behind blanks), a tab or
    a line break. A lone number with a sign (``-12.50``) and a phone number in E.164
    (``+12025550100``) are let through: they compute nothing, and other programs need them as
    they are. ``+1-202-555-0100`` is guarded: a spreadsheet would show a sum. `unguard` is the way
    back, for every text.
    """
    risky = pc.match_substring_regex(column, FORMULA)
    if not pc.any(risky).as_py():
        return column
    risky = pc.and_not(risky, pc.match_substring_regex(column, HARMLESS))
    return pc.if_else(risky, pc.binary_join_element_wise("'", column, ""), column)


def unguard(column: pa.Array) -> pa.Array:
    """Take the apostrophe of `guard` off again."""
    return pc.replace_substring_regex(column, f"^'({FORMULA[1:]})", r"\1")


def _checked(name: str) -> str:
    """Return a name that is safe as a file name and as a table's."""
    if not NAME.fullmatch(name):
        raise CannotHold(f"{name!r} cannot be a name; use letters, digits and _, 31 at most")
    return name


def _streams(tables: Mapping[str, Data], progress: Progress | None) -> Streams:
    """Check names and types before anything is written, and count the rows as they go by."""
    known = [data.num_rows for data in tables.values() if isinstance(data, pa.Table)]
    total = sum(known) if len(known) == len(tables) else None
    done = 0

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal done
        for batch in batches:
            yield batch
            done += batch.num_rows
            if progress:
                progress(done, total)

    streams: Streams = {}
    for name, data in tables.items():
        schema, batches = _stream(_checked(name), data)
        streams[name] = schema, counted(batches)
    if len({name.casefold() for name in streams}) < max(len(streams), 1):
        raise CannotHold("no tables, or two whose names differ in case only; rename one")
    return streams


def _stream(name: str, data: Data) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the columns and the batches, none longer than `BATCH_ROWS`."""
    if isinstance(data, pa.Table):
        schema, batches = data.schema, iter(data.to_batches())
    elif isinstance(data, pa.RecordBatchReader):
        schema, batches = data.schema, iter(data)
    else:
        batches = iter([data] if isinstance(data, pa.RecordBatch) else data)
        first = next(batches, None)
        if first is None:
            raise CannotHold(f"table {name} has no batch to tell its columns; pass an empty table")
        schema, batches = first.schema, itertools.chain([first], batches)
    if not schema.names or len({c.casefold() for c in schema.names}) < len(schema.names):
        raise CannotHold(f"table {name} has no columns, or two of the same name; rename one")
    for field in schema:
        if field.type not in TYPES:
            raise CannotHold(
                f"{name}.{field.name} is {field.type}; cast it to one of "
                + ", ".join(str(kind) for kind in TYPES)
            )

    def cut() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.schema.types != schema.types or batch.schema.names != schema.names:
                raise CannotHold(f"table {name}: a batch has other columns than the first one")
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    return pa.schema([(field.name, field.type) for field in schema]), cut()


def _plain(column: pa.Array) -> pa.Array:
    """Return dates and instants as ISO text, everything else as it is."""
    if column.type == KINDS["instant"]:
        text = pc.replace_substring(column.cast(pa.timestamp("us")).cast(pa.string()), " ", "T")
        text = pc.binary_join_element_wise(text, "Z", "")
        return pc.replace_substring(text, ".000000Z", "Z")
    return column.cast(pa.string()) if column.type == KINDS["date"] else column


def _bytes(cells: list[pa.Array | str]) -> bytes:
    """Join columns of text, none with nulls, row by row into one run of bytes."""
    rows = pc.binary_join_element_wise(*cells, "")
    _, offsets, data = rows.buffers()  # freshly made: no offset, no spare bytes before the text
    end = memoryview(offsets).cast("i")[len(rows)]
    return bytes(memoryview(data)[:end])


# --- CSV ---


def _csv_cells(column: pa.Array) -> pa.Array:
    """Return a column as it stands in the file: text quoted, null as nothing."""
    if column.type == KINDS["text"]:
        text = pc.replace_substring(guard(column), '"', '""')
        return pc.fill_null(pc.binary_join_element_wise('"', text, '"', ""), "")
    return pc.fill_null(_plain(column).cast(pa.string()), "")


def _write_csv(path: Path, streams: Streams) -> None:
    [(schema, batches)] = streams.values()
    with path.open("wb") as file:
        for part in canonical_csv(pa.RecordBatchReader.from_batches(schema, batches)):
            file.write(part)


CELL = re.compile(rb'("[^"]*(?:""[^"]*)*"|[^,\r\n]*)(,|\r?\n|\Z)')
LOOKS = [  # of cells that are not quoted
    (re.compile(rb"true|false"), "flag"),
    (re.compile(rb"-?(0|[1-9]\d{0,18})"), "int"),
    (re.compile(rb"\d{4}-\d\d-\d\d"), "date"),
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"), "instant"),
]


def _read_csv(path: Path, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Table]:
    looks, start = _look(path)
    wanted = schemas.get(path.stem, pa.schema([]))
    schema = pa.schema(
        [(n, wanted.field(n).type if n in wanted.names else KINDS[k]) for n, k in looks]
    )
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise ValueError("cut short")  # Arrow reads a last cell whose quote never ends
        if file.tell() == start:  # a header alone, which Arrow takes for an error
            return {path.stem: schema.empty_table()}
        file.seek(start)
        table = pacsv.read_csv(
            file,
            read_options=pacsv.ReadOptions(column_names=schema.names, block_size=8 << 20),
            parse_options=pacsv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    columns = [unguard(c) if c.type == KINDS["text"] else c for c in table.columns]
    return {path.stem: pa.table(columns, schema)}


def _look(path: Path) -> tuple[list[tuple[str, str]], int]:
    """Return name and kind of each column, from the first records, and where the data start."""
    names: list[str] = []
    kinds: list[str] = []
    start = column = record = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in CELL.finditer(data):
            cell, end = match.groups()
            if not record:
                plain = cell[1:-1] if cell.startswith(b'"') else cell
                names.append(plain.replace(b'""', b'"').decode())
                kinds.append("")
            elif cell and not kinds[column]:
                found = (kind for look, kind in LOOKS if look.fullmatch(cell))
                kinds[column] = next(found, "text")
            column += 1
            if end != b",":
                start = start or match.end()
                record, column = record + 1, 0
                if not end or record > LOOK_ROWS or all(kinds):
                    break
    names = unguard(pa.array(names, pa.string())).to_pylist()
    return list(zip(names, (kind or "text" for kind in kinds), strict=True)), start


# --- Parquet ---


def _write_parquet(path: Path, streams: Streams) -> None:
    [(schema, batches)] = streams.values()
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


def _read_parquet(path: Path, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Table]:
    return {path.stem: pq.read_table(path)}


# --- SQLite ---

STORED = dict.fromkeys(KINDS, "TEXT") | {"int": "INTEGER", "flag": "INTEGER"}
COLUMN = re.compile(r'"((?:[^"]|"")*)" (?:TEXT|INTEGER) /\* (\w+) \*/')


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _write_sqlite(path: Path, streams: Streams) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = OFF")  # on an error the whole new file is thrown away
        db.execute("PRAGMA synchronous = OFF")  # it is synced once, at the end
        db.execute("BEGIN")
        for name, (schema, batches) in streams.items():
            columns = ", ".join(
                f"{_quoted(column)} {STORED[kind]} /* {kind} */"
                for column, kind in zip(schema.names, (TYPES[t] for t in schema.types), strict=True)
            )
            db.execute(f"CREATE TABLE {_quoted(name)} ({columns}) STRICT")
            marks = ", ".join("?" * len(schema))
            insert = f"INSERT INTO {_quoted(name)} VALUES ({marks})"  # noqa: S608 (quoted above)
            for batch in batches:
                db.executemany(insert, zip(*(_plain(c).to_pylist() for c in batch), strict=True))
        db.execute("COMMIT")


def _read_sqlite(path: Path, schemas: Mapping[str, pa.Schema]) -> dict[str, pa.Table]:
    tables = {}
    with closing(sqlite3.connect(path)) as db:
        for name, sql in db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"):
            columns = [(n.replace('""', '"'), k) for n, k in COLUMN.findall(sql)]
            schema = pa.schema([(n, KINDS[k]) for n, k in columns])
            plain = {"TEXT": pa.string(), "INTEGER": pa.int64()}
            stored = pa.schema([(n, plain[STORED[k]]) for n, k in columns])
            rows = db.execute(f"SELECT * FROM {_quoted(name)}")  # noqa: S608 (quoted above)
            batches = []
            while part := rows.fetchmany(BATCH_ROWS):
                values = zip(*part, strict=True)
                arrays = [pa.array(v, t) for v, t in zip(values, stored.types, strict=True)]
                batches.append(pa.record_batch(arrays, schema=stored))
            tables[name] = pa.Table.from_batches(batches, stored).cast(schema)
    return tables


WRITERS = {"csv": _write_csv, "parquet": _write_parquet, "sqlite": _write_sqlite}
READERS = {".csv": _read_csv, ".parquet": _read_parquet, ".sqlite": _read_sqlite}
