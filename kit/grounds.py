# SPDX-License-Identifier: MIT-0
"""Find out where a customer lives, which law gives them the right to ask, and by when to answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kit import binding, request_state, rows
from kit.clocks import Deadline
from kit.law import Coverage, Row
from kit.legal import Book
from kit.shop import Shop

BASE = "us-ca-ccpa"  # the rules that a shop keeps of its own will
STATE_CODES = {name.upper(): code for code, name in binding.STATES.items()}
VOLUNTARY, UNKNOWN = "voluntary", "unknown"
DUTIES: dict[str, tuple[str, ...]] = {
    kind: ("confirm_receipt", "respond") for kind in ("know", "delete", "correct")
}
DUTIES |= {"categories": DUTIES["know"], "opt_out": ("stop_sale",), "limit": ("stop_sale",)}


def residence(shop: Shop, connection: sa.Connection, customer: str) -> str:
    """Return where a customer lives, such as ``US-CA`` or ``DE``, as their address says."""
    table = shop.tables.tables["addresses"]
    found = rows.find(connection, table, {"customer_id": customer})
    places = [place_of(row, shop.settings.region) for row in shop.opened("addresses", found)]
    return next(iter(places), UNKNOWN)


def place_of(address: Mapping[str, Any], home: str) -> str:
    """Return the place of an address: ``US-CA``, ``DE`` or unknown; *home* where none is named."""
    country = str(address.get("country") or home).strip().upper()
    region = str(address.get("region") or "").strip().upper()
    if country in ("US", "USA", "UNITED STATES"):
        code = STATE_CODES.get(region, region)
        return f"US-{code}" if code in binding.STATES else UNKNOWN
    real = len(country) == 2 and country.isascii() and country.isalpha()
    return country if real and country not in binding.NO_COUNTRY else UNKNOWN


def said(place: str) -> str:
    """Return a place that was typed, such as ``us-ca`` or ``California``; empty if it is none."""
    text = place.strip().upper()
    code = STATE_CODES.get(text, text.removeprefix("US-"))
    if code in binding.STATES and code != text:
        return f"US-{code}"
    if text == UNKNOWN.upper():
        return UNKNOWN
    text = "GB" if text == "UK" else text
    return text if re.fullmatch("[A-Z]{2}", text) and text != "US" else ""


def told(place: str) -> str:
    """Return a place with a word of warning, where it may be another than was meant."""
    if place == UNKNOWN:
        return (
            f"{UNKNOWN}: ask, then open it anew with --place US-CA, as that state's rules may hold"
        )
    if place in binding.STATES:
        return f"{place}, the country; {binding.STATES[place]} is US-{place}"
    return place


def ground(
    shop: Shop, laws: Book, kind: str, place: str, received: datetime
) -> tuple[str, Coverage | None, list[request_state.Deadline]]:
    """Return the law that binds the shop here, or ``voluntary``, and the dates to keep.

    Where the law of the place is known its dates are kept, also if nobody can say whether it binds
    the shop: to be early harms nobody. A date that cannot be computed is there, with the reason.
    """
    day = received.astimezone(shop.settings.zone).date()
    theirs = [
        row
        for row in laws.rows(day)
        if place in (row.jurisdiction, *row.law.includes) and _fits(row, kind)
    ]
    coverage = None
    if theirs:
        said = shop.settings.business
        home = said.get("state", ())
        there = {*said.get("residents_of", ()), *said.get("consumers", ()), place}
        there |= {home} if isinstance(home, str) else {*home}
        business = {**said, "residents_of": sorted(there)}
        coverage = laws.covered(theirs[0].law.key, business, day)
        if coverage.answer == "no":
            theirs = []
    dates = []
    for duty in DUTIES.get(kind, ()):
        base = [row for row in laws.rows(day, law=BASE, duty=duty) if _fits(row, kind)]
        for row in ([row for row in theirs if row.duty == duty] or base)[:1]:
            made = laws.deadline(row, {"received": received}, zone=shop.settings.zone, on=day)
            dates.append(plain(row.duty, made))
    bound = coverage is not None and coverage.answer == "yes"
    return (theirs[0].law.key if bound else VOLUNTARY), coverage, dates


def _fits(row: Row, kind: str) -> bool:
    """Return whether a rule has a clock that starts with such a request."""
    asked = "know" if kind == "categories" else kind
    listed = row.applies_to.get("request", [asked])
    return bool(row.clock) and row.duty in DUTIES.get(kind, ()) and asked in listed


def plain(duty: str, made: Deadline) -> request_state.Deadline:
    """Return a date as the book of requests keeps it."""
    return request_state.Deadline(
        duty, made.rule, made.due, made.send_by, made.latest, made.doubts, made.why or made.task
    )
