# SPDX-License-Identifier: MIT-0
"""Take in what a customer asks, keep every date, and know what comes next.

Each step goes into the book of requests, the table ``privacy_requests`` and the log in one
transaction. Numbers of days and of things that must match come from the rules (`kit.legal`); where
no law binds the shop it keeps California's of its own will, and the book says ``voluntary``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kit import grounds, identity, request_book, request_state, rows, vendors
from kit.law import Coverage
from kit.legal import Book
from kit.request_state import Request
from kit.shop import NotAllowed, Shop
from kit.vendors import Vendor

VOLUNTARY = grounds.VOLUNTARY
MAY = ("owner", "manager")  # roles that decide about requests; anybody on the staff takes one in
VENDORS, REQUESTS = "vendors.toml", "requests"
CHASE_DAYS = 14  # until a company that has not answered is asked again: a project's rule, no law's
UNCHECKED = ("opt_out", "limit", "withdraw")
ENDS = ("handed_over", "revoked", "expired")
ASKED = {  # in a customer's words
    "know": "to know what we hold about you",
    "categories": "to know what kinds of data we hold about you",
    "delete": "to delete your data",
    "correct": "to correct your data",
    "opt_out": "not to sell or share your data",
    "limit": "to use sensitive data for nothing more than needed",
    "withdraw": "to take back what you agreed to",
}


class DiscloseError(Exception):
    """Base of the errors below. Messages never hold a customer's value."""


class Several(DiscloseError):
    """Several customers share what was said, such as a family one e-mail address."""


class NotYet(DiscloseError):
    """Something has to be done first; the message says what."""


class WrongKind(DiscloseError):
    """The request asks for something else."""


@dataclass(frozen=True)
class Opened:
    """A request that was taken in, and what has to be known about it."""

    request: Request
    found: bool  # never said to whoever asks
    coverage: Coverage | None
    often: str = ""  # what the rule says of asking that often; and how many checks have failed


@dataclass(frozen=True)
class Step:
    """What has to be done next with a request, and by when."""

    what: str
    by: date | datetime | None
    command: str = ""


# ---- taking in ---------------------------------------------------------------------------------


def open_request(
    shop: Shop,
    text: str,
    kind: str,
    *,
    laws: Book,
    channel: str,
    received: datetime,
    place: str = "",
    customer: str = "",
    agent: str = "",
    disputed: Iterable[str] = (),
    actor: str,
    now: datetime,
) -> Opened:
    """Take in a request: find the customer, the law and the dates, and enter it.

    Whether somebody was found is for the staff only. A customer with no record has the same dates.

    Args:
        shop: An open shop.
        text: What the customer gave: e-mail address, telephone, name or number.
        kind: One of `request_state.KINDS`; two wishes are two requests.
        laws: The rules.
        channel: One of `request_state.CHANNELS`.
        received: When it came, with its zone.
        place: Where the customer lives: ``US-CA``, ``DE``, ``unknown``; else as the address says.
        customer: The number of one, where several share what was given.
        agent: A word for somebody who asks on their behalf.
        disputed: Fields that are to be corrected; nobody is checked by them.
        actor: Who is at work.
        now: The time, with its zone.

    Raises:
        Several: Say which with *customer*; the search shows them.
        NotYet: *place* is none.
    """
    if place and not (place := grounds.said(place)):  # a misspelled one would get no law's dates
        raise NotYet(
            "that is no place; write a state as US-CA or California, a country as DE, or unknown"
        )
    with shop.writing(actor, now) as connection:
        request_book.create(connection)
        found = shop.candidates(connection, text)
        if customer:
            found = [row for row in found if row["customer_id"] == customer]
        if len(found) > 1:
            raise Several(
                f"{len(found)} customers share this; kit find shows them: say which with --customer"
            )
        one = found[0]["customer_id"] if found else ""
        place = place or (grounds.residence(shop, connection, one) if one else grounds.UNKNOWN)
        day = received.astimezone(shop.settings.zone).date()
        regime, coverage, dates = grounds.ground(shop, laws, kind, place, received)
        subject = shop.log.subject(one) if one else ""
        free = laws.get("ca.twice", day)
        others = request_state.fold_all(request_book.events(connection))
        earlier = request_state.count_earlier(
            others, subject, [kind], months=free.value["months"], at=received
        )
        detail = request_state.receive(
            received=received,
            channel=channel,
            kinds=[kind],
            jurisdiction=place,
            regime=regime,
            deadlines=dates,
            subject=subject,
            agent=agent,
            found_by=[_kind_of(text), *disputed],
            earlier=earlier,
            now=now,
        )
        number = request_book.new_id(received.astimezone(shop.settings.zone))
        request_book.append(connection, number, "received", detail, actor=actor, now=now)
        row = {
            "request_id": number,
            "customer_id": one or None,
            "kind": kind,
            "status": "open",
            "received_at": received,
        }
        table = shop.tables.tables["privacy_requests"]
        rows.add(connection, table, {name: row[name] for name in row if name in table.c})
        shop.note(connection, actor, "add", "proof", now, subject=one or None, filter=number)
        request = get(connection, number)
    often = free.plain if earlier >= free.value["answers"] else ""
    failed = sum(one.attempts for one in others if subject and one.subject == subject)
    if failed:  # a new request gives new attempts, to a thief as well
        often += f"{often and ' '}{failed} checks of who asks have failed before; look twice"
    return Opened(request, bool(one), coverage, often)


def _kind_of(text: str) -> str:
    """Return which column a text finds a customer by."""
    if "@" in text:
        return "email"
    return "phone" if len(text) > 6 and not text.strip("+ ().-0123456789") else "name"


# ---- the book ----------------------------------------------------------------------------------


def get(connection: sa.Connection, request_id: str) -> Request:
    """Return what holds for a request; `NoSuchRequest` if there is none."""
    there = sa.inspect(connection).has_table(request_book.BOOK.name)  # made by the first request
    return request_state.fold(request_book.events(connection, request_id) if there else ())


def listed(shop: Shop, *, open_only: bool = True) -> list[Request]:
    """Return requests, oldest first: those where something is to do, or all that are kept."""
    with shop.reading() as connection:
        if not sa.inspect(connection).has_table(request_book.BOOK.name):
            return []
        found = request_state.fold_all(request_book.events(connection))
    return [one for one in found if not open_only or not one.over or one.waiting_for]


def customer_of(shop: Shop, connection: sa.Connection, request_id: str) -> str:
    """Return the number of the customer who asked; empty if there is none, or none any more."""
    table = shop.tables.tables["privacy_requests"]
    query = sa.select(table.c.customer_id).where(table.c.request_id == request_id)
    return connection.scalar(query) or ""


def write(
    shop: Shop,
    connection: sa.Connection,
    request_id: str,
    event: str,
    *,
    action: str,
    actor: str,
    now: datetime,
    **detail: Any,
) -> Request:
    """Write an event in the book, in ``privacy_requests`` and in the log; return what holds."""
    before = get(connection, request_id)
    checked = request_state.follow(before, event, **detail)
    return _written(shop, connection, before, event, checked, action, actor, now)


def _written(
    shop: Shop,
    connection: sa.Connection,
    before: Request,
    event: str,
    detail: Mapping[str, Any],
    action: str,
    actor: str,
    now: datetime,
) -> Request:
    number = before.request_id
    request_book.append(connection, number, event, detail, actor=actor, now=now)
    after = get(connection, number)
    table = shop.tables.tables["privacy_requests"]
    said = {"status": after.status, "answered_at": after.answered_at}
    if known := {name: value for name, value in said.items() if name in table.c}:
        connection.execute(sa.update(table).filter_by(request_id=number).values(known))
    subject = customer_of(shop, connection, number) or None
    shop.note(connection, actor, action, "proof", now, subject=subject, filter=number)
    return after


def allow(shop: Shop, actor: str, now: datetime) -> None:
    """Refuse whoever may not decide about requests, and log that it was tried."""
    role = shop.settings.role(actor)
    if role not in MAY:
        with shop.writing(actor, now) as connection:
            shop.note(connection, actor, "disclose", "proof", now, refused=True)
        raise NotAllowed(f"a {role} answers no requests; ask {' or '.join(MAY)}. It was noted")


# ---- dates, companies, the end -----------------------------------------------------------------


def acknowledge(shop: Shop, request_id: str, *, actor: str, now: datetime) -> Request:
    """Write down that the customer was told that the request arrived."""
    with shop.writing(actor, now) as connection:
        return write(
            shop, connection, request_id, "acknowledged", action="change", actor=actor, now=now
        )


def extend(
    shop: Shop,
    request_id: str,
    *,
    reason: str,
    noticed: datetime,
    laws: Book,
    actor: str,
    now: datetime,
) -> Request:
    """Take more time; the customer was told so, and why, before the first date was over.

    Raises:
        TooLate: They were told too late; the first date stands.
        NotExtended: The rule knows no extension.
    """
    allow(shop, actor, now)
    zone = shop.settings.zone
    with shop.writing(actor, now) as connection:
        request = get(connection, request_id)
        first = request.deadline("respond")
        if first is None or first.due is None:
            raise NotYet("there is no date that could be extended; answer when you can")
        day = day_of(shop, request)
        made = laws.deadline(first.row, {"received": request.received}, zone=zone, on=day)
        longer = laws.extend(made, notice_at=noticed, reason=reason)
        detail = request_state.extend(
            request,
            grounds.plain("respond", longer),
            reason=reason,
            noticed=noticed,
            zone=zone,
            now=now,
        )
        return _written(shop, connection, request, "extended", detail, "change", actor, now)


def close(
    shop: Shop,
    request_id: str,
    because: str,
    *,
    basis: str = "",
    actor: str,
    now: datetime,
) -> Request:
    """End a request: handed over, taken back, run out, or refused for a reason and on a basis.

    Args:
        shop: An open shop.
        request_id: Its number.
        because: ``handed_over``, ``revoked``, ``expired`` or one of `request_state.REASONS`.
        basis: For a refusal, in words or by a rule's id.
        actor: Who decides.
        now: The time, with its zone.
    """
    allow(shop, actor, now)
    if because not in (*ENDS, *request_state.REASONS):
        ends = ", ".join(ENDS)
        raise WrongKind(
            f"a request ends as {ends}, or is refused: {', '.join(request_state.REASONS)}"
        )
    if because in request_state.REASONS and not basis.strip():
        raise NotYet("say why it is refused, or by which rule: --basis; the record must have it")
    step: dict[str, Any] = {"action": "change", "actor": actor, "now": now}
    with shop.writing(actor, now) as connection:
        if because == "handed_over":  # the customer has it; another copy is only a risk
            package_of(shop, request_id).unlink(missing_ok=True)
        if because in request_state.REASONS:
            step |= {"reason": because, "basis": basis}
            return write(shop, connection, request_id, "denied", **step)
        return write(shop, connection, request_id, because, **step)


def package_of(shop: Shop, request_id: str) -> Path:
    """Return where the sealed answer to a request lies until it is handed over."""
    return shop.folder / REQUESTS / f"{request_id}.zip.age"


def companies(shop: Shop) -> tuple[Vendor, ...]:
    """Return who else gets data of customers, as ``vendors.toml`` says."""
    return vendors.load(shop.folder / VENDORS, shop.inventory.fields)


def alone(shop: Shop) -> str:
    """Return what to do where no company is written down, which customers are told as "nobody"."""
    if (shop.folder / VENDORS).exists():
        return ""
    return (
        f"There is no {VENDORS}, so customers are told that nobody else has their data, and no "
        "company is told to delete. If your till's maker, a mail service or anybody else has some, "
        f"write {VENDORS} into the shop's folder first:\n{vendors.EXAMPLE}"
        "If nobody has, one line stops this: format = 1"
    )


def confirm(
    shop: Shop, request_id: str, vendor: str, receipt: Path, *, actor: str, now: datetime
) -> Request:
    """Write down that a company says it is done, by the SHA-256 of its letter.

    The message to it, which names the customer, is deleted.
    """
    digest = hashlib.sha256(receipt.read_bytes()).hexdigest()
    step: dict[str, Any] = {"action": "change", "actor": actor, "now": now}
    with shop.writing(actor, now) as connection:
        done = write(
            shop, connection, request_id, "confirmed", vendor=vendor, receipt=digest, **step
        )
    (sent,) = [one.message for one in done.vendors if one.name == vendor]
    for path in sorted((shop.folder / REQUESTS / request_id).glob("vendor-*.json")):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sent:
            path.unlink()
    return done


def next_step(request: Request) -> Step:
    """Return what has to be done next with a request."""
    number, answer = (
        request.request_id,
        request.deadline("respond") or request.deadline("stop_sale"),
    )
    by = answer.send_by or answer.due if answer else None
    (kind,) = request.kinds
    if request.waiting_for:
        vendor = min(request.waiting_for, key=lambda one: one.chase_on)
        told = f"ask {vendor.name} again whether it is done"
        if request.over:
            return Step(told, vendor.chase_on, f'kit request confirm {number} "{vendor.name}" FILE')
    if request.status == "fulfilled" and request.sent and not request.handed_over_at:
        told = "hand it over, passphrase apart" if "sealed" in request.sent else "send the letter"
        return Step(told, None, f"kit request close {number}")
    if request.over:
        return Step("nothing more", None)
    if kind in UNCHECKED or request.outcome == "verified":
        more = " --yes" if kind == "delete" else " --set FIELD=VALUE" if kind == "correct" else ""
        return Step(ASKED[kind], by, f"kit request answer {number}{more}")
    if request.attempts >= identity.MOST_FAILED:
        return Step(
            "refuse it, or let them sign in to their account",
            by,
            f'kit request close {number} --basis "no proof" --because insuf_verification',
        )
    first = request.deadline("confirm_receipt")
    if not request.acknowledged_at and first:
        by = first.send_by or first.due
        text = "say that it arrived, and find out who asks"
        return Step(text, by, f"kit request verify {number}")
    return Step("find out who asks", by, f"kit request verify {number}")


def purge(shop: Shop, *, laws: Book, actor: str, now: datetime) -> list[str]:
    """Forget requests whose record need no longer be kept; return their numbers."""
    allow(shop, actor, now)
    zone = shop.settings.zone
    keep = laws.get("ca.records", now.astimezone(zone).date()).keep
    gone = request_state.outlived(
        listed(shop, open_only=False), months=keep["n"], zone=zone, now=now
    )
    if gone:
        with shop.writing(actor, now) as connection:
            request_book.purge(connection, gone, actor=actor, now=now)
            table = shop.tables.tables["privacy_requests"]
            connection.execute(sa.delete(table).where(table.c.request_id.in_(gone)))
            shop.note(connection, actor, "expire", "proof", now, filter="requests", count=len(gone))
    for number in gone:
        package_of(shop, number).unlink(missing_ok=True)
        folder = shop.folder / REQUESTS / number
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if folder.is_dir():
            folder.rmdir()
    return gone


def day_of(shop: Shop, request: Request) -> date:
    """Return the day on which a request came, in the shop's own zone: its rules hold."""
    return request.received.astimezone(shop.settings.zone).date()
