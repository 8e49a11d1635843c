# SPDX-License-Identifier: MIT-0
"""Bring back one customer from a restored copy, with everything that hung on them, and nobody else.

Copy: ``kit copy rescue --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

The copy is a SQLite file, restored from a backup and proven; the database in use is SQLite or
PostgreSQL::

    seen = rescue.look(copy, live, tables, "cus_1")        # changes nothing; show it to somebody
    done = rescue.bring_back(copy, live, tables, seen)     # in your transaction, all or nothing

What hangs on the customer is read from the foreign keys, as it was in the copy: addresses, points,
sales, their lines. Every row is compared with the one in use: only in the copy, the same, or
different. A link that was emptied since, such as the customer of a sale, is set again. A row that
names another customer never comes along.

Numbers stay what they were, because tokens are bound to them. Columns are compared by name: what
the copy or the shop does not have, or keeps in another form, is told in `Preview.lost`.

Beware: it knows nothing of erasures. Ask the erasure ledger before, or an erased customer is back.
What was let go since because its time was over comes back too; expire again afterwards. The
numbers of a blind index are those of the copy's day; after a change of that key, make them anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import sqlalchemy as sa

AT_ONCE = 5_000  # keys in one query; SQLite takes 32,766
VERSION = "version"  # same as in rows.py
POLICIES = ("skip", "replace")

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[sa.Table, dict[Any, Row]]  # by table and key


class RescueError(Exception):
    """Base of the errors below. Messages never hold a value, a number of a row, or a token."""


class NotThere(RescueError):
    """The copy holds no such customer."""


class Changed(RescueError):
    """The database in use is not as it was in the preview."""


class Blocked(RescueError):
    """A row can only come back with another that is gone, or the database refuses it."""


class BadChoice(RescueError):
    """There is no such way to deal with rows that differ."""


@dataclass(frozen=True)
class Compared:
    """What became of one table's rows of this customer. `mark` stands for the rows in use."""

    table: str
    missing: tuple[Any, ...]  # keys of rows only in the copy
    same: int
    different: tuple[Any, ...]  # keys of rows that were changed since
    mark: str = field(default="", repr=False)


@dataclass(frozen=True)
class Lost:
    """What cannot come back as it was; without a column, a whole table."""

    table: str
    column: str
    why: str
    rows: int  # how many of the customer's rows it is about

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{place}: {self.why}"


@dataclass(frozen=True)
class Preview:
    """What `bring_back` would do. Tables come parents first; `links` are ``table.column``."""

    subject: Any
    root: str
    tables: tuple[Compared, ...]
    links: Mapping[str, tuple[Any, ...]]  # keys of rows in use whose emptied link is set again
    lost: tuple[Lost, ...]

    @property
    def nothing(self) -> bool:
        """Whether everything is there already, as it was."""
        return not self.links and not any(t.missing or t.different for t in self.tables)


@dataclass(frozen=True)
class Done:
    """What came back: numbers of rows by table, and of links by ``table.column``."""

    added: Mapping[str, int]
    replaced: Mapping[str, int]
    skipped: Mapping[str, int]
    links: Mapping[str, int]
    lost: tuple[Lost, ...]


def look(
    copy: sa.Connection,
    live: sa.Connection,
    metadata: sa.MetaData,
    subject: Any,
    *,
    root: str = "customers",
) -> Preview:
    """Compare one customer in the copy with the database in use. Nothing is changed.

    Args:
        copy: To the restored copy, which is SQLite.
        live: To the database in use.
        metadata: The tables of the database in use.
        subject: The customer's number.
        root: The table of the customers.

    Raises:
        NotThere: The copy holds no such customer.
    """
    raise NotImplementedError


def bring_back(
    copy: sa.Connection,
    live: sa.Connection,
    metadata: sa.MetaData,
    preview: Preview,
    *,
    on_conflict: str = "skip",
) -> Done:
    """Do what the preview says, in the caller's transaction; all of it or nothing.

    Args:
        copy: As for `look`.
        live: With a transaction begun.
        metadata: As for `look`.
        preview: From `look`.
        on_conflict: What becomes of rows that differ: "skip" leaves them, "replace" takes what the
            copy holds. Emptied links are set again either way.

    Raises:
        Changed: Somebody changed one of the rows since the preview; look again.
        Blocked: A row needs one that is gone, or the database refuses it.
        BadChoice: Any other *on_conflict*. A new number is refused: tokens are bound to the old.
    """
    raise NotImplementedError
