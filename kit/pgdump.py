# SPDX-License-Identifier: MIT-0
"""Back up a PostgreSQL database with nothing left out, not even what its rules hide from you.

Copy: ``kit copy pgdump --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Uses PostgreSQL's own programs pg_dump, pg_restore and psql, which have to be on this computer::

    rows = pgdump.dump("postgresql://owner@localhost/shop", Path("shop.pgdump"))
    pgdump.load(Path("shop.pgdump"), "postgresql://owner@localhost/empty")

A dump is in PostgreSQL's custom format, which is compressed already. While it is made, the rows of
every table are counted in the same snapshot, and afterwards in the dump: both must agree. `whole`
and `Whole` pass a dump through as it is, so that this module can be the *pack* of `archive`.

The trap: where row-level security hides rows, a dump may be empty and look well. It is never asked
to respect such rules, so PostgreSQL refuses instead, and the message says who has to make the dump.

A password is given to the programs by their environment (PGPASSWORD), never on the command line,
where every user of the computer could read it; without one they look into ~/.pgpass.

Source: https://www.postgresql.org/docs/current/app-pgdump.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

Read = Callable[[int], bytes]
Put = Callable[[bytes], object]
Progress = Callable[[int, int], None]


class PgdumpError(Exception):
    """Base of the errors below. Messages never hold a value, an address or a password."""


class NoProgram(PgdumpError):
    """PostgreSQL's programs are not on this computer, or too old for the server."""


class Unreachable(PgdumpError):
    """The server does not answer, or does not let this user in."""


class RowsHidden(PgdumpError):
    """This user may not see every row, so the dump would not hold them."""


class NotEmpty(PgdumpError):
    """There are tables in the database already; nothing was loaded."""


class BadDump(PgdumpError):
    """The file is no dump, is cut short or altered, or lacks rows."""


class BadTarget(PgdumpError):
    """The dump cannot be written, or the database refuses what is loaded; nothing is left of it."""


Error = PgdumpError  # what `archive` expects of a pack


def dump(
    address: str, target: Path, *, folder: Path | None = None, progress: Progress | None = None
) -> dict[str, int]:
    """Write a whole database to a file, of one moment, while it is in use; return rows by table.

    Args:
        address: ``postgresql://USER:PASSWORD@HOST/NAME``.
        target: Name of the dump, which must be free. It is readable by its owner only.
        folder: Where pg_dump, pg_restore and psql are; otherwise they are looked for on PATH.
        progress: Called with the bytes written so far, and 0, as nobody knows how many will come.

    Raises:
        NoProgram, Unreachable, RowsHidden, BadTarget: As above.
        BadDump: What was written is not what was counted. It is deleted.
    """
    raise NotImplementedError


def load(
    source: Path, address: str, *, folder: Path | None = None, rights: bool = True
) -> dict[str, int]:
    """Load a dump into an empty database, all of it or nothing; return rows by table.

    Args:
        source: The dump.
        address: Of a database that has no tables.
        folder: As for `dump`.
        rights: Restore owners and rights too. The roles have to be there; for a drill, False.

    Raises:
        NoProgram, Unreachable: As above.
        NotEmpty: The database has tables.
        BadDump: The file is no whole dump.
        BadTarget: A role is missing, or the disk is full.
    """
    raise NotImplementedError


def counts(address: str, *, folder: Path | None = None) -> dict[str, int]:
    """Return the rows of every table of a database, as ``schema.table``.

    Raises:
        NoProgram, Unreachable: As above.
        RowsHidden: This user may not see every row.
    """
    raise NotImplementedError


def inside(source: Path, *, folder: Path | None = None) -> dict[str, int]:
    """Return the rows of every table in a dump, counted by reading all of it.

    Raises:
        NoProgram: As above.
        BadDump: The file is no whole dump.
    """
    raise NotImplementedError


def whole(read: Read) -> Iterator[bytes]:
    """Pass a dump through: it is compressed already."""
    raise NotImplementedError
