# SPDX-License-Identifier: MIT-0
"""Bring together all that a shop holds on one customer, and what must never go along with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias

import sqlalchemy as sa

from kit import disclose, history, package, rows
from kit.legal import Book
from kit.package import Content, Words
from kit.shop import CUSTOMERS, Shop

KEYS_AT_ONCE = 5_000  # in one search
NAMES = {"lines.product_id": "products", "sales.store_id": "stores"}  # told by name, not number
TITLES = {
    "customers": "You",
    "consents": "What you agreed to",
    "loyalty": "Your points",
    "sales": "Your purchases",
    "lines": "What you bought",
    "payments": "How you paid",
    "refunds": "What you brought back",
    "privacy_requests": "What you asked of us",
    "history": "What it said before it was changed",
}
WITHHELD = "whoever got hold of this file could harm you with it"

Held: TypeAlias = Mapping[str, list[dict[str, Any]]]  # table to opened rows


@dataclass(frozen=True)
class Old:
    """What is told of an entry in the history, as if the inventory had a table for it."""

    what: str
    kind: str = "identity"
    purposes: tuple[str, ...] = ("proof",)
    keep: str = "1 year after the change"
    disclose: str = "give"
    ccpa: str = "A"


PAST = {
    "history.changed_at": Old("when it was changed"),
    "history.column": Old("what was changed"),
    "history.before": Old("what it said before"),
    "history.note_before": Old("what it said before, in a note", kind="note"),
}


def gather(shop: Shop, connection: sa.Connection, customer: str) -> Held:
    """Return all rows that are about one customer, opened, by table; nobody else's.

    What hangs on them is read from the foreign keys, as an erasure does: nothing is erased that
    could not be seen here.
    """
    found: dict[str, dict[Any, dict[str, Any]]] = {CUSTOMERS: {}}
    waiting = [(shop.tables.tables[CUSTOMERS], "customer_id", [customer])]
    while waiting:
        table, link, keys = waiting.pop(0)
        key = next(iter(table.primary_key)).name
        known = found.setdefault(table.name, {})
        new = {}
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = {link: keys[start : start + KEYS_AT_ONCE]}
            for row in rows.find(connection, table, some):
                if row[key] not in known and row.get("customer_id") in (None, customer):
                    new[row[key]] = row
        known |= new
        for child in shop.tables.sorted_tables if new else ():
            if not child.name.startswith("kit_") and child is not table:
                waiting += [
                    (child, column.name, list(new))
                    for column in child.c
                    if any(one.column.table is table for one in column.foreign_keys)
                ]
    opened = {name: shop.opened(name, list(some.values())) for name, some in found.items() if some}
    if past := _past(shop, connection, opened):
        opened["history"] = past
    return opened


def _past(shop: Shop, connection: sa.Connection, held: Held) -> list[dict[str, Any]]:
    """Return what stood in their rows before, where it may be given."""
    told = []
    empty = dict.fromkeys(name.partition(".")[2] for name in PAST)
    for table in set(shop.changed_by_people) & set(held):
        key = next(iter(shop.tables.tables[table].primary_key)).name
        for row in held[table]:
            for change in history.of(connection, table, str(row[key])):
                one = shop.inventory.find(f"{table}.{change.column}")
                if one is None or one.disclose != "give" or change.old is None:
                    continue
                place = f"{table}.{change.column}.{row[key]}"
                before = shop.cipher.unseal(change.old, context=place)
                where = "note_before" if one.kind == "note" else "before"
                told.append({**empty, "changed_at": change.at, "column": one.what, where: before})
    return sorted(told, key=lambda entry: entry["changed_at"])


def collect(shop: Shop, connection: sa.Connection, held: Held, laws: Book, on: date) -> Content:
    """Sort what `gather` found into what is given, named and left out.

    Raises:
        NotWrittenDown: The database has a column that the inventory does not name.
    """
    rule = laws.get("ca.withhold", on)
    (me,) = held[CUSTOMERS]
    return package.collect(
        held,
        {**shop.inventory.fields, **PAST},
        words=_words(shop, connection, laws, on),
        columns=_columns(shop, connection, held),
        names=_names(shop, connection, held),
        others=_others(shop, connection, me),
        own=[text for name in ("email", "phone") if (text := me.get(name))],
        why=lambda one: (WITHHELD, rule.cite),
    )


def _columns(shop: Shop, connection: sa.Connection, tables: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns that the database really has, but for those the kit adds to a table."""
    look = sa.inspect(connection)
    made = {}
    for name in tables:
        if name in shop.tables.tables:
            ours = [c.name for c in shop.tables.tables[name].c if "protect" not in c.info]
            there = [column["name"] for column in look.get_columns(name)]
            made[name] = [column for column in there if column not in ours]
    return made


def _names(shop: Shop, connection: sa.Connection, held: Held) -> dict[str, dict[str, str]]:
    """Return the names of goods and shops by their numbers."""
    made: dict[str, dict[str, str]] = {}
    for full, other in NAMES.items():
        name, _, column = full.partition(".")
        table = shop.tables.tables[other]
        wanted = sorted({row[column] for row in held.get(name, ()) if row.get(column)})
        key = next(iter(table.primary_key))
        for start in range(0, len(wanted) if "name" in table.c else 0, KEYS_AT_ONCE):
            some = key.in_(wanted[start : start + KEYS_AT_ONCE])
            found = connection.execute(sa.select(key, table.c.name).where(some)).all()
            made.setdefault(full, {}).update({number: n for number, n in found if n})
    return made


def _others(shop: Shop, connection: sa.Connection, me: Mapping[str, Any]) -> list[str]:
    """Return what staff, and others who share an address or telephone, are called."""
    people = shop.opened("employees", rows.find(connection, shop.tables.tables["employees"], {}))
    people += _household(shop, connection, me)
    mine = {me.get(name) for name in ("first_name", "last_name", "name", "nickname")}
    names = []
    for row in people:
        both = [row.get("first_name"), row.get("last_name")]
        parts = (row.get("name") or "").split()  # a till may know staff by one whole name only
        names += [" ".join(filter(None, both)), row.get("name"), *both]
        names += [part for part in parts if len(part) > 2]
    return [name for name in names if name and name not in mine]


def _household(
    shop: Shop, connection: sa.Connection, me: Mapping[str, Any]
) -> list[dict[str, Any]]:
    shared = [me[name] for name in ("email", "phone") if me.get(name)]
    found = [row for text in shared for row in shop.candidates(connection, text)]
    return shop.opened(CUSTOMERS, [r for r in found if r["customer_id"] != me["customer_id"]])


def _words(shop: Shop, connection: sa.Connection, laws: Book, on: date) -> Words:
    """Return how things are called in front of a customer."""
    letters: dict[str, str] = {}
    for row in laws.rows(on, fact="ca.categories"):
        letters |= {letter: str(name).capitalize() for letter, name in row.value.items()}
    came = shop.tables.tables["kit_imports"]
    tills = {layout.partition(".")[0] for layout in connection.scalars(sa.select(came.c.layout))}
    told = ["from you", *(f"the till ({till})" for till in sorted(tills))]
    sources = dict.fromkeys(shop.tables.tables, told)
    recipients: dict[str, list[str]] = {}
    for vendor in disclose.companies(shop):
        for table in {one.partition(".")[0] for one in vendor.gets}:
            recipients.setdefault(table, []).append(f"{vendor.name}, {vendor.role}: {vendor.why}")
    return Words(letters, shop.inventory.purposes, TITLES, sources, recipients)


def secrets_of(shop: Shop, connection: sa.Connection, held: Held) -> list[str]:
    """Return what must not be in an answer: secrets of this customer, and what is another's."""
    fields = shop.inventory.fields
    (me,) = held[CUSTOMERS]
    told = [
        str(row[column])
        for table, found in held.items()
        if table in shop.tables.tables
        for row in found
        for column in row
        if fields[f"{table}.{column}"].disclose == "name only" and row[column]
    ]
    others = [
        str(row[name])
        for row in _household(shop, connection, me)
        for name in ("customer_id", "email", "phone")
        if row.get(name) and row[name] != me.get(name)
    ]
    return [*told, *others, *(key.secret.hex() for key in shop.keyring.keys if key.secret)]
