# SPDX-License-Identifier: MIT-0
"""Bring a shop's stored rows to the newest keys while people go on working.

Batch after batch, each read and sealed without a lock and written in one short transaction. A row
that somebody changes meanwhile is left to the next round: a new token replaces the old one only if
that is still there. It can be stopped anywhere and started again. Who has opened the shop before
the new key was made has to open it again.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from kit import rotate
from kit import store as database
from kit.backup_state import Home
from kit.encrypt import EncryptError
from kit.keys import Key
from kit.rotate import RotateError
from kit.shop import STAND_INS, Shop

PROGRAM = "kit.rotation"  # acts in the database; people act in the log
AT_ONCE = 1_000  # rows; readers and tills wait no longer than this takes
NEW: sa.BindParameter[Any] = sa.bindparam("kit_new")
Progress = Callable[[int, int | None], None]
FOR_EVER = ("ledger", "audit", STAND_INS)  # hashes and ids that must come out the same for ever


class RekeyError(Exception):
    """The keys of a shop cannot be changed so, or a stored value does not open."""


@dataclass(frozen=True)
class Sealed:
    """A place where tokens stand: a column, and what binds a token in it to its row."""

    table: sa.Table
    column: str

    @property
    def cell(self) -> sa.Column[Any]:
        """The column itself."""
        return self.table.c[self.column]

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.table.name}.{self.column}"

    @property
    def by(self) -> sa.Column[Any] | None:
        """The column with the key of each value's number, if it is found by one."""
        return self.table.c.get(f"{self.column}_index_key")

    @property
    def key(self) -> sa.Column[Any]:
        """The column with the row's id."""
        return next(iter(self.table.primary_key))


def places(shop: Shop) -> Iterator[Sealed]:
    """Yield every column of the shop's tables that holds tokens."""
    for table in shop.tables.sorted_tables:
        if not table.name.startswith("kit_"):
            for name in shop.sealed_columns(table.name):
                yield Sealed(table, name)


def in_use(shop: Shop) -> dict[int, int]:
    """Count what each key opens, finds or proves: in rows, history, trash and checkpoints."""
    found: Counter[int] = Counter()
    tables = shop.tables.tables
    past, marks = tables["kit_history"].c, tables["kit_checkpoints"].c
    with database.begin(_reader(shop)) as connection:
        for place in places(shop):
            found.update(_heads(connection, place.cell))
            if (by := place.by) is not None:
                query = sa.select(by, sa.func.count()).where(by.is_not(None)).group_by(by)
                found.update({number: count for number, count in connection.execute(query)})
        found.update(_heads(connection, past.old))
        found.update(_heads(connection, past.new))
        for trash_id, sealed in connection.execute(_trashed(shop)):
            found.update([_id(sealed)])
            for _, row in _rows(_read(shop, trash_id, sealed)):
                found.update(_keys_of(row))
        signed = Counter(connection.scalars(sa.select(marks.public_key)))
    for key in shop.keyring.keys:
        if key.purpose == "signing" and key.state in ("primary", "enabled"):
            found[key.id] += signed[shop.keyring.public_key(key.id)]
    return dict(+found)


def _heads(connection: sa.Connection, cell: sa.Column[Any]) -> dict[int, int]:
    """Count the tokens of a column by key; no key is needed for that."""
    head = sa.func.substr(cell, 2, 4)
    query = sa.select(head, sa.func.count()).where(cell.is_not(None)).group_by(head)
    return {int.from_bytes(number, "big"): count for number, count in connection.execute(query)}


def rotate_key(shop: Shop, purpose: str, *, now: datetime) -> Key:
    """Make a new key of a purpose; `renew` then brings the stored rows to it.

    Raises:
        RekeyError: With another key, the hashes of this purpose would no longer be found.
    """
    if purpose in FOR_EVER:
        raise RekeyError(
            f"{purpose}: what was hashed with this key must be found again for ever, so it stays; "
            "if it leaked, start a new shop's folder and import into it"
        )
    return shop.keyring.rotate(purpose, now=now)


def backups_with(shop: Shop, key_id: int) -> list[int]:
    """Return the numbers of the kept backups whose values need a key."""
    home = Home(shop.folder)
    held = {number for place in home.load().places.values() for number in place.has}
    told = [json.loads(data) for data in home.manifests().values()]
    return [one["seq"] for one in told if one["seq"] in held and key_id in one["key_ids"]]


def retire(shop: Shop, key_id: int) -> None:
    """Disable an old key; refused while something stored, or a kept backup, needs it.

    Raises:
        RekeyError: A backup needs it: restored, its values would not open.
        NotAllowed: A row, the history, the trash or the log needs it.
    """
    if needed := backups_with(shop, key_id):
        raise RekeyError(
            f"{len(needed)} kept backups need key {key_id}, the newest is {needed[-1]}; retire it "
            "when they are gone: kit backup prune lets old ones go"
        )
    shop.keyring.retire(key_id, in_use=lambda number: number in in_use(shop))


def renew(shop: Shop, *, actor: str, now: datetime, progress: Progress | None = None) -> int:
    """Seal every value anew that an older key sealed, and number it anew; return how many.

    Raises:
        RekeyError: Some values do not open. They are as they were, and all others are done.
    """
    work = _Work(shop, now, progress)
    for place in places(shop):
        query: sa.Select[Any] = sa.select(place.key, place.cell)
        work.through(query.where(work.old(place.cell)), partial(_seal, work, place))
        if (by := place.by) is not None:
            make = partial(_number, work, place, by)
            work.through(query.where(by != shop.index.key_id), make)
    past = shop.tables.tables["kit_history"].c
    rest = past.table_name, past.column_name, past.row_id
    for cell in (past.old, past.new):
        entries: sa.Select[Any] = sa.select(past.seq, cell, *rest)
        work.through(entries.where(work.old(cell)), partial(_past, work, cell))
    work.through(_trashed(shop), partial(_trash, work))
    with shop.writing(actor, now) as connection:
        shop.note(connection, actor, "keys", "proof", now, count=work.done)
    if work.broken:
        told = Counter(place for place, _ in work.broken)
        raise RekeyError(
            f"{', '.join(f'{count} of {place}' for place, count in told.items())}: these values "
            "do not open and are as they were, all others are done; look for these in a backup"
        )
    return work.done


class _Work:
    """One renewal: reads without a lock, writes a batch at a time, only over what it has read."""

    def __init__(self, shop: Shop, now: datetime, progress: Progress | None) -> None:
        self.shop, self.now, self.progress = shop, now, progress
        self.reader = _reader(shop)
        self.primary = shop.keyring.primary("field").id
        self.done = 0
        self.broken: set[tuple[str, Any]] = set()  # column, row

    def old(self, cell: sa.Column[Any]) -> sa.ColumnElement[bool]:
        """Return what is true of a token that another key sealed, and of no empty cell."""
        return sa.func.substr(cell, 2, 4) != self.primary.to_bytes(4, "big")

    def through(self, query: sa.Select[Any], step: Callable[[list[Any]], int]) -> None:
        """Take a step for each batch of rows, and go through all again until nothing changes."""
        key = query.selected_columns[0]
        changed, more = 0, query
        while True:
            with database.begin(self.reader) as connection:
                found = [*connection.execute(more.order_by(key).limit(AT_ONCE))]
            if not found and not changed:
                return
            if not found:
                changed, more = 0, query
                continue
            more = query.where(key > found[-1][0])
            changed += (here := step(found))
            self.done += here
            if here and self.progress:
                self.progress(self.done, None)

    def tried(
        self, place: str, ids: list[Any], cells: list[Any], make: Callable[[Any, Any], list[Any]]
    ) -> list[Any]:
        """Return what is made of the cells: one by one if that fails, None for what is broken."""
        try:
            return make(ids, cells)
        except (EncryptError, RotateError):
            if len(ids) == 1:
                self.broken.add((place, ids[0]))
                return [None]
        each = zip(ids, cells, strict=True)
        return [self.tried(place, [one], [cell], make)[0] for one, cell in each]

    def swap(
        self,
        cell: sa.Column[Any],
        rows: Iterable[tuple[Any, Any, Any]],
        values: Mapping[sa.Column[Any], Any],
    ) -> int:
        """Change rows (key, cell as it was read, new) where it still is so; return how many.

        It leaves no trace in the rows' history: no value changes, and the old token has to go.
        """
        names = ("kit_key", "kit_was", NEW.key)
        given = [dict(zip(names, row, strict=True)) for row in rows if row[2] is not None]
        if not given:
            return 0
        table, past = cell.table, self.shop.tables.tables["kit_history"]
        query = sa.update(table).where(next(iter(table.primary_key)) == sa.bindparam("kit_key"))
        query = query.where(cell == sa.bindparam("kit_was")).values(values)
        with self.shop.writing(PROGRAM, self.now) as connection:
            newest = connection.scalar(sa.select(sa.func.max(past.c.seq))) or 0
            changed: int = connection.execute(query, given).rowcount
            traces = past.c.seq > newest, past.c.actor == PROGRAM
            connection.execute(sa.delete(past).where(*traces))
        return changed


def _seal(work: _Work, place: Sealed, found: list[Any]) -> int:
    """Renew tokens of one column."""
    ids, tokens = ([row[i] for row in found] for i in (0, 1))
    make = partial(_resealed, work, place.table.name, place.column)
    fresh = work.tried(place.name, ids, tokens, make)
    rows = zip(ids, tokens, fresh, strict=True)
    return work.swap(place.cell, rows, {place.cell: NEW})


def _number(work: _Work, place: Sealed, by: sa.Column[Any], found: list[Any]) -> int:
    """Number values anew under the newest index key."""
    ids, tokens = ([row[i] for row in found] for i in (0, 1))

    def make(keys: list[Any], cells: list[Any]) -> list[Any]:
        values = work.shop.cipher.unseal_column(
            cells, table=place.table.name, column=place.column, rows=keys
        )
        return work.shop.numbers(place.table.name, place.column, values)

    rows = zip(ids, tokens, work.tried(place.name, ids, tokens, make), strict=True)
    index = place.table.c[f"{place.column}_index"]
    values = {index: NEW, by: work.shop.index.key_id}
    return work.swap(place.cell, rows, values)


def _past(work: _Work, cell: sa.Column[Any], found: list[Any]) -> int:
    """Renew tokens of the history, each in its own place."""
    rows = []
    for seq, token, table, column, row_id in found:
        make = partial(_resealed, work, table, column)
        fresh = work.tried(f"{table}.{column}", [row_id], [token], make)
        rows.append((seq, token, fresh[0]))
    return work.swap(cell, rows, {cell: NEW})


def _trash(work: _Work, found: list[Any]) -> int:
    """Renew what was deleted and can still be brought back, inside and out."""
    rows, sealed = [], work.shop.tables.tables["kit_trash"].c.sealed

    def make(ids: list[Any], tokens: list[Any]) -> list[Any]:
        content = _read(work.shop, ids[0], tokens[0])
        count = sum(_renew_row(work, table, row) for table, row in _rows(content))
        if not count and _id(tokens[0]) == work.primary:
            return [None]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return [work.shop.cipher.seal(text, context=_context(ids[0]))]

    for trash_id, token in found:
        rows.append((trash_id, token, work.tried("kit_trash", [trash_id], [token], make)[0]))
    return work.swap(sealed, rows, {sealed: NEW})


def _renew_row(work: _Work, table: str, row: dict[str, Any]) -> int:
    """Renew the tokens and the numbers of one trashed row; return how many."""
    shop = work.shop
    key = str(row[next(iter(shop.tables.tables[table].primary_key)).name])
    done = 0
    for column in shop.sealed_columns(table):
        if row.get(column) is None:
            continue
        token = base64.b64decode(row[column]["$bytes"])
        if _id(token) != work.primary:
            token = _resealed(work, table, column, [key], [token])[0]
            row[column] = {"$bytes": base64.b64encode(token).decode()}
            done += 1
        if row.get(f"{column}_index_key") not in (None, shop.index.key_id):
            value = shop.cipher.unseal(token, context=f"{table}.{column}.{key}")
            row[f"{column}_index"] = shop.numbers(table, column, [value])[0]
            row[f"{column}_index_key"] = shop.index.key_id
            done += 1
    return done


def _resealed(work: _Work, table: str, column: str, ids: list[Any], tokens: list[Any]) -> list[Any]:
    return rotate.reseal(
        tokens, cipher=work.shop.cipher, primary=work.primary, table=table, column=column, rows=ids
    )


def _reader(shop: Shop) -> sa.Engine:
    """Return what opens the database to look only: it waits for nobody, and nobody for it."""
    return database.connect(shop.engine.url.render_as_string(hide_password=False), role="read")


def _trashed(shop: Shop) -> sa.Select[Any]:
    trashed = shop.tables.tables["kit_trash"].c
    return sa.select(trashed.trash_id, trashed.sealed)


def _read(shop: Shop, trash_id: str, sealed: bytes) -> Any:
    return json.loads(shop.cipher.unseal(sealed, context=_context(trash_id)))


def _context(trash_id: str) -> str:
    return f"kit_trash.sealed.{trash_id}"


def _rows(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each trashed row with its table."""
    for table, found in content["rows"]:
        for row in found:
            yield table, row


def _keys_of(row: Mapping[str, Any]) -> Iterator[int]:
    """Yield the key of each token and each number in a trashed row."""
    for name, value in row.items():
        if isinstance(value, dict) and "$bytes" in value:
            yield _id(base64.b64decode(value["$bytes"]))
        elif name.endswith("_index_key") and value is not None:
            yield value


def _id(token: bytes) -> int:
    return int.from_bytes(token[1:5], "big")
