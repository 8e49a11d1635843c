# SPDX-License-Identifier: MIT-0
"""Take a till's export into a shop: read, tidied, split, sealed, stored, all of it or nothing.

What is there already is compared value by value, so that a second import of the same file changes
nothing, and an export of next week changes what the till changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from kit import cards, files, fold, personal, rows, tidy
from kit.files import Imported
from kit.fold import LeftOut
from kit.keys import Key, Keyring
from kit.pseudonyms import Pseudonyms
from kit.shop import CUSTOMERS, STAND_INS, Shop

PURPOSE = "accounts"
AT_ONCE = 5_000  # rows compared at a time
TYPES = {  # columns with text of people; what is not named here was typed by the till
    "email": "email",
    "phone": "phone",
    **dict.fromkeys(("first_name", "last_name", "name", "nickname", "city"), "name"),
    **dict.fromkeys(("company", "street", "tags", "reference", "username", "modifiers"), "text"),
    "note": "note",
}
OF_PEOPLE = ("customers", "addresses", "employees", "sales", "lines", "payments")
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
    tables, erased = _without_erased(shop, folded.tables)
    counts: dict[str, tuple[int, int, int]] = {}
    with shop.writing(actor, now) as connection:
        before = _noted(shop, connection, digest, report, now)
        for name, table in tables.items():
            derived = folded.derived.get(name, ())
            counts[name] = _store(shop, connection, name, table, derived, progress)
        people = sum(counts.get(CUSTOMERS, (0, 0, 0))[:2])
        shop.note(connection, actor, "import", PURPOSE, now, filter=digest, count=people)
    added, changed, same = ({n: c[i] for n, c in counts.items() if c[i]} for i in range(3))
    rejects = tuple(sorted((*report.rejects, *rejects), key=lambda reject: reject.row))
    return Taken(report, added, changed, same, folded.left_out, rejects, erased, before)


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
    rules = {}
    for name in flat.column_names:
        table, _, column = name.partition(".")
        text = table in OF_PEOPLE and pa.types.is_string(flat.schema.field(name).type)
        kind = TYPES.get(column, tidy.AS_IS) if text else tidy.AS_IS
        rules[name] = tidy.Rule(kind)
    reader = tidy.Tidy(cards=_cards, health=_health, region=shop.settings.region)
    done = reader.table(flat, rules, today=today)
    rejects = tuple(files.Rejected(r.row, r.column, r.reason) for r in done.rejects)
    return done.table, rejects


def _cards(texts: Sequence[str]) -> Iterator[bool]:
    """Tell card numbers, security codes and track data; an order's number is let through."""
    look = cards.look(pa.array(texts, pa.string()))
    yield from ((look.trust > cards.ODD) | look.code | look.track).tolist()


def _health(texts: Sequence[str]) -> Iterator[bool]:
    for text in texts:
        yield bool(personal.check("health word", text))


def _without_erased(shop: Shop, tables: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], int]:
    """Leave out customers who were erased: an old export must not bring them back."""
    made = dict(tables)
    people = made.get(CUSTOMERS)
    if people is None:
        return made, 0
    gone = shop.ledger.erased(people.column("customer_id").to_pylist())
    if not gone:
        return made, 0
    for name, table in made.items():
        if "customer_id" not in table.column_names:
            continue
        ids = table.column("customer_id").to_pylist()
        if name == "sales":  # the sale stays; whose it was does not
            kept = [None if one in gone else one for one in ids]
            at = table.column_names.index("customer_id")
            made[name] = table.set_column(at, "customer_id", pa.array(kept, pa.string()))
        else:
            made[name] = table.filter(pa.array([one not in gone for one in ids]))
    return made, len(gone)


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
    added = changed = same = 0
    for batch in arrived.select(columns).to_batches(max_chunksize=AT_ONCE):
        cells = {column: batch.column(column).to_pylist() for column in columns}
        ids = cells[key]
        there = rows.find(connection, table, {key: ids})
        known = {row[key]: row for row in shop.opened(name, there)}
        versions = {row[key]: row.get(rows.VERSION) for row in there}
        new = [i for i, one in enumerate(ids) if one not in known]
        if new:
            fresh = {column: [values[i] for i in new] for column, values in cells.items()}
            rows.load(connection, table, [shop.seal(name, fresh, fresh[key])])
        for i, one in enumerate(ids):
            if one not in known:
                continue
            different = {
                column: values[i]
                for column, values in cells.items()
                if column not in (key, *derived)
                and values[i] is not None
                and values[i] != known[one][column]
            }
            if different:
                sealed = shop.seal(name, {c: [v] for c, v in different.items()}, [one])
                single = {column: values[0] for column, values in sealed.items()}
                rows.change(connection, table, one, single, version=versions[one])
            changed += bool(different)
            same += not different
        added += len(new)
        if progress:
            progress(name, added + changed + same, arrived.num_rows)
    return added, changed, same
