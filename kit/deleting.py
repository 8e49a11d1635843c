# SPDX-License-Identifier: MIT-0
"""Delete a customer because they ask: plan, look at it, do it, prove it, and tell them both halves.

What goes and what stays is decided row by row (`kit.erasure`), and every line of the report says
why and until when. Companies that have the data are told, and stay open until they confirm.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from kit import answering, audit, disclose, erasure, gathering, removals, restore, rows, vendors
from kit.legal import Book
from kit.request_state import Request
from kit.shop import CUSTOMERS, Shop
from kit.vendors import Vendor

RULES = {  # why something goes or stays, to the rule that says so
    "request": "ca.delete.how",
    "books": "ca.taxrec",
    "proof": "ca.records",
    "backup": "ca.delete.backup",
    "vendor": "ca.delete.how",
}
LOYALTY = "loyalty"
DATABASE, REPORT = "the shop's database", "report.json"


@dataclass(frozen=True)
class Line:
    """What happens in one place, in the customer's words."""

    store: str
    table: str
    action: str  # erase, anonymise, retain or tell
    reason_code: str
    rule_id: str
    until: date | None
    removed: int
    retained: int
    message: str
    done: bool = False


@dataclass(frozen=True)
class Deletion:
    """What a deletion would do.

    Attributes:
        lines: Place by place.
        lost: What the customer loses by it, to be told before: their points.
        rule: The rule that wants that told some time before; empty where none does.
        after: The first moment at which it may be done; None while the notice is missing.
        unreachable: Companies that would not find the customer; a person has to write to them.
    """

    request: Request
    plan: erasure.Plan
    lines: tuple[Line, ...]
    lost: str = ""
    rule: str = ""
    after: datetime | None = None
    unreachable: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deleted:
    """What was done. `report` is fit for JSON, `letter` for the customer; neither names them."""

    request: Request
    lines: tuple[Line, ...]
    report: dict[str, Any]
    letter: str


def plan(
    shop: Shop,
    request_id: str,
    *,
    laws: Book,
    backups_until: date | None = None,
    now: datetime,
    actor: str = "",
) -> Deletion:
    """Say what would go, what stays and why. Nothing is changed.

    Args:
        shop: An open shop.
        request_id: Of a request to delete; verified.
        laws: The rules.
        backups_until: The day on which the last backup that holds the customer is gone.
        now: The time, with its zone.
        actor: Who looks, to be refused or logged; without, the caller sees to that.

    Raises:
        NotYet: Nobody has shown yet that it is the customer, or nobody fits.
    """
    if actor:
        disclose.allow(shop, actor, now)
    with shop.reading() as connection:
        request = disclose.get(connection, request_id)
        answering.ready(request, ("delete",))
        customer = disclose.customer_of(shop, connection, request_id)
        if not customer:
            raise disclose.NotYet("nobody fits this request: close it with --because no_match")
        held = gathering.gather(shop, connection, customer)
    found = removals.plan_erasure(shop, customer, now=now, actor=actor)
    day = disclose.day_of(shop, request)
    told: list[str] = []
    unreachable: list[str] = []
    for vendor in _having(shop, held):
        reached = any(held[CUSTOMERS][0].get(name) for name in vendor.find_by)
        (told if reached else unreachable).append(vendor.name)
    lines = [_line(step, laws, day) for step in found.steps]
    lines += _elsewhere(shop, told, laws, day, backups_until)
    points = sum(row.get("points") or 0 for row in held.get("loyalty", ()))
    points = points or held[CUSTOMERS][0].get("loyalty_points") or 0
    lost = f"your {points:,} points, which cannot be given back" if points > 0 else ""
    rule, after = _loyalty(shop, request, laws, now) if lost else ("", now)
    return Deletion(request, found, tuple(lines), lost, rule, after, tuple(unreachable))


def _having(shop: Shop, held: gathering.Held) -> Iterator[Vendor]:
    """Yield the companies that get something of what is held."""
    full = [f"{t}.{c}" for t, found in held.items() for row in found for c in row if row[c]]
    names = set(full)
    yield from (vendor for vendor in disclose.companies(shop) if vendor.has(names))


def _rule(laws: Book, code: str, day: date) -> str:
    return laws.get(RULES[code], day).id if code in RULES else ""


def _line(step: erasure.Step, laws: Book, day: date) -> Line:
    rule = _rule(laws, step.reason_code, day)
    return Line(DATABASE, rule_id=rule, **asdict(step))


def _elsewhere(
    shop: Shop, told: list[str], laws: Book, day: date, until: date | None
) -> Iterator[Line]:
    """Yield what happens outside the database."""
    text = "If a sealed backup still holds your data, it is deleted when its time is over. "
    if until:
        text = f"Sealed backups still hold your data; the last is deleted on {until:%Y-%m-%d}. "
    text += "No restore brings you back."
    rule = _rule(laws, "backup", day)
    yield Line("backups", "", "retain", "backup", rule, until, 0, 0, text, True)
    for path, end in restore.replaced(shop.folder, shop.settings).items():
        text = f"A copy from before a restore may hold your data; it is deleted on {end:%Y-%m-%d}."
        yield Line(path.name, "", "retain", "backup", rule, end, 0, 0, text, True)
    for name in told:
        text = f"{name} was told to delete your data, too."
        rule = _rule(laws, "vendor", day)
        yield Line(name, "", "tell", "vendor", rule, None, 0, 0, text)


def _loyalty(
    shop: Shop, request: Request, laws: Book, now: datetime
) -> tuple[str, datetime | None]:
    """Return the rule that wants the loss told before, and the moment after which it may be."""
    day = disclose.day_of(shop, request)
    for row in laws.rows(day, request.jurisdiction, "loyalty_notice"):
        if row.clock.get("start") != "benefit_lost" or not row.usable:
            continue
        told_by = laws.deadline(row, {"benefit_lost": now}, zone=shop.settings.zone, on=day).due
        before = now - told_by if isinstance(told_by, datetime) else timedelta(0)
        noticed = request.noticed.get(LOYALTY)
        return row.id, noticed + before if noticed else None
    return "", now


def tell_loss(shop: Shop, request_id: str, *, actor: str, now: datetime) -> Request:
    """Write down that the customer was told what they lose; the first time counts."""
    disclose.allow(shop, actor, now)
    step: dict[str, Any] = {"action": "change", "actor": actor, "now": now}
    with shop.writing(actor, now) as connection:
        return disclose.write(shop, connection, request_id, "noticed", what=LOYALTY, **step)


def delete(
    shop: Shop,
    request_id: str,
    *,
    laws: Book,
    backups_until: date | None = None,
    actor: str,
    now: datetime,
) -> Deleted:
    """Delete the customer for good, prove it by a search, tell companies, and write it all down.

    If it was cut short before, it goes on where it stopped.

    Args:
        shop: An open shop.
        request_id: Of a request to delete; verified.
        laws: The rules.
        backups_until: As for `plan`.
        actor: Who does it.
        now: The time, with its zone.

    Raises:
        NotYet: The customer has to be told first what they lose, and given time.
        Remains: Something of them is still in a file of the database; repeat.
    """
    disclose.allow(shop, actor, now)
    if done := _cut_short(shop, request_id, actor, now):
        return _told(shop, done, laws, backups_until, actor, now)
    made = plan(shop, request_id, laws=laws, backups_until=backups_until, now=now)
    if made.rule and (made.after is None or now < made.after):
        zone = shop.settings.zone
        when = (
            f"wait until {made.after.astimezone(zone):%Y-%m-%d %H:%M}"
            if made.after
            else ("write it down first: kit request notice")
        )
        raise disclose.NotYet(
            f"the customer loses points, and has to be told before; {when} ({made.rule})"
        )
    _tell(shop, made, actor, now)
    _report(shop, made.request, made.lines, made.unreachable)  # the plan, should it be cut short
    erased = removals.erase(shop, made.plan, actor=actor, now=now)
    day = disclose.day_of(shop, made.request)
    kept = [line for line in made.lines if line.store != DATABASE]
    lines = (*(_line(step, laws, day) for step in erased.steps), *kept)
    return _written(shop, made.request, lines, made.unreachable, actor, now)


def _cut_short(shop: Shop, request_id: str, actor: str, now: datetime) -> Request | None:
    """Return a request whose customer is erased already, but of which nobody wrote so."""
    with shop.reading() as connection:
        request = disclose.get(connection, request_id)
        if request.over or disclose.customer_of(shop, connection, request_id):
            return None
        told = audit.entries(connection, subject=request.subject or "-", since=request.received)
        erased = any(entry["action"] == "erase" for entry in told)
    if erased:
        removals.finish(shop, actor=actor, now=now)
    return request if erased else None


def _told(
    shop: Shop, request: Request, laws: Book, until: date | None, actor: str, now: datetime
) -> Deleted:
    """Write the answer of what was erased before: both halves, as the plan said them."""
    said: dict[str, Any] = {}
    with suppress(FileNotFoundError, ValueError):  # not there, or cut short itself
        said = json.loads(_folder(shop, request).joinpath(REPORT).read_bytes())
    if said:
        planned = tuple(_read(one) for one in said["lines"])
        return _written(shop, request, planned, tuple(said["unreachable"]), actor, now)
    day = disclose.day_of(shop, request)
    rule = _rule(laws, "request", day)
    text = "All that named you was erased."
    first = Line(DATABASE, "", "erase", "request", rule, None, 0, 0, text, True)
    told = [vendor.name for vendor in request.vendors]
    return _written(
        shop, request, (first, *_elsewhere(shop, told, laws, day, until)), (), actor, now
    )


def _read(one: dict[str, Any]) -> Line:
    """Return a line of a report; what happens in the database is done by now."""
    until = one["until"] and date.fromisoformat(one["until"])
    return Line(**{**one, "until": until, "done": one["done"] or one["store"] == DATABASE})


def _tell(shop: Shop, made: Deletion, actor: str, now: datetime) -> None:
    """Write the messages to companies into the request's folder, and note them as open."""
    number, told = made.request.request_id, {line.store for line in made.lines}
    folder = _folder(shop, made.request)
    chase = now.astimezone(shop.settings.zone).date() + timedelta(days=disclose.CHASE_DAYS)
    step: dict[str, Any] = {"action": "disclose", "actor": actor, "now": now, "chase_on": chase}
    with shop.writing(actor, now) as connection:
        table = shop.tables.tables[CUSTOMERS]
        found = rows.find(connection, table, {"customer_id": made.plan.subject})
        (customer,) = shop.opened(CUSTOMERS, found)
        known = [one for one in disclose.companies(shop) if one.name in told]
        for place, vendor in enumerate(known, 1):
            regime = made.request.regime
            text = vendors.message(vendor, "delete", customer, regime=regime, now=now)
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(folder / f"vendor-{place}.json", text)
            digest = hashlib.sha256(text).hexdigest()
            disclose.write(
                shop, connection, number, "told", vendor=vendor.name, message=digest, **step
            )


def _written(
    shop: Shop,
    request: Request,
    lines: tuple[Line, ...],
    unreachable: tuple[str, ...],
    actor: str,
    now: datetime,
) -> Deleted:
    """Write the answer into the book and the report beside it; forget earlier packages."""
    kept = [line for line in lines if line.retained or line.action == "retain"]
    basis = "; ".join(dict.fromkeys(f"{one.reason_code}: {one.rule_id}" for one in kept))
    report, text = _report(shop, request, lines, unreachable)
    letter = "\n".join(["We have deleted your data.", *(f"- {one.message}" for one in lines)])
    step: dict[str, Any] = {"action": "erase", "actor": actor, "now": now}
    step |= {"nature": "erased, in part kept without the name", "basis": basis}
    with shop.writing(actor, now) as connection:
        sent = {"report": hashlib.sha256(text).hexdigest()}
        done = disclose.write(shop, connection, request.request_id, "answered", sent=sent, **step)
    for other in disclose.listed(shop, open_only=False):
        if request.subject and other.subject == request.subject:
            disclose.package_of(shop, other.request_id).unlink(missing_ok=True)
    return Deleted(done, lines, report, letter)


def _report(
    shop: Shop, request: Request, lines: tuple[Line, ...], unreachable: tuple[str, ...]
) -> tuple[dict[str, Any], bytes]:
    """Write what happens, or did, beside the request; return it, and its bytes."""
    report = {
        "request_id": request.request_id,
        "lines": [{**asdict(one), "until": one.until and one.until.isoformat()} for one in lines],
        "unreachable": [*unreachable],
    }
    text = json.dumps(report, indent=2).encode() + b"\n"
    folder = _folder(shop, request)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / REPORT, text)
    return report, text


def _folder(shop: Shop, request: Request) -> Path:
    return shop.folder / disclose.REQUESTS / request.request_id


def _write(path: Path, text: bytes) -> None:
    """Write a file that its owner alone can read."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
