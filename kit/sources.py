# SPDX-License-Identifier: MIT-0
"""Find every table in a folder, so that no copy of customer data is overlooked.

Copy: ``kit copy sources --into DIR``, or take this file as it is.
Needs: Python 3.11, pyarrow. Nothing else from this kit.
Data: none.

A `Source` is one table found in one file. It is streamed as Arrow record batches:
``#row`` (int64, the row number a person would count, the file's first row being 1),
then the columns asked for, each of text. A column that is not asked for never gets
past the tokenizer, so a card number that nobody wants is never in memory as a cell.

Rows that do not fit the header are not dropped in silence: `Source.rejects` has their
number and the reason, `Source.leftover` has their text for a scanner to look at.

Folders and zip files are opened here; each file in them is read by the first of the
``readers`` that knows it (`Reader`): `delimited`, `workbook` and `unpack`, or your own.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

ROW = "#row"
ZIP_BYTES = 1 << 31  # 2 GiB unpacked, all members of one zip file together
ZIP_RATIO = 200  # exports pack 5 to 50 times smaller; bombs about 1,000 (the limit of deflate)
ZIP_SMALL_BYTES = 1 << 24  # 16 MiB: below it no ratio is dangerous
ZIP_MEMBERS = 10_000
ZIP_DEPTH = 2  # levels: a zip file inside a zip file, no further
NESTED_BYTES = 1 << 28  # 256 MiB: a zip file inside another is held in memory
NOT_WALKED = {".git", ".venv", "node_modules", "__pycache__"}  # hold no data of the shop
SAVE_AS = "save it as CSV or XLSX and try again"
MAGIC = (
    (b"%PDF", "a PDF; read it by eye, or export the data behind it as CSV"),
    (b"\xd0\xcf\x11\xe0", f"an old or password-protected Office file; {SAVE_AS}"),
    (b"\x89PNG", "a picture; look at it by eye"),
    (b"\xff\xd8\xff", "a picture; look at it by eye"),
    (b"GIF8", "a picture; look at it by eye"),
    (b"RIFF", "a picture or a recording; look at it by eye"),
    (b"\x1f\x8b", "packed with gzip; unpack it first"),
    (b"7z\xbc\xaf", "packed with 7-Zip; unpack it first"),
    (b"Rar!", "packed with RAR; unpack it first"),
    (b"age-encryption.org", "encrypted; nothing can be seen from outside"),
)

Open = Callable[[], AbstractContextManager[BinaryIO]]
Pump = Callable[["Source", Sequence[str], int], Iterator[pa.RecordBatch]]


class SourceError(Exception):
    """Base of the errors below. Messages name a file, a row or a column, never a cell's text."""


class NotATable(SourceError):
    """The file cannot be read as a table here; the message says what to do instead."""


class BrokenFile(SourceError):
    """The file is damaged, or holds what no honest export holds."""


class NoSuchColumn(SourceError):
    """A column was asked for that the table does not have."""


@dataclass(frozen=True)
class Reject:
    """A row that could not be read into its columns, and why. Never its text."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class Skipped:
    """Something that was not looked into, and what to do about it."""

    path: Path
    reason: str
    place: str = ""


class Table(Protocol):
    """What a `Reader` finds: a `Source` whose columns are asked for by position."""

    place: str
    kind: str
    header: tuple[str, ...]
    header_row: int

    def chunks(
        self, wanted: Sequence[int], rows: int, reject: Callable[[int, str], None]
    ) -> Iterator[tuple[pa.Array, list[pa.Array]]]:
        """Yield row numbers and the columns wanted, as text; report the rows that do not fit."""

    def leftover(self) -> Table | None:
        """Return, after reading, what the columns did not show."""


class Reader(Protocol):
    """What reads one family of files: a module such as ``kit/delimited.py``, or your own."""

    @property
    def Error(self) -> type[Exception]:  # noqa: N802
        """Base of its errors; their messages are passed on."""

    def kind(self, name: str, head: bytes, members: Sequence[str]) -> str:
        """Tell a file by its name, first bytes and zip members; empty if it is unknown."""

    def tables(
        self, kind: str, open_: Open, path: Path | None, skip: Callable[[str, str], None]
    ) -> Iterator[Table]:
        """Yield its tables; *path* is None inside a zip file; report what was not looked into."""


@dataclass(eq=False)
class Source:
    """One table found in one file. It holds no rows: every call of `batches` reads anew.

    Attributes:
        path: The file on disk.
        place: Where in that file: ``""``, ``sheet Notes (hidden)``, ``table customers``.
        kind: csv, xlsx, sqlite, jsonl, parquet, notebook or text.
        header: The header as it stands; may repeat or be blank.
        header_row: Row number of the header, 0 where there is none.
        names: The header made unique: the column names in the batches.
        rejects: Filled while reading; empty before.
    """

    path: Path
    place: str
    kind: str
    header: tuple[str, ...]
    header_row: int
    _pump: Pump = field(repr=False)
    _rest: Callable[[], Source | None] = field(repr=False)
    names: tuple[str, ...] = field(init=False, repr=False)
    rejects: list[Reject] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self.names = _unique(self.header)

    def batches(
        self, columns: Sequence[str] | None = None, *, rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Stream the table.

        Args:
            columns: Which of `names`, in this order; all of them if None.
            rows: At most so many rows in one batch; fewer where rows are long.

        Returns:
            Batches of ``#row`` and the columns, as text. A blank cell is ``""``; a value that
            the file says is missing is null. A blank line is a row of blank cells.

        Raises:
            NoSuchColumn: At once, before the file is opened.
            BrokenFile: With the row number, when a damaged place is reached.
        """
        wanted = self.names if columns is None else tuple(columns)
        if missing := set(wanted) - set(self.names):
            raise NoSuchColumn(
                f"{self.path.name}: no column {min(missing)!r}; choose from its {len(self.names)}"
            )
        return self._stream(wanted, rows)

    def _stream(self, wanted: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        self.rejects.clear()
        yield from self._pump(self, wanted, rows)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the whole table at once; see `batches`."""
        wanted = self.names if columns is None else tuple(columns)
        return pa.Table.from_batches(self.batches(wanted), schema=_schema(wanted))

    def leftover(self) -> Source | None:
        """Return what the columns did not show: rows that do not fit, lines above the header.

        Call it after reading. A card number sits just where a comma too many broke the row.
        """
        return self._rest()


def find(
    paths: Iterable[Path],
    *,
    readers: Sequence[Reader],
    skipped: list[Skipped],
    progress: Callable[[int, int | None], None] | None = None,
) -> Iterator[Source]:
    """Yield every table in files, folders and zip files, in the order of their names.

    Read each source before asking for the next one: what did not fit its columns then
    follows as a source of its own. Hidden files are looked into, links are not followed.
    Damage does not stop the search: a source then ends early, and *skipped* says where.

    Args:
        paths: Files and folders.
        readers: Asked in this order; the first that knows a file reads it.
        skipped: Gets what could not be looked into, why, and what to do about it.
        progress: Called with bytes done and bytes in all.
    """
    files = [file for path in paths for file in _walk(Path(path), skipped)]
    sizes = [file.stat().st_size for file in files]
    done = 0
    for path, size in zip(files, sizes, strict=True):
        file = _File(path, "", _opener(path), readers, skipped, strict=False)
        try:
            for source in _sources(file):
                yield source
                if rest := source.leftover():
                    yield rest
        except SourceError as error:
            file.skip(str(error))
        done += size
        if progress:
            progress(done, sum(sizes))


def open_one(path: Path, *, readers: Sequence[Reader]) -> Source:
    """Open a file that should hold one table, such as a till's export.

    Of a workbook the first visible sheet with something in it is taken.

    Raises:
        NotATable: If there is no table in it, or more than one.
        BrokenFile: If it is damaged.
    """
    path = Path(path)
    skipped: list[Skipped] = []
    if not path.is_file():
        why = "a folder; name one file in it" if path.is_dir() else "no such file; check the name"
        raise NotATable(f"{path.name}: {why}")
    file = _File(path, "", _opener(path), readers, skipped, strict=True)
    found = [
        source
        for source in islice(_sources(file), 100)
        if source.kind not in ("text", "notebook") and "(hidden)" not in source.place
    ]
    if not found:
        why = skipped[0].reason if skipped else "no table in it; export it again as CSV"
        raise NotATable(f"{path.name}: {why}")
    if len(found) > 1 and found[0].kind != "xlsx":
        raise NotATable(
            f"{path.name}: {len(found)} tables in it; export the one that is meant as CSV"
        )
    return found[0]


# ---- files and folders


@dataclass(frozen=True)
class _File:
    """A file on disk or in a zip file."""

    path: Path
    place: str
    open: Open
    readers: Sequence[Reader]
    skipped: list[Skipped]
    strict: bool  # damage found while reading: raise it, or go on and list it as skipped?
    depth: int = 0
    budget: list[int] = field(default_factory=lambda: [ZIP_BYTES])  # shared by nested members

    @property
    def name(self) -> str:
        return self.place or self.path.name

    @property
    def on_disk(self) -> Path | None:
        return None if self.depth else self.path

    def skip(self, reason: str, place: str = "") -> None:
        self.skipped.append(Skipped(self.path, reason, _join(self.place, place)))


def _join(*places: str) -> str:
    return ", ".join(place for place in places if place)


def _opener(path: Path) -> Open:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        try:
            with path.open("rb") as stream:
                yield stream
        except OSError as error:
            raise BrokenFile(
                f"{path.name}: {error.strerror or 'unreadable'}; close it elsewhere, check rights"
            ) from None

    return opened


def _walk(path: Path, skipped: list[Skipped]) -> Iterator[Path]:
    def closed(error: OSError) -> None:
        skipped.append(Skipped(Path(error.filename), "may not be opened; check its rights"))

    if not path.is_dir():
        if path.is_file():
            yield path
        else:
            skipped.append(Skipped(path, "no such file; check the name"))
        return
    for folder, folders, names in os.walk(path, onerror=closed):
        folders[:] = sorted(set(folders) - NOT_WALKED)
        links = {name for name in folders if Path(folder, name).is_symlink()}
        for file in (Path(folder, name) for name in sorted({*names, *links})):
            if file.is_symlink() or not file.is_file():
                skipped.append(Skipped(file, "a link or a device; name its target instead"))
            else:
                yield file


def _sources(file: _File) -> Iterator[Source]:
    """Yield the tables of one file, whatever it is."""
    with file.open() as stream:
        head = stream.read(8192)
    is_zip = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    members = [info.filename for info in _infos(file)] if is_zip else []
    skip: Callable[[str, str], None] = lambda place, reason: file.skip(reason, place)  # noqa: E731
    if not head:
        return file.skip("empty; nothing to do")
    if known := next((reason for magic, reason in MAGIC if head.startswith(magic)), None):
        return file.skip(known)
    known_by = 0
    for reader in file.readers:
        if kind := reader.kind(file.name, head, members):
            known_by += 1
            try:
                for table in reader.tables(kind, file.open, file.on_disk, skip):
                    yield _source(file, table, reader)
                return
            except reader.Error as error:  # broken JSON is text still: ask the next one
                file.skip(str(error))
    if known_by:
        return
    if {"[Content_Types].xml", "mimetype", "Index/Document.iwa"} & set(members):
        file.skip(f"an office document; {SAVE_AS}")
    elif is_zip:
        yield from _zipped(file)
    else:
        file.skip("of a kind unknown here; look at it by eye")


def _source(file: _File, table: Table, reader: Reader) -> Source:
    def pump(source: Source, wanted: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        def reject(row: int, reason: str) -> None:
            source.rejects.append(Reject(row, "", reason))

        at = [source.names.index(name) for name in wanted]
        schema = _schema(wanted)
        try:
            for numbers, columns in table.chunks(at, rows, reject):
                yield pa.RecordBatch.from_arrays([numbers, *columns], schema=schema)
        except (reader.Error, BrokenFile) as error:
            reason = str(error) if isinstance(error, BrokenFile) else f"{file.name}: {error}"
            if file.strict:
                raise BrokenFile(reason) from None
            file.skip(f"in part: {reason}")

    def rest() -> Source | None:
        return _source(file, found, reader) if (found := table.leftover()) else None

    place = _join(file.place, table.place)
    return Source(file.path, place, table.kind, table.header, table.header_row, pump, rest)


# ---- zip files: read in place, and no member's name is ever used as a path


@contextmanager
def _archive(file: _File) -> Iterator[zipfile.ZipFile]:
    try:
        with file.open() as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error):
        raise BrokenFile(f"{file.name}: a damaged zip file; fetch it again") from None


def _infos(file: _File) -> list[zipfile.ZipInfo]:
    with _archive(file) as archive:
        return [info for info in archive.infolist() if not info.is_dir()]


def _zipped(file: _File) -> Iterator[Source]:
    infos = _infos(file)
    total = sum(info.file_size for info in infos)  # a lie here is cut short by zipfile
    file.budget[0] -= total
    if len(infos) > ZIP_MEMBERS or file.budget[0] < 0:
        return file.skip(f"{len(infos)} files, {total >> 20} MiB when unpacked; unpack it first")
    for info in infos:
        name = "".join(c if c.isprintable() else "?" for c in info.filename)
        if info.flag_bits & 1:
            file.skip("encrypted with a password; unpack it first", name)
        elif info.file_size > max(ZIP_SMALL_BYTES, ZIP_RATIO * info.compress_size):
            file.skip("grows too much when unpacked, as a zip bomb does; delete it", name)
        else:
            yield from _member(file, info, name)


def _member(file: _File, info: zipfile.ZipInfo, name: str) -> Iterator[Source]:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with _archive(file) as archive, archive.open(info) as member:
            yield cast(BinaryIO, member)  # has every method that is used

    inner = replace(file, place=_join(file.place, name), open=opened, depth=file.depth + 1)
    try:
        with opened() as stream:
            nested = stream.read(4) == b"PK\x03\x04"
        if nested and (inner.depth >= ZIP_DEPTH or info.file_size > NESTED_BYTES):
            return inner.skip("too deep or too large inside a zip file; unpack that first")
        if nested:  # its table of contents is at its end, where a stream gets slowly
            with opened() as stream:
                data = stream.read()
            inner = replace(inner, open=lambda: io.BytesIO(data))
        yield from _sources(inner)
    except SourceError as error:
        inner.skip(str(error))


def _schema(names: Sequence[str]) -> pa.Schema:
    return pa.schema([(ROW, pa.int64()), *((name, pa.string()) for name in names)])


def _unique(header: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: a blank one gets its position, a repeated one a number."""
    names: dict[str, None] = {}
    for position, cell in enumerate(header, 1):
        name = base = cell.strip() or f"column {position}"
        copy = 1
        while name in names or name == ROW or (copy > 1 and name in header):
            copy += 1
            name = f"{base} ({copy})"
        names[name] = None
    return tuple(names)
