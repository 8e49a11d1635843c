# SPDX-License-Identifier: MIT-0
"""Tell where a customer's request stands, what has to be done next and by when.

Copy: ``kit copy request_state --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A request is its events, oldest first: mappings with ``request_id``, ``at``, ``event`` and
``detail``, as request_book.py keeps them. `fold` says what holds; `receive`, `follow` and `extend`
check what is to happen next and return the ``detail`` to be written::

    received      see `receive`
    acknowledged  -                          the customer knows that it arrived
    asked         -                          and was asked to show who they are
    checked       method, outcome, kept      verified, failed or not needed; never the answers
    reassessed    kinds                      goes on with less than was asked
    extended      reason, noticed, deadline  see `extend`
    noticed       what                       a notice with its own time, such as loyalty
    told          vendor, message, chase_on  a company was told; open until
    confirmed     vendor, receipt            it says so
    answered      nature, sent, basis        basis: why a part was refused
    handed_over   -                          the customer has it
    denied        reason, basis
    revoked, expired   -                     taken back, or never gone on with

Statuses and reasons are those of the Data Rights Protocol. It says *what* was asked and answered,
never who asked: the subject is a keyed hash, and a text with an e-mail address or a telephone
number in it is refused. Of what was sent, only the SHA-256 is kept.

Source: Data Rights Protocol 1.0; `Request.record` begins with the six fields of 11 CCR 7101(b).
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, tzinfo
from typing import Any, TypeAlias

KINDS = ("know", "categories", "delete", "correct", "opt_out", "limit", "withdraw")
CHANNELS = ("email", "telephone", "letter", "till", "web", "browser", "agent")
REASONS = (
    *("suspected_fraud", "insuf_verification", "no_match", "claim_not_covered"),
    *("outside_jurisdiction", "too_many_requests", "other"),
)
OVER = ("fulfilled", "denied", "revoked", "expired")
COUNTED = ("open", "in_progress", "fulfilled")
VERIFY = "need_user_verification"
TELLS_WHO = re.compile(r"@|(?:\d[\s().-]{0,2}){7}")  # an e-mail address, or a telephone number
HARMLESS = re.compile(  # digits that tell of nobody: a request, a day, a section of the law
    r"\breq-\d{8}-[0-9a-f]{8}\b|(?<![\d.-])(?:(?:19|20)\d\d-\d\d-\d\d(?![\d-])"
    r"|(?<!\d\s)(?:1\d{3}\.\d{1,3}(?:\.\d\d)?|\d\d?-\d\d?-\d{3,4})(?![\s.-]{0,2}\d))"
)
LONGEST_TEXT = 400  # characters; what is longer is a letter, of which the hash is kept
SHA256 = re.compile(r"[0-9a-f]{64}")
ALSO_KEPT = ("request_id", "regime", "jurisdiction", "status", "reason", "extension", "sent")
OUTCOMES = ("verified", "failed", "not needed")
DAYS = ("due", "send_by", "latest")
AFTER = ("told", "confirmed", "handed_over")  # may follow the answer

Detail: TypeAlias = dict[str, Any]


class RequestError(Exception):
    """Base of the errors below. Messages never hold a value."""


class BadEvent(RequestError):
    """Something is missing or not allowed."""


class NoSuchRequest(RequestError):
    """There are no events: the number is another, or the time of the request was over."""


class TooLate(RequestError):
    """The notice of an extension came after the first due date, which stands."""


class NotNow(RequestError):
    """The request is answered or closed already, or is not so far yet."""


@dataclass(frozen=True)
class Deadline:
    """A date as it was computed at intake; it stays, whatever becomes of the rule."""

    duty: str  # respond, confirm_receipt …
    row: str  # id of the rule that it comes from
    due: date | datetime | None  # None: could not be computed, see `why`
    send_by: date | datetime | None = None
    latest: date | datetime | None = None
    doubts: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Vendor:
    """A company that was told. `receipt`: the SHA-256 of its answer, empty while it is open."""

    name: str
    told_at: datetime
    message: str
    chase_on: date
    receipt: str = ""


@dataclass(frozen=True)
class Request:
    """What holds for one request now."""

    request_id: str
    received: datetime
    channel: str
    kinds: tuple[str, ...]
    jurisdiction: str
    regime: str  # key of a law, or voluntary
    subject: str = ""
    agent: str = ""
    found_by: tuple[str, ...] = ()  # these, and what is disputed, prove nothing later on
    earlier: int = 0  # others by the same customer in the time before
    deadlines: tuple[Deadline, ...] = ()
    status: str = "open"
    reason: str = ""
    acknowledged_at: datetime | None = None
    attempts: int = 0  # failed checks of identity
    method: str = ""  # how identity was checked
    outcome: str = ""  # verified, failed or not needed
    kept: Mapping[str, str] = field(default_factory=dict)  # hashes of what has to be kept
    reassessed_from: tuple[str, ...] = ()
    extension: str = ""
    noticed: Mapping[str, datetime] = field(default_factory=dict)  # what the customer was told
    answered_at: datetime | None = None
    nature: str = ""
    basis: str = ""
    sent: Mapping[str, str] = field(default_factory=dict)
    handed_over_at: datetime | None = None
    vendors: tuple[Vendor, ...] = ()

    @property
    def over(self) -> bool:
        """Whether it was answered, refused, taken back or has run out."""
        return self.status in OVER

    @property
    def waiting_for(self) -> tuple[Vendor, ...]:
        """The companies that have not confirmed."""
        return tuple(vendor for vendor in self.vendors if not vendor.receipt)

    def deadline(self, duty: str) -> Deadline | None:
        """Return what holds for a duty: the extended one, if there is one."""
        return next((one for one in reversed(self.deadlines) if one.duty == duty), None)

    def record(self) -> dict[str, Any]:
        """Return what is kept of it, fit for JSON; the law asks for the first six."""
        return {
            "date_of_request": self.received.isoformat(),
            "nature_of_request": list(self.kinds),
            "manner": self.channel,
            "date_of_response": self.answered_at and self.answered_at.isoformat(),
            "nature_of_response": self.nature,
            "basis_for_denial": self.basis,
            "acknowledged": self.acknowledged_at and self.acknowledged_at.isoformat(),
            "identity": {"method": self.method, "outcome": self.outcome},
            "vendors": {v.name: v.receipt or "open" for v in self.vendors},
            **{name: getattr(self, name) for name in ALSO_KEPT},
        }


def receive(
    *,
    received: datetime,
    channel: str,
    kinds: Iterable[str],
    jurisdiction: str,
    regime: str,
    deadlines: Iterable[Deadline] = (),
    subject: str = "",
    agent: str = "",
    found_by: Iterable[str] = (),
    earlier: int = 0,
    now: datetime,
) -> Detail:
    """Check a new request, and return the detail of its event ``received``.

    Args:
        received: When it came, with its zone; clocks run from here, not from when it is entered.
        channel: One of `CHANNELS`.
        kinds: Some of `KINDS`.
        jurisdiction: Where the customer lives, such as ``US-CA``, or ``unknown``.
        regime: Key of the law that binds the shop here, or ``voluntary``.
        deadlines: As computed now, each with its rule's id.
        subject: A keyed hash of the customer's number; empty if nobody was found.
        agent: A word for somebody who asks on the customer's behalf.
        found_by: Columns that prove nothing: they found the record, or are disputed.
        earlier: What `count_earlier` says.
        now: The time, with its zone.
    """
    if _utc(received) > _utc(now):
        raise BadEvent("received lies in the future; check the date and the time zone")
    return {
        "received": _text(received),
        "channel": _one_of(*CHANNELS)(channel),
        "kinds": _kinds(kinds),
        "jurisdiction": _said(jurisdiction),
        "regime": _said(regime),
        "subject": subject and _hash(subject),
        "agent": agent and _said(agent),
        "found_by": [_said(column) for column in found_by],
        "earlier": earlier,
        "deadlines": [_written(one) for one in deadlines],
    }


def follow(request: Request, event: str, **detail: Any) -> Detail:
    """Check what is to happen next to a request, and return the detail of that event.

    Args:
        request: As it stands.
        event: One of `EVENTS`.
        detail: What the table above names for it. ``kept`` and ``sent``: a word or file name to a
            SHA-256, or to the number of a paper. ``basis`` may be empty where all was given.

    Raises:
        BadEvent: A detail is missing, unknown or not allowed.
        NotNow: The request is over, and this would change that; or it is not so far yet.
    """
    _one_of(*EVENTS)(event)
    if odd := sorted(set(EVENTS[event]) ^ set(detail)):
        wanted = ", ".join(EVENTS[event]) or "nothing"
        raise BadEvent(f"{event} says {wanted}; it lacks {odd[0]}, or that is too much")
    checked = {name: EVENTS[event][name](value) for name, value in detail.items()}
    if request.over and event not in AFTER:
        raise NotNow(f"the request is {request.status}; what the customer asks now is a new one")
    if event == "handed_over" and request.status != "fulfilled":
        raise NotNow("there is no answer to hand over yet; answer the request first")
    if event == "confirmed" and detail["vendor"] not in [one.name for one in request.vendors]:
        raise BadEvent("no company of this name was told about this request; check the name")
    return checked


def extend(
    request: Request,
    deadline: Deadline,
    *,
    reason: str,
    noticed: datetime,
    zone: tzinfo,
    now: datetime,
) -> Detail:
    """Take more time, of which the customer was told in time; return the detail to be written.

    Args:
        request: As it stands.
        deadline: The new one, counted from the receipt.
        reason: Why it takes longer, as the customer read it.
        noticed: When the notice was sent.
        zone: The shop's, in which days begin.
        now: The time, with its zone.

    Raises:
        TooLate: The notice was sent after the first due date.
        NotNow: It was extended before, is over, or has no date that could be extended.
    """
    first = request.deadline(deadline.duty)
    if request.over or request.extension:
        raise NotNow("it is over, or was extended once, and may not be extended; its date stands")
    if first is None or first.due is None or deadline.due is None:
        raise NotNow("there is no computed date that could be extended; settle that first")
    at = _utc(noticed)
    if (at if isinstance(first.due, datetime) else at.astimezone(zone).date()) > first.due:
        raise TooLate(f"the notice had to be sent by {first.due}; that date stands")
    if at > _utc(now):
        raise BadEvent("the notice lies in the future; send it first, then enter it")
    return {"reason": _said(reason), "noticed": _text(noticed), "deadline": _written(deadline)}


def fold(events: Iterable[Mapping[str, Any]]) -> Request:
    """Return what holds for one request after its events."""
    if not (found := fold_all(events)):
        raise NoSuchRequest("no such request; the list of requests shows the numbers")
    if len(found) > 1:
        raise BadEvent("events of several requests; use fold_all")
    return found[0]


def fold_all(events: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Return what holds for each request, in the order in which they were entered."""
    known: dict[str, Request] = {}
    for row in events:
        number, detail = row["request_id"], dict(row["detail"])
        if row["event"] == "received":
            known[number] = _received(number, detail)
        elif number not in known:
            raise BadEvent("an event before its request was received; hand over all of them")
        else:
            change = _next(known[number], row["event"], detail, row["at"])
            known[number] = replace(known[number], **change)
    return list(known.values())


def count_earlier(
    requests: Iterable[Request], subject: str, kinds: Iterable[str], *, months: int, at: datetime
) -> int:
    """Count what a customer asked of the same kinds in the months before; refused ones do not."""
    wanted, since = set(kinds), _later(_utc(at).date(), -months)
    return sum(
        one.received.date() > since and bool(wanted & {*one.kinds, *one.reassessed_from})
        for one in requests
        if subject and one.subject == subject and one.status in COUNTED
    )


def outlived(requests: Iterable[Request], *, months: int, zone: tzinfo, now: datetime) -> list[str]:
    """Return the requests answered so long ago that no record of them need be kept any more.

    One for which a company has still to confirm stays.
    """
    if months < 1:
        raise BadEvent("months must be 1 or more; take them from the rule")
    today = _utc(now).astimezone(zone).date()
    return [
        one.request_id
        for one in requests
        if one.answered_at and not one.waiting_for
        if _later(one.answered_at.astimezone(zone).date(), months) < today
    ]


def _said(text: object) -> str:
    """Return a short text of the staff, if it cannot tell who the customer is."""
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
        raise BadEvent(f"say it in 1 to {LONGEST_TEXT} characters; a letter is kept elsewhere")
    if TELLS_WHO.search(HARMLESS.sub("§", text)):
        raise BadEvent("an e-mail address or telephone number does not belong in the book")
    return text.strip()


def _hash(text: object) -> str:
    if not isinstance(text, str) or not SHA256.fullmatch(text):
        raise BadEvent("a SHA-256 is 64 hex digits, small letters")
    return text


def _named(found: Mapping[str, str]) -> dict[str, str]:
    return {_said(name): v if SHA256.fullmatch(v) else _said(v) for name, v in found.items()}


def _kinds(found: Iterable[str]) -> list[str]:
    asked = list(dict.fromkeys(found))
    if not asked or any(kind not in KINDS for kind in asked):
        raise BadEvent(f"a request is about one or more of: {', '.join(KINDS)}")
    return asked


def _one_of(*words: str) -> Callable[[Any], Any]:
    def check(word: object) -> object:
        if word not in words:
            raise BadEvent(f"must be one of: {', '.join(words)}")
        return word

    return check


EVENTS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "acknowledged": {},
    "asked": {},
    "checked": {"method": _said, "outcome": _one_of(*OUTCOMES), "kept": _named},
    "reassessed": {"kinds": _kinds},
    "noticed": {"what": _said},
    "told": {"vendor": _said, "message": _hash, "chase_on": date.isoformat},
    "confirmed": {"vendor": _said, "receipt": _hash},
    "answered": {"nature": _said, "sent": _named, "basis": lambda text: text and _said(text)},
    "handed_over": {},
    "denied": {"reason": _one_of(*REASONS), "basis": _said},
    "revoked": {},
    "expired": {},
}


def _received(request_id: str, detail: dict[str, Any]) -> Request:
    detail["received"] = datetime.fromisoformat(detail["received"])
    detail |= {name: tuple(detail[name]) for name in ("kinds", "found_by")}
    detail["deadlines"] = tuple(_deadline(one) for one in detail["deadlines"])
    return Request(request_id, **detail)


def _next(now: Request, event: str, detail: Detail, at: datetime) -> Detail:
    """Return what an event changes."""
    if event in ("acknowledged", "handed_over"):
        return {f"{event}_at": getattr(now, f"{event}_at") or at}
    if event == "asked":
        return {"status": "in_progress", "reason": VERIFY}
    if event == "checked":
        failed = detail["outcome"] == "failed"
        more = {"reason": VERIFY, "attempts": now.attempts + 1} if failed else {"reason": ""}
        return {**detail, "kept": {**now.kept, **detail["kept"]}, "status": "in_progress", **more}
    if event == "reassessed":
        return {"kinds": tuple(detail["kinds"]), "reassessed_from": now.kinds}
    if event == "extended":
        more_time = (*now.deadlines, _deadline(detail["deadline"]))
        return {"extension": detail["reason"], "deadlines": more_time}
    if event == "noticed":
        return {"noticed": {detail["what"]: at, **now.noticed}}  # the first one counts
    if event == "told":
        told = Vendor(detail["vendor"], at, detail["message"], _day(detail["chase_on"]))
        return {"vendors": (*(v for v in now.vendors if v.name != told.name), told)}
    if event == "confirmed":
        sure = {v.name: v for v in now.vendors}
        done = replace(sure[detail["vendor"]], receipt=detail["receipt"])
        return {"vendors": tuple((sure | {done.name: done}).values())}
    if event == "answered":
        return {**detail, "status": "fulfilled", "reason": "", "answered_at": at}
    nature = {"denied": "refused", "revoked": "taken back", "expired": "not pursued"}[event]
    ended = {"status": event, "reason": "", "basis": "", "answered_at": at, "nature": nature}
    return {**ended, **detail}


def _written(one: Deadline) -> Detail:
    """Return a deadline fit for JSON; an instant keeps its zone, a day has none."""
    days = {name: getattr(one, name) for name in DAYS}
    texts = {n: _text(d) if isinstance(d, datetime) else d and str(d) for n, d in days.items()}
    return vars(one) | texts | {"doubts": list(one.doubts)}


def _deadline(plain: Detail) -> Deadline:
    days = {name: plain[name] and _day(plain[name]) for name in DAYS}
    return Deadline(**{**plain, **days, "doubts": tuple(plain["doubts"])})


def _day(text: str) -> date:
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def _later(day: date, months: int) -> date:
    """Return the same day number months later, or the month's last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise BadEvent("a time without a zone; hand over an aware datetime")
    return at.astimezone(UTC)


def _text(at: datetime) -> str:
    return _utc(at).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
