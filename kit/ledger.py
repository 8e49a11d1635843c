# SPDX-License-Identifier: MIT-0
"""Remember who was erased without knowing who it was, so that no backup brings them back.

Copy: ``kit copy ledger --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

One line of JSON for each step, in a file apart from the database, which goes wherever backups go::

    {"seq":7,"at":"2026-11-24T09:30:00Z","subject":"hex of HMAC-SHA256","scope":"customer",
     "state":"begun","prev":"hash of line 6","hash":"SHA-256 of this line without its hash"}

"begun" is written before anything is deleted, "done" after: what was begun and never done is to be
erased again. Without the key nobody can tell a customer from a line, or a line from a customer.
After a restore, ask about everybody who came back (`Ledger.erased`), with the **newest** ledger.

A cut end does not show in the file itself; compare `Ledger.head` with one noted elsewhere. One
program writes at a time: call it while the database's own write lock is held.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FIRST = "0" * 64  # stands before the first line
KEY_BYTES = 32
FIELDS = ("seq", "at", "subject", "scope", "state", "prev", "hash")
LABEL = b"kit/ledger/v1\0"


class LedgerError(Exception):
    """Base of the errors below. Messages never hold an id, a hash or a key."""


class Altered(LedgerError):
    """A line is missing, changed or out of place; `line` says which, from 1."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(
            f"line {line} of the erasure ledger {what}; take the newest copy that was kept with "
            "the backups"
        )
        self.line = line


class OlderThanSeen(LedgerError):
    """The ledger lacks its newest lines: somebody put an older one back."""


class CannotWrite(LedgerError):
    """The line could not be saved; nothing was erased yet."""


@dataclass(frozen=True)
class Line:
    """One step of one erasure."""

    seq: int
    at: datetime
    subject: str
    scope: str
    state: str


class Ledger:
    """The erasures of one shop."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open a ledger; the file need not be there yet.

        Args:
            path: The file.
            key: 32 bytes, purpose "ledger" of a keyring; the same one for ever.
        """
        if len(key) != KEY_BYTES:
            raise LedgerError(f"the key must be {KEY_BYTES} bytes; take the keyring's for ledger")
        self.path, self._key = path, key

    def subject(self, customer: str) -> str:
        """Return what stands in the ledger for a customer's id."""
        return hmac.digest(self._key, LABEL + customer.encode(), "sha256").hex()

    def begin(self, customer: str, *, now: datetime, scope: str = "customer") -> None:
        """Write that a customer is about to be erased. Do it before anything is deleted.

        Raises:
            CannotWrite: The disk says no. Erase nothing then.
        """
        self._append(self.subject(customer), scope, "begun", now)

    def done(self, customer: str, *, now: datetime, scope: str = "customer") -> None:
        """Write that everything of them is gone."""
        self._append(self.subject(customer), scope, "done", now)

    def finish(self, line: Line, *, now: datetime) -> None:
        """Write that something found `unfinished` is done now."""
        self._append(line.subject, line.scope, "done", now)

    def lines(self) -> list[Line]:
        """Return every step, oldest first.

        Raises:
            Altered: The chain does not hold.
        """
        return [line for line, _ in self._read()]

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the newest line; note them in every backup."""
        read = self._read()
        return (read[-1][0].seq, read[-1][1]) if read else (0, FIRST)

    def expect(self, seq: int, found: str) -> None:
        """Compare with a head noted elsewhere.

        Raises:
            OlderThanSeen: The line of that number is not there.
            Altered: It is another line.
        """
        read = self._read()
        if len(read) < seq:
            raise OlderThanSeen(
                f"the erasure ledger ends at line {len(read)}, but line {seq} was seen before; "
                "find the newer one before anything is restored"
            )
        if seq and read[seq - 1][1] != found:
            raise Altered(seq, "is another one than was seen before")

    def erased(self, customers: Iterable[str]) -> set[str]:
        """Return which of these were erased, or were about to be."""
        gone = {line.subject for line in self.lines()}
        return {one for one in customers if self.subject(one) in gone} if gone else set()

    def unfinished(self) -> list[Line]:
        """Return what was begun and never done: to be erased again."""
        open_: dict[str, Line] = {}
        for line in self.lines():
            if line.state == "begun":
                open_.setdefault(line.subject, line)
            else:
                open_.pop(line.subject, None)
        return list(open_.values())

    def _append(self, subject: str, scope: str, state: str, now: datetime) -> None:
        if now.tzinfo is None:
            raise LedgerError("now has no time zone; hand over an aware datetime")
        seq, prev = self.head
        at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        entry = {
            "seq": seq + 1,
            "at": at,
            "subject": subject,
            "scope": scope,
            "state": state,
            "prev": prev,
        }
        line = json.dumps({**entry, "hash": _hash(entry)}, separators=(",", ":")) + "\n"
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab") as file:
                file.truncate(size := self._whole())
                try:
                    file.write(line.encode())
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(size)  # half a line would spoil the chain
                    raise
        except OSError as error:
            raise CannotWrite(
                f"the erasure ledger cannot be written ({type(error).__name__}); nothing was "
                "erased: make room, then try again"
            ) from None

    def _whole(self) -> int:
        """Return where the last whole line ends; a program that was killed leaves half of one."""
        return self.path.read_bytes().rfind(b"\n") + 1

    def _read(self) -> list[tuple[Line, str]]:
        try:
            texts = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        read: list[tuple[Line, str]] = []
        prev = FIRST
        for number, text in enumerate(texts[:-1], 1):  # what follows the last line end is half
            entry = _parsed(text, number)
            found = str(entry.pop("hash"))
            if entry["seq"] != number or entry["prev"] != prev:
                raise Altered(number, "does not follow the one before")
            if _hash(entry) != found:
                raise Altered(number, "was changed")
            at = datetime.fromisoformat(str(entry["at"]))
            words = (str(entry[name]) for name in ("subject", "scope", "state"))
            read.append((Line(number, at, *words), found))
            prev = found
        return read


def _parsed(text: bytes, number: int) -> dict[str, object]:
    try:
        entry = json.loads(text)
    except ValueError:
        entry = None
    if not isinstance(entry, dict) or tuple(entry) != FIELDS:
        raise Altered(number, "is none")
    return entry


def _hash(entry: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(entry, separators=(",", ":")).encode()).hexdigest()
