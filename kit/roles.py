# SPDX-License-Identifier: MIT-0
"""Let each person in the shop see what their work needs, and nothing of a customer beyond it.

Copy: ``kit copy roles --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

Five roles (`ROLES`). What each may see comes from the inventory: ``table.column`` to roles. A
column that is not named there is seen by nobody; the numbers of a blind index are seen by who
sees the column, ``version`` by who sees anything of its table. Which rows: `ROWS`, yes-or-no
columns of which one must be yes::

    with roles.as_role(engine, "cashier", tables, see) as connection:
        ...                                     # only look, and only at what a cashier sees
    roles.masked(row, "cashier", customers, see)
    {"name": "Ana", "email": "a•••@example.com", "note": "•••"}

**SQLite** has no roles, so its authorizer watches the connection: columns come back empty by any
path, be it a view, a count, a join or a guess in WHERE; other tables, PRAGMA, ATTACH, writing and
loading code are refused. So is every statement with the words USING or NATURAL, for SQLite does
not ask about the columns of such joins. It guards against mistakes, **not** against somebody who
has the file or runs code in the same program: `Connection.backup()` copies all of it, and one line
takes the authorizer off. What must stay hidden from the person at the till is sealed, with the
key elsewhere.

**PostgreSQL** has roles, see grants.py. `as_role` then takes the rights of one on a connection of
the tables' owner, which is, again, against mistakes: one line takes them back. A login of its own
for each person makes the server the boundary.

Source: https://www.sqlite.org/c3ref/set_authorizer.html. That columns stay empty was measured.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

import sqlalchemy as sa

ROLES = ("owner", "manager", "cashier", "marketer", "trainer")
OWN = "kit_"  # tables of the kit itself, which no role sees
VERSION, INDEXES = "version", ("_index_key", "_index")  # same as in schema.py
NOT_ALLOWED, NO_SUCH_ROLE = "42501", "22023"  # codes of PostgreSQL
DOTS = "•••"  # always three, so that the length is not told

See: TypeAlias = Mapping[str, Collection[str]]
Rows: TypeAlias = Mapping[tuple[str, str], Collection[str]]

ROWS: Rows = {
    ("marketer", "customers"): ("accepts_email", "accepts_sms"),  # who wants no offers is left out
    ("trainer", "customers"): (),  # none: training is done with made-up customers
}


class RolesError(Exception):
    """Base of the errors below. Messages never hold a value."""


class UnknownRole(RolesError):
    """There is no such role."""


class Refused(RolesError):
    """The role may not do this."""


class NotReady(RolesError):
    """The database has no groups for the roles."""


def sight(role: str, table: sa.Table, see: See) -> dict[str, bool]:
    """Return each column of a table, and whether the role sees it.

    Args:
        role: One of `ROLES`.
        table: The table.
        see: ``table.column`` to the roles that see it unmasked.
    """
    if role not in ROLES:
        raise UnknownRole(f"no such role; choose one of: {', '.join(ROLES)}")
    seen: dict[str, bool] = {}
    for name in table.c.keys():
        full = f"{table.name}.{name}"
        for end in INDEXES:
            if full not in see and name.endswith(end):
                full = full.removesuffix(end)
        seen[name] = role in see.get(full, ())
    if VERSION in seen and f"{table.name}.{VERSION}" not in see:
        seen[VERSION] = any(seen.values())
    return seen


def visible(role: str, metadata: sa.MetaData, see: See) -> dict[str, list[str]]:
    """Return the columns that a role sees, by table; tables of which it sees nothing are left out.

    The kit's own tables are never among them: their history and trash are copies of the rest.
    """
    seen = {}
    for made in metadata.sorted_tables:
        columns = [name for name, yes in sight(role, made, see).items() if yes]
        if columns and not made.name.startswith(OWN):
            seen[made.name] = columns
    return seen


def masked(row: Mapping[str, Any], role: str, table: sa.Table, see: See) -> dict[str, Any]:
    """Return a row for the screen: what the role does not see is dots, also where it is empty.

    An e-mail address that was opened keeps its first letter and what follows the @, enough to ask
    "is it the one at example.com?". A name that is no column of the table is dots too.
    """
    seen = sight(role, table, see)
    return {name: value if seen.get(name) else _dots(name, value) for name, value in row.items()}


def _dots(name: str, value: Any) -> str:
    if name == "email" and isinstance(value, str):
        first, at, domain = value.rpartition("@")
        if len(first) > 1 and at and domain and not any(map(str.isspace, value)):
            return f"{first[0]}{DOTS}@{domain}"
    return DOTS


@contextmanager
def as_role(
    engine: sa.Engine,
    role: str,
    metadata: sa.MetaData,
    see: See,
    *,
    prefix: str = "",
    rows: Rows = ROWS,
) -> Iterator[sa.Connection]:
    """Open the database as one role sees it. The connection is closed at the end, never reused.

    Args:
        engine: On SQLite one that opens for reading: ``store.connect(url, role="read")``.
        role: One of `ROLES`.
        metadata: The tables.
        see: ``table.column`` to the roles that see it.
        prefix: On PostgreSQL: what the names of the shop's groups begin with.
        rows: Role and table to yes-or-no columns, of which one must be yes.

    Raises:
        Refused: The role may not do it.
    """
    watch = _Watch(metadata, visible(role, metadata, see), _rules(role, metadata, rows))
    with engine.connect() as connection:
        try:
            if engine.dialect.name == "sqlite":
                watch.over(connection)
            else:
                quoted = engine.dialect.identifier_preparer.quote_identifier(prefix + role)
                connection.exec_driver_sql(f"SET ROLE {quoted}")
                connection.commit()  # or a rollback would end it
            yield connection
        except sa.exc.DBAPIError as error:
            code = getattr(error.orig, "sqlstate", None)
            if code == NO_SUCH_ROLE:
                raise NotReady("the database has no such group; make it with grants.py") from None
            if code != NOT_ALLOWED and not re.search("authoriz|prohibited", str(error.orig)):
                raise
            raise Refused(f"the role {role} may not {watch.refused}; ask the owner") from None
        finally:
            connection.invalidate()  # or a pool would hand it to the next, who is somebody else


# ---- SQLite ------------------------------------------------------------------------------------

BUILT_IN = "SELECT name FROM pragma_function_list WHERE builtin AND NOT flags & 0x80000"  # direct
NAMES = "SELECT lower(name), type, sql FROM main.sqlite_master"
VIEW = "CREATE TEMP VIEW {} AS SELECT {}"
# For a column that joins two tables in this way SQLite does not ask its authorizer at all; with
# FULL JOIN it then shows every value of it (measured with 3.40.1).
UNASKED = ("using", "natural")


def _rules(role: str, metadata: sa.MetaData, rows: Rows) -> dict[str, list[str]]:
    """Return table to columns of which one must be yes; of none left, none is."""
    return {
        name: [column for column in needed if column in metadata.tables[name].c]
        for (of, name), needed in rows.items()
        if of == role and name in metadata.tables
    }


def _words(words: Collection[str]) -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join(map(re.escape, words))})\b", re.IGNORECASE)


class _Watch:
    """The authorizer of one connection: SQLite asks it about each part of each statement."""

    def __init__(
        self,
        metadata: sa.MetaData,
        seen: Mapping[str, Collection[str]],
        rules: Mapping[str, Collection[str]],
    ) -> None:
        self.metadata, self.seen, self.rules = metadata, seen, rules
        self.inner: dict[str, str] = {}  # table to the view through which alone it is read
        self.names: set[str] = set()
        self.views: set[str] = set()
        self.functions: set[str] = set()
        self.unasked = _words(UNASKED)
        self.refused = "do this"

    def over(self, connection: sa.Connection) -> None:
        """Watch over a connection from now on; there is no way back but to close it.

        Statements that were prepared under it would give empty columns for ever.
        """
        driver: Any = connection.connection.dbapi_connection
        self.functions = {name for (name,) in driver.execute(BUILT_IN)}
        unasked = [*UNASKED]
        for name, kind, sql in driver.execute(NAMES):
            self.names.add(name)
            if kind == "view" and self.unasked.search(sql):
                unasked.append(name)
                self.unasked = _words(unasked)
            elif kind == "view":
                self.views.add(name)
        before = driver.execute("PRAGMA query_only").fetchone()[0]
        driver.execute("PRAGMA query_only = OFF")  # to make views of this connection's own
        for name in self.rules.keys() & self.seen.keys():
            # a name that nobody guesses: a WITH of the same name would be taken for the view
            inner = self.inner[name] = f"kit_{secrets.token_hex(8)}"
            columns = self.metadata.tables[name].c.keys()
            cells = (f'"{c}"' if c in self.seen[name] else f'NULL AS "{c}"' for c in columns)
            rule = " OR ".join(f'"{c}"' for c in self.rules[name]) or "false"
            driver.execute(
                VIEW.format(inner, f'{", ".join(cells)} FROM main."{name}" WHERE {rule}')
            )
            driver.execute(VIEW.format(f'"{name}"', f"* FROM {inner}"))
        driver.execute(f"PRAGMA query_only = {before}")
        driver.set_authorizer(self.ask)
        sa.event.listen(connection, "before_cursor_execute", self.read)

    def read(self, connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        """Refuse a statement about which SQLite would not ask."""
        if found := self.unasked.search(statement):
            raise Refused(f"{found[0]} would go past the rules of the role; join tables with ON")

    def ask(
        self, action: int, first: str | None, second: str | None, base: str | None, by: str | None
    ) -> int:
        """Answer SQLite: go on, give NULL, or refuse."""
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_TRANSACTION):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and second in self.functions:
            return sqlite3.SQLITE_OK
        self.refused = "do anything but look"
        if action != sqlite3.SQLITE_READ or first is None:
            return sqlite3.SQLITE_DENY
        table = first.lower()  # it may stand here as it was typed
        self.refused = f"see {table}"
        if not self._is_open(table, base, by):
            return sqlite3.SQLITE_DENY
        if base != "main" or not second or table in self.views or second in self.seen[table]:
            return sqlite3.SQLITE_OK
        of_rule = table in self.inner and second in self.rules[table]
        return sqlite3.SQLITE_OK if of_rule else sqlite3.SQLITE_IGNORE

    def _is_open(self, table: str, base: str | None, by: str | None) -> bool:
        inner = self.inner.get(table)
        if base == "temp":
            return inner is not None or table in self.inner.values()
        if base == "main":
            return table in self.views or (table in self.seen and inner in (None, by))
        # no column is read, as in count(*), and it is not said where the table is
        if table in self.names:
            return table in self.views or (table in self.seen and not (inner and by in self.views))
        return not table.startswith("sqlite_")  # the name of a WITH
