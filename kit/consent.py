# SPDX-License-Identifier: MIT-0
"""Know at any moment, past ones too, who said yes to what, and prove it.

Copy: ``kit copy consent --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

Consents are events that are only ever added, one row of table ``consents`` each. What holds at a
moment is read off those up to it, for each customer, channel and purpose::

    stated      another system says yes; no proof, and it never undoes a no
    given       the customer said yes, to us
    confirmed   and then showed that the address is theirs; alone it counts for nothing
    expired     the yes was given too long ago
    withdrawn   no; wins over every yes of the same moment or before

The order in which events arrive makes no difference, nor does one that arrives twice. A new yes
after a no counts, and has to be confirmed anew.

A consent at the till or on paper carries its proof, JSON in the column ``proof``. A browser's
``Sec-GPC: 1`` is a no to selling and sharing: `asks_not_to_share` reads it, and
`signal` makes the event for a customer who is logged in.

Source: Sec-GPC as in W3C's Global Privacy Control, sections 3.3 and 4 (working draft, 2026); the
event states are those of ISO/IEC TS 27560:2023, and `stated`.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

EVENTS = ("stated", "given", "confirmed", "expired", "withdrawn")  # at one moment, in this order
YES = ("given", "confirmed")
SHARING = "sale or sharing"  # the purpose that a browser's signal says no to
ANY = "any"  # the channel of a purpose that has none

Key: TypeAlias = tuple[str, str, str]  # customer, channel, purpose


class ConsentError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadEvent(ConsentError):
    """An event lacks something, or has a time without a zone."""


class BadProof(ConsentError):
    """A proof does not say who asked, or which paper it was."""


@dataclass(frozen=True)
class Event:
    """One thing that happened to a consent: a row of table ``consents``."""

    consent_id: str
    customer_id: str
    channel: str  # email, sms, or any
    purpose: str
    event: str  # one of EVENTS
    wording: str | None  # of the text that the customer read
    source: str
    happened_at: datetime
    notice_sha256: str | None = None  # of that text
    form: str | None = None  # its id and version
    receipt_sha256: str | None = None
    proof: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise BadEvent(f"no such event; it is one of: {', '.join(EVENTS)}")
        if not (self.consent_id and self.customer_id and self.channel and self.purpose):
            raise BadEvent("an event needs its number, the customer's, a channel and a purpose")
        if not isinstance(self.happened_at, datetime) or self.happened_at.tzinfo is None:
            raise BadEvent("happened_at is no time with a zone; hand over an aware datetime")

    @property
    def key(self) -> Key:
        """What it is about: customer, channel, purpose."""
        return self.customer_id, self.channel, self.purpose

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Event:
        """Make an event from a row of table ``consents``; columns it does not know are left."""
        known = {one.name: row[one.name] for one in fields(cls) if one.name in row}
        if missing := {"consent_id", "customer_id", "event", "happened_at"} - set(known):
            raise BadEvent(f"a row lacks {', '.join(sorted(missing))}; read the whole table")
        empty = {"channel": ANY, "purpose": "", "wording": None, "source": ""}
        return cls(**{**empty, **known})

    def row(self) -> dict[str, Any]:
        """Return it as a row of table ``consents``."""
        return asdict(self)


@dataclass(frozen=True)
class State:
    """What holds at a moment.

    Attributes:
        status: ``none`` or one of EVENTS.
        since: From when; None for ``none``.
        consent_id: Number of the event that decided.
        until: When a yes will have run out, if it does.
    """

    status: str = "none"
    since: datetime | None = None
    consent_id: str = ""
    until: datetime | None = None

    @property
    def yes(self) -> bool:
        """Whether the customer said yes and it still counts, confirmed or not."""
        return self.status in YES

    @property
    def confirmed(self) -> bool:
        """Whether the address was shown to be theirs, too. Send offers on this alone."""
        return self.status == "confirmed"


def state(events: Iterable[Event], *, at: datetime, lasts_days: int = 0) -> State:
    """Return what holds at a moment for one customer, channel and purpose.

    Args:
        events: All that is known about it, in any order; later ones make no difference.
        at: The moment, with a time zone.
        lasts_days: How long a yes counts after it was last given or confirmed; 0 is for ever.

    Raises:
        BadEvent: The events are about several customers, channels or purposes.
    """
    if at.tzinfo is None:
        raise BadEvent("at is no time with a zone; hand over an aware datetime")
    past = [event for event in events if event.happened_at <= at]
    if len({event.key for event in past}) > 1:
        raise BadEvent("events of several customers, channels or purposes; use states")
    past.sort(key=lambda event: (event.happened_at, EVENTS.index(event.event), event.consent_id))
    now = State()
    for event in past:
        now = _next(_run_out(now, event.happened_at), event, lasts_days)
    return _run_out(now, at)


def states(
    events: Iterable[Event], *, at: datetime, lasts_days: Mapping[str, int] | None = None
) -> dict[Key, State]:
    """Return what holds at a moment for each customer, channel and purpose.

    Args:
        events: All of them, in any order.
        at: The moment, with a time zone.
        lasts_days: By purpose, how long a yes counts; where there is none, for ever.
    """
    by_key: dict[Key, list[Event]] = defaultdict(list)
    for event in events:
        by_key[event.key].append(event)
    lasts = lasts_days or {}
    return {
        key: state(some, at=at, lasts_days=lasts.get(key[2], 0)) for key, some in by_key.items()
    }


def run_out(events: Iterable[Event], *, at: datetime, lasts_days: Mapping[str, int]) -> list[Event]:
    """Return an event ``expired`` for each yes that has run out and has none yet, to be added.

    The same call gives the same numbers, so that adding them twice fails at the database.
    """
    events = list(events)
    plain = states(events, at=at)
    last = {event.consent_id: event for event in events}
    return [
        follow(
            last[now.consent_id],
            "expired",
            consent_id=f"{now.consent_id}.expired",
            source="clock",
            now=now.since or at,
        )
        for key, now in states(events, at=at, lasts_days=lasts_days).items()
        if now.status == "expired" and plain[key].yes
    ]


def follow(
    before: Event,
    event: str,
    *,
    consent_id: str,
    source: str,
    now: datetime,
    proof: Mapping[str, str] | None = None,
) -> Event:
    """Return the next event about the same customer, channel and purpose.

    Args:
        before: The event it follows, such as the ``given`` that is now confirmed.
        event: One of EVENTS.
        consent_id: Its own number, never used before.
        source: Where it happens.
        now: When, with a time zone.
        proof: Away from the website, see `till_proof`.
    """
    text = json.dumps(dict(proof), sort_keys=True, separators=(",", ":")) if proof else None
    customer_id, channel, purpose = before.key
    return Event(
        consent_id=consent_id,
        customer_id=customer_id,
        channel=channel,
        purpose=purpose,
        event=event,
        wording=before.wording,
        source=source,
        happened_at=now,
        notice_sha256=before.notice_sha256,
        form=before.form,
        proof=text,
    )


def stated(
    said: Iterable[tuple[str, bool | None]],
    *,
    current: Mapping[Key, State],
    channel: str,
    purpose: str,
    vendor: str,
    now: datetime,
) -> list[Event]:
    """Return the events that follow from another system's column of yes and no.

    A yes is noted as stated by that system, where nothing is known; it proves nothing, and never
    undoes a no. A no takes back a yes. What changes nothing makes no event.

    Args:
        said: Customer and yes, no, or None where it says nothing.
        current: What holds now: `states`.
        channel: What the column is about.
        purpose: Likewise.
        vendor: The system, as it is to stand in the column ``source``.
        now: The day of its export, with a time zone.
    """
    made = []
    for customer_id, yes in said:
        status = current.get((customer_id, channel, purpose), State()).status
        event = "stated" if yes and status == "none" else ""
        event = "withdrawn" if yes is False and status in ("stated", *YES) else event
        if event:
            number = f"{vendor}.{now:%Y%m%d}.{customer_id}.{channel}.{purpose}"
            source = f"as stated by {vendor}"
            made.append(
                Event(number, customer_id, channel, purpose, event, None, source, happened_at=now)
            )
    return made


def till_proof(asked_by: str) -> dict[str, str]:
    """Return the proof of a consent at the till: the number of the employee who asked."""
    if not asked_by.strip():
        raise BadProof("a proof says who asked; hand over the employee's number")
    return {"kind": "till", "asked_by": asked_by.strip()}


def paper_proof(asked_by: str, *, paper_number: str = "", scan: bytes = b"") -> dict[str, str]:
    """Return the proof of a consent on paper.

    Args:
        asked_by: Number of the employee who took it.
        paper_number: The number printed on the sheet.
        scan: The scanned sheet; its SHA-256 is kept here, the scan itself elsewhere.
    """
    if not paper_number.strip() and not scan:
        raise BadProof("which paper was it; hand over its number or a scan")
    made = {**till_proof(asked_by), "kind": "paper", "paper_number": paper_number.strip()}
    return {**made, "scan_sha256": hashlib.sha256(scan).hexdigest() if scan else ""}


def asks_not_to_share(headers: Iterable[tuple[str | bytes, str | bytes]]) -> bool:
    """Say whether a request carries ``Sec-GPC: 1``, of which nothing may be sold or shared.

    Args:
        headers: Every header of the request as name and value, repeated ones too: a mapping would
            join or drop them.

    Returns:
        True if the value is exactly 1; of several such headers one is enough. Anything else, such
        as ``1;a=b`` or ``true``, counts as no signal.
    """
    return any(_text(name).lower() == "sec-gpc" and _text(v) == "1" for name, v in headers)


def gpc_file(updated: date) -> bytes:
    """Return what to serve at ``/.well-known/gpc.json`` once the signal is heeded."""
    return json.dumps({"gpc": True, "lastUpdate": updated.isoformat()}).encode()


def signal(customer_id: str, *, consent_id: str, now: datetime) -> Event:
    """Return the event of a known customer whose browser says no to selling and sharing."""
    return Event(
        consent_id, customer_id, ANY, SHARING, "withdrawn", None, "browser signal", happened_at=now
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _next(now: State, event: Event, lasts_days: int) -> State:
    """Return what holds after an event."""
    if event.event in YES and (event.event == "given" or now.yes):
        status = "confirmed" if "confirmed" in (event.event, now.status) else "given"
        since = now.since if now.status == status else event.happened_at
        until = event.happened_at + timedelta(days=lasts_days) if lasts_days else None
        return State(status, since, event.consent_id, until)
    stated = event.event == "stated" and now.status in ("none", "stated")
    if stated or event.event == "withdrawn" or (event.event == "expired" and now.yes):
        since = now.since if now.status == event.event else event.happened_at
        return State(event.event, since, event.consent_id)
    return now


def _run_out(now: State, at: datetime) -> State:
    """Let a yes run out."""
    if now.until is None or at < now.until:
        return now
    return State("expired", now.until, now.consent_id)
