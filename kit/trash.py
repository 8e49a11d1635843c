# SPDX-License-Identifier: MIT-0
"""Take back the deletion of a customer for 30 days, with their points and purchases as they were.

Copy: ``kit copy trash --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

What hangs on a customer is read from the foreign keys: rows that would be deleted with them go
into the trash, rows that would be unlinked (sales) stay as they are, and the link is remembered.
One deletion is one row of ``kit_trash``, and all of it is one sealed JSON text::

    {"format":1,
     "links":[["sales","customer_id","cus_1",["sal_4","sal_9"]]],
     "rows":[["customers",[{"customer_id":"cus_1","email":{"$bytes":"AQA..."}}]], ...]}

sorted, no spaces, parents first; dates are {"$date":...} and {"$time":...}. It is bound to its row
by the context ``kit_trash.sealed.ID``. Tokens in it stay tokens: destroy no key that is younger
than the window. The customer's number stays readable beside it, so that an erasure finds it.

Each call is part of the transaction that the caller has begun, and does all of its work or none.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa

FORMAT = 1
KEEP_DAYS = 30
AT_ONCE = 5_000  # keys in one query; SQLite takes 32,766
TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # as text it sorts by time

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[sa.Table, dict[Any, Row]]  # by table and key
Stacks: TypeAlias = list[tuple[sa.Table, dict[Any, Row]]]  # the same, parents first
Links: TypeAlias = list[tuple[sa.Table, str, Any, list[Any]]]  # table, column, value, keys


class TrashError(Exception):
    """Base of the errors below. Messages never hold a value, a number of a row, or a token."""


class NotThere(TrashError):
    """There is no such customer, or nothing of the kind in the trash."""


class InUse(TrashError):
    """Rows name the customer that neither go along nor can do without."""


class TooLate(TrashError):
    """The time to take it back is over."""


class Unreadable(TrashError):
    """What was sealed comes from a newer kit, or is no trash."""


class Conflict(TrashError):
    """The database changed since. `found` says what stands in the way; nothing came back."""

    def __init__(self, found: Sequence[Obstacle]) -> None:
        counted = Counter((o.table, o.what) for o in found)
        told = "; ".join(f"{table}: {what} ({n})" for (table, what), n in sorted(counted.items()))
        hint = "put that right, or look for it in a backup"
        if not any(o.final for o in found):
            hint += ", or bring back the rest with leave_out=True"
        super().__init__(f"{told}; {hint}")
        self.found = tuple(found)


@dataclass(frozen=True)
class Obstacle:
    """One thing that cannot come back as it was. `final`: nor can the row without it."""

    table: str
    key: Any
    column: str
    what: str
    final: bool = False


@dataclass(frozen=True)
class Moved:
    """What went into the trash, or came back: rows by table, links by ``table.column``."""

    trash_id: str
    subject: Any
    until: datetime
    rows: Mapping[str, int]
    links: Mapping[str, int]


@dataclass(frozen=True)
class Entry:
    """One deletion that can still be taken back."""

    trash_id: str
    subject: str
    deleted_at: datetime
    until: datetime


class Cipher(Protocol):
    """What locks one value to one place, such as ``encrypt.Cipher``."""

    def seal(self, value: str, *, context: str) -> bytes | None:
        """Lock."""

    def unseal(self, token: bytes, *, context: str) -> Any:
        """Undo `seal`, or raise."""


def table(metadata: sa.MetaData) -> sa.Table:
    """Declare ``kit_trash`` among the tables, and return it."""
    if "kit_trash" in metadata.tables:
        return metadata.tables["kit_trash"]
    return sa.Table(
        "kit_trash",
        metadata,
        sa.Column("trash_id", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False, index=True),
        sa.Column("deleted_at", sa.Text, nullable=False),
        sa.Column("until", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


class Trash:
    """The trash of one shop."""

    def __init__(
        self,
        metadata: sa.MetaData,
        cipher: Cipher,
        *,
        subject: str = "customers",
        keep_days: int = KEEP_DAYS,
    ) -> None:
        """Take the shop's tables, what seals, the table of the customers, and the window."""
        self._all, self._cipher = metadata.tables, cipher
        self._root, self._trash = metadata.tables[subject], table(metadata)
        self._order = {made: i for i, made in enumerate(metadata.sorted_tables)}
        self._window = timedelta(days=keep_days)

    def delete(self, connection: sa.Connection, subject: Any, *, now: datetime) -> Moved:
        """Delete a customer and all that hangs on them; for some days it can be taken back.

        Raises:
            NotThere: No such customer.
            InUse: Rows name them that neither go along nor may be unlinked.
        """
        at = _utc(now)
        trash_id = secrets.token_hex(16)
        with connection.begin_nested():
            found: Rows = {}
            _gather(connection, _key(self._root), [subject], found)
            if not found[self._root]:
                raise NotThere(f"{self._root.name}: no row with this number; was it deleted?")
            rows = sorted(((m, r) for m, r in found.items() if r), key=lambda e: self._order[e[0]])
            links = _links(connection, found)
            connection.execute(
                sa.insert(self._trash).values(
                    trash_id=trash_id,
                    subject=str(subject),
                    deleted_at=at.strftime(TIME),
                    until=(at + self._window).strftime(TIME),
                    sealed=self._cipher.seal(_write(rows, links), context=_context(trash_id)),
                )
            )
            for child, column, _, keys in links:
                _update(connection, child, keys, {column: None})
            for made, gone in reversed(rows):
                for some in _parts(gone):
                    connection.execute(sa.delete(made).where(_key(made).in_(some)))
        return _moved(trash_id, subject, at + self._window, rows, links)

    def undelete(
        self,
        connection: sa.Connection,
        trash_id: str,
        *,
        now: datetime,
        leave_out: bool = False,
    ) -> Moved:
        """Bring back a customer with all that hung on them, or nothing of it.

        Args:
            connection: With a transaction begun.
            trash_id: From `delete` or `listed`.
            now: Aware.
            leave_out: Bring back the rest, without links to rows that are gone and columns that
                the shop no longer has.

        Raises:
            NotThere: It came back already, was emptied, or the customer was erased.
            TooLate: The window is over.
            Conflict: A number is in use again, a sale is gone, a column is another.
        """
        row = connection.execute(
            sa.select(self._trash).where(self._trash.c.trash_id == trash_id).with_for_update()
        ).one_or_none()
        if row is None:
            raise NotThere("not in the trash; it came back already, or was emptied or erased")
        if _utc(now).strftime(TIME) >= row.until:
            raise TooLate(f"could be taken back until {row.until[:10]}; look for it in a backup")
        written = self._cipher.unseal(bytes(row.sealed), context=_context(trash_id))
        with connection.begin_nested():
            rows, links, obstacles = self._read(connection, written)
            if obstacles and (not leave_out or any(o.final for o in obstacles)):
                raise Conflict(obstacles)
            for made, back in rows:
                with suppress(sa.exc.IntegrityError):  # it may hold values, so it ends here
                    connection.execute(sa.insert(made), list(back.values()))
                    continue
                raise Conflict([Obstacle(made.name, None, "", "refused by the database", True)])
            for child, column, value, keys in links:
                _update(connection, child, keys, {column: value})
            connection.execute(sa.delete(self._trash).where(self._trash.c.trash_id == trash_id))
        return _moved(trash_id, row.subject, _time(row.until), rows, links)

    def listed(self, connection: sa.Connection, *, now: datetime) -> list[Entry]:
        """Return what can still be taken back, newest first."""
        kit = self._trash.c
        query = sa.select(kit.trash_id, kit.subject, kit.deleted_at, kit.until)
        query = query.where(kit.until > _utc(now).strftime(TIME))
        return [
            Entry(row.trash_id, row.subject, _time(row.deleted_at), _time(row.until))
            for row in connection.execute(query.order_by(kit.deleted_at.desc(), kit.trash_id))
        ]

    def empty(self, connection: sa.Connection, *, now: datetime) -> int:
        """Destroy what can no longer be taken back; return how many customers."""
        over = self._trash.c.until <= _utc(now).strftime(TIME)
        return connection.execute(sa.delete(self._trash).where(over)).rowcount

    def forget(self, connection: sa.Connection, subject: Any) -> int:
        """Destroy every deletion of a customer, so that an erased one never comes back.

        To erase one who lies in the trash, bring them back first: then their sales are known.
        """
        theirs = self._trash.c.subject == str(subject)
        return connection.execute(sa.delete(self._trash).where(theirs)).rowcount

    def _read(
        self, connection: sa.Connection, written: Any
    ) -> tuple[Stacks, Links, list[Obstacle]]:
        """Return what can come back, and what stands in the way."""
        content: Any = None
        with suppress(ValueError):  # such an error holds the text
            content = json.loads(written, object_hook=_cell)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise Unreadable("sealed by a newer kit, or not by the trash; update the kit")
        rows: Stacks = []
        obstacles: list[Obstacle] = []
        back: Rows = {}
        for name, stored in content["rows"]:
            if name not in self._all:
                obstacles.append(Obstacle(name, None, "", "the shop has no such table now", True))
                continue
            made = self._all[name]
            back[made] = {row[_key(made).name]: row for row in stored}
            rows.append((made, back[made]))
            for key in _there(connection, _key(made), back[made]):
                obstacles.append(Obstacle(name, key, "", "the number is in use again", True))
            for key, row in back[made].items():
                obstacles += _unfit(made, key, row)
        for made, theirs in rows:
            obstacles += _orphans(connection, made, theirs, back)
        links: Links = []
        for name, column, value, keys in content["links"]:
            free, lost = _free(connection, self._all.get(name), name, column, keys)
            links += [(self._all[name], column, value, free)] if free else []
            obstacles += lost
        return rows, links, obstacles


def _gather(
    connection: sa.Connection, column: sa.Column[Any], values: Iterable[Any], found: Rows
) -> None:
    """Collect rows, and what would be deleted with them; nobody else can change them then."""
    made, key = column.table, _key(column.table)
    known, new = found.setdefault(made, {}), {}
    for some in _parts(values):
        query = sa.select(made).where(column.in_(some)).order_by(key).with_for_update()
        new.update({row[key.name]: dict(row) for row in connection.execute(query).mappings()})
    new = {number: row for number, row in new.items() if number not in known}
    known.update(new)
    for link, rule in _named_by(made):
        if rule == "CASCADE" and new:
            _gather(connection, link, new, found)


def _named_by(made: sa.Table) -> Iterator[tuple[sa.Column[Any], str]]:
    """Yield the columns that name rows of a table, and what a deletion means for their rows."""
    for other in made.metadata.tables.values():
        for column in other.columns:
            for link in column.foreign_keys:
                if link.column.table is made:
                    yield column, (link.ondelete or "NO ACTION").upper()


def _key(made: sa.Table) -> sa.Column[Any]:
    columns = list(made.primary_key.columns)
    if len(columns) != 1:
        raise TrashError(f"{made.name}: its key has to be one column; add one")
    return columns[0]


def _parts(keys: Iterable[Any]) -> Iterator[list[Any]]:
    listed = list(keys)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]


def _links(connection: sa.Connection, found: Rows) -> Links:
    """Return the rows that stay and name one that goes."""
    links: dict[tuple[sa.Table, str, Any], list[Any]] = {}
    for made, going in found.items():
        for column, rule in _named_by(made):
            child, key = column.table, _key(column.table)
            for some in _parts(going):
                query = sa.select(key, column).where(column.in_(some)).order_by(key)
                for number, value in connection.execute(query.with_for_update()):
                    if number in found.get(child, ()):
                        continue
                    if rule != "SET NULL":
                        raise InUse(f"{child.name}: rows name this one and stay; move them first")
                    links.setdefault((child, column.name, value), []).append(number)
    return [(*p, links[p]) for p in sorted(links, key=lambda place: (place[0].name, place[1]))]


def _unfit(made: sa.Table, key: Any, row: Row) -> Iterator[Obstacle]:
    """Take out of a row what its table no longer has a place for."""
    for name in list(row):
        column = made.columns.get(name)
        value = row[name]
        if column is None or value is not None and type(value) is not column.type.python_type:
            del row[name]
            if value is not None:
                yield Obstacle(made.name, key, name, "the column is gone, or protected otherwise")


def _orphans(
    connection: sa.Connection, made: sa.Table, rows: dict[Any, Row], back: Rows
) -> Iterator[Obstacle]:
    """Empty the links of rows that lead to nothing any more."""
    for column in made.columns:
        for link in column.foreign_keys:
            wanted = {row.get(column.name) for row in rows.values()} - {None}
            wanted -= back.get(link.column.table, {}).keys()
            wanted -= _there(connection, link.column, wanted)
            for key, row in rows.items():
                if row.get(column.name) in wanted:
                    row[column.name] = None
                    what = "a row that it names is gone"
                    yield Obstacle(made.name, key, column.name, what, not column.nullable)


def _free(
    connection: sa.Connection, made: sa.Table | None, name: str, column: str, keys: list[Any]
) -> tuple[list[Any], list[Obstacle]]:
    """Return which rows can be linked again, and why the others cannot."""
    if made is None or column not in made.columns:
        return [], [Obstacle(name, key, column, "the link has no column now") for key in keys]
    free = _there(connection, _key(made), keys, made.columns[column].is_(None))
    there = _there(connection, _key(made), keys)
    what = {True: "names another row now", False: "a row that was linked is gone"}
    lost = [Obstacle(name, k, column, what[k in there]) for k in keys if k not in free]
    return [key for key in keys if key in free], lost


def _there(
    connection: sa.Connection, column: sa.Column[Any], keys: Iterable[Any], *only: Any
) -> set[Any]:
    found: set[Any] = set()
    for some in _parts(keys):
        query = sa.select(column).where(column.in_(some), *only).with_for_update()
        found.update(connection.scalars(query))
    return found


def _update(connection: sa.Connection, made: sa.Table, keys: list[Any], values: Row) -> None:
    for some in _parts(keys):
        connection.execute(sa.update(made).where(_key(made).in_(some)).values(values))


def _write(rows: Stacks, links: Links) -> str:
    content = {
        "format": FORMAT,
        "links": [[made.name, column, value, keys] for made, column, value, keys in links],
        "rows": [[made.name, list(theirs.values())] for made, theirs in rows],
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    raise TrashError(f"a column holds {type(value).__name__}, which the trash cannot keep")


def _cell(block: dict[str, Any]) -> Any:
    match block:
        case {"$bytes": text}:
            return base64.b64decode(text)
        case {"$time": text}:
            return datetime.fromisoformat(text)
        case {"$date": text}:
            return date.fromisoformat(text)
    return block


def _context(trash_id: str) -> str:
    return f"kit_trash.sealed.{trash_id}"


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise TrashError("now has no time zone; hand over an aware datetime")
    return now.astimezone(UTC)


def _time(text: str) -> datetime:
    return datetime.strptime(text, TIME).replace(tzinfo=UTC)


def _moved(trash_id: str, subject: Any, until: datetime, rows: Stacks, links: Links) -> Moved:
    linked: Counter[str] = Counter()
    for made, column, _, keys in links:
        linked[f"{made.name}.{column}"] += len(keys)
    return Moved(trash_id, subject, until, {m.name: len(r) for m, r in rows}, linked)
