# SPDX-License-Identifier: MIT-0
"""Find out whether it is the customer who asks, by what only they and the shop know."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kit import disclose, identity, rows
from kit.identity import Need, Outcome, Point
from kit.law import Row
from kit.legal import Book
from kit.request_state import Request
from kit.shop import CUSTOMERS, Shop

RECEIPTS = 1_000  # earlier visits whose goods may be named


def needs(laws: Book, request: Request, on: date) -> tuple[Need, Need | None]:
    """Return how sure one has to be for what is asked, and for the smaller answer, if there is one.

    For a deletion or correction the lower rung is asked: what is lost can be earned again.
    """
    less = _need(laws.get("ca.verify.cat", on))
    (kind,) = request.kinds
    if kind in disclose.UNCHECKED:
        return _need(laws.get("ca.optout.noverify", on)), None
    return (_need(laws.get("ca.verify.spec", on)), less) if kind == "know" else (less, None)


def _need(row: Row) -> Need:
    return Need(row.value["matches"], row.id, bool(row.value.get("declaration")))


def held(shop: Shop, connection: sa.Connection, customer: str) -> dict[str, Any] | None:
    """Return what only the customer and the shop know, by the names of `identity.POINTS`."""
    if not customer:
        return None
    tables = shop.tables.tables
    (row,) = shop.opened(
        CUSTOMERS, rows.find(connection, tables[CUSTOMERS], {"customer_id": customer})
    )
    addresses = rows.find(connection, tables["addresses"], {"customer_id": customer})
    points = tables["loyalty"].c.get("points", sa.literal(0))
    total = sa.select(sa.func.sum(points)).select_from(tables["loyalty"])
    counted = connection.scalar(total.filter_by(customer_id=customer)) or row.get("loyalty_points")
    joined = row.get("created_at")
    made = {
        "points": counted or None,  # nought is what a stranger would guess
        "bought": _bought(shop, connection, customer),
        "joined": joined and joined.astimezone(shop.settings.zone).date(),
        "postcode": next((a.get("postcode") for a in shop.opened("addresses", addresses)), None),
    }
    for name in ("phone", "email"):  # what a family shares proves nothing of one of them
        shared = row.get(name) and len(shop.candidates(connection, row[name])) > 1
        made[name] = None if shared else row.get(name)
    return made


def _bought(shop: Shop, connection: sa.Connection, customer: str) -> list[str]:
    """Return what a customer bought before the last visit, whose receipt somebody may have."""
    sales, lines, products = (shop.tables.tables[n] for n in ("sales", "lines", "products"))
    if "name" not in products.c or "sold_at" not in sales.c:
        return []
    mine = sa.select(sales.c.sale_id).filter_by(customer_id=customer)
    earlier = mine.order_by(sales.c.sold_at.desc(), sales.c.sale_id).offset(1).limit(RECEIPTS)
    query = sa.select(products.c.name).distinct().select_from(lines.join(products))
    found = connection.scalars(query.where(lines.c.sale_id.in_(connection.scalars(earlier).all())))
    return [name for name in found if name]


def questions(shop: Shop, request_id: str, *, laws: Book, actor: str, now: datetime) -> list[Point]:
    """Return what to ask whoever asks; nothing where nobody may be checked.

    Raises:
        NotEnough: The shop holds too little to check them by, even for a smaller answer.
    """
    disclose.allow(shop, actor, now)
    with shop.writing(actor, now) as connection:
        request = disclose.get(connection, request_id)
        found = held(shop, connection, disclose.customer_of(shop, connection, request_id))
        usual = () if found else _usual(shop, connection)
        rungs = needs(laws, request, disclose.day_of(shop, request))
        asked = _asked(found, usual, request, *rungs)
        if asked and request.status == "open":
            step: dict[str, Any] = {"action": "look", "actor": actor, "now": now}
            disclose.write(shop, connection, request_id, "asked", **step)
    return asked


def _asked(
    found: Mapping[str, Any] | None,
    usual: Collection[str],
    request: Request,
    need: Need,
    less: Need | None,
) -> list[Point]:
    try:
        return identity.questions(found, need, used=request.found_by, usual=usual)
    except identity.NotEnough:
        if less is None:
            raise
        return identity.questions(found, less, used=request.found_by, usual=usual)


def _usual(shop: Shop, connection: sa.Connection) -> list[str]:
    """Return what this shop holds of customers at all: a stranger is asked for the same."""
    places = {
        "points": ("loyalty.points", "customers.loyalty_points"),
        "bought": ("lines.product_id",),
        "joined": ("customers.created_at",),
        "postcode": ("addresses.postcode",),
        "phone": ("customers.phone",),
        "email": ("customers.email",),
    }

    def any_in(place: str) -> bool:
        table, _, column = place.partition(".")
        cells = shop.tables.tables[table].c
        if column not in cells:
            return False
        query = sa.select(sa.literal(1)).where(cells[column].is_not(None)).limit(1)
        return connection.scalar(query) is not None

    return [name for name, found in places.items() if any(map(any_in, found))]


def paper(said: str) -> str:
    """Return the SHA-256 of a scan, or the number of a paper as it is."""
    path = Path(said)
    return hashlib.sha256(path.read_bytes()).hexdigest() if said and path.is_file() else said


def verify(
    shop: Shop,
    request_id: str,
    answers: Mapping[str, str] | None,
    *,
    declaration: str = "",
    permission: str = "",
    power_of_attorney: bool = False,
    settle: bool = False,
    laws: Book,
    actor: str,
    now: datetime,
) -> Outcome:
    """Decide whether it is the customer who asks; keep the method and the outcome, no answer.

    A request for all that is held goes on as one for the kinds of data if no more can be shown:
    with *settle*, or after the last attempt. Files in the request's folder ``evidence`` are
    deleted once it is decided.

    Args:
        shop: An open shop.
        request_id: Its number.
        answers: By the names of the points; None if the customer signed in anew to an account.
        declaration: The SHA-256 of a signed declaration, or the number of the paper.
        permission: Likewise, of what the customer signed for an agent.
        power_of_attorney: It is one, so that the customer themselves need not be asked.
        settle: The smaller answer will do.
        laws: The rules.
        actor: Who decides.
        now: The time, with its zone.

    Raises:
        TooMany: Too many attempts have failed.
        NotYet: A declaration or a permission is missing.
    """
    disclose.allow(shop, actor, now)
    step: dict[str, Any] = {"action": "look", "actor": actor, "now": now}
    kept = {"declaration": declaration, "permission": permission}
    with shop.writing(actor, now) as connection:
        request = disclose.get(connection, request_id)
        need, less = needs(laws, request, disclose.day_of(shop, request))
        if request.agent and need.matches and not permission:
            raise disclose.NotYet(
                "somebody else asks; enter what the customer signed for them: --permission"
            )
        if need.declaration and answers is not None and not (declaration or settle):
            raise disclose.NotYet(
                f"a declaration that the customer signed is needed, too ({need.rule}); enter it "
                "with --declaration, or settle for the kinds of data with --settle"
            )
        found = held(shop, connection, disclose.customer_of(shop, connection, request_id))
        if request.agent and power_of_attorney:
            outcome = Outcome(True, "power of attorney", "thank you, that is enough")
        elif answers is None:
            outcome = identity.by_account(signed_in=found is not None, again=found is not None)
        else:
            usual = () if found else _usual(shop, connection)
            asked = _asked(found, usual, request, need, less)
            outcome = identity.judge(
                found,
                answers,
                need,
                asked=asked,
                failed=request.attempts,
                declaration=bool(declaration),
                less=less,
            )
        said = ("verified" if need.matches else "not needed") if outcome.verified else "failed"
        more: dict[str, Any] = {"method": outcome.method, "outcome": said}
        more["kept"] = {name: value for name, value in kept.items() if value}
        request = disclose.write(shop, connection, request_id, "checked", **more, **step)
        last = settle or request.attempts >= identity.MOST_FAILED
        if less and outcome.enough_for_less and last:
            disclose.write(shop, connection, request_id, "reassessed", kinds=["categories"], **step)
            more = {"method": f"{less.matches} answers", "outcome": "verified", "kept": {}}
            disclose.write(shop, connection, request_id, "checked", **more, **step)
        if not request.acknowledged_at:  # whoever was asked knows that it arrived
            disclose.write(shop, connection, request_id, "acknowledged", **step)
    identity.forget(sorted((shop.folder / disclose.REQUESTS / request_id / "evidence").glob("*")))
    return outcome
