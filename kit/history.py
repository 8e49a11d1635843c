# SPDX-License-Identifier: MIT-0
"""Know who changed what in a customer's row, whichever program changed it, and keep no value twice.

Copy: ``kit copy history --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

Triggers in the database write it down, in the transaction of the change itself::

    history.table(tables)                          # adds kit_history; then create the tables
    history.install(connection, tables)            # once, and again when columns are added
    with history.acting(connection, "ana", now=now):
        ...                                        # add, change and delete as you like
    history.of(connection, "customers", "C-0042")

One entry for a row that was added or deleted, one for each column that changed::

    seq | at | actor | table_name | row_id | action | column_name | old | new

*old* and *new* hold tokens, for sealed columns (bytes); of any other column it is only known that
it changed. A new key is a row deleted and a row added, because tokens are bound to the key. The
columns of a blind index and ``version`` follow others and have no entries of their own.

A change without `acting` fails. `acting` leaves the name where only its own transaction sees it: on
SQLite a row of ``kit_acting`` that breaks a foreign key until it is gone again, so it cannot be
committed by mistake (a function of the connection would do, but trusted_schema=OFF refuses it
in triggers); on PostgreSQL the setting ``kit.actor``. There, logins that are not members of the
tables' owner cannot choose a name: theirs is recorded. Whoever may drop a trigger, or holds the
SQLite file, can change rows unseen; `missing` finds triggers that are gone or out of date.

A history is a copy: `trim` it when its time is up, `forget` a customer when they are erased, and
rotate its tokens with the others or trim it before a key is destroyed.

Source: https://www.sqlite.org/lang_createtrigger.html; what is lost without recursive_triggers,
and by comparing with <> instead of IS NOT, was measured.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import sqlalchemy as sa

WORD = re.compile(r"[a-z][a-z0-9_.-]{0,39}")  # no space, no @, no sentence: nothing is told in it
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")  # PostgreSQL cuts names off after 63
OWN = "kit_"  # tables of the kit itself
VERSION, INDEXES = "version", ("_index", "_index_key")  # same as in schema.py
NOBODY = "nobody says who makes this change; make it inside history.acting"
ALREADY = "somebody is acting on this connection already; let that end first"
NO_TRANSACTION = "no transaction, so the name would be gone before the change; begin one"
KEYS_AT_ONCE = 1_000


class HistoryError(Exception):
    """Base of the errors below. Messages never hold a value or a token."""


class BadEntry(HistoryError):
    """The actor is no word, or the time has no zone."""


class NotReady(HistoryError):
    """The database or the connection is not set up for it, or somebody is acting already."""


class BadTable(HistoryError):
    """The table cannot have a history."""


@dataclass(frozen=True)
class Change:
    """One entry. `column`, `old` and `new` are None for a row that was added or deleted."""

    seq: int
    at: datetime
    actor: str
    action: str  # insert, update or delete
    column: str | None
    old: bytes | None = field(repr=False)  # a token
    new: bytes | None = field(repr=False)


def table(metadata: sa.MetaData) -> sa.Table:
    """Declare ``kit_history`` and return it."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Table(
        "kit_history",
        metadata,
        sa.Column("seq", number, primary_key=True),
        sa.Column("at", text, nullable=False),
        sa.Column("actor", text, nullable=False),
        sa.Column("table_name", text, nullable=False),
        sa.Column("row_id", text, nullable=False),
        sa.Column("action", text, nullable=False),
        sa.Column("column_name", text),
        sa.Column("old", sa.LargeBinary),
        sa.Column("new", sa.LargeBinary),
        sa.Index("kit_history_row", "row_id", "table_name"),
        sqlite_strict=True,
        sqlite_autoincrement=True,  # or a number would be used again once the newest are forgotten
    )


HISTORY = table(sa.MetaData())


def install(
    connection: sa.Connection, metadata: sa.MetaData, *, tables: Collection[str] | None = None
) -> None:
    """Make the triggers, in place of those that are there.

    Args:
        connection: In a transaction, as the owner of the tables.
        metadata: The tables as they are in the database, ``kit_history`` among them.
        tables: Which ones, if not all but the kit's own.

    Raises:
        BadTable: The key of a table is not one column, or a name is not a plain word.
    """
    wanted = _wanted(connection, metadata, tables)
    drop = 'DROP FUNCTION "{}"() CASCADE'  # its trigger goes with it
    if connection.dialect.name == "sqlite":
        drop = 'DROP TRIGGER "{}"'
        connection.exec_driver_sql(ACTING)
        connection.exec_driver_sql("DELETE FROM kit_acting")
    for _, name in _found(connection):
        connection.exec_driver_sql(drop.format(name))
    for _, statements in wanted.values():
        for statement in statements:
            connection.exec_driver_sql(statement)


def missing(
    connection: sa.Connection, metadata: sa.MetaData, *, tables: Collection[str] | None = None
) -> list[str]:
    """Name the tables whose changes are not written down as `install` would have it."""
    found = _found(connection)
    wanted = _wanted(connection, metadata, tables)
    return sorted({key[0] for key, (text, _) in wanted.items() if found.get(key) != text})


@contextmanager
def acting(connection: sa.Connection, actor: str, *, now: datetime) -> Iterator[None]:
    """Say who makes the changes in this block. Commit after it, not in it.

    Args:
        connection: In a transaction.
        actor: Who: a staff id, or the name of a program; never a customer's.
        now: The time, with its zone.

    Raises:
        BadEntry: The actor is not one word, or the time has no zone.
        NotReady: The connection is somebody's already, or lacks what triggers need.
    """
    if not WORD.fullmatch(actor):
        raise BadEntry("the actor must be one word of at most 40 small letters, digits and _ . -")
    moment = _text(now)
    _take(connection, actor, moment)
    try:
        yield
    finally:
        with suppress(sa.exc.SQLAlchemyError):  # then the transaction failed, and the name with it
            _leave(connection)


def of(connection: sa.Connection, table: str, row_id: str) -> list[Change]:
    """Return the history of one row, oldest first."""
    query = (
        sa.select(HISTORY)
        .where(HISTORY.c.row_id == row_id, HISTORY.c.table_name == table)
        .order_by(HISTORY.c.seq)
    )
    return [
        Change(r.seq, datetime.fromisoformat(r.at), r.actor, r.action, r.column_name, r.old, r.new)
        for r in connection.execute(query)
    ]


def trim(connection: sa.Connection, *, before: datetime) -> int:
    """Delete what is older than a moment; return how many entries."""
    return connection.execute(sa.delete(HISTORY).where(HISTORY.c.at < _text(before))).rowcount


def forget(connection: sa.Connection, table: str, row_ids: Iterable[str]) -> int:
    """Delete all that is known of some rows; return how many entries. For an erasure."""
    keys, gone = list(row_ids), 0
    for start in range(0, len(keys), KEYS_AT_ONCE):
        some = HISTORY.c.row_id.in_(keys[start : start + KEYS_AT_ONCE])
        gone += connection.execute(
            sa.delete(HISTORY).where(some, HISTORY.c.table_name == table)
        ).rowcount
    return gone


def _text(at: datetime) -> str:
    """Write a time so that text sorts by time. Same as in audit.py, but for the error."""
    if at.tzinfo is None:
        raise BadEntry("a time without a zone; hand over an aware datetime")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


# ---- who is acting -----------------------------------------------------------------------------

# `ends` names a row that can never be, and only COMMIT asks for it, so the row never leaves its
# transaction
ACTING = """CREATE TABLE IF NOT EXISTS kit_acting (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    actor TEXT NOT NULL,
    at TEXT NOT NULL,
    ends INTEGER NOT NULL DEFAULT 2 REFERENCES kit_acting (one) DEFERRABLE INITIALLY DEFERRED
) STRICT"""
NEEDED = ("foreign_keys", "recursive_triggers")  # or REPLACE deletes rows and no trigger sees it


def _take(connection: sa.Connection, actor: str, moment: str) -> None:
    if connection.dialect.name != "sqlite":
        if connection.scalar(sa.select(sa.func.current_setting("kit.actor", True))):
            raise NotReady(ALREADY)
        if connection.connection.dbapi_connection.autocommit:  # type: ignore[union-attr]
            raise NotReady(NO_TRANSACTION)
        _set(connection, actor, moment)
        return
    for pragma in NEEDED:
        if not connection.exec_driver_sql(f"PRAGMA {pragma}").scalar():
            raise NotReady(f"this connection has {pragma} off; switch it on, or changes are lost")
    try:
        connection.exec_driver_sql(
            "INSERT INTO kit_acting (one, actor, at) VALUES (1, ?, ?)", (actor, moment)
        )
    except sa.exc.DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorname", "")
        told = {
            "SQLITE_ERROR": "the database keeps no history yet; call history.install once",
            "SQLITE_CONSTRAINT_PRIMARYKEY": ALREADY,
            "SQLITE_CONSTRAINT_FOREIGNKEY": NO_TRANSACTION,
        }
        if code not in told:
            raise
        raise NotReady(told[code]) from None


def _leave(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DELETE FROM kit_acting")
    else:
        _set(connection, "", "")


def _set(connection: sa.Connection, actor: str, moment: str) -> None:
    local = sa.func.set_config  # until the transaction ends
    connection.execute(sa.select(local("kit.actor", actor, True), local("kit.now", moment, True)))


# ---- the triggers ------------------------------------------------------------------------------

# RAISE, because INSERT OR IGNORE would go on past a NOT NULL and leave no entry
LITE = (
    'CREATE TRIGGER "{name}" AFTER {verb} ON "{table}" {when}BEGIN '
    "SELECT RAISE(ABORT, '{nobody}') WHERE NOT EXISTS (SELECT 1 FROM kit_acting); {steps} END",
)
BODY = """
DECLARE
    who text := nullif(current_setting('kit.actor', true), '');
    moment text := nullif(current_setting('kit.now', true), '');
BEGIN
    IF who IS NULL OR moment IS NULL THEN
        RAISE EXCEPTION '{nobody}';
    END IF;
    IF NOT pg_has_role(session_user, current_user, 'MEMBER') THEN
        who := session_user;
    END IF;
    {steps}
    RETURN NULL;
END"""
# with the rights of the tables' owner, so that nobody else needs any on kit_history, and closed to
# the public, who could have it write about tables of theirs
POSTGRESQL = (
    'CREATE FUNCTION "{name}"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER '
    "SET search_path = pg_catalog, pg_temp AS $kit${body}$kit$",
    'REVOKE ALL ON FUNCTION "{name}"() FROM PUBLIC',
    'CREATE TRIGGER "{name}" AFTER {verb} ON "{table}" FOR EACH {each} {when}'
    'EXECUTE FUNCTION "{name}"()',
)
FOUND = {
    "sqlite": "SELECT tbl_name, name, sql FROM sqlite_master "
    "WHERE type = 'trigger' AND name LIKE 'kit!_history!_%' ESCAPE '!'",
    "postgresql": "SELECT c.relname, t.tgname, CASE t.tgenabled WHEN 'O' THEN p.prosrc END "
    "FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema() "
    "WHERE NOT t.tgisinternal AND t.tgname LIKE 'kit!_history!_%' ESCAPE '!'",
}


def _found(connection: sa.Connection) -> dict[tuple[str, str], str | None]:
    """Return (table, trigger) to its text; on PostgreSQL that of its function, if it is on."""
    rows = connection.execute(sa.text(FOUND[connection.dialect.name]))
    return {(table, name): text for table, name, text in rows}


def _wanted(
    connection: sa.Connection, metadata: sa.MetaData, tables: Collection[str] | None
) -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    """Return (table, trigger) to the text to be found later, and what makes it."""
    lite = connection.dialect.name == "sqlite"
    schema = None if lite else connection.scalar(sa.select(sa.func.current_schema()))
    wanted = {}
    for made in metadata.sorted_tables:
        if made.name.startswith(OWN) if tables is None else made.name not in tables:
            continue
        for event, when, steps in _steps(made, schema):
            words = {
                "name": f"kit_history_{made.name}_{event}",
                "table": made.name,
                "verb": "UPDATE" if event == "move" else event.upper(),
                "when": f"WHEN ({when}) " if when else "",
                "each": "STATEMENT" if event == "truncate" else "ROW",
                "nobody": NOBODY,
                "steps": steps,
            }
            words["body"] = BODY.format(**words)
            statements = tuple(s.format(**words) for s in (LITE if lite else POSTGRESQL))
            text = statements[0] if lite else words["body"]
            wanted[made.name, words["name"]] = (text, statements)
    return wanted


def _steps(made: sa.Table, schema: str | None) -> Iterator[tuple[str, str, str]]:
    """Yield on which event, under which condition, which entries are made."""
    key, columns = _columns(made)
    differs, said, into = "IS NOT", "kit_acting", "kit_history"
    if schema is not None:
        differs = "IS DISTINCT FROM"
        said = "(SELECT moment AS at, who AS actor) AS said"
        into = f'"{schema}".kit_history'
    entry = (
        f"INSERT INTO {into} (at, actor, table_name, row_id, action, column_name, old, new) "
        f"SELECT at, actor, '{made.name}',"
    )
    gone = f"{entry} CAST(OLD.\"{key}\" AS TEXT), 'delete', NULL, NULL, NULL FROM {said};"
    come = f"{entry} CAST(NEW.\"{key}\" AS TEXT), 'insert', NULL, NULL, NULL FROM {said};"
    moved = f'OLD."{key}" {differs} NEW."{key}"'
    yield "insert", "", come
    yield "delete", "", gone
    yield "move", moved, f"{gone} {come}"
    if columns:
        changed = {name: f'OLD."{name}" {differs} NEW."{name}"' for name in columns}
        none = "CAST(NULL AS bytea)"
        cells = " UNION ALL ".join(  # one INSERT for each column took three times as long
            f"SELECT '{name}', "
            + (f'OLD."{name}", NEW."{name}"' if sealed else f"{none}, {none}")
            + f" WHERE {changed[name]}"
            for name, sealed in columns.items()
        )
        steps = f"{entry} CAST(NEW.\"{key}\" AS TEXT), 'update', c.* FROM {said}, ({cells}) AS c;"
        yield "update", f"NOT ({moved}) AND ({' OR '.join(changed.values())})", steps
    if schema is not None:
        yield "truncate", "", "RAISE EXCEPTION 'TRUNCATE leaves no history; use DELETE';"


def _columns(made: sa.Table) -> tuple[str, dict[str, bool]]:
    """Return the key, and each column that has entries of its own to whether it is sealed."""
    keys = made.primary_key.columns.keys()
    if len(keys) != 1:
        raise BadTable(f"{made.name}: a history needs a key of one column")
    for name in (made.name, *made.c.keys()):
        if not NAME.fullmatch(name):
            raise BadTable("names of tables and columns must be at most 40 letters, digits and _")
    sealed = {c.name: isinstance(c.type, sa.LargeBinary) for c in made.c}
    following = {name + end for name, seal in sealed.items() if seal for end in INDEXES}
    left_out = {keys[0], VERSION, *following}
    return keys[0], {name: seal for name, seal in sealed.items() if name not in left_out}
