# SPDX-License-Identifier: MIT-0
"""What happens at the counter: a customer signs up, corrects a telephone number, or says no more.

Answers are tidied and refused by the same rules as an import, and the proof of what was agreed to
is stored in the same transaction as the customer.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kit import collect, consent, imports, rows, tidy
from kit.forms import Ready
from kit.shop import CUSTOMERS, Shop

ADDRESSES = "addresses"


DAYS = re.compile("P([0-9]+)D")  # how a receipt writes for how long a yes counts


class CounterError(Exception):
    """It cannot be done so; the message says why, never what was typed."""


def reader(shop: Shop) -> tidy.Tidy:
    """Return what reads one answer by the shop's rules."""
    return tidy.Tidy(cards=imports.cards_in, health=imports.health_in, region=shop.settings.region)


def sign_up(
    shop: Shop,
    ready: Ready,
    answers: Mapping[str, object],
    *,
    source: str,
    actor: str,
    now: datetime,
    proof: Mapping[str, str] | None = None,
) -> collect.Accepted:
    """Take a customer in, with a receipt of what they agreed to in the folder ``records``.

    Args:
        shop: An open shop.
        ready: A form that fits its notice and the inventory; see `forms.ready`.
        answers: By the names of the form's fields and boxes.
        source: Where, in the form's own words, such as ``till``.
        actor: Who is at work.
        now: The time, with its zone.
        proof: Away from the website, who asked; see `consent.till_proof`.

    Raises:
        Refused: Something cannot be taken; nothing was stored.
    """
    customer, record = f"kit-{secrets.token_hex(8)}", f"signup-{secrets.token_hex(8)}"
    taken = collect.accept(
        ready,
        answers,
        reader=reader(shop),
        customer_id=customer,
        record_id=record,
        source=source,
        now=now.astimezone(shop.settings.zone),
        proof=proof,
    )
    said: dict[str, dict[str, Any]] = {CUSTOMERS: {"customer_id": customer, "created_at": now}}
    for name, value in taken.row.items():
        table, _, column = name.partition(".")
        if value is not None:
            said.setdefault(table, {})[column] = value
    if len(said) > 1:
        said["addresses"] |= {"address_id": f"{customer}-1", "customer_id": customer}
    path = shop.folder / "records" / f"{record}.json"
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:  # first: a receipt without a customer harms nobody
        file.write(collect.canonical(taken.receipt))
    with shop.writing(actor, now) as connection:
        for name, row in said.items():
            _add(shop, connection, name, row)
        for event in taken.consents:
            rows.add(connection, shop.tables.tables["consents"], event)
        shop.note(connection, actor, "add", "proof", now, subject=customer)
    return taken


def change(
    shop: Shop,
    customer: str,
    changes: Mapping[str, str | None],
    *,
    version: int,
    actor: str,
    now: datetime,
) -> None:
    """Change some fields of a customer.

    Args:
        shop: An open shop.
        customer: Their number.
        changes: Column of table ``customers`` to new value; None empties it.
        version: The row's version when it was read, so that a colleague's change is not lost.
        actor: Who is at work.
        now: The time, with its zone.

    Raises:
        CounterError: A value cannot be taken, or the inventory does not name the column.
        Conflict: Somebody changed the customer since.
    """
    with shop.writing(actor, now) as connection:
        change_in(connection, shop, customer, changes, version=version, actor=actor, now=now)


def change_in(
    connection: sa.Connection,
    shop: Shop,
    customer: str,
    changes: Mapping[str, str | bool | None],
    *,
    version: int,
    actor: str,
    now: datetime,
) -> None:
    """Do what `change` does within a transaction of `Shop.writing` that is yours to finish."""
    _change(connection, shop, CUSTOMERS, customer, changes, version, now)
    shop.note(connection, actor, "change", "proof", now, subject=customer)


def move_in(
    connection: sa.Connection,
    shop: Shop,
    customer: str,
    changes: Mapping[str, str | bool | None],
    *,
    actor: str,
    now: datetime,
) -> None:
    """Change some fields of a customer's address, in a transaction that is yours to finish.

    Raises:
        CounterError: They have none, or several; or as for `change`.
    """
    found = rows.find(connection, shop.tables.tables[ADDRESSES], {"customer_id": customer})
    if len(found) != 1:
        held = "2 addresses or more" if found else "no address"
        raise CounterError(f"the shop has {held} of theirs; correct it in the till, then import it")
    (row,) = found
    _change(connection, shop, ADDRESSES, row["address_id"], changes, row.get(rows.VERSION), now)
    shop.note(connection, actor, "change", "proof", now, subject=customer)


def _change(
    connection: sa.Connection,
    shop: Shop,
    name: str,
    key: str,
    changes: Mapping[str, str | bool | None],
    version: int | None,
    now: datetime,
) -> None:
    """Tidy what was typed by the rules of an import, seal it, and write it."""
    table = shop.tables.tables[name]
    tidied: dict[str, Any] = {}
    today = now.astimezone(shop.settings.zone).date()
    for column, value in changes.items():
        if column not in table.c or f"{name}.{column}" not in shop.protect:
            raise CounterError(f"{column}: no such field of a customer; is it in the inventory?")
        kind = imports.TYPES.get(column)
        cell = reader(shop).read(value, tidy.Rule(kind), today=today) if kind else None
        if cell and cell.refused:
            raise CounterError(f"{column}: {cell.refused}")
        tidied[column] = cell.value if cell else value
    sealed = shop.seal(name, {column: [value] for column, value in tidied.items()}, [key])
    single = {column: cells[0] for column, cells in sealed.items()}
    rows.change(connection, table, key, single, version=version)


def consents(
    shop: Shop, customer: str, *, at: datetime
) -> dict[tuple[str, str, str], consent.State]:
    """Return what a customer's consents were at a moment, by customer, channel and purpose.

    A yes runs out when the receipt of it says so.
    """
    with shop.reading() as connection:
        events = _events(shop, connection, customer)
    return consent.states(events, at=at, lasts_days=_lasts_days(shop, events, at))


def withdraw(
    shop: Shop, customer: str, *, purpose: str, source: str, actor: str, now: datetime
) -> int:
    """Write down that a customer says no more; return how many yeses that ended.

    A yes that only the till tells of ends, too, and no later export undoes it.

    Raises:
        CounterError: There was none.
    """
    with shop.writing(actor, now) as connection:
        who: dict[str, Any] = {"source": source, "actor": actor, "now": now}
        ended = withdraw_in(connection, shop, customer, purpose=purpose, **who)
        if not ended:
            raise CounterError(f"they have not said yes to {purpose}, or took it back already")
        shop.note(connection, actor, "consent", "proof", now, subject=customer)
    return ended


def withdraw_in(
    connection: sa.Connection,
    shop: Shop,
    customer: str,
    *,
    purpose: str = "",
    source: str,
    actor: str,
    now: datetime,
) -> int:
    """Do what `withdraw` does within a transaction of `Shop.writing`; no purpose: all of them."""
    events = _events(shop, connection, customer)
    by_id = {event.consent_id: event for event in events}
    made, told = list[consent.Event](), set[consent.Key]()
    for key, state in consent.states(events, at=now).items():
        if state.status in ("stated", *consent.YES) and purpose in ("", key[2]):
            number = f"withdrawal-{secrets.token_hex(8)}"
            last = by_id[state.consent_id]
            made.append(
                consent.follow(last, "withdrawn", consent_id=number, source=source, now=now)
            )
            told.add(key)
    row = rows.get(connection, shop.tables.tables[CUSTOMERS], customer)
    (plain,) = shop.opened(CUSTOMERS, [row])
    flags = {flag: what for flag, what in imports.flags_of(shop).items() if plain.get(flag)}
    off = {flag: False for flag, (_, what) in flags.items() if purpose in ("", *what)}
    for flag in off:
        channel, purposes = flags[flag]
        for what in [purpose] if purpose else purposes:
            if not {(customer, channel, what), (customer, consent.ANY, what)} & told:
                number = f"withdrawal-{secrets.token_hex(8)}"
                about = (number, customer, channel, what, "withdrawn", None, source)
                made.append(consent.Event(*about, happened_at=now))
    for no in made:
        rows.add(connection, shop.tables.tables["consents"], no.row())
    if off:
        change_in(connection, shop, customer, off, version=row[rows.VERSION], actor=actor, now=now)
    return len(made)


def run_out(shop: Shop, connection: sa.Connection, *, now: datetime) -> int:
    """Write down which yeses have run out by what their receipts say; return how many."""
    table = shop.tables.tables["consents"]
    if not {"event", "happened_at"} <= {*table.c.keys()}:
        return 0
    query = sa.select(table.c.customer_id).distinct().where(table.c.event == "given")
    who = [*connection.scalars(query.order_by(table.c.customer_id))]
    made = 0
    for start in range(0, len(who), imports.AT_ONCE):
        theirs: dict[str, list[consent.Event]] = {}
        some = {"customer_id": who[start : start + imports.AT_ONCE]}
        for row in rows.find(connection, table, some):
            theirs.setdefault(row["customer_id"], []).append(consent.Event.from_row(row))
        for events in theirs.values():
            lasts = _lasts_days(shop, events, now)
            for over in consent.run_out(events, at=now, lasts_days=lasts):
                rows.add(connection, table, over.row())
                made += 1
    return made


def _lasts_days(shop: Shop, events: Iterable[consent.Event], at: datetime) -> dict[str, int]:
    """Return by purpose for how long a yes counts, as the newest receipt before a moment says."""
    lasts: dict[str, int] = {}
    given = [event for event in events if event.event == "given" and event.happened_at <= at]
    for event in sorted(given, key=lambda one: one.happened_at):
        path = shop.folder / "records" / f"{event.consent_id.rpartition('.')[0]}.json"
        with suppress(OSError, ValueError):  # no receipt: nothing was promised, or it is lost
            receipt = json.loads(path.read_bytes())
            if collect.digest(receipt) == event.receipt_sha256:
                said = DAYS.fullmatch(receipt["validity_duration"][event.consent_id])
                lasts[event.purpose] = int(said[1]) if said else 0
    return lasts


def _events(shop: Shop, connection: sa.Connection, customer: str) -> list[consent.Event]:
    found = rows.find(connection, shop.tables.tables["consents"], {"customer_id": customer})
    return [consent.Event.from_row(row) for row in found]


def _add(shop: Shop, connection: sa.Connection, name: str, row: Mapping[str, Any]) -> None:
    table = shop.tables.tables[name]
    key = str(row[next(iter(table.primary_key)).name])
    sealed = shop.seal(name, {column: [value] for column, value in row.items()}, [key])
    rows.add(connection, table, {column: cells[0] for column, cells in sealed.items()})
