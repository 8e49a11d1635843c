# SPDX-License-Identifier: MIT-0
"""Answer a customer: a package of all that is held on them, a correction, or a no that is kept.

The package is made in memory, searched byte by byte, sealed with a passphrase and written as one
age file into the shop's folder ``requests``; its SHA-256 goes into the book, its content nowhere.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyrage
from pyrage import passphrase as by_passphrase
from pyrage import x25519

from kit import (
    consent,
    counter,
    disclose,
    gathering,
    identity,
    outgoing,
    package,
    package_page,
    passphrase,
    request_state,
    rows,
)
from kit.legal import Book
from kit.package import Content
from kit.request_state import Request
from kit.shop import CUSTOMERS, Shop

MOST_BYTES = 64 << 20  # sealed in memory, six times over; same as in agefile.py
RIGHTS = (
    "ask us to correct what is wrong, or to delete it",
    "tell us not to sell or share it, and take back what you agreed to",
    "complain to us, and to the authority that watches over data protection where you live",
)
NOT_SEARCHED = (
    "backups: they are sealed, and read only to restore what was lost",
    "paper, e-mails and messages in other programs than the till",
    "customers deleted lately, who can still be brought back for some days",
)
SAID_NO = {"opt_out": consent.SHARING, "limit": "sensitive use"}


@dataclass(frozen=True)
class Answered:
    """A package that is ready to be handed over.

    Attributes:
        request: As it stands now.
        path: The sealed file.
        words: The passphrase; tell it on another way than the file. It is kept nowhere. Empty
            where the file opens with the customer's own key.
        content: What is in it.
    """

    request: Request
    path: Path
    words: str = field(repr=False)
    content: Content = field(repr=False)


def access(
    shop: Shop,
    request_id: str,
    *,
    laws: Book,
    recipient: str = "",
    planted: Iterable[str] = (),
    actor: str,
    now: datetime,
) -> Answered:
    """Make the package that answers a request, sealed, with a passphrase of its own.

    Args:
        shop: An open shop.
        request_id: Of a request to know, or for the kinds of data; verified.
        laws: The rules.
        recipient: The customer's own age key (``age1…``), if they have one; else a passphrase.
        planted: More secrets that must not be in it, to test it with.
        actor: Who answers.
        now: The time, with its zone.

    Raises:
        NotYet: Nobody has shown yet that it is the customer.
        NotWrittenDown: The database has a column that the inventory does not name.
        Leak: Something that must not leave is in it. Nothing was written.
    """
    disclose.allow(shop, actor, now)
    zone = shop.settings.zone
    with shop.writing(actor, now) as connection:
        request = disclose.get(connection, request_id)
        kind = ready(request, ("know", "categories"))
        customer = disclose.customer_of(shop, connection, request_id)
        if not customer:
            raise disclose.NotYet(
                "nobody fits this request: close it with --because no_match, or open it anew"
            )
        held = gathering.gather(shop, connection, customer)
        day = disclose.day_of(shop, request)
        content = gathering.collect(shop, connection, held, laws, day)
        content = content if kind == "know" else content.only_categories()
        about = _about(shop, request, laws, now)
        files = package.build(about, content, page=package_page.render, zone=zone)
        hidden = [*gathering.secrets_of(shop, connection, held), *planted]
        packed = outgoing.pack(files, secrets=hidden)
        words = "" if recipient else passphrase.suggest()
        path = disclose.package_of(shop, request_id)
        sealed = _seal(packed, path, words, recipient)
        try:
            request = disclose.write(
                shop,
                connection,
                request_id,
                "answered",
                nature="access package" if kind == "know" else "kinds of data",
                sent={"sealed": sealed, "zip": hashlib.sha256(packed).hexdigest()},
                basis="; ".join(f"{one.what}: {one.cite}" for one in content.withheld)[:400],
                action="disclose",
                actor=actor,
                now=now,
            )
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return Answered(request, path, words, content)


def ready(request: Request, kinds: tuple[str, ...]) -> str:
    """Return what is asked, if it may be answered now."""
    (kind,) = request.kinds
    if request.over:  # before anything is made, changed or erased: what was revoked stays so
        raise request_state.NotNow(
            f"the request is {request.status}, and nothing was changed; what the customer asks now "
            "is a new one: kit request open"
        )
    if kind not in kinds:
        raise disclose.WrongKind(f"the customer asked {disclose.ASKED[kind]}; that is another step")
    if request.outcome != "verified" and kind not in disclose.UNCHECKED:
        raise disclose.NotYet(
            "nobody has shown yet that it is the customer: kit request verify comes first"
        )
    return kind


def _about(shop: Shop, request: Request, laws: Book, now: datetime) -> dict[str, Any]:
    """Return what the customer is told about the answer itself."""
    zone = shop.settings.zone
    regime = "we answer of our own will"
    if request.regime != disclose.VOLUNTARY:
        regime = laws.laws[request.regime].name
    return {
        "shop": shop.settings.name,
        "request": request.request_id,
        "received": f"{request.received.astimezone(zone):%Y-%m-%d}",
        "asked": disclose.ASKED[request.kinds[0]],
        "answered": f"{now.astimezone(zone):%Y-%m-%d}",
        "identity": request.method,
        "period": "all that we hold, however old",
        "regime": regime,
        "contact": f"{shop.settings.name}; say the number of your request",
        "not_searched": [*NOT_SEARCHED],
        "rights": [*RIGHTS],
    }


def _seal(data: bytes, path: Path, words: str, recipient: str) -> str:
    """Write an age file that the passphrase, or the recipient's key, opens; return its SHA-256."""
    if len(data) > MOST_BYTES:
        raise disclose.NotYet(f"the package is over {MOST_BYTES >> 20} MiB; hand it over on a disk")
    if recipient:
        sealed = pyrage.encrypt(data, [_key(recipient)])
    else:
        sealed = by_passphrase.encrypt(data, words)  # a second of work, more for whoever guesses
    path.parent.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(sealed)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(sealed).hexdigest()


def _key(recipient: str) -> x25519.Recipient:
    with suppress(pyrage.RecipientError):
        return x25519.Recipient.from_str(recipient.strip())
    raise disclose.NotYet("the customer's key is mistyped; it begins with age1, 62 characters")


def correct(
    shop: Shop,
    request_id: str,
    changes: Mapping[str, str | None],
    *,
    actor: str,
    now: datetime,
) -> Request:
    """Correct what the customer says is wrong, and write the answer down.

    Args:
        shop: An open shop.
        request_id: Of a request to correct; verified.
        changes: Column of table ``customers``, or of their address, to its new value; None empties
            it. One by which customers are checked must have been disputed from the start.
        actor: Who answers.
        now: The time, with its zone.
    """
    disclose.allow(shop, actor, now)
    if not changes:
        raise disclose.NotYet("say what to correct: --set phone=212-555-0142")
    with shop.writing(actor, now) as connection:  # the data and the book, or neither
        request = disclose.get(connection, request_id)
        ready(request, ("correct",))
        if asked := sorted({*changes} & {*identity.POINTS} - {*request.found_by}):
            raise disclose.NotYet(
                f"{asked[0]} may have been used to check who asks, so it is not corrected on that; "
                f"open a request that says it is wrong: --about {asked[0]}"
            )
        customer = disclose.customer_of(shop, connection, request_id)
        if not customer:
            raise disclose.NotYet("nobody fits this request: close it with --because no_match")
        who: dict[str, Any] = {"actor": actor, "now": now}
        columns = shop.tables.tables[CUSTOMERS].c, shop.tables.tables[counter.ADDRESSES].c
        moved = {n: v for n, v in changes.items() if n in columns[1] and n not in columns[0]}
        if moved:
            counter.move_in(connection, shop, customer, moved, **who)
        if rest := {n: v for n, v in changes.items() if n not in moved}:
            version = rows.get(connection, shop.tables.tables[CUSTOMERS], customer)[rows.VERSION]
            counter.change_in(connection, shop, customer, rest, version=version, **who)
        return disclose.write(
            shop, connection, request_id, "answered", sent={}, basis="",
            nature=f"corrected: {', '.join(sorted(changes))}", action="change", **who,
        )  # fmt: skip


def say_no(shop: Shop, request_id: str, *, actor: str, now: datetime) -> Request:
    """Keep a customer's no to selling, sharing or sensitive use, or take back what they agreed to.

    It stands on the customer, not in a browser, and holds from now on. Nobody is checked for it.
    """
    with shop.writing(actor, now) as connection:
        kind = ready(disclose.get(connection, request_id), disclose.UNCHECKED)
        customer = disclose.customer_of(shop, connection, request_id)
        if not customer:
            raise disclose.NotYet("nobody fits this request: close it with --because no_match")
        if what := SAID_NO.get(kind):
            event = (f"{kind}-{secrets.token_hex(8)}", customer, consent.ANY, what, "withdrawn")
            no = consent.Event(*event, None, "request", now)
            rows.add(connection, shop.tables.tables["consents"], no.row())
        else:
            counter.withdraw_in(connection, shop, customer, source="request", actor=actor, now=now)
        shop.note(connection, actor, "consent", "proof", now, subject=customer)
        return disclose.write(
            shop, connection, request_id, "answered", nature="in force from now on", sent={},
            basis="", action="change", actor=actor, now=now,
        )  # fmt: skip
