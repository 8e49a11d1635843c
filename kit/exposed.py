# SPDX-License-Identifier: MIT-0
"""After a theft or a leak, find out whose data and which, and whom the rules ask to tell.

From the log of who looked at whom, and from the inventory, comes a draft of the incident; a person
completes it. From that come the findings, the letters, the memo and the calendar (`kit.breach`).
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kit import agenda, audit, binding, breach, breach_letters, clocks, grounds, incident, trash
from kit.breach import Assessment
from kit.breach_letters import Story
from kit.incident import DataSet, Incident
from kit.legal import Book
from kit.shop import CUSTOMERS, SEALED, Shop

ELEMENTS_FILE = "elements.toml"
ELEMENTS = {  # columns to names of the list of elements; another column of such a name is that
    **{f"customers.{c}": "name" for c in ("first_name", "last_name", "name", "nickname")},
    **{f"customers.{c}": "loyalty_id" for c in ("customer_id", "reference")},
    **{f"customers.{c}": "visits" for c in ("first_visit_on", "last_visit_on", "visits")},
    **{f"customers.{c}": "staff_note" for c in ("note", "tags")},
    **{f"addresses.{c}": "postal_address" for c in ("street", "city", "postcode")},
    "customers.birthday": "birth_date",
    "customers.spent_cents": "purchases",
    "customers.loyalty_points": "points",
    "loyalty.points": "points",
    "sales.total_cents": "purchases",
    "lines.product_id": "purchases",
    "sales.note": "staff_note",
    "lines.note": "staff_note",
    "payments.note": "staff_note",
}
EVERYBODY = ("export", "list", "print", "backup")  # actions of which the log names no customer
OWN = {("list", "proof"), ("print", "proof")}  # what is logged here: it shows no customer
CIPHER, BITS = "AES-256-GCM", 256
PLACES = {*(f"US-{state}" for state in binding.STATES), grounds.UNKNOWN}
TERRITORIES = {f"US-{one}" for one in ("AS", "GU", "MP", "PR", "VI")}
COUNTRY = re.compile("[A-Z]{2}")


@dataclass(frozen=True)
class Looked:
    """Whose data were looked at, as the log tells.

    Attributes:
        customers: Their numbers; those who are gone since are only counted in `gone`.
        everybody: Something was done with many at once, so it may have been anybody.
        entries: How many entries of the log there are.
        roles: In which roles it was done: what they may see was seen.
    """

    customers: frozenset[str]
    gone: int
    everybody: bool
    entries: int
    roles: frozenset[str]


def looked_at(
    shop: Shop,
    *,
    since: datetime,
    until: datetime,
    people: Collection[str] = (),
    actor: str,
    now: datetime,
) -> Looked:
    """Return whose data somebody looked at between two moments, by the log; the look is logged.

    Args:
        shop: An open shop.
        since: The first moment.
        until: The first moment that is too late.
        people: Only these of the staff, such as the one whose password was stolen.
        actor: Who asks.
        now: The time, with its zone.
    """
    with shop.writing(actor, now) as connection:
        found = [
            one
            for one in audit.entries(connection, since=since, until=until)
            if (not people or one["actor"] in people)
            and not one["action"].startswith("refused:")
            and (one["action"], one["purpose"]) not in OWN
        ]
        hashes = {one["subject"] for one in found if one["subject"]}
        ids = connection.scalars(sa.select(shop.tables.tables[CUSTOMERS].c.customer_id))
        theirs = {one for one in ids if shop.log.subject(one) in hashes}
        shop.note(connection, actor, "list", "proof", now, filter="breach", count=len(theirs))
    roles = frozenset(one["role"] for one in found)
    many = any(one["action"] in EVERYBODY for one in found)
    return Looked(frozenset(theirs), len(hashes) - len(theirs), many, len(found), roles)


def data_sets(
    shop: Shop,
    laws: Book,
    *,
    customers: Collection[str] | None = None,
    roles: Collection[str] = (),
    key_exposed: bool | None = None,
) -> list[DataSet]:
    """Return what was exposed, as the inventory names it: sealed fields, and fields in the clear.

    Args:
        shop: An open shop.
        laws: The rules, which name the elements.
        customers: Whose; None for everybody, such as when the database was copied.
        roles: What somebody in one of these sees, in the clear; else the database as it lies.
        key_exposed: Whether who has the database has the keys, too; None if nobody knows.

    Raises:
        BadIncident: A column holds data that belong on the list, and the inventory is silent.
    """
    known = {one["name"] for one in _elements(laws)}
    held: dict[bool, set[str]] = {True: set(), False: set()}
    with shop.reading() as connection:
        for table, made in shop.tables.tables.items():
            for name in made.c.keys():
                listed = f"{table}.{name}" in ELEMENTS or name in known
                if f"{table}.{name}" in shop.inventory.fields or not listed:
                    continue
                if _there(shop, connection, table, name):
                    raise incident.BadIncident(
                        f"{table}.{name} holds data, but is not in inventory.toml: write it down "
                        "there, then draft again"
                    )
        for full, one in shop.inventory.fields.items():
            element = ELEMENTS.get(full) or (one.name if one.name in known else "")
            if not element or not one.personal or (roles and not {*roles} & {*one.see}):
                continue
            if _there(shop, connection, one.table, one.name):
                held[one.protect in SEALED and not roles].add(element)
        persons = _persons(shop, connection, customers)
        trashed = 0
        if customers is None and not roles:  # who has the database has its trash, too
            bin_ = trash.table(shop.tables)
            trashed = connection.scalar(sa.select(sa.func.count(bin_.c.subject.distinct()))) or 0
    sets = []
    locked: dict[str, Any] = {"encrypted": True, "algorithm": CIPHER, "bits": BITS}
    locked |= {"key_exposed": key_exposed, "access": "acquired"}
    for sealed, elements in held.items():
        if elements and persons:
            seen = f"fields that a {' or '.join(sorted(roles))} sees" if roles else ""
            name = "sealed fields" if sealed else seen or "fields in the clear"
            more = locked if sealed else {"access": "acquired"}
            sets.append(DataSet(name, frozenset(elements), persons, **more))
    if trashed and (every := held[True] | held[False]):
        where = {grounds.UNKNOWN: trashed}
        sets.append(DataSet("deleted customers in the trash", frozenset(every), where, **locked))
    return sets


def _there(shop: Shop, connection: sa.Connection, table: str, column: str) -> bool:
    made = shop.tables.tables.get(table)
    if made is None or column not in made.c:
        return False
    query = sa.select(sa.literal(1)).where(made.c[column].is_not(None)).limit(1)
    return connection.scalar(query) is not None


def _persons(
    shop: Shop, connection: sa.Connection, customers: Collection[str] | None
) -> dict[str, int | None]:
    """Count customers by where they live; of an address that says nothing: unknown."""
    table, home = shop.tables.tables["addresses"], shop.settings.region
    place: dict[str, str] = {}
    names = [name for name in ("region", "country") if name in table.c]
    sealed = [name for name in names if name in shop.sealed_columns("addresses")]
    for row in connection.execute(sa.select(table)).mappings() if names else ():
        if customers is None or row["customer_id"] in customers:
            said = shop.opened("addresses", [dict(row)])[0] if sealed else dict(row)
            place.setdefault(row["customer_id"], grounds.place_of(said, home))
    ids = connection.scalars(sa.select(shop.tables.tables[CUSTOMERS].c.customer_id))
    whose = (one for one in ids if customers is None or one in customers)
    counted = Counter(place.get(one, grounds.UNKNOWN) for one in whose)
    return dict(sorted(counted.items()))


def draft(name: str, sets: Iterable[DataSet], **moments: datetime | None) -> str:
    """Return an incident as TOML, for a person to complete: what the kit cannot know is named.

    Args:
        name: Your word for it.
        sets: From `data_sets`.
        moments: Such as occurred and discovered.
    """
    lines = [
        "# What is known of the incident. Complete it, then: kit breach assess. What each key",
        "# means stands at the top of kit/incident.py; determined, vendor, hold, no_harm can be",
        "# added.",
        "format = 1",
        f"name = {_quoted(name)}",
    ]
    lines += [f"{key} = {at.isoformat()}" for key, at in moments.items() if at]
    for one in sets:
        people = ", ".join(f"{place} = {count}" for place, count in one.persons.items())
        words = ", ".join(f'"{element}"' for element in sorted(one.elements))
        lines += ["", "[[data]]", f"name = {json.dumps(one.name)}", f"elements = [{words}]"]
        lines += [f"persons = {{ {people} }}", f'access = "{one.access}"']
        if one.encrypted:
            exposed = {True: "true", False: "false", None: '"unknown"'}[one.key_exposed]
            lines += ["encrypted = true", f'algorithm = "{one.algorithm}"', f"bits = {one.bits}"]
            lines += [f"key_exposed = {exposed}  # whoever has the keyring and its passphrase"]
    text = "\n".join(lines) + "\n"
    incident.read(text)  # what is written can be read
    return text


def _quoted(text: str) -> str:
    """Return a text as TOML: like JSON, but without halves of an emoji."""
    said = text.encode("utf-8", "replace").decode()
    return json.dumps(said, ensure_ascii=False).replace("\x7f", "\\u007f")


def assess(
    what: Incident, laws: Book, business: Mapping[str, Any], *, zone: tzinfo, today: date
) -> Assessment:
    """Say for every rule of every place whether somebody has to be told, whom, and by when.

    Raises:
        BadIncident: It names an element or a place that no list has: that would look harmless; or
            a moment that is still to come.
    """
    _known(what, laws)
    moments = {**what.events, "occurred": what.occurred, "told_people": None}  # that may be planned
    for name, when in moments.items():
        if when and when.astimezone(zone).date() > today:
            raise incident.BadIncident(f"{name} is in the future; correct its date")
    day = what.discovered.astimezone(zone).date() if what.discovered else today
    rules = laws.rows(day)
    members = {law.jurisdiction: law.includes for law in laws.laws.values() if law.includes}
    binds = {
        row.id: laws.covered(row.id, business, day).answer
        for row in rules
        if row.covered_if and row.duty in breach.TELL
    }

    def count(row: Any, events: Mapping[str, Any]) -> clocks.Deadline:
        return laws.deadline(row, events, zone=zone, on=day)

    found = breach.assess(what, rules, count, members=members, binds=binds)
    return replace(found, findings=tuple(map(_hinted, found.findings)))


def _known(what: Incident, laws: Book) -> None:
    """Refuse words that no rule could ever match."""
    names = [one["name"] for one in _elements(laws)]
    for odd in sorted(what.elements - {*names}):
        raise incident.BadIncident(f"no element called {odd[:40]!r}; known are {', '.join(names)}")
    for odd in sorted(what.places - PLACES - TERRITORIES):
        if not COUNTRY.fullmatch(odd) or odd in binding.NO_COUNTRY:
            raise incident.BadIncident(
                f"persons: no place called {odd[:40]!r}; write US-CA for a state of the US, DE for "
                "another country, or unknown"
            )


def _hinted(one: breach.Finding) -> breach.Finding:
    """Say that a country was read where the letters are those of a state, too."""
    if one.rule or f"US-{one.place}" not in PLACES:
        return one
    state = binding.named(f"US-{one.place}")
    return replace(one, task=f"if {state} is meant, write US-{one.place}; else {one.task}")


def write_up(
    folder: Path,
    what: Incident,
    found: Assessment,
    laws: Book,
    *,
    story: Story | None = None,
    zone: tzinfo,
    now: datetime,
) -> list[Path]:
    """Write the memo, the calendar and, with your words, the letters; return the files.

    A memo or letter that stands there, and says something else, is kept under another name: it may
    be what was decided, or a letter that you have changed.
    """
    today = now.astimezone(zone).date()
    day = what.discovered.astimezone(zone).date() if what.discovered else today
    used = [one.rule for one in found.findings if one.rule]
    kept: dict[str, date | None] = dict(_kept(found.memo_rules, what, laws, zone))
    text = breach_letters.memo(
        found.findings,
        what.facts(),
        always=found.always,
        kept=kept,
        disclaimer="\n\n".join(notices(laws, used, today)),
        now=now.astimezone(zone),
    )
    dates = breach_letters.entries(found.findings, what.name, today=today)
    files = {"dates.ics": agenda.write(dates, now=now)}
    if story:
        text += "\n## Before a letter goes out\n\n"
        labels = {one["name"]: one["label"] for one in _elements(laws)}
        forms = laws.rows(day, duty="notice")
        for letter in breach_letters.letters(found.findings, story, forms, labels):
            files[f"{letter.file_name}.html"] = letter.page().encode()
            files[f"{letter.file_name}.txt"] = letter.text().encode()
            text += "".join(f"- {letter.file_name}: {one}\n" for one in letter.check)
    files = {"memo.md": text.encode(), **files}
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        _put(folder / name, content, now.astimezone(zone))
    return [folder / name for name in files]


def notices(laws: Book, used: Iterable[str], today: date) -> list[str]:
    """Return what stands on whatever came of these rules: which are overdue, and no lawyer."""
    rules = list(used)
    return [one for one in (laws.banner(rules, today), laws.disclaimer(rules)) if one]


def _put(path: Path, content: bytes, now: datetime) -> None:
    if path.suffix != ".ics" and path.exists() and path.read_bytes() != content:
        path.replace(path.with_name(f"{path.stem}.until-{now:%Y%m%d-%H%M%S}{path.suffix}"))
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def _kept(
    rules: Iterable[str], what: Incident, laws: Book, zone: tzinfo
) -> Iterator[tuple[str, date | None]]:
    for rule in rules:
        try:
            yield rule, clocks.keep_until(laws.get(rule), what.events, zone=zone)
        except clocks.ClockError:  # what it counts from has not happened yet
            yield rule, None


def folder_of(shop: Shop, name: str) -> Path:
    """Return the folder in which what belongs to an incident is kept."""
    word = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:40] or "incident"
    return shop.folder / "records" / f"breach-{word}"


def read_incident(path: Path) -> Incident:
    """Read an incident from a file; see `incident.read`."""
    try:
        return incident.read(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise incident.BadIncident(
            f"{path.name}: not a text file in UTF-8; save it as one"
        ) from None


def read_story(path: Path) -> Story:
    """Read your own words from TOML: shop, contact, what_happened, doing and more."""
    try:
        story = Story(**{"address": "", **tomllib.loads(path.read_text(encoding="utf-8-sig"))})
        kinds = {"monitoring_months": int}
        if all(type(said) is kinds.get(name, str) for name, said in vars(story).items()):
            return story
    except (ValueError, TypeError):  # not TOML, not UTF-8, another name
        pass
    raise breach_letters.LetterError(
        f"{path.name}: not TOML with shop, address, contact, what_happened and doing; see "
        "kit/breach_letters.py"
    )


def _elements(laws: Book) -> list[dict[str, Any]]:
    with (laws.folder / ELEMENTS_FILE).open("rb") as file:
        listed: list[dict[str, Any]] = tomllib.load(file)["element"]
    return listed
