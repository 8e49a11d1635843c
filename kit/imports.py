# SPDX-License-Identifier: MIT-0
"""Take a till's export into a shop: read, tidied, split, sealed, stored, all of it or nothing.

What is there already is compared value by value, so that a second import of the same file changes
nothing, and an export of next week changes what the till changed. An empty cell changes nothing:
another export of the same till may leave it out. Nor does a till's yes to what a customer took back
here.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kit import cards, consent, files, fold, personal, rows, tidy
from kit.files import Imported
from kit.fold import LeftOut
from kit.keys import Key, Keyring
from kit.pseudonyms import Pseudonyms
from kit.shop import CUSTOMERS, STAND_INS, TELLING, Shop

PURPOSE = "accounts"
AT_ONCE = 5_000  # rows compared at a time
OF_PEOPLE = ("customers", "addresses", "employees", "sales", "lines", "payments")
TYPES = {  # of their columns; what is not named here was written by the till
    "email": "email",
    "phone": "phone",
    **dict.fromkeys(("first_name", "last_name", "name", "nickname"), "name"),
    **dict.fromkeys(("city", "region", "postcode", "country"), "name"),
    **dict.fromkeys(("company", "street", "tags", "reference", "username", "modifiers"), "text"),
    "note": "note",
}
WRITTEN = "id"
FLAGS = {"accepts_email": "email", "accepts_sms": "sms"}  # a till's yes, and to which channel
LONGEST_ID = 200  # characters; an id of the shop begins with the till's name and has 255
LONGEST_TEXT = 250_000  # characters; the database refuses more than a mebibyte
PARTS = "the shop has more lines of these sales; the file holds a part of them"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Taken:
    """What an import did.

    Attributes:
        report: What the file is and how it was read.
        added: Table → new rows.
        changed: Table → rows in which something is different now.
        same: Table → rows that were there already, just so.
        left_out: What had nothing to know it by again.
        rejects: Cells that were not taken, with the reason; never the value.
        erased: Customers who asked to be forgotten and stay so.
        before: When this very file was imported before, or None.
    """

    report: Imported
    added: Mapping[str, int]
    changed: Mapping[str, int]
    same: Mapping[str, int]
    left_out: tuple[LeftOut, ...]
    rejects: tuple[files.Rejected, ...]
    erased: int
    before: datetime | None


def import_file(
    shop: Shop,
    path: Path,
    *,
    actor: str,
    now: datetime,
    day_first: bool | None = None,
    layout: str | None = None,
    confirmed: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Taken:
    """Import one export.

    Args:
        shop: An open shop; its settings say the time zone and the country.
        path: The file, as the till wrote it.
        actor: Who imports, by their name in shop.toml.
        now: The time, with its zone.
        day_first: As for `files.read_export`, like the next two.
        layout: Likewise.
        confirmed: Likewise.
        progress: Called with a table's name, rows done and rows to do.
    """
    shop.settings.role(actor)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    report = files.read_export(
        path,
        inventory=shop.inventory,
        time_zone=shop.settings.time_zone,
        region=shop.settings.region,
        day_first=day_first,
        layout=layout,
        confirmed=confirmed,
    )
    flat, rejects = _tidied(shop, report.table, now.astimezone(shop.settings.zone).date())
    stand_ins = Pseudonyms(_Oldest(shop.keyring), STAND_INS.partition(":")[2])
    source = report.layout.id.partition(".")[0]
    folded = fold.fold(flat, source=source, stand_in=stand_ins.one_way)
    counts: dict[str, tuple[int, int, int]] = {}
    with shop.writing(actor, now) as connection:
        tables, erased = _without_erased(shop, folded.tables)  # nobody is erased meanwhile
        left = list(folded.left_out)
        if "lines.line_id" not in flat.column_names and "lines" in tables:
            tables["lines"] = _whole_sales(shop, connection, tables["lines"], left)
        if CUSTOMERS in tables:
            tables[CUSTOMERS] = _keeping_noes(shop, connection, tables[CUSTOMERS], now)
        before = _noted(shop, connection, digest, report, now)
        for name, table in tables.items():
            derived = folded.derived.get(name, ())
            counts[name] = _store(shop, connection, name, table, derived, progress)
        people = sum(counts.get(CUSTOMERS, (0, 0, 0))[:2])
        shop.note(connection, actor, "import", PURPOSE, now, filter=digest, count=people)
    added, changed, same = ({n: c[i] for n, c in counts.items() if c[i]} for i in range(3))
    rejects = tuple(sorted((*report.rejects, *rejects), key=lambda reject: reject.row))
    return Taken(report, added, changed, same, tuple(left), rejects, erased, before)


class _Oldest:
    """The keys, but always the first one of a purpose: ids must stay the same for ever."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def primary(self, purpose: str) -> Key:
        usable = [k for k in self._keyring.keys if k.purpose == purpose and k.secret]
        return usable[0] if usable else self._keyring.primary(purpose)

    def find(self, purpose: str, key_id: int) -> Key:
        return self._keyring.find(purpose, key_id)


def _tidied(shop: Shop, flat: pa.Table, today: date) -> tuple[pa.Table, tuple[files.Rejected, ...]]:
    """Tidy what people typed; refuse card numbers, and words about health in free text."""
    rules = {name: _rule(name, flat.schema.field(name).type) for name in flat.column_names}
    reader = tidy.Tidy(cards=cards_in, health=health_in, region=shop.settings.region)
    done = reader.table(flat, rules, today=today)
    table, rejects = done.table, [files.Rejected(r.row, r.column, r.reason) for r in done.rejects]
    for name in table.column_names:
        if rules[name].type == tidy.AS_IS and pa.types.is_string(table.schema.field(name).type):
            table = _without_odd(table, name, rejects)
    return table, tuple(rejects)


def _rule(name: str, kind: pa.DataType) -> tidy.Rule:
    table, _, column = name.partition(".")
    if table not in OF_PEOPLE or not pa.types.is_string(kind):
        return tidy.Rule(tidy.AS_IS)
    if column in TYPES:
        return tidy.Rule(TYPES[column])
    return tidy.Rule(WRITTEN, longest=LONGEST_ID)


def _without_odd(table: pa.Table, name: str, rejects: list[files.Rejected]) -> pa.Table:
    """Empty cells that no database takes, so that one of them does not stop the others."""
    cells = table.column(name)
    thing, _, column = name.partition(".")
    longest = LONGEST_ID if column in fold.RULES[thing].known_by else LONGEST_TEXT
    odd = pc.or_(
        pc.match_substring(cells, "\0"), pc.greater(pc.utf8_length(cells), longest)
    ).fill_null(False)
    if not pc.any(odd).as_py():
        return table
    reason = f"holds a NUL character, or more than {longest:,} characters; correct the cell"
    places = table.column(fold.ROW).filter(odd).to_pylist()
    rejects += [files.Rejected(row, name, reason) for row in places]
    kept = pc.if_else(odd, pa.scalar(None, pa.string()), cells)
    return table.set_column(table.column_names.index(name), name, kept)


def cards_in(texts: Sequence[str]) -> Iterator[bool]:
    """Tell card numbers, security codes and track data; an order's number is let through."""
    look = cards.look(pa.array(texts, pa.string()))
    yield from ((look.trust > cards.ODD) | look.code | look.track).tolist()


def health_in(texts: Sequence[str]) -> Iterator[bool]:
    """Tell words about health."""
    for text in texts:
        yield bool(personal.check("health word", text))


def _without_erased(shop: Shop, tables: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], int]:
    """Leave out customers who were erased; their sales come without a name, a note or a card."""
    made = dict(tables)
    people, sold = made.get(CUSTOMERS), made.get("sales")
    gone = shop.ledger.erased(people["customer_id"].to_pylist()) if people else set[str]()
    if not gone:
        return made, 0
    theirs = {*sold.filter(_in(sold, "customer_id", gone))["sale_id"].to_pylist()} if sold else {""}
    for name, table in made.items():
        if name != "sales" and "customer_id" in table.column_names:
            made[name] = table.filter(pc.invert(_in(table, "customer_id", gone)))
        elif "sale_id" in table.column_names:
            empty = ["customer_id", *shop.sealed_columns(name), *TELLING.get(name, ())]
            made[name] = _emptied(table, _in(table, "sale_id", theirs), empty)
    return made, len(gone)


def _in(table: pa.Table, column: str, wanted: Set[str]) -> pa.Array:
    return pc.is_in(table.column(column), value_set=pa.array([*wanted], pa.string()))


def _emptied(table: pa.Table, where: pa.Array, columns: Sequence[str]) -> pa.Table:
    for name in {*columns} & {*table.column_names}:
        cells = table.column(name)
        empty = pc.if_else(where, pa.scalar(None, cells.type), cells)
        table = table.set_column(table.column_names.index(name), name, empty)
    return table


def flags_of(shop: Shop) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the columns in which a till says yes, each with its channel and its purposes."""
    fields = {flag: shop.inventory.fields.get(f"{CUSTOMERS}.{flag}") for flag in FLAGS}
    there = shop.tables.tables[CUSTOMERS].c
    return {f: (FLAGS[f], held.purposes) for f, held in fields.items() if held and f in there}


def _keeping_noes(
    shop: Shop, connection: sa.Connection, people: pa.Table, now: datetime
) -> pa.Table:
    """Leave out a till's yes where the customer took it back here: it never undoes a no."""
    flags = {f: what for f, what in flags_of(shop).items() if f in people.column_names}
    table = shop.tables.tables["consents"]
    if not flags or not {"event", "happened_at"} <= {*table.c.keys()}:
        return people
    query = sa.select(table.c.customer_id).distinct().where(table.c.event == "withdrawn")
    who = [*connection.scalars(query)]
    for start in range(0, len(who), AT_ONCE):
        found = rows.find(connection, table, {"customer_id": who[start : start + AT_ONCE]})
        states = consent.states(map(consent.Event.from_row, found), at=now)
        noes = {key for key, state in states.items() if state.status == "withdrawn"}
        for flag, (channel, purposes) in flags.items():
            said = {one for one, on, to in noes if on in (channel, consent.ANY) and to in purposes}
            yes = pc.fill_null(people.column(flag), False)
            people = _emptied(people, pc.and_(_in(people, "customer_id", said), yes), [flag])
    return people


def _whole_sales(
    shop: Shop, connection: sa.Connection, lines: pa.Table, left: list[LeftOut]
) -> pa.Table:
    """Leave out lines of sales of which the shop has more; counted, they would be other ones."""
    table = shop.tables.tables["lines"]
    sales = lines.column("sale_id").to_pylist()
    here, there = Counter(sales), dict[str, int]()
    names = [*here]
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        query = sa.select(table.c.sale_id, sa.func.count()).where(table.c.sale_id.in_(some))
        there.update({sale: n for sale, n in connection.execute(query.group_by(table.c.sale_id))})
    whole = [here[sale] >= there.get(sale, 0) for sale in sales]
    if not all(whole):
        left.append(LeftOut("lines", whole.count(False), 0, PARTS))
    return lines.filter(pa.array(whole, pa.bool_()))


def _noted(
    shop: Shop, connection: sa.Connection, digest: str, report: Imported, now: datetime
) -> datetime | None:
    """Note which file was imported; return when it was before."""
    table = shop.tables.tables["kit_imports"]
    query = sa.select(table.c.at).where(table.c.file_sha256 == digest)
    before: datetime | None = connection.scalar(query)
    if before is None:
        row = {"file_sha256": digest, "layout": report.layout.id, "rows": report.rows, "at": now}
        rows.add(connection, table, row)
    return before


def _store(
    shop: Shop,
    connection: sa.Connection,
    name: str,
    arrived: pa.Table,
    derived: Sequence[str],
    progress: Progress | None,
) -> tuple[int, int, int]:
    """Add what is new and change what is different. Return how many are added, changed, same."""
    table = shop.tables.tables[name]
    key = fold.RULES[name].key
    columns = [column for column in arrived.column_names if column in table.c]
    read = [*columns, *({rows.VERSION} & {*table.c.keys()})]
    added = changed = same = 0
    for batch in arrived.select(columns).to_batches(max_chunksize=AT_ONCE):
        cells = {column: batch.column(column).to_pylist() for column in columns}
        there = rows.find(connection, table, {key: cells[key]}, columns=read)
        known = {row[key]: row for row in shop.opened(name, there)}
        new = [i for i, one in enumerate(cells[key]) if one not in known]
        if new:
            rows.load(connection, table, [_sealed(shop, name, key, cells, columns, new)])
        found = _different(cells, known, key, [c for c in columns if c not in (key, *derived)])
        versions = {row[key]: row[rows.VERSION] for row in there if rows.VERSION in row}
        for different, numbers in found.items():
            ids = [cells[key][i] for i in numbers]
            values = dict(_sealed(shop, name, key, cells, different, numbers))
            seen = [versions[one] for one in ids] if versions else None
            rows.change_many(connection, table, ids, values, versions=seen)
        added += len(new)
        changed += (here := sum(map(len, found.values())))
        same += len(known) - here
        if progress:
            progress(name, added + changed + same, arrived.num_rows)
    return added, changed, same


def _different(
    cells: Mapping[str, Sequence[Any]],
    known: Mapping[str, Mapping[str, Any]],
    key: str,
    columns: Sequence[str],
) -> dict[tuple[str, ...], list[int]]:
    """Return which columns differ from what is known, and in which rows. Empty says nothing."""
    found: dict[tuple[str, ...], list[int]] = {}
    rest = zip(*(cells[column] for column in columns), strict=True) if columns else ()
    for i, (one, values) in enumerate(zip(cells[key], rest, strict=False)):
        if was := known.get(one):
            pairs = zip(columns, values, strict=True)
            if other := tuple(c for c, v in pairs if v is not None and v != was[c]):
                found.setdefault(other, []).append(i)
    return found


def _sealed(
    shop: Shop,
    name: str,
    key: str,
    cells: Mapping[str, Sequence[Any]],
    columns: Sequence[str],
    numbers: Sequence[int],
) -> Mapping[str, Sequence[Any]]:
    """Return some columns of some rows as the database takes them."""
    some = {column: [cells[column][i] for i in numbers] for column in columns}
    return shop.seal(name, some, [cells[key][i] for i in numbers])
