# SPDX-License-Identifier: MIT-0
"""Copy the shop's database while the till is selling, so that a backup is never half a sale.

Copy: ``kit copy snapshot --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Copying the file of a database in use gave a broken copy every time it was tried; SQLite's own
backup gave none. What `take` writes is one SQLite file, readable by its owner only, that holds the
database as of one moment. It stands alone: there is no -wal or -shm file beside it, and opening it
makes none. Two copies of a database that did not change are the same, byte for byte.

Beware: a copy is as secret as the database, and may still hold deleted rows. It is filled in a
folder ``.NAME.8 signs.part`` beside the target that nobody else may enter, and takes the name when
it is complete; whatever fails before leaves nothing. A power cut leaves that folder, which the
next run for the same target deletes.

Source: https://www.sqlite.org/backup.html; https://www.sqlite.org/fileformat.html, section 1.3;
https://www.sqlite.org/howtocorrupt.html, section 1.2.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PAGES = 4096  # copied between two calls of the progress; 16 MiB with pages of the usual size
BESIDE = ("-wal", "-journal")  # files that change what the database holds once it is opened
SCHEMA = r"FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'"  # without SQLite's own

Progress = Callable[[int, int], None]

NEXT_STEP = {  # by the result codes of SQLite
    sqlite3.SQLITE_FULL: "free some space on the disk and run it again",
    sqlite3.SQLITE_IOERR: "the disk may be full or failing; check it, then run it again",
    sqlite3.SQLITE_CANTOPEN: "check that you may read and write in this folder",
    sqlite3.SQLITE_READONLY: "check that you may read and write in this folder",
    sqlite3.SQLITE_NOTADB: "choose another file, or give the key if it is encrypted as a whole",
    sqlite3.SQLITE_CORRUPT: "stop using it, keep it, and restore the newest backup that was proven",
}


class SnapshotError(Exception):
    """Base of the errors below. Messages never hold a value of a row."""


class Busy(SnapshotError):
    """Another program keeps the database locked; a later run may succeed."""


class BadDatabase(SnapshotError):
    """The file is missing, empty, damaged or no SQLite database, or is not a finished copy."""


class BadTarget(SnapshotError):
    """The copy cannot be written: the disk is full, or the name is taken."""


@dataclass(frozen=True)
class Facts:
    """What is told of a copy, to compare with what is restored.

    Row counts are business secrets: keep them sealed, or as a hash.
    """

    size: int  # bytes
    sha256: str
    page_size: int  # bytes
    schema_sha256: str  # of the text of all tables, indexes, views and triggers
    rows: dict[str, int]  # of each table; none for virtual ones
    problems: tuple[str, ...] | None  # none found is (); not looked for is None


def take(
    live: Path,
    target: Path,
    *,
    wait_s: float = 30.0,
    lasting: bool = True,
    progress: Progress | None = None,
) -> None:
    """Write a consistent copy of a database that may be in use.

    Sales go on meanwhile if the database is in WAL mode, else they wait until the copy is made:
    about a second for 500 MB.

    Args:
        live: The database in use. It may be in WAL or in rollback mode.
        target: Name of the copy, which must be free.
        wait_s: Seconds to wait for a program that is just writing.
        lasting: Wait until the copy is on the disk. False is for a copy whose hash is compared
            before it is used later, or that is deleted soon; a power cut may spoil it.
        progress: Called with the bytes copied and their sum, about once per 16 MiB.

    Raises:
        Busy: The database was locked all that time.
        BadDatabase: It is missing, no SQLite database, or holds no table. An empty copy is
            refused, since it would look like a backup and push out a good one.
        BadTarget: The copy cannot be written.
    """
    if not live.is_file():
        raise BadDatabase(f"{live.name} is not there; check the name and the folder")
    with _filled(target, lasting) as part, _told(live):
        # rw: what a crashed program left half-done is put right first; ro could not do that
        with closing(_open(live, "mode=rw", wait_s)) as source, closing(_open(part)) as copy:
            # One read transaction for all of it: else each write of another program makes
            # SQLite begin anew, and the copy of a busy database is never done.
            source.execute("BEGIN")
            if not source.execute(f"SELECT 1 {SCHEMA} AND type = 'table'").fetchone():
                raise BadDatabase(f"{live.name} holds no table; is this the shop's database?")
            page = source.execute("PRAGMA page_size").fetchone()[0]
            copy.execute("PRAGMA synchronous = OFF")  # _filled sees to that, once

            def told(_: int, left: int, pages: int) -> None:
                if progress:
                    progress((pages - left) * page, pages * page)

            source.backup(copy, pages=PAGES, progress=told)
            # The header of a copy says WAL if the source's does; opening it would make side files.
            copy.execute("PRAGMA journal_mode = DELETE")


def facts(path: Path, *, check: bool = True, hashed: bool = True) -> Facts:
    """Return what identifies a finished copy, and what is wrong with it.

    Args:
        path: A copy that nobody writes to.
        check: Look for problems too, which takes most of the time: 3 s for 300 MB. SQLite's own
            check overlooks most altered bytes; only the hash proves that a copy is unchanged.
        hashed: Read all of it for its hash; False leaves that empty, if it is known already.

    Raises:
        BadDatabase: It is missing, no SQLite database, too damaged to count its rows, or has
            another database's -wal or -journal beside it.
    """
    with _told(path), closing(_finished(path)) as db:
        page_size = db.execute("PRAGMA page_size").fetchone()[0]
        schema = sorted(db.execute(f"SELECT type, name, tbl_name, sql {SCHEMA}"))
        names = [name for kind, name, _, sql in schema if kind == "table" and _ordinary(sql)]
        rows = {
            name: db.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchone()[0]  # noqa: S608
            for name in names
        }
        problems = tuple(_problems(db)) if check else None
    digest = ""
    if hashed:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    text = json.dumps(schema, separators=(",", ":")).encode()
    return Facts(
        size=path.stat().st_size,
        sha256=digest,
        page_size=page_size,
        schema_sha256=hashlib.sha256(text).hexdigest(),
        rows=rows,
        problems=problems,
    )


def canaries(
    path: Path,
    table: str,
    column: str,
    *,
    key: bytes,
    only: Iterable[int | str] | None = None,
    count: int = 20,
) -> dict[int | str, str]:
    """Return keyed marks of a few rows, to recognise them in a restored copy.

    A till that was taken over can write backups of rubbish that pass every other check; marks
    that were recorded earlier and elsewhere show it.

    Args:
        path: A finished copy.
        table: Name of the table, such as ``"customers"``.
        column: Its key, such as ``"customer_id"``. A mark is told with it, so no name or e-mail.
        key: A secret of 32 bytes; without it, a mark cannot be made and tells nothing.
        only: Keys to look up again. One that is not there, such as an erased customer's, is left
            out of the result. Without it, *count* rows spread over the whole table are taken.
        count: How many rows.

    Raises:
        BadDatabase: As `facts`; also if there is no such table or column.
    """
    rows, ident = _quoted(table), _quoted(column)
    with _told(path), closing(_finished(path)) as db:
        if only is None:
            total = db.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]  # noqa: S608
            numbered = f"SELECT {ident} AS id, row_number() OVER (ORDER BY {ident}) - 1 AS n"  # noqa: S608
            query = f"SELECT id FROM ({numbered} FROM {rows}) WHERE n % ? = 0 LIMIT ?"  # noqa: S608
            step = max(1, -(-total // count))
            only = [number for (number,) in db.execute(query, (step, count))]
        marks = {}
        for number in only:
            found = db.execute(f"SELECT * FROM {rows} WHERE {ident} = ?", (number,))  # noqa: S608
            names = [name for name, *_ in found.description]
            for row in found:
                text = ascii(list(zip(names, row, strict=True))).encode()
                marks[number] = hmac.digest(key, text, "sha256").hex()
    return marks


def _problems(db: sqlite3.Connection) -> Iterator[str]:
    """Yield what SQLite finds wrong, in words that hold no value."""
    for (text,) in db.execute("PRAGMA integrity_check"):
        if text != "ok":
            yield text
    counts = 'SELECT "table", parent, count(*) FROM pragma_foreign_key_check GROUP BY 1, 2'
    for table, parent, number in db.execute(counts):
        yield f"{number} rows of {table} belong to rows of {parent} that are not there"


def _open(path: Path, how: str = "mode=rw", wait_s: float = 0.0) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}", uri=True, timeout=wait_s, isolation_level=None
    )
    db.execute("PRAGMA trusted_schema = OFF")  # a view or trigger may be an attacker's
    return db


def _finished(path: Path) -> sqlite3.Connection:
    """Open a copy so that no file is made beside it, and none beside it is used."""
    if not path.is_file():
        raise BadDatabase(f"{path.name} is not there; check the name and the folder")
    for end in BESIDE:
        if path.with_name(path.name + end).exists():
            say = "which would change what it holds; move that file away first"
            raise BadDatabase(f"{path.name} has {path.name}{end} beside it, {say}")
    return _open(path, "mode=ro&immutable=1")


def _ordinary(sql: str) -> bool:
    """Whether rows can be counted without the extension that a virtual table needs."""
    return not re.match(r"create\s+virtual\b", sql, re.IGNORECASE)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into ours, with the next step."""
    try:
        yield
    except sqlite3.Error as problem:
        code = getattr(problem, "sqlite_errorcode", 0) & 0xFF  # the rest only tells details
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            say = "locked by another program; close it, or try again later"
            raise Busy(f"{path.name} is {say}") from None
        kind = BadTarget if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) else BadDatabase
        step = NEXT_STEP.get(code, "check that it is the database you mean")
        raise kind(f"{path.name}: {problem}; {step}") from None


@contextmanager
def _filled(target: Path, lasting: bool) -> Iterator[Path]:
    """Give a file in a private folder to fill; it becomes *target* if nothing was raised."""
    with _written(target):
        mark = re.compile(re.escape(f".{target.name}.") + r"\w{8}\.part")
        for old in [path for path in target.parent.iterdir() if mark.fullmatch(path.name)]:
            shutil.rmtree(old, ignore_errors=True)  # left by a power cut
        if os.path.lexists(target):
            raise BadTarget(f"{target.name} is there already; choose another name")
        folder = tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    try:
        part = Path(folder, "copy")
        with _written(target):
            part.touch(0o600)
        yield part
        with _written(target):
            if lasting:
                with part.open("r+b") as file:
                    os.fsync(file.fileno())  # before it takes the name: or a crash leaves half
            part.rename(target)
            with suppress(PermissionError):  # Windows cannot open a folder
                place = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(place)  # the name survives a power cut too
                finally:
                    os.close(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _written(target: Path) -> Iterator[None]:
    """Turn an error of the operating system into ours, with the next step."""
    try:
        yield
    except OSError as problem:
        say = os.strerror(problem.errno or 0).lower()
        raise BadTarget(f"{target.name}: {say}; check the disk and the folder") from None
