# SPDX-License-Identifier: MIT-0
"""Bring back one customer from a restored copy, with everything that hung on them, and nobody else.

Copy: ``kit copy rescue --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

The copy was restored from a backup and proven. Copy and database in use are SQLite or PostgreSQL,
each as it is::

    seen = rescue.look(copy, live, tables, "cus_1")        # changes nothing; show it to somebody
    done = rescue.bring_back(copy, live, tables, seen)     # in your transaction, all or nothing

What hangs on the customer is read from the foreign keys, as it was in the copy: addresses, points,
sales, their lines. Every row is compared with the one in use: only in the copy, the same, or
different. A link that was emptied since, such as the customer of a sale, is set again. A row that
names another customer never comes along.

Numbers stay what they were, because tokens are bound to them. Columns are compared by name: what
the copy or the shop does not have, or keeps in another form, is told in `Preview.lost`.

Beware: it knows nothing of erasures. Ask the erasure ledger before, or an erased customer is back.
What was let go since because its time was over comes back too; expire again afterwards. The
numbers of a blind index are those of the copy's day; after a change of that key, make them anew.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import sqlalchemy as sa

AT_ONCE = 5_000  # keys in one query; SQLite takes 32,766
VERSION = "version"  # same as in rows.py
POLICIES = ("skip", "replace")

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[sa.Table, dict[Any, Row]]  # by table and key


class RescueError(Exception):
    """Base of the errors below. Messages never hold a value, a number of a row, or a token."""


class NotThere(RescueError):
    """The copy holds no such customer."""


class Changed(RescueError):
    """The database in use is not as it was in the preview."""


class Blocked(RescueError):
    """A row can only come back with another that is gone, or the database refuses it."""


class BadChoice(RescueError):
    """There is no such way to deal with rows that differ."""


@dataclass(frozen=True)
class Compared:
    """One table's rows of this customer. `mark` stands for those in use."""

    table: str
    missing: tuple[Any, ...]  # keys of rows only in the copy
    same: int
    different: tuple[Any, ...]  # keys of rows that were changed since
    mark: str = field(default="", repr=False)


@dataclass(frozen=True)
class Lost:
    """What cannot come back as it was; without a column, a whole table."""

    table: str
    column: str
    why: str
    rows: int  # how many of the customer's rows it is about
    final: bool = False  # nor can the row come back without it

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{place}: {self.why}"


@dataclass(frozen=True)
class Preview:
    """What `bring_back` would do. Tables come parents first; `links` are ``table.column``."""

    subject: Any
    root: str
    tables: tuple[Compared, ...]
    links: Mapping[str, tuple[Any, ...]]  # keys of rows in use whose emptied link is set again
    lost: tuple[Lost, ...]

    @property
    def nothing(self) -> bool:
        """Whether everything is there already, as it was."""
        return not self.links and not any(t.missing or t.different for t in self.tables)


@dataclass(frozen=True)
class Done:
    """What came back: numbers of rows by table, and of links by ``table.column``."""

    added: Mapping[str, int]
    replaced: Mapping[str, int]
    skipped: Mapping[str, int]
    links: Mapping[str, int]
    lost: tuple[Lost, ...]


def look(
    copy: sa.Connection,
    live: sa.Connection,
    metadata: sa.MetaData,
    subject: Any,
    *,
    root: str = "customers",
) -> Preview:
    """Compare one customer in the copy with the database in use. Nothing is changed.

    Args:
        copy: To the restored copy: a SQLite file, or a PostgreSQL database beside the one in use.
        live: To the database in use.
        metadata: The tables of the database in use.
        subject: The customer's number.
        root: The table of the customers.

    Raises:
        NotThere: The copy holds no such customer.
    """
    return _compare(copy, live, metadata, subject, root, lock=False)[0]


def bring_back(
    copy: sa.Connection,
    live: sa.Connection,
    metadata: sa.MetaData,
    preview: Preview,
    *,
    on_conflict: str = "skip",
) -> Done:
    """Do what the preview says, in the caller's transaction; all of it or nothing.

    Args:
        copy: As for `look`.
        live: With a transaction begun.
        metadata: As for `look`.
        preview: From `look`.
        on_conflict: What becomes of rows that differ: "skip" leaves them, "replace" takes what the
            copy holds. Emptied links are set again either way.

    Raises:
        Changed: Somebody changed one of the rows since the preview; look again.
        Blocked: A row needs one that is gone, or the database refuses it.
        BadChoice: Any other *on_conflict*. A new number is refused: tokens are bound to the old.
    """
    if on_conflict not in POLICIES:
        raise BadChoice(
            "say skip or replace; a new number cannot be given: what is sealed opens under the old"
        )
    now, rows, columns = _compare(copy, live, metadata, preview.subject, preview.root, lock=True)
    if now != preview:
        raise Changed("the database was changed since the preview; look again, then decide")
    if stuck := [lost for lost in preview.lost if lost.final]:
        raise Blocked(f"{stuck[0]}; put that right first, then look again")
    replaced = {t.table: t.different for t in preview.tables if on_conflict == "replace"}
    try:
        with live.begin_nested():
            for seen in preview.tables:
                table = metadata.tables[seen.table]
                if seen.missing:
                    live.execute(sa.insert(table), [rows[table][key] for key in seen.missing])
                over = [rows[table][key] for key in replaced.get(seen.table, ())]
                _replace(live, columns[table], over)
            for place, keys in preview.links.items():
                name, _, link = place.rpartition(".")
                _link(live, metadata.tables[name].c[link], rows[metadata.tables[name]], keys)
    except (sa.exc.IntegrityError, sa.exc.DataError):  # the driver's own text may hold a value
        raise Blocked(
            "the database refused a row, such as one whose e-mail is another customer's by now; "
            "nothing came back: compare the two by hand"
        ) from None
    return Done(
        added=+Counter({t.table: len(t.missing) for t in preview.tables}),
        replaced=+Counter({name: len(keys) for name, keys in replaced.items()}),
        skipped=+Counter({t.table: len(t.different) for t in preview.tables if not replaced}),
        links=+Counter({place: len(keys) for place, keys in preview.links.items()}),
        lost=preview.lost,
    )


def _compare(
    copy: sa.Connection,
    live: sa.Connection,
    metadata: sa.MetaData,
    subject: Any,
    root: str,
    *,
    lock: bool,
) -> tuple[Preview, Rows, dict[sa.Table, list[sa.Column[Any]]]]:
    """Walk along the links in the copy, then look for every row in use."""
    top = metadata.tables[root]
    reach = _reach(metadata, top)
    lost: list[Lost] = []
    columns = {table: _columns(copy, live, table, lost) for table in reach}
    there = {table for table in reach if _key(table) in columns[table]}
    if top not in there:
        raise NotThere(f"the copy has no table {root} of this kind; choose another backup")
    rows: Rows = {top: _read(copy, _key(top), [subject], columns[top])}
    if not rows[top]:
        raise NotThere(
            "the copy holds no such customer; choose another backup, or check the number"
        )
    waiting = [(top, [subject])]
    while waiting:
        parent, keys = waiting.pop(0)
        for link in _named_by(metadata, parent):
            child = link.table
            if child is top or child not in there or link not in columns[child]:
                continue
            own = [c.is_(None) | (c == subject) for c in columns[child] if _names(c, top)]
            known = rows.setdefault(child, {})
            new = _read(copy, link, keys, columns[child], *own)
            if new := {key: row for key, row in new.items() if key not in known}:
                known.update(new)
                waiting.append((child, [*new]))
    rows = {table: rows[table] for table in metadata.sorted_tables if rows.get(table)}
    lost = [
        replace(one, rows=len(rows.get(table, ())))
        for one, table in ((one, metadata.tables[one.table]) for one in lost)
        if table in rows or table.c[one.column].foreign_keys  # whose rows those are is unknown
    ]
    lost += _unknown(copy, metadata, rows)
    tables, links = [], dict[str, tuple[Any, ...]]()
    for table, theirs in rows.items():
        now = _read(live, _key(table), theirs, columns[table], lock=lock)
        added = [key for key in theirs if key not in now]
        lost += _orphans(live, table, columns[table], rows, added)
        lost = [
            replace(o, final=o.final and bool(added)) if o.table == table.name else o for o in lost
        ]
        seen, emptied = _differences(table, columns[table], rows, now)
        tables.append(seen)
        links.update(emptied)
    return Preview(subject, root, tuple(tables), links, tuple(lost)), rows, columns


def _reach(metadata: sa.MetaData, top: sa.Table) -> list[sa.Table]:
    """Return the table of the customers, and all whose rows can hang on one."""
    reach = [top]
    for parent in reach:  # grows meanwhile
        reach += dict.fromkeys(c.table for c in _named_by(metadata, parent) if c.table not in reach)
    return reach


def _columns(
    copy: sa.Connection, live: sa.Connection, table: sa.Table, lost: list[Lost]
) -> list[sa.Column[Any]]:
    """Return the columns that both sides have in the same form; say what is with the others."""
    old, now = _stored(copy, table), _stored(live, table)
    if old and not now:
        raise Blocked(f"{table.name}: the shop's database has no such table; bring it up to date")
    shared = []
    for column in table.columns if old else ():
        form = column.type.compile(dialect=copy.dialect).split()[0]
        if column.name not in now:
            why = "the shop's database has no such column, so what the copy holds stays behind"
        elif column.name not in old:
            why = "the copy has no such column; it stays as it is, or empty"
        elif old[column.name] != form:
            why = "kept or protected in another way in the copy; it stays as it is, or empty"
        else:
            shared.append(column)
            continue
        given = column.nullable or column.server_default is not None or column.default is not None
        lost.append(Lost(table.name, column.name, why, 0, final=not given))
    return shared


def _stored(connection: sa.Connection, table: sa.Table) -> dict[str, str]:
    """Return the columns of a table as the database has them, each with its kind."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name):
        return {}
    columns = inspector.get_columns(table.name)
    return {c["name"]: c["type"].compile(dialect=connection.dialect).split()[0] for c in columns}


def _unknown(copy: sa.Connection, metadata: sa.MetaData, rows: Rows) -> Iterator[Lost]:
    """Tell what of the customer the shop has no place for any more."""
    inspector = sa.inspect(copy)
    for table, theirs in rows.items():
        for name in sorted(_stored(copy, table).keys() - {*table.c.keys()}):
            full = sa.table(table.name, sa.column(name), sa.column(_key(table).name))
            number = _count(copy, full.c[_key(table).name], theirs, full.c[name].is_not(None))
            if number:
                yield Lost(table.name, name, "the shop has no such column now", number)
    for name in sorted({*inspector.get_table_names()} - metadata.tables.keys()):
        for link in inspector.get_foreign_keys(name):
            parent = metadata.tables.get(link["referred_table"])
            if parent in rows and link["referred_columns"] == [_key(parent).name]:
                column = sa.table(name, sa.column(link["constrained_columns"][0])).c[0]
                number = _count(copy, column, rows[parent])
                if number:
                    yield Lost(name, "", "the shop has no such table now", number)


def _orphans(
    live: sa.Connection,
    table: sa.Table,
    columns: Collection[sa.Column[Any]],
    rows: Rows,
    new: Collection[Any],
) -> Iterator[Lost]:
    """Empty the links of rows that would lead to nothing: an employee who left, a product."""
    for column in columns:
        for parent in (link.column for link in column.foreign_keys):
            named = {row[column.name] for row in rows[table].values()} - {None}
            named -= rows.get(parent.table, {}).keys()
            gone = named - _read(live, parent, named, [parent]).keys()
            dead = [key for key, row in rows[table].items() if row[column.name] in gone]
            for key in dead:
                rows[table][key][column.name] = None
            why = "names a row that the shop no longer has; the link stays empty"
            number = len({*dead} & {*new})
            if number:
                yield Lost(table.name, column.name, why, number, final=not column.nullable)


def _differences(
    table: sa.Table, columns: Collection[sa.Column[Any]], rows: Rows, now: Mapping[Any, Row]
) -> tuple[Compared, dict[str, tuple[Any, ...]]]:
    """Sort a table's rows, and find the links that were emptied since."""
    emptied: dict[str, list[Any]] = {}
    different, same = [], 0
    for key, row in rows[table].items():
        if key not in now:
            continue
        unlike = []
        for column in columns:
            old, new = row[column.name], now[key][column.name]
            if old != new and new is None and _leads(column, old, rows):
                emptied.setdefault(f"{table.name}.{column.name}", []).append(key)
            elif old != new and column.name != VERSION:
                unlike.append(column)
        if unlike:
            different.append(key)
        else:
            same += 1
    missing = tuple(key for key in rows[table] if key not in now)
    text = repr([[*now[key].items()] for key in rows[table] if key in now])
    mark = hashlib.sha256(text.encode()).hexdigest()
    links = {place: tuple(keys) for place, keys in emptied.items()}
    return Compared(table.name, missing, same, tuple(different), mark), links


def _leads(column: sa.Column[Any], value: Any, rows: Rows) -> bool:
    """Whether a link leads to a row of this customer."""
    return any(value in rows.get(link.column.table, ()) for link in column.foreign_keys)


def _replace(live: sa.Connection, columns: Collection[sa.Column[Any]], rows: list[Row]) -> None:
    """Write what the copy holds over rows in use; whoever read those has to read again."""
    table = next(iter(columns)).table
    key = _key(table)
    names = [c.name for c in columns if c is not key and c.name != VERSION]
    values: Row = {name: sa.bindparam(f"new_{name}") for name in names} | _newer(table)
    query = sa.update(table).where(key == sa.bindparam("the_key")).values(values)
    if rows and values:
        given = [{"the_key": r[key.name], **{f"new_{n}": r[n] for n in names}} for r in rows]
        live.execute(query, given)


def _link(
    live: sa.Connection, column: sa.Column[Any], rows: Mapping[Any, Row], keys: Collection[Any]
) -> None:
    by_value: dict[Any, list[Any]] = {}
    for key in keys:
        by_value.setdefault(rows[key][column.name], []).append(key)
    for value, linked in by_value.items():
        for some in _parts(linked):
            query = sa.update(column.table).where(_key(column.table).in_(some), column.is_(None))
            live.execute(query.values({column.name: value} | _newer(column.table)))


def _newer(table: sa.Table) -> Row:
    return {VERSION: table.c[VERSION] + 1} if VERSION in table.c else {}


def _read(
    connection: sa.Connection,
    column: sa.Column[Any],
    values: Collection[Any],
    columns: Collection[sa.Column[Any]],
    *only: sa.ColumnElement[bool],
    lock: bool = False,
) -> dict[Any, Row]:
    key = _key(column.table)
    found: dict[Any, Row] = {}
    for some in _parts(values):
        query = sa.select(*columns).where(column.in_(some), *only).order_by(key)
        query = query.with_for_update() if lock else query
        found.update({row[key.name]: dict(row) for row in connection.execute(query).mappings()})
    return found


def _count(
    copy: sa.Connection,
    column: sa.ColumnElement[Any],
    values: Collection[Any],
    *only: sa.ColumnElement[bool],
) -> int:
    counted = (
        copy.scalar(sa.select(sa.func.count()).where(column.in_(some), *only))
        for some in _parts(values)
    )
    return sum(number or 0 for number in counted)


def _named_by(metadata: sa.MetaData, parent: sa.Table) -> Iterator[sa.Column[Any]]:
    """Yield the columns of other tables that name rows of *parent*."""
    for table in metadata.sorted_tables:
        if table is not parent:
            yield from (column for column in table.columns if _names(column, parent))


def _names(column: sa.Column[Any], parent: sa.Table) -> bool:
    return any(link.column.table is parent for link in column.foreign_keys)


def _key(table: sa.Table) -> sa.Column[Any]:
    columns = [*table.primary_key.columns]
    if len(columns) != 1:
        raise RescueError(f"{table.name}: its key has to be one column; add one")
    key: sa.Column[Any] = columns[0]
    return key


def _parts(keys: Collection[Any]) -> Iterator[list[Any]]:
    listed = list(keys)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
