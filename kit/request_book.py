# SPDX-License-Identifier: MIT-0
"""Keep a book of what customers asked for in which no line can be changed or lost by mistake.

Copy: ``kit copy request_book --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

Events in table ``kit_requests`` of the shop's own database, only ever added to, in the same
transaction as the change that they tell of::

    seq          grows by one, and is never used again
    request_id   which request
    number       of the event within its request, from 1; two writers cannot both take one
    at, actor    when, in UTC, and who: a staff id
    event        one word, such as "received" or "answered"
    detail       JSON, sorted, no blanks

What the events mean stands in request_state.py, or in your own code. `purge` is the only way out:
it deletes the events of requests whose time is over, and leaves one line that says so.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

WORD = re.compile(r"[a-z][a-z0-9_.-]{0,39}")
PURGED = "purged"


class BookError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadEntry(BookError):
    """Something is missing or not allowed; nothing was written."""


class Overtaken(BookError):
    """Somebody else wrote about the same request at the same time; nothing was written."""


def table(metadata: sa.MetaData) -> sa.Table:
    """Declare ``kit_requests`` and return it.

    Creating it also creates triggers that refuse UPDATE, and DELETE of what was not purged. They
    stop mistakes, not somebody who holds the file.
    """
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    made = sa.Table(
        "kit_requests",
        metadata,
        sa.Column("seq", number, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("number", number, nullable=False),
        *(sa.Column(n, sa.Text, nullable=False) for n in ("at", "actor", "event", "detail")),
        sa.UniqueConstraint("request_id", "number"),
        sqlite_strict=True,
        sqlite_autoincrement=True,  # or a number would be used again after a purge
    )
    ddl: Any = sa.DDL  # has no types
    for dialect, statement in TRIGGERS:
        sa.event.listen(made, "after_create", ddl(statement).execute_if(dialect=dialect))
    gone = ddl("DROP FUNCTION kit_requests_only_grows").execute_if(dialect="postgresql")
    sa.event.listen(made, "after_drop", gone)
    return made


TOLD = "kit_requests is only ever added to"
MAY_GO = (  # of a purged request all but the line that says so
    "OLD.event <> 'purged' AND EXISTS (SELECT 1 FROM kit_requests AS p "
    "WHERE p.request_id = OLD.request_id AND p.event = 'purged')"
)
TRIGGERS = (
    (
        "sqlite",
        "CREATE TRIGGER kit_requests_no_update BEFORE UPDATE ON kit_requests "
        f"BEGIN SELECT RAISE(ABORT, '{TOLD}'); END",
    ),
    (
        "sqlite",
        f"CREATE TRIGGER kit_requests_no_delete BEFORE DELETE ON kit_requests WHEN NOT ({MAY_GO}) "
        f"BEGIN SELECT RAISE(ABORT, '{TOLD}'); END",
    ),
    (
        "sqlite",
        "CREATE TRIGGER kit_requests_no_replace BEFORE INSERT ON kit_requests "  # noqa: S608
        "WHEN EXISTS (SELECT 1 FROM kit_requests WHERE seq = NEW.seq) "
        f"BEGIN SELECT RAISE(ABORT, '{TOLD}'); END",
    ),
    (
        "postgresql",
        "CREATE FUNCTION kit_requests_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        f"IF TG_OP = 'DELETE' THEN IF {MAY_GO} THEN RETURN OLD; END IF; END IF; "
        f"RAISE EXCEPTION '{TOLD}'; END$$",
    ),
    (
        "postgresql",
        "CREATE TRIGGER kit_requests_only_grows BEFORE UPDATE OR DELETE ON kit_requests "
        "FOR EACH ROW EXECUTE FUNCTION kit_requests_only_grows()",
    ),
    (
        "postgresql",
        "CREATE TRIGGER kit_requests_no_truncate BEFORE TRUNCATE ON kit_requests "
        "FOR EACH STATEMENT EXECUTE FUNCTION kit_requests_only_grows()",
    ),
)
BOOK = table(sa.MetaData())


def create(connection: sa.Connection) -> None:
    """Make the table in a database that has none yet."""
    BOOK.metadata.create_all(connection, checkfirst=True)


def new_id(received: datetime) -> str:
    """Return a number for a request: the day, and chance; it tells nothing about anybody."""
    return f"req-{received:%Y%m%d}-{secrets.token_hex(4)}"


def append(
    connection: sa.Connection,
    request_id: str,
    event: str,
    detail: Mapping[str, Any],
    *,
    actor: str,
    now: datetime,
) -> int:
    """Write an event, as the next of its request; return its number within it.

    Args:
        connection: The change's own, in a transaction.
        request_id: Which request.
        event: What happened, one word.
        detail: What JSON takes; no customer's value.
        actor: Who did it: a staff id.
        now: The time, with its zone.

    Raises:
        BadEntry: A word is none, or the time has no zone.
        Overtaken: Somebody else was faster; look again, then repeat.
    """
    for name, word in (("actor", actor), ("event", event), ("request_id", request_id)):
        if not WORD.fullmatch(word):
            raise BadEntry(f"{name} must be one word of at most 40 small letters, digits, _ . -")
    if event == PURGED:
        raise BadEntry("purged is written by purge alone; call that")
    return _write(connection, request_id, event, detail, actor, now)


def events(connection: sa.Connection, request_id: str = "") -> Iterator[dict[str, Any]]:
    """Yield the events of one request, or of all that are not purged, oldest first."""
    query = sa.select(BOOK).where(BOOK.c.event != PURGED).order_by(BOOK.c.seq)
    if request_id:
        query = query.where(BOOK.c.request_id == request_id)
    for row in connection.execute(query).mappings():
        at = datetime.fromisoformat(row["at"])
        yield {**row, "at": at, "detail": json.loads(row["detail"])}


def purge(
    connection: sa.Connection, request_ids: Iterable[str], *, actor: str, now: datetime
) -> int:
    """Delete all that is known of some requests but that there were any; return how many events.

    Args:
        connection: In a transaction.
        request_ids: Those whose time is over.
        actor: Who does it: a staff id.
        now: The time, with its zone.
    """
    gone = 0
    for request_id in request_ids:
        _write(connection, request_id, PURGED, {}, actor, now)
        theirs = BOOK.c.request_id == request_id
        gone += connection.execute(sa.delete(BOOK).where(theirs, BOOK.c.event != PURGED)).rowcount
    return gone


def _write(
    connection: sa.Connection,
    request_id: str,
    event: str,
    detail: Mapping[str, Any],
    actor: str,
    now: datetime,
) -> int:
    if now.tzinfo is None:
        raise BadEntry("a time without a zone; hand over an aware datetime")
    last = sa.select(sa.func.max(BOOK.c.number)).where(BOOK.c.request_id == request_id)
    number = (connection.scalar(last) or 0) + 1
    row = {
        "request_id": request_id,
        "number": number,
        "at": now.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z",
        "actor": actor,
        "event": event,
        "detail": json.dumps(detail, sort_keys=True, separators=(",", ":")),
    }
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(BOOK).values(row))
    except sa.exc.IntegrityError:
        raise Overtaken("somebody else wrote about this request; look again, then repeat") from None
    return number
