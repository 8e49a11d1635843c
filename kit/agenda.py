# SPDX-License-Identifier: MIT-0
"""Put deadlines into the calendar you look at every day, so that none is forgotten.

Copy: ``kit copy agenda --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

`write` makes one iCalendar file (``.ics``), which every calendar program opens. A deadline that is
a day is an all-day entry; one that is an instant is shown at that instant, in the reader's zone.
Each has a reminder. Importing a newer file changes the entries instead of doubling them, because
an entry keeps its UID for as long as its key stays the same.

Never put a customer's name into a calendar: it is copied to telephones and shared screens.

Source: RFC 5545: lines end in CR LF and are folded at 75 octets (3.1), text is escaped (3.3.11),
UID and DTSTAMP are required (3.6.1), an all-day entry ends on the next day (3.6.1).
"""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

LINE = 75  # octets, the line end not counted
SPACE = uuid.UUID("6f1c1f52-7f9d-5b0e-9d58-3f6f4a1f0c11")  # ours: UIDs are derived in it
REMIND_DAYS, REMIND_HOURS = 3, 12  # before a day, and before an instant


class AgendaError(Exception):
    """Base of the errors below. Messages name an entry by its number only."""


class BadEntry(AgendaError):
    """An entry has no title or no key, or a time has no zone."""


class Entry(Protocol):
    """What becomes one entry."""

    @property
    def key(self) -> str:
        """Return what stays the same when the entry changes, such as incident and rule."""

    @property
    def on(self) -> date | datetime:
        """Return the day, or the instant."""

    @property
    def title(self) -> str:
        """Return one line."""

    @property
    def text(self) -> str:
        """Return the rest; may have several lines."""


def write(entries: Iterable[Entry], *, now: datetime) -> bytes:
    """Return an iCalendar file.

    Args:
        entries: Any number of them; of two with one key the later stands.
        now: When the file is made, aware.

    Raises:
        BadEntry: A title or key is empty, or a time has no zone.
    """
    if now.utcoffset() is None:
        raise BadEntry("now has no time zone; hand over an aware datetime")
    stamp = _utc(now)
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//customer-data-kit//agenda//EN"]
    lines += ["CALSCALE:GREGORIAN"]
    events: dict[str, list[str]] = {}
    for number, entry in enumerate(entries, 1):
        events[entry.key] = list(_event(entry, number, stamp))
    for event in events.values():
        lines += event
    lines += ["END:VCALENDAR"]
    return b"".join(_folded(line) for line in lines)


def _event(entry: Entry, number: int, stamp: str) -> Iterator[str]:
    if not entry.key.strip() or not entry.title.strip():
        raise BadEntry(f"entry {number}: has no key or no title; give it both")
    yield "BEGIN:VEVENT"
    yield f"UID:{uuid.uuid5(SPACE, entry.key)}"
    yield f"DTSTAMP:{stamp}"
    if isinstance(entry.on, datetime):
        if entry.on.utcoffset() is None:
            raise BadEntry(f"entry {number}: its time has no zone; hand over an aware datetime")
        yield f"DTSTART:{_utc(entry.on)}"
        trigger = f"-PT{REMIND_HOURS}H"
    else:
        yield f"DTSTART;VALUE=DATE:{entry.on:%Y%m%d}"
        yield f"DTEND;VALUE=DATE:{entry.on + timedelta(days=1):%Y%m%d}"
        trigger = f"-P{REMIND_DAYS}D"
    title = _escaped(" ".join(entry.title.split()))
    yield f"SUMMARY:{title}"
    if entry.text.strip():
        yield f"DESCRIPTION:{_escaped(entry.text)}"
    yield "TRANSP:TRANSPARENT"  # it does not make the day look busy
    yield from ("BEGIN:VALARM", "ACTION:DISPLAY", f"TRIGGER:{trigger}")
    yield from (f"DESCRIPTION:{title}", "END:VALARM", "END:VEVENT")


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    """Return text that cannot end its line or pretend to be another property."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = (c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp"))
    text = "".join(kept).replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return text.replace("\n", "\\n")


def _folded(line: str) -> bytes:
    """Return the line in pieces of 75 octets at most, never inside a character."""
    pieces: list[bytes] = []
    piece, room = b"", LINE
    for character in line:
        octets = character.encode("utf-8", "replace")
        if len(piece) + len(octets) > room:
            pieces.append(piece)
            piece, room = b"", LINE - 1  # the blank that continues a line counts, too
        piece += octets
    return b"\r\n ".join([*pieces, piece]) + b"\r\n"
