# SPDX-License-Identifier: MIT-0
"""Back up a PostgreSQL database with nothing left out, not even what its rules hide from you.

Copy: ``kit copy pgdump --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Uses PostgreSQL's own programs pg_dump, pg_restore and psql, which have to be on this computer::

    rows = pgdump.dump("postgresql://owner@localhost/shop", Path("shop.pgdump"))
    pgdump.load(Path("shop.pgdump"), "postgresql://owner@localhost/empty")

A dump has PostgreSQL's custom format, which is compressed already. The rows of every table are
counted in the very snapshot that is dumped, and then in the dump; if one differs, there is no dump.
`whole` and `Whole` pass a dump through as it is, so that this module can be the *pack* of archive.

The trap: where row-level security hides rows, a dump can be empty and look well. PostgreSQL is
never asked to respect such rules here, so it refuses instead, and the message says who can do it.

A password is given to the programs by their environment (PGPASSWORD), never on the command line,
where every user of the computer could read it; without one they look into ~/.pgpass. What they say
may hold a customer's value, so it is never repeated, only its kind.

Source: https://www.postgresql.org/docs/current/app-pgdump.html and errcodes-appendix.html there.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO

MIB = 1 << 20
QUICK = "--compress=1"  # 6.5 s and 110 MB for 2 million rows; the usual 6: 11.5 s and 105 MB
MAGIC = b"PGDMP"  # how a dump in the custom format begins
ADDRESS = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")
IDENTIFIER = r'("(?:[^"]|"")*"|[^\s."]+)'
COPY = re.compile(rf"COPY {IDENTIFIER}\.{IDENTIFIER} .*FROM stdin;\n".encode())
OWN = "relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'"
EXTENSIONS = "SELECT objid FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_class'::regclass"
RELATIONS = f"FROM pg_class c WHERE {OWN} AND c.oid NOT IN ({EXTENSIONS})"  # noqa: S608 (ours)
TABLES = f"SELECT c.oid::regclass {RELATIONS} AND relkind = 'r';"
FULL_NAMES = "SET LOCAL search_path = '';"  # then regclass writes the schema too
SEE_ALL = "SET LOCAL row_security = off;"  # an error instead of fewer rows
DENIED = {  # what says so; psql gives codes, and 42501 also stands for rows that would be hidden
    "psql": r"42501",
    "pg_dump": r"permission denied|row-level security|lack SELECT privilege",
}

Read = Callable[[int], bytes]
Put = Callable[[bytes], object]
Progress = Callable[[int, int], None]


class PgdumpError(Exception):
    """Base of the errors below. Messages never hold a value, an address or a password."""


class NoProgram(PgdumpError):
    """PostgreSQL's programs are not on this computer, or are too old."""


class Unreachable(PgdumpError):
    """The address is none, or the server does not answer or does not let this user in."""


class RowsHidden(PgdumpError):
    """This user may not see every row, so a dump would lack them."""


class NotEmpty(PgdumpError):
    """There is something in the database already; nothing was loaded."""


class BadDump(PgdumpError):
    """The file is no dump, is cut short or altered, or lacks rows."""


class BadTarget(PgdumpError):
    """The dump cannot be written, or the database refuses it; nothing is left of it."""


Error = PgdumpError  # what archive expects of a pack


def dump(
    address: str, target: Path, *, folder: Path | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Write a whole database to a file, as of one moment, while it is in use; return its rows.

    Args:
        address: ``postgresql://USER:PASSWORD@HOST/NAME``, such as store.py takes.
        target: Name of the dump, which must be free. It is readable by its owner only.
        folder: Where pg_dump, pg_restore and psql are; otherwise they are looked for on PATH.
        progress: Called with the bytes written so far, and 0, as nobody knows how many will come.

    Returns:
        The number of rows of each table; other schemas than public stand before the name.

    Raises:
        NoProgram, Unreachable, RowsHidden, BadTarget: As above.
        BadDump: What was written is not what was counted. It is deleted.
    """
    server = _Server(address, folder)
    with server.asking() as ask, _filled(target) as part:
        ask(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {SEE_ALL} {FULL_NAMES}")
        (snapshot,) = ask("SELECT pg_export_snapshot();")
        expected = _counts(ask)
        if not expected:
            raise BadDump("there is no table in the database; is this the shop's?")
        how = ["--format=custom", QUICK, f"--snapshot={snapshot}", f"--dbname={server.uri}"]
        with part.open("r+b") as file, server.running("pg_dump", *how) as stream:
            for piece in iter(partial(stream.read, MIB), b""):
                with _told(target):
                    file.write(piece)
                if progress:
                    progress(file.tell(), 0)
        found = inside(part, folder=folder)
        if wrong := [name for name, number in expected.items() if found.get(name) != number]:
            raise BadDump(f"the dump does not hold what was counted in {wrong[0]}; run it again")
    return expected


def load(
    source: Path, address: str, *, folder: Path | None = None, rights: bool = True
) -> dict[str, int]:
    """Load a dump into an empty database, all of it or nothing; return rows by table.

    Args:
        source: The dump.
        address: Of a database that has no tables.
        folder: As for `dump`.
        rights: Restore owners and rights too, whose roles have to be there. For a drill, False.

    Raises:
        NoProgram, Unreachable, NotEmpty: As above.
        BadDump: The file is no whole dump.
        BadTarget: A role is missing, the disk is full, or the database refuses it otherwise.
        RowsHidden: It is loaded, but this user may not count every row.
    """
    expected = inside(source, folder=folder)
    server = _Server(address, folder)
    with server.asking() as ask:
        if ask(f"SELECT count(*) {RELATIONS};") != ["0"]:
            raise NotEmpty("there are tables in this database; make a new one and load into that")
    how = ["--single-transaction", "--exit-on-error", f"--dbname={server.uri}"]
    how += [] if rights else ["--no-owner", "--no-privileges"]
    with server.running("pg_restore", *how, str(source.absolute())) as stream:
        stream.read()
    found = counts(address, folder=folder)
    if wrong := [name for name, number in found.items() if expected.get(name) != number]:
        raise BadDump(f"not all rows of {wrong[0]} arrived; drop this database and try again")
    return found


def counts(address: str, *, folder: Path | None = None) -> dict[str, int]:
    """Return the number of rows of every table of a database.

    Raises:
        NoProgram, Unreachable: As above.
        RowsHidden: This user may not see every row.
    """
    with _Server(address, folder).asking() as ask:
        ask(f"BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; {SEE_ALL} {FULL_NAMES}")
        return _counts(ask)


def inside(source: Path, *, folder: Path | None = None) -> dict[str, int]:
    """Return the number of rows of every table in a dump, by reading all of it.

    Raises:
        NoProgram: As above.
        BadDump: The file is no whole dump.
    """
    if not source.is_file():
        raise BadDump(f"{source.name} is not there; check the name and the folder")
    with source.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise BadDump(f"{source.name} is no dump in PostgreSQL's custom format")
    found: dict[str, int] = {}
    how = ["--data-only", "--file=-", str(source.absolute())]
    with _Server(None, folder).running("pg_restore", *how) as stream:
        for line in stream:
            if begun := COPY.fullmatch(line):
                name = _name(*begun.groups())
                found[name] = -1  # its end is one line more
                for found[name], row in enumerate(stream):  # noqa: B007, B020 (the last counts)
                    if row == b"\\.\n":
                        break
    return found


def whole(read: Read) -> Iterator[bytes]:
    """Pass a dump through: it is compressed already. Nothing but a dump is taken."""
    first = read(MIB)
    if not first.startswith(MAGIC):
        raise BadDump("is no dump in PostgreSQL's custom format; make it with dump")
    yield first
    yield from iter(partial(read, MIB), b"")


class Whole:
    """Undo `whole`: pass on what comes, and never more than was told."""

    def __init__(self, put: Put, size: int) -> None:
        self._put, self._left = put, size

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._left -= len(data)
        if self._left < 0:
            raise BadDump("holds more than was told")
        self._put(data)

    def finish(self) -> None:
        """Raise unless all of it came."""
        if self._left:
            raise BadDump("holds less than was told")


def changes(old: Read, new: Read) -> Iterator[bytes]:
    """Refuse: two dumps of one database have nothing in common, byte for byte."""
    raise BadDump("is a dump, of which only full archives are made; make a full one")


def Changes(old: Read, put: Put, size: int) -> Whole:  # noqa: N802 (as in pack)
    """Refuse, as `changes`."""
    raise BadDump("is no differential, as dumps have none")


def _counts(ask: Callable[[str], list[str]]) -> dict[str, int]:
    """Count all rows of all tables, those of one moment if a transaction says so."""
    found = {}
    for table in ask(TABLES):
        try:
            (number,) = ask(f"SELECT count(*) FROM ONLY {table};")  # noqa: S608 (quoted by it)
        except RowsHidden:
            raise RowsHidden(
                f"this user may not see every row of {table}; use a superuser, or a role with "
                "BYPASSRLS that may read every table"
            ) from None
        found[_name(*(part.encode() for part in re.findall(IDENTIFIER, table)))] = int(number)
    return dict(sorted(found.items()))


def _name(schema: bytes, table: bytes) -> str:
    parts = [p[1:-1].replace(b'""', b'"') if p[:1] == b'"' else p for p in (schema, table)]
    return b".".join(parts).decode().removeprefix("public.")


class _Server:
    """A database, and the programs that speak to it."""

    def __init__(self, address: str | None, folder: Path | None) -> None:
        self._folder = None if folder is None else str(folder)
        self.env = {**os.environ, "LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}
        self.uri = ""
        if address is not None:
            self.uri, password = _split(address)
            if password:
                self.env["PGPASSWORD"] = password

    def _program(self, name: str) -> str:
        if (path := shutil.which(name, path=self._folder)) is None:
            raise NoProgram(
                f"{name} is not on this computer; install PostgreSQL's client programs, in the "
                "server's version or a newer one"
            )
        return path

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[IO[bytes]]:
        """Give what a program writes; raise unless it ended well."""
        alone = ["--no-password"] if self.uri else []
        command = [self._program(program), *alone, *arguments]
        process = subprocess.Popen(  # noqa: S603 (found on PATH, no shell)
            command,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout and process.stderr  # noqa: S101 (pipes, as asked for)
        said: list[bytes] = []
        reader = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        reader.start()  # else a program with much to say would wait for ever
        try:
            yield process.stdout
            process.wait()
        finally:
            process.kill()
            process.wait()
            reader.join()
            process.stdout.close()
            process.stderr.close()
        if process.returncode:
            raise _in_words(program, b"".join(said).decode(errors="replace"))

    @contextmanager
    def asking(self) -> Iterator[Callable[[str], list[str]]]:
        """Open one session, and give what sends SQL and returns the lines of the answer."""
        quiet = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password"]
        stop = ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=sqlstate", f"--dbname={self.uri}"]
        session = subprocess.Popen(  # noqa: S603 (found on PATH, no shell)
            [self._program("psql"), *quiet, *stop],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        mark = secrets.token_hex(8) + "\n"

        def ask(text: str) -> list[str]:
            assert session.stdin and session.stdout and session.stderr  # noqa: S101
            with suppress(BrokenPipeError, OSError):  # it ended; it has said why
                session.stdin.write(f"{text}\n\\echo {mark}")
                session.stdin.flush()
            lines: list[str] = []
            for line in session.stdout:
                if line == mark:
                    return lines
                lines.append(line.removesuffix("\n"))
            raise _in_words("psql", session.stderr.read())

        try:
            yield ask
        finally:
            session.kill()  # what it began is undone by the server
            session.communicate()


def _in_words(program: str, said: str) -> PgdumpError:
    """Tell what kind of thing went wrong. What the program said may hold a value."""
    if re.search(DENIED.get(program, "$^"), said):
        return RowsHidden("this user may not see everything in the database; use its owner")
    if "version mismatch" in said or "unsupported version (1." in said:
        return NoProgram(f"{program} is older than the server or the dump; install a newer one")
    if program == "psql":
        return Unreachable(
            "the database does not answer, or does not let this user in; check that it runs, the "
            "address and the password"
        )
    if program == "pg_restore":
        if "could not execute query" not in said and "COPY failed" not in said:
            return BadDump("this is no whole dump; take it from another place where it is kept")
        role = re.search(r'role "([^"]+)" does not exist', said)
        missing = f"its role {role[1]} is missing" if role else "often a role that is missing"
        return BadTarget(
            f"the database refused the dump ({missing}); make its roles first, or load it without "
            "rights; nothing was loaded"
        )
    return BadTarget("pg_dump stopped; see in the server's log why, then run it again")


def _split(address: str) -> tuple[str, str]:
    """Return the address without the password, and the password."""
    begin = ADDRESS.match(address)
    if begin is None:
        raise Unreachable("not an address of PostgreSQL; write postgresql://USER@HOST/NAME")
    main, _, query = address[begin.end() :].partition("?")
    user, at, place = main.rpartition("@")
    user, _, password = user.partition(":")
    options = []
    for option in filter(None, query.split("&")):
        key, _, value = option.partition("=")
        if _decoded(key) == "password":
            password = value
        else:
            options.append(option)
        if "@" in option or _decoded(key) == "sslpassword":
            raise Unreachable(
                "the address is not clear; write @ in a password as %40 and ? as %3F, and the "
                "password of a key into a file"
            )
    uri = f"postgresql://{user}{at}{place}" + ("?" + "&".join(options) if options else "")
    return uri, _decoded(password)


def _decoded(text: str) -> str:
    byte = re.compile(rb"%([0-9A-Fa-f]{2})")
    return byte.sub(lambda found: bytes([int(found[1], 16)]), text.encode()).decode()


@contextmanager
def _filled(target: Path) -> Iterator[Path]:
    """Give a private file to fill beside *target*, which takes its name if nothing was raised."""
    mark = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with _told(target):
        for old in [path for path in target.parent.iterdir() if mark.fullmatch(path.name)]:
            old.unlink(missing_ok=True)  # left by a power cut
        if os.path.lexists(target):
            raise BadTarget(f"{target.name} is there already; choose another name")
        part.touch(0o600, exist_ok=False)
    try:
        yield part
        with _told(target):
            with part.open("r+b") as file:
                os.fsync(file.fileno())  # before it takes the name: a crash here leaves no dump
            part.rename(target)
            with suppress(PermissionError):  # Windows cannot open a folder
                place = os.open(target.parent, os.O_RDONLY)
                try:
                    os.fsync(place)  # the name survives a power cut too
                finally:
                    os.close(place)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _told(target: Path) -> Iterator[None]:
    """Turn an error of the operating system into ours, with the next step."""
    try:
        yield
    except OSError as problem:
        say = os.strerror(problem.errno or 0).lower()
        raise BadTarget(f"{target.name}: {say}; check the disk and the folder") from None
