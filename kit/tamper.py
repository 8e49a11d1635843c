# SPDX-License-Identifier: MIT-0
"""Find out whether anybody changed, removed, moved or cut off entries of an audit log.

Copy: ``kit copy tamper --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy, cryptography. Nothing else from this kit.
Data: none.

It needs no secret: the log, the public keys that sign its checkpoints, and **checkpoints that were
kept elsewhere**, each as the line of JSON that it was exported as. What is read::

    kit_audit         seq, at, actor, role, purpose, action, subject, filter, count, prev, hash
    kit_checkpoints   seq, at, hash, public_key, signature

    hash        SHA-256(prev | [seq,"at","actor","role","purpose","action",subject,filter,count])
    signature   Ed25519 over {"at":...,"format":1,"hash":hex,"public_key":hex,"seq":...,"what":...}

Every fault is named, and all that are found are listed::

    missing       a number in the middle is not there
    altered       an entry does not fit its own hash
    replaced      an entry fits its hash, but the next one was written after another
    out of order  an entry stands in the place of another
    duplicate     an entry is there twice
    truncated     the log ends before a checkpoint
    rewritten     the log fits in itself, but does not lead to a checkpoint
    checkpoint    one that none of the keys signed

**Without a checkpoint from outside** a cut-off end, or a log written anew by somebody who also has
the signing key, looks like a good one.

Source: FIPS 180-4 (SHA-256), RFC 8032 (Ed25519).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeAlias

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORMAT = 1
WHAT = "checkpoint of an audit log"
GENESIS = bytes(32)  # stands before the first entry
COLUMNS = ("seq", "at", "actor", "role", "purpose", "action", "subject", "filter", "count")
ROWS_AT_ONCE = 2_000
MOST_FAULTS = 1_000  # then it stops; a run of neighbours counts as one
MOST_MOVES = 50  # altered entries for which it is tried whether they stand elsewhere
AUDIT = sa.table("kit_audit", *map(sa.column, COLUMNS), sa.column("prev"), sa.column("hash"))
MARK = ("seq", "at", "hash", "public_key", "signature")
KEPT = sa.table("kit_checkpoints", *map(sa.column, MARK))

Row: TypeAlias = tuple[int, bytes, bytes, bytes]  # seq, prev, the entry as JSON, hash


class TamperError(Exception):
    """Base of the errors below."""


class Unreadable(TamperError):
    """What was handed over is no log, no checkpoint, or no key."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, at which entries (first to last), and a sentence."""

    kind: str
    first: int
    last: int
    text: str


class Broken(TamperError):
    """The log is not what was written. `faults` lists everything that was found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        first = "; ".join(fault.text for fault in faults[:3])
        super().__init__(f"{first}{more}; copy it as it is now, then ask who had the database")
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Verified:
    """A log in which nothing was found, and how far that goes."""

    entries: int
    head: bytes  # the newest hash
    checkpoints: int  # how many it was compared with
    proven: int  # newest entry that a checkpoint from outside covers; 0 without one


@dataclass(frozen=True)
class _Mark:
    """A checkpoint."""

    seq: int
    at: str
    hash: bytes
    public_key: bytes
    signature: bytes

    def signed_by(self, public_keys: Collection[bytes]) -> bool:
        fields = {
            "at": self.at,
            "format": FORMAT,
            "hash": self.hash.hex(),
            "public_key": self.public_key.hex(),
            "seq": self.seq,
            "what": WHAT,
        }
        message = json.dumps(fields, separators=(",", ":")).encode()
        with suppress(InvalidSignature):
            if self.public_key in public_keys:
                _public(self.public_key).verify(self.signature, message)
                return True
        return False


def verify(
    connection: sa.Connection, *, public_keys: Collection[bytes], checkpoints: Iterable[str] = ()
) -> Verified:
    """Check the whole log of a database. Half a million entries take a second.

    Args:
        connection: Reading is enough.
        public_keys: 32 bytes each: of the signing key, and of those that it replaced.
        checkpoints: Lines of JSON that were kept outside the database.

    Raises:
        Broken: Something is wrong; `faults` says what and where.
        Unreadable: There is no log, or a key or a checkpoint is none.
    """
    marks = [_mark(text) for text in checkpoints]
    try:
        # before the log, or one that somebody adds in between would lie beyond its end
        own = [_Mark(*row) for row in connection.execute(sa.select(KEPT).order_by(KEPT.c.seq))]
        walk = _Walk(mark.seq for mark in marks + own)
        for rows in _stored(connection):
            if not walk.feed(rows):
                break
        walk.name_moves(lambda hashes: _copies(connection, hashes))
    except (sa.exc.DBAPIError, connection.dialect.loaded_dbapi.Error, TypeError):
        raise Unreadable(
            "the log cannot be read; check the database, or restore the newest good backup"
        ) from None
    return walk.result(own, marks, public_keys)


def verify_lines(
    lines: Iterable[str], *, public_keys: Collection[bytes], checkpoints: Iterable[str] = ()
) -> Verified:
    """Check a log that was exported as lines of JSON, from its first entry, as `verify` does."""
    marks = [_mark(text) for text in checkpoints]
    walk = _Walk(mark.seq for mark in marks)
    rows = map(_parsed, enumerate(lines, 1))
    while (batch := list(islice(rows, ROWS_AT_ONCE))) and walk.feed(batch):
        pass
    walk.name_moves(lambda hashes: {})
    return walk.result([], marks, public_keys)


class _Walk:
    """Goes through a log once, keeping what is odd."""

    def __init__(self, wanted: Iterable[int]) -> None:
        self.wanted = frozenset(wanted)  # entries that a checkpoint is about
        self.seen: dict[int, set[bytes]] = {}  # their hashes, stored and recomputed
        self.entries, self.expected, self.last = 0, 1, GENESIS
        self.missing: list[tuple[int, int]] = []
        self.altered: list[tuple[int, int]] = []
        self.suspects: list[Row] = []
        self.faults: list[Fault] = []

    def feed(self, rows: Sequence[Row]) -> bool:
        """Look at the next entries; tell whether to go on."""
        sha256, wanted = hashlib.sha256, self.wanted
        expected, last = self.expected, self.last
        for row in rows:
            seq, prev, body, found = row
            # 1 us; all else is for logs with a fault
            if seq == expected and prev == last and sha256(prev + body).digest() == found:
                if seq in wanted:
                    self.seen[seq] = {found}
                expected, last = seq + 1, found
            else:
                self.expected, self.last = expected, last
                self._odd(row)
                expected, last = self.expected, self.last
        self.expected, self.last = expected, last
        self.entries += len(rows)
        return not self._full()

    def _full(self) -> bool:
        return len(self.faults) + len(self.missing) + len(self.altered) > MOST_FAULTS

    def _odd(self, row: Row) -> None:
        seq, prev, body, found = row
        prev = prev if isinstance(prev, bytes) else b""
        after_altered = bool(self.altered) and self.altered[-1][1] == self.expected - 1
        computed = hashlib.sha256(prev + body).digest()
        if computed != found or seq < 1:
            _add(self.altered, seq, seq)
            if len(self.suspects) <= MOST_MOVES:
                self.suspects.append((seq, prev, body, found))
        if seq in self.wanted:
            self.seen.setdefault(seq, set()).update((found, computed))
        if seq < self.expected:
            self._again(seq)
            return
        if seq > self.expected:
            _add(self.missing, self.expected, seq - 1)
        elif computed == found and prev != self.last and not after_altered:
            self._fault("replaced", max(seq - 1, 1), "{who} {was} replaced by another one")
        self.expected, self.last = seq + 1, found

    def _again(self, seq: int) -> None:
        if _remove(self.missing, seq):
            self._fault("out of order", seq, "{who} {is_} after a later one")
        elif seq > 0:
            self._fault("duplicate", seq, "{who} {is_} there twice")

    def _fault(self, kind: str, first: int, text: str, last: int | None = None) -> None:
        if last is None or last == first:
            last, words = first, {"who": f"entry {first:,}", "is_": "is", "was": "was"}
        else:
            words = {"who": f"entries {first:,} to {last:,}", "is_": "are", "was": "were"}
        self.faults.append(Fault(kind, first, last, text.format_map(words)))

    def name_moves(self, copies: Callable[[list[bytes]], dict[bytes, list[int]]]) -> None:
        """Find altered entries that are good ones in another place."""
        if not 0 < len(self.suspects) <= MOST_MOVES:
            return
        gaps = (range(first, last + 1) for first, last in self.missing)
        places = {row[0] for row in self.suspects}
        empty = {*islice(chain.from_iterable(gaps), MOST_FAULTS)}
        same = copies([row[3] for row in self.suspects])
        for seq, prev, body, found in self.suspects:
            tail = body[body.find(b",") :]
            for n in sorted(({*places, *empty} | {*same.get(found, ())}) - {seq}):
                if hashlib.sha256(prev + b"[%d" % n + tail).digest() == found:
                    _remove(self.altered, seq)
                    _remove(self.missing, n)
                    self.seen.setdefault(n, set()).add(found)
                    if n in places | empty:
                        self._fault("out of order", seq, f"in the place of {{who}} is entry {n:,}")
                    else:
                        self._fault("duplicate", seq, f"{{who}} is a copy of entry {n:,}")
                    break

    def result(
        self, own: Sequence[_Mark], outside: Sequence[_Mark], public_keys: Collection[bytes]
    ) -> Verified:
        """Compare with the checkpoints, then tell the faults, or that there are none."""
        stopped = self._full()
        for first, last in self.missing:
            self._fault("missing", first, "{who} {is_} missing", last)
        for first, last in self.altered:
            self._fault("altered", first, "{who} {was} altered", last)
        good = []
        for mark in sorted({*own, *outside}, key=lambda mark: mark.seq):
            if mark.signed_by(public_keys):
                good.append(mark)
            else:
                self._fault(
                    "checkpoint",
                    mark.seq,
                    "the checkpoint at {who} is forged, or its public key was not handed over",
                )
        if not stopped:
            self._compare(good)
        if self.faults:
            raise Broken(sorted(self.faults, key=lambda f: (f.first, f.last, f.kind)))
        proven = max((mark.seq for mark in outside), default=0)
        return Verified(self.entries, self.last, len(good), proven)

    def _compare(self, marks: Sequence[_Mark]) -> None:
        """Tell what is beyond the end, and the first checkpoint that the log does not lead to."""
        self.seen[0] = {GENESIS}
        fits, end = 0, self.expected - 1
        for mark in marks:
            if mark.seq > end:
                continue
            if mark.hash not in self.seen.get(mark.seq, {mark.hash}):  # if missing, it is told
                text = f"{{who}} {{was}} rewritten, all or some, after {mark.at[:16]}"
                self._fault("rewritten", min(fits + 1, mark.seq), text, mark.seq)
                break
            fits = mark.seq
        newest = max(marks, key=lambda mark: mark.seq, default=None)
        if newest and newest.seq > end:
            text = f"{{who}} {{was}} cut off the end after {newest.at[:16]}"
            self._fault("truncated", end + 1, text, newest.seq)


def _add(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    if ranges and ranges[-1][1] == first - 1:
        first = ranges.pop()[0]
    ranges.append((first, last))


def _remove(ranges: list[tuple[int, int]], number: int) -> bool:
    for i, (first, last) in enumerate(ranges):
        if first <= number <= last:
            ranges[i : i + 1] = [
                part for part in ((first, number - 1), (number + 1, last)) if part[0] <= part[1]
            ]
            return True
    return False


def _stored(connection: sa.Connection) -> Iterator[Sequence[Row]]:
    """Yield the entries in order; the database writes the JSON, four times as fast as Python."""
    c = AUDIT.c
    columns = [c[name] for name in COLUMNS]
    if connection.dialect.name == "sqlite":
        body: Any = sa.cast(sa.func.json_array(*columns), sa.LargeBinary)
    else:
        quote: Any = sa.literal_column("'\"'")
        parts: list[Any] = []
        for column in columns:
            text: Any = sa.func.concat(quote, column, quote)
            if column.name in ("subject", "filter"):
                text = sa.case((column.is_(None), "null"), else_=text)
            parts += [",", column if column.name in ("seq", "count") else text]
        # an entry as it was written has no comma of its own, so no other one reads the same
        body = sa.func.convert_to(sa.func.concat("[", *parts[1:], "]"), "UTF8")
    query = sa.select(c.seq, c.prev, body, c.hash).order_by(c.seq)
    sql = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
    # the driver's own cursor: SQLAlchemy's rows would take 1.6 times as long
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor() if connection.dialect.name == "sqlite" else driver.cursor("kit_audit")
    with closing(cursor):
        cursor.execute(sql)
        while batch := cursor.fetchmany(ROWS_AT_ONCE):
            yield batch


def _copies(connection: sa.Connection, hashes: list[bytes]) -> dict[bytes, list[int]]:
    found: dict[bytes, list[int]] = {}
    query = sa.select(AUDIT.c.hash, AUDIT.c.seq).where(AUDIT.c.hash.in_(hashes))
    for same, seq in connection.execute(query):
        found.setdefault(same, []).append(seq)
    return found


def _parsed(numbered: tuple[int, str]) -> Row:
    number, line = numbered
    with suppress(ValueError, TypeError):
        pairs = json.loads(line, object_pairs_hook=list)
        if [name for name, _ in pairs] == [*COLUMNS, "prev", "hash"] and type(pairs[0][1]) is int:
            *values, prev, found = (value for _, value in pairs)
            body = json.dumps(values, separators=(",", ":")).encode()
            return values[0], bytes.fromhex(prev), body, bytes.fromhex(found)
    raise Unreadable(f"line {number}: not an entry of an audit log; export it again")


def _mark(text: str) -> _Mark:
    with suppress(ValueError, TypeError, KeyError):
        found = json.loads(text)
        if found.pop("what") == WHAT and found.pop("format") == FORMAT and found["seq"] >= 0:
            for name in ("hash", "public_key", "signature"):
                found[name] = bytes.fromhex(found[name])
            return _Mark(**found)
    raise Unreadable("not a checkpoint of this format; copy the line again, in full")


def _public(key: bytes) -> Ed25519PublicKey:
    with suppress(ValueError):
        return Ed25519PublicKey.from_public_bytes(key)
    raise Unreadable("a public key is 32 bytes; take it from the keyring")
