# SPDX-License-Identifier: MIT-0
"""Bring a shop's stored rows to the newest keys while people go on working.

Batch after batch, each its own short transaction. A row that somebody changes meanwhile is left to
the next round: a new token replaces the old one only if that is still there. It can be stopped
anywhere and started again.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from kit import rotate
from kit import store as database
from kit.keys import Key
from kit.shop import STAND_INS, Shop

PROGRAM = "kit.rotation"  # acts in the database; people act in the log
AT_ONCE = 1_000  # rows; readers and tills wait no longer than this takes
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
    """Count the values that each key still opens or finds, in rows, history and trash."""
    found: Counter[int] = Counter()
    trashed = shop.tables.tables["kit_trash"]
    with database.begin(shop.engine) as connection:
        for place in places(shop):
            found.update(_heads(connection, place.cell))
            if (index := place.table.c.get(f"{place.column}_index_key")) is not None:
                query = sa.select(index, sa.func.count()).where(index.is_not(None)).group_by(index)
                found.update({number: count for number, count in connection.execute(query)})
        past = shop.tables.tables["kit_history"].c
        found.update(_heads(connection, past.old))
        found.update(_heads(connection, past.new))
        for entry in map(dict, connection.execute(sa.select(trashed)).mappings()):
            found.update(rotate.key_ids([entry["sealed"]]))
            for _, row in _rows(_read(shop, entry)):
                found.update(_keys_of(row))
    return dict(found)


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


def retire(shop: Shop, key_id: int) -> None:
    """Disable an old key; refused while a row, the history or the trash needs it."""
    shop.keyring.retire(key_id, in_use=lambda number: number in in_use(shop))


def renew(shop: Shop, *, actor: str, now: datetime, progress: Progress | None = None) -> int:
    """Seal every value anew that an older key sealed, and number it anew; return how many.

    Raises:
        RekeyError: A value does not open; nothing of its batch was changed.
    """
    done = 0

    def step(count: int) -> int:
        nonlocal done
        done += count
        if progress:
            progress(done, None)
        return count

    for place in places(shop):
        while step(_seal_batch(shop, place, now)):
            pass
        if f"{place.column}_index_key" in place.table.c:
            while step(_number_batch(shop, place, now)):
                pass
    for name in ("old", "new"):
        while step(_past_batch(shop, name, now)):
            pass
    step(_renew_trash(shop, now))
    with shop.writing(actor, now) as connection:
        shop.note(connection, actor, "keys", "proof", now, count=done)
    return done


@contextmanager
def _unseen(shop: Shop, now: datetime) -> Iterator[sa.Connection]:
    """Write without a trace in the rows' history: no value changes, and the old token must go."""
    with shop.writing(PROGRAM, now) as connection:
        yield connection
        past = shop.tables.tables["kit_history"]
        connection.execute(sa.delete(past).where(past.c.actor == PROGRAM))


def _seal_batch(shop: Shop, place: Sealed, now: datetime) -> int:
    """Renew up to `AT_ONCE` tokens of one column."""
    primary = shop.keyring.primary("field").id
    old = sa.func.substr(place.cell, 2, 4) != primary.to_bytes(4, "big")
    query = sa.select(place.key, place.cell).where(place.cell.is_not(None), old).limit(AT_ONCE)
    with _unseen(shop, now) as connection:
        found = connection.execute(query).all()
        if not found:
            return 0
        ids, tokens = ([row[i] for row in found] for i in (0, 1))
        fresh = rotate.reseal(
            tokens,
            cipher=shop.cipher,
            primary=primary,
            table=place.table.name,
            column=place.column,
            rows=ids,
        )
        change = (
            sa.update(place.table)
            .where(place.key == sa.bindparam("k"), place.cell == sa.bindparam("was"))
            .values({place.cell: sa.bindparam("fresh")})
        )
        cells = zip(ids, tokens, fresh, strict=True)
        connection.execute(change, [{"k": k, "was": was, "fresh": new} for k, was, new in cells])
    return len(found)


def _number_batch(shop: Shop, place: Sealed, now: datetime) -> int:
    """Number up to `AT_ONCE` values anew under the newest index key."""
    index, by = (place.table.c[f"{place.column}_{end}"] for end in ("index", "index_key"))
    query = sa.select(place.key, place.cell).where(by != shop.index.key_id).limit(AT_ONCE)
    with _unseen(shop, now) as connection:
        found = connection.execute(query).all()
        if not found:
            return 0
        ids, tokens = ([row[i] for row in found] for i in (0, 1))
        values = shop.cipher.unseal_column(
            tokens, table=place.table.name, column=place.column, rows=ids
        )
        numbers = shop.numbers(place.table.name, place.column, values)
        change = (
            sa.update(place.table)
            .where(place.key == sa.bindparam("k"), place.cell == sa.bindparam("was"))
            .values({index: sa.bindparam("number"), by: shop.index.key_id})
        )
        cells = zip(ids, tokens, numbers, strict=True)
        connection.execute(change, [{"k": k, "was": was, "number": n} for k, was, n in cells])
    return len(found)


def _past_batch(shop: Shop, name: str, now: datetime) -> int:
    """Renew up to `AT_ONCE` tokens of the history, each in its own place."""
    past = shop.tables.tables["kit_history"]
    primary = shop.keyring.primary("field").id
    cell = past.c[name]
    old = sa.func.substr(cell, 2, 4) != primary.to_bytes(4, "big")
    query = sa.select(past.c.seq, past.c.table_name, past.c.column_name, past.c.row_id, cell)
    with shop.writing(PROGRAM, now) as connection:
        found = connection.execute(query.where(cell.is_not(None), old).limit(AT_ONCE)).all()
        for seq, table, column, row_id, token in found:
            fresh = _resealed(shop, table, column, row_id, token)
            connection.execute(sa.update(past).where(past.c.seq == seq).values({cell: fresh}))
    return len(found)


def _renew_trash(shop: Shop, now: datetime) -> int:
    """Renew what was deleted and can still be brought back, inside and out."""
    trashed = shop.tables.tables["kit_trash"]
    primary = shop.keyring.primary("field").id
    done = 0
    with shop.writing(PROGRAM, now) as connection:
        for entry in [dict(row) for row in connection.execute(sa.select(trashed)).mappings()]:
            content = _read(shop, entry)
            count = sum(_renew_row(shop, table, row) for table, row in _rows(content))
            if not count and _id(entry["sealed"]) == primary:
                continue
            text = json.dumps(content, sort_keys=True, separators=(",", ":"))
            sealed = shop.cipher.seal(text, context=_context(entry))
            mine = trashed.c.trash_id == entry["trash_id"]
            connection.execute(sa.update(trashed).where(mine).values(sealed=sealed))
            done += 1 + count
    return done


def _renew_row(shop: Shop, table: str, row: dict[str, Any]) -> int:
    """Renew the tokens and the numbers of one trashed row; return how many."""
    key = str(row[next(iter(shop.tables.tables[table].primary_key)).name])
    done = 0
    for column in shop.sealed_columns(table):
        if row.get(column) is None:
            continue
        token = base64.b64decode(row[column]["$bytes"])
        if _id(token) != shop.keyring.primary("field").id:
            token = _resealed(shop, table, column, key, token)
            row[column] = {"$bytes": base64.b64encode(token).decode()}
            done += 1
        if row.get(f"{column}_index_key") not in (None, shop.index.key_id):
            value = shop.cipher.unseal(token, context=f"{table}.{column}.{key}")
            row[f"{column}_index"] = shop.numbers(table, column, [value])[0]
            row[f"{column}_index_key"] = shop.index.key_id
            done += 1
    return done


def _resealed(shop: Shop, table: str, column: str, row_id: str, token: bytes) -> bytes:
    place = f"{table}.{column}.{row_id}"
    fresh = shop.cipher.seal(shop.cipher.unseal(token, context=place), context=place, nested=True)
    if fresh is None:
        raise RekeyError(f"{table}.{column}: a token that opens to nothing; look at the row")
    return fresh


def _read(shop: Shop, entry: Mapping[str, Any]) -> Any:
    return json.loads(shop.cipher.unseal(entry["sealed"], context=_context(entry)))


def _context(entry: Mapping[str, Any]) -> str:
    return f"kit_trash.sealed.{entry['trash_id']}"


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
