# SPDX-License-Identifier: MIT-0
"""Know who saw or changed whose data, in a log that cannot be quietly changed afterwards.

Copy: ``kit copy audit --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy, cryptography. Nothing else from this kit.
Data: none.

Entries form a chain, and any language can recompute it::

    entry   [seq,"at","actor","role","purpose","action",subject,filter,count]
            JSON without spaces, all ASCII; at such as "2026-11-24T09:30:00.000000Z"
    hash    SHA-256(prev | entry); prev is the hash before, 32 zero bytes before entry 1
    subject, filter   null, or the hex of HMAC-SHA256(key, "subject" or "filter" | 0x00 | text)

No name, address or search word is in it: whose data it was can be asked (`Log.subject`), not read.
Who looked is in it, as their staff id. Reads count too, and what was refused, as "refused:look".
Append within the transaction of the change itself, so that neither is kept without the other.

A chain alone (``tamper.py`` checks it) still holds when its end is cut off, or when all of it is
written anew. What tells is a signed checkpoint **kept somewhere else**: in backups, in a mail, on
paper. Whoever has the signing key and the database can rewrite what came after the last one that
is out of their reach.

Source: FIPS 180-4 (SHA-256), RFC 2104 (HMAC), RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = 1
WHAT = "checkpoint of an audit log"
GENESIS = bytes(32)  # stands before the first entry
KEY_BYTES = 32
WORD = re.compile(r"[a-z][a-z0-9_.-]{0,39}")  # no space, no @, no sentence: nothing is told in it
REFUSED = "refused:"
ACTIONS = (
    *("look", "search", "list", "export", "print", "disclose"),
    *("add", "change", "delete", "undelete", "import", "consent", "expire", "erase", "merge"),
    *("sign_in", "sign_out", "backup", "restore", "drill", "verify", "keys", "roles", "settings"),
)
LOCK = int.from_bytes(b"kitaudit", "big")  # the number of our advisory lock in PostgreSQL
ROWS_AT_ONCE = 5_000


class AuditError(Exception):
    """Base of the errors below. Messages never hold a value, a key or a hash."""


class BadKey(AuditError):
    """A key has the wrong length, or does not belong to the other one."""


class BadEntry(AuditError):
    """What was to be logged does not fit. Nothing was written."""


class NotWriting(AuditError):
    """There is no transaction that could hold the entry, or somebody else is writing."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something to log. `subject` and `filter` are hashed before they are written."""

    actor: str  # who, as a staff id
    role: str
    purpose: str
    action: str
    subject: str | None = None  # whose data, as the id of one customer
    filter: str | None = None  # what was searched for, when it is not one customer
    count: int = 1  # how many people's data
    refused: bool = False
    at: datetime | None = None  # when, if not now


@dataclass(frozen=True)
class Checkpoint:
    """A signed statement that at a time the log had so many entries and ended in this hash."""

    seq: int
    hash: bytes
    at: str
    public_key: bytes
    signature: bytes = b""

    def message(self) -> bytes:
        """Return the bytes that are signed: JSON, sorted, no spaces, without the signature."""
        fields = {
            "at": self.at,
            "format": FORMAT,
            "hash": self.hash.hex(),
            "public_key": self.public_key.hex(),
            "seq": self.seq,
            "what": WHAT,
        }
        return json.dumps(fields, separators=(",", ":")).encode()

    def to_json(self) -> str:
        """Return it as one line of JSON, to be kept outside the database."""
        fields = json.loads(self.message()) | {"signature": self.signature.hex()}
        return json.dumps(fields, separators=(",", ":"))


def table(metadata: sa.MetaData) -> sa.Table:
    """Declare ``kit_audit`` and return it, and ``kit_checkpoints`` with it.

    Creating them also creates triggers that refuse UPDATE and DELETE. They stop mistakes, and
    programs that are let in through the front door. Whoever holds the file, or owns the tables,
    can drop them: then the chain, and checkpoints kept elsewhere, tell what was done.
    """
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    words = [sa.Column(n, sa.Text, nullable=False) for n in COLUMNS[1:6]]
    audit = sa.Table(
        "kit_audit",
        metadata,
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        *words,
        sa.Column("subject", sa.Text),
        sa.Column("filter", sa.Text),
        sa.Column("count", number, nullable=False),
        sa.Column("prev", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    checkpoints = sa.Table(
        "kit_checkpoints",
        metadata,
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    ddl: Any = sa.DDL  # has no types
    for made in (audit, checkpoints):
        for dialect, statement in _triggers(made.name, made.primary_key.columns.keys()):
            sa.event.listen(made, "after_create", ddl(statement).execute_if(dialect=dialect))
        gone = ddl(f"DROP FUNCTION {made.name}_only_grows").execute_if(dialect="postgresql")
        sa.event.listen(made, "after_drop", gone)
    return audit


def _triggers(name: str, key: Iterable[str]) -> Iterator[tuple[str, str]]:
    told = f"{name} is only ever added to"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{told}'); END"
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    for when in (
        f"{name}_no_update BEFORE UPDATE ON {name}",
        f"{name}_no_delete BEFORE DELETE ON {name}",
        f"{name}_no_replace BEFORE INSERT ON {name} "  # noqa: S608
        f"WHEN EXISTS (SELECT 1 FROM {name} WHERE {same})",  # else REPLACE deletes unseen
    ):
        yield "sqlite", f"CREATE TRIGGER {when} {refuse}"
    yield (
        "postgresql",
        f"CREATE FUNCTION {name}_only_grows() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$BEGIN RAISE EXCEPTION '{told}'; END$$",
    )
    yield (
        "postgresql",
        f"CREATE TRIGGER {name}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}_only_grows()",
    )


COLUMNS = ("seq", "at", "actor", "role", "purpose", "action", "subject", "filter", "count")
AUDIT = table(_ours := sa.MetaData())
CHECKPOINTS = _ours.tables["kit_checkpoints"]


class Log:
    """Writes to the log. It holds no connection: each call is handed the change's own.

    Append as the last step of a change: others who log wait until its transaction ends.
    """

    def __init__(
        self,
        *,
        key: bytes,
        sign: Callable[[bytes], bytes],
        public_key: bytes,
        roles: Collection[str] | None = None,
        purposes: Collection[str] | None = None,
        actions: Collection[str] = ACTIONS,
    ) -> None:
        """Make a log.

        Args:
            key: 32 bytes for the hashes of customers and searches; purpose "audit" of a keyring.
            sign: Returns the Ed25519 signature of a message.
            public_key: Its public half, 32 bytes.
            roles: The only roles to accept, for example those of the inventory.
            purposes: The only purposes to accept.
            actions: The only actions to accept.
        """
        if len(key) != KEY_BYTES:
            raise BadKey(f"the key must be {KEY_BYTES} bytes; take the keyring's key for audit")
        _public(public_key)
        self._key, self._sign, self._public_key = key, sign, public_key
        self._allowed = {"role": roles, "purpose": purposes, "action": actions}
        self._known: set[tuple[str, str]] = set()  # words found good before

    def subject(self, text: str) -> str:
        """Return what stands in the log for this customer, to look for it there."""
        return self._keyed("subject", text)

    def append(
        self,
        connection: sa.Connection,
        *,
        now: datetime,
        actor: str,
        role: str,
        purpose: str,
        action: str,
        subject: str | None = None,
        filter: str | None = None,
        count: int = 1,
        refused: bool = False,
    ) -> int:
        """Log one thing in the caller's transaction; return the number of its entry.

        Args:
            connection: The change's own, in a transaction. On SQLite it should have begun with
                BEGIN IMMEDIATE: a deferred one that has read is refused when others write.
            now: The time, with its zone.
            actor: Who did it: a staff id, never a customer's.
            role: In which role.
            purpose: What for, one word of the inventory.
            action: What, one of `ACTIONS` unless other words were given.
            subject: The id of the one customer it is about. Only its keyed hash is kept.
            filter: What was searched for instead. Only its keyed hash is kept.
            count: How many people's data it touched.
            refused: It was tried and not allowed.

        Raises:
            BadEntry: Something is not a word, or not one of the words given.
            NotWriting: No transaction, or another writer was first.
        """
        event = Event(actor, role, purpose, action, subject, filter, count, refused)
        return self.extend(connection, [event], now=now)

    def extend(self, connection: sa.Connection, events: Iterable[Event], *, now: datetime) -> int:
        """Log many things in one go; return the number of the last entry."""
        seq, prev = _lock(connection)
        moment = _text(now)
        left = iter(events)
        while rows := [self._checked(event, moment) for event in islice(left, ROWS_AT_ONCE)]:
            made = []
            for at, actor, role, purpose, action, subject, asked, count in rows:
                seq += 1
                body = (
                    f'[{seq},"{at}","{actor}","{role}","{purpose}","{action}",'
                    f"{_quoted(subject)},{_quoted(asked)},{count}]"
                )
                found = hashlib.sha256(prev + body.encode()).digest()
                made.append(
                    (seq, at, actor, role, purpose, action, subject, asked, count, prev, found)
                )
                prev = found
            names = [column.name for column in AUDIT.columns]
            connection.execute(sa.insert(AUDIT), [dict(zip(names, r, strict=True)) for r in made])
        return seq

    def checkpoint(self, connection: sa.Connection, *, now: datetime) -> Checkpoint:
        """Sign where the log stands, keep it in the database and return it to be kept elsewhere."""
        seq, head = _lock(connection)
        draft = Checkpoint(seq, head, _text(now), self._public_key)
        made = replace(draft, signature=self._sign(draft.message()))
        try:
            _public(made.public_key).verify(made.signature, made.message())
        except InvalidSignature:
            raise BadKey("the public key is not of the signing key; hand over the pair") from None
        same = sa.select(CHECKPOINTS.c.seq).filter_by(seq=made.seq, at=made.at)
        if connection.execute(same).first() is None:
            connection.execute(sa.insert(CHECKPOINTS).values(vars(made)))
        return made

    def _keyed(self, kind: str, text: str | None) -> str:
        if not isinstance(text, str) or not text:
            raise BadEntry(f"{kind} must be text, or None; hand over an id")
        return hmac.digest(self._key, f"{kind}\0{text}".encode(), "sha256").hex()

    def _checked(self, event: Event, moment: str) -> tuple[Any, ...]:
        for pair in (
            ("actor", event.actor),
            ("role", event.role),
            ("purpose", event.purpose),
            ("action", event.action),
        ):
            if pair not in self._known:
                self._learn(*pair)
        if event.actor == event.subject:
            raise BadEntry("the actor is the customer's id; log customers as one actor: customer")
        if type(event.count) is not int or not 0 <= event.count < 2**63:
            raise BadEntry("count must be a whole number, 0 or more")
        return (
            moment if event.at is None else _text(event.at),
            event.actor,
            event.role,
            event.purpose,
            REFUSED + event.action if event.refused else event.action,
            None if event.subject is None else self._keyed("subject", event.subject),
            None if event.filter is None else self._keyed("filter", event.filter),
            event.count,
        )

    def _learn(self, kind: str, word: str) -> None:
        if not isinstance(word, str) or not WORD.fullmatch(word):
            raise BadEntry(
                f"{kind} must be one word of at most 40 small letters, digits and _ . -; "
                "nothing that a customer said belongs here"
            )
        allowed = self._allowed.get(kind)
        if allowed is not None and word not in allowed:
            raise BadEntry(f"{kind} is not one of: {', '.join(sorted({*allowed}))}")
        if len(self._known) < ROWS_AT_ONCE:
            self._known.add((kind, word))


def entries(
    connection: sa.Connection,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
    subject: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield entries in order, as dicts with an aware time.

    Args:
        connection: Reading is enough.
        since: The first moment.
        until: The first moment that is too late.
        actor: Only this person's.
        subject: Only about this customer: what `Log.subject` returned.
    """
    found = sa.select(AUDIT).order_by(AUDIT.c.seq)
    if since is not None:
        found = found.where(AUDIT.c.at >= _text(since))
    if until is not None:
        found = found.where(AUDIT.c.at < _text(until))
    if actor is not None:
        found = found.where(AUDIT.c.actor == actor)
    if subject is not None:
        found = found.where(AUDIT.c.subject == subject)
    rows = connection.execute(found.execution_options(yield_per=ROWS_AT_ONCE))
    for row in rows.mappings():
        yield dict(row) | {"at": datetime.fromisoformat(row["at"])}


def lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Turn `entries` into lines of JSON, hashes as hex: all that is needed to check them again."""
    for row in rows:
        hashes = {"prev": row["prev"].hex(), "hash": row["hash"].hex()}
        yield json.dumps(dict(row) | {"at": _text(row["at"])} | hashes, separators=(",", ":"))


def told(rows: Iterable[Mapping[str, Any]], *, zone: tzinfo) -> Iterator[str]:
    """Turn `entries` into lines for a person, in the shop's own time."""
    for row in rows:
        about = f", customer {row['subject'][:8]}" if row["subject"] else ""
        yield (
            f"{row['at'].astimezone(zone):%Y-%m-%d %H:%M}  {row['actor']} ({row['role']})  "
            f"{row['action'].replace(':', ' to ')}  {row['count']} for {row['purpose']}{about}"
        )


def _public(key: bytes) -> Ed25519PublicKey:
    with suppress(ValueError):
        return Ed25519PublicKey.from_public_bytes(key)
    raise BadKey("a public key is 32 bytes; take it from the keyring")


def _text(at: datetime) -> str:
    if at.tzinfo is None:
        raise BadEntry("a time without a zone; hand over an aware datetime")
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _quoted(word: str | None) -> str:
    return "null" if word is None else f'"{word}"'


def _lock(connection: sa.Connection) -> tuple[int, bytes]:
    """Keep other writers out until the transaction ends; return the newest number and hash."""
    driver: Any = connection.connection.dbapi_connection
    try:
        if connection.dialect.name == "sqlite":
            # no row, but it takes the write lock, or fails if what we read is out of date
            connection.exec_driver_sql("INSERT INTO kit_audit SELECT * FROM kit_audit WHERE 0")
            open_, level = driver.in_transaction, "read committed"
        else:
            # LOCK TABLE would do, but needs the right to change what is written
            level = connection.scalar(sa.text("SELECT current_setting('transaction_isolation')"))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            open_ = not driver.autocommit
    except sa.exc.OperationalError as error:
        code = getattr(error.orig, "sqlite_errorname", "") or getattr(error.orig, "sqlstate", "")
        if not code.startswith(("SQLITE_BUSY", "55P03")):
            raise
        failed = "somebody else is writing; begin with BEGIN IMMEDIATE and do it all again"
    else:
        if open_ and level == "read committed":
            head = sa.select(AUDIT.c.seq, AUDIT.c.hash).order_by(AUDIT.c.seq.desc()).limit(1)
            found = connection.execute(head).first()
            return (found[0], found[1]) if found else (0, GENESIS)
        failed = "an entry goes into its change's transaction; begin one, at READ COMMITTED"
    raise NotWriting(failed)
