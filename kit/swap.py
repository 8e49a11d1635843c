# SPDX-License-Identifier: MIT-0
"""Put a restored database in the place of the old one, so that at any moment there is a whole one.

Copy: ``kit copy swap --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A file that is left beside a good copy spoils it: a -wal of the old database undid 999 of 5,000 rows
of a new one, and SQLite called the result ok. So the old database is closed for good first, which
fails while another program has it open; then the new one takes its name in one step. What was there
is kept in a folder that nobody else may enter; it holds customers, so give it an end date.

Until that step the old database is as it was, to the byte, whatever fails; a crash leaves the old
one or the new one. A file ``.NAME.restored`` that a power cut leaves may be deleted.

Source: https://www.sqlite.org/howtocorrupt.html, section 1.4; https://www.sqlite.org/wal.html.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

SIDES = ("", "-wal", "-shm", "-journal")


class SwapError(Exception):
    """Base of the error below. Nothing was changed."""


class InUse(SwapError):
    """Another program has the database open."""


def replace(live: Path, copy: Path, *, keep: str) -> Path | None:
    """Put a copy in the place of the database in use.

    Args:
        live: The database in use, if it is there.
        copy: The new one, proven. It is moved if it lies on the same disk.
        keep: Name of the new folder, beside the old database, in which that is kept.

    Returns:
        The folder; None if there was no database.

    Raises:
        InUse: Another program has it open.
        OSError: The disk is full, or may not be written. The old database is as it was.
    """
    part = live.with_name(f".{live.name}.restored")
    kept = live.with_name(keep)
    while kept.exists():  # tried again within a second; never replace what was kept
        kept = kept.with_name(f"{kept.name}-again")
    half = kept.with_name(f"{kept.name}.part")
    old = [path for end in SIDES if (path := live.with_name(live.name + end)).exists()]
    alone = old == [live] and _alone(live)  # then it can be kept without copying it
    settled = swapped = False
    try:
        try:
            copy.replace(part)
        except OSError:  # the private folder may lie on another disk
            shutil.copyfile(copy, part)
        part.chmod(0o600)
        _sync(part)
        if old:
            half.mkdir(mode=0o700)
        for path in old:
            _keep(path, half / path.name, link=alone)
        if old:
            half.rename(kept)
        if not alone:
            _settle(live)
            settled = True
        part.replace(live)
        swapped = True
        _sync(live.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        # as it was, to the byte; else it is somebody's still
        for path in old if settled or swapped else ():
            shutil.copy2(kept / path.name, path)
        shutil.rmtree(half, ignore_errors=True)
        shutil.rmtree(kept, ignore_errors=True)
        raise
    return kept if old else None


def _alone(live: Path) -> bool:
    """Tell whether nothing has to be written back into the old database before it goes.

    Raises:
        InUse: Another program has it open.
    """
    try:
        with closing(_open(live)) as db:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")  # only if nobody else has it open; changes no byte
            db.execute("ROLLBACK")
    except sqlite3.OperationalError as problem:
        _refuse_if_in_use(problem)
        return False
    except sqlite3.DatabaseError:
        return False  # damaged, which is why it is replaced
    return not any(live.with_name(live.name + end).exists() for end in SIDES[1:])


def _keep(old: Path, target: Path, *, link: bool) -> None:
    """Keep what is replaced, by a second name for it if that will do."""
    if link:
        try:
            return os.link(old, target)
        except OSError:
            pass  # a disk that knows no second names, such as a USB stick
    shutil.copy2(old, target)
    _sync(target)


def _open(live: Path) -> sqlite3.Connection:
    return sqlite3.connect(live, isolation_level=None, timeout=0)


def _refuse_if_in_use(problem: sqlite3.OperationalError) -> None:
    if problem.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise InUse(
            "another program has the database open; close the till and every kit, then repeat"
        ) from None


def _settle(live: Path) -> None:
    """Leave nothing beside the old database that would change the new one."""
    try:
        with closing(_open(live)) as db:
            db.execute("PRAGMA journal_mode = DELETE")  # only if nobody else has it open
    except sqlite3.OperationalError as problem:
        _refuse_if_in_use(problem)
    except sqlite3.DatabaseError:
        pass  # damaged, which is why it is replaced
    for end in SIDES[1:]:
        live.with_name(live.name + end).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """See to it that a file, or a new name in a folder, survives a power cut."""
    with suppress(PermissionError):  # Windows cannot open a folder
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
