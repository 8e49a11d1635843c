# SPDX-License-Identifier: MIT-0
"""Erase one customer for good, and say in plain words what went, what stays and why.

Copy: ``kit copy erasure --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

What hangs on the customer is read from the foreign keys. `plan` changes nothing; `erase` looks
again and does it, in the caller's transaction, also to what was added after the plan; `search`
looks for remnants in files, byte by byte::

    erase        rows that mean nothing without the customer: addresses, consents, points
    anonymise    rows that the shop keeps, such as sales: the link is cut; in them, and in what
                 hangs on them (lines, payments), what was sealed is emptied; every amount stays

A step is told as ``{table, action, reason_code, until, removed, retained, message, done}``; the
messages are sentences for the customer. Copies elsewhere (history, trash, backups) are the
caller's to forget: `Erased.keys` names every row that went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import sqlalchemy as sa

AT_ONCE = 5_000  # keys in one query; SQLite takes 32,766
CHUNK = 1 << 20  # bytes of a file looked at together
SEARCH = ("_index", "_index_key")  # same as in schema.py


class ErasureError(Exception):
    """Base of the errors below. Messages never hold a value or a customer's number."""


class NotThere(ErasureError):
    """There is no such customer: never was, or was erased already."""


class Held(ErasureError):
    """A row that must not be touched names the customer, so they cannot go."""


@dataclass(frozen=True)
class Rule:
    """Why rows of a table stay.

    Attributes:
        code: For programs, such as ``tax``.
        why: For people: "the tax office may ask for them".
        until: The last day, or None where none is set.
        whole: The row must not be touched at all, not even the link to the customer.
        empty: Columns to be emptied besides the sealed ones, such as the last digits of a card.
    """

    code: str
    why: str
    until: date | None = None
    whole: bool = False
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """What happens to one table."""

    table: str
    action: str  # erase or anonymise
    reason_code: str
    until: date | None
    removed: int
    retained: int
    message: str
    done: bool = False


@dataclass(frozen=True)
class Plan:
    """What an erasure would do."""

    subject: Any
    steps: tuple[Step, ...]
    going: Mapping[str, list[Any]]  # table → keys of rows that go, parents first
    cut: Mapping[tuple[str, str], list[Any]]  # (table, link) → keys of rows that stay without it
    emptied: Mapping[str, list[Any]]  # table → keys of rows that stay without what was sealed
    root: str
    rules: Mapping[str, Rule]


@dataclass(frozen=True)
class Erased:
    """What an erasure did."""

    steps: tuple[Step, ...]
    keys: Mapping[str, list[Any]]  # table → keys of rows that went

    def report(self) -> dict[str, Any]:
        """Return removed, retained and messages, fit for JSON."""
        return {
            "removed": {s.table: s.removed for s in self.steps if s.removed},
            "retained": {s.table: s.retained for s in self.steps if s.retained},
            "messages": [s.message for s in self.steps],
        }


def plan(
    connection: sa.Connection,
    metadata: sa.MetaData,
    subject: Any,
    *,
    root: str = "customers",
    rules: Mapping[str, Rule] | None = None,
) -> Plan:
    """Say what would go and what would stay.

    Args:
        connection: To read from.
        metadata: The tables.
        subject: The customer's number.
        root: The table of the customers.
        rules: Table to why its rows stay; others that stay are said to be the shop's books.

    Raises:
        NotThere: There is no such customer.
        Held: A row that names them may neither go nor lose the link.
    """
    return _look(connection, metadata, subject, root, rules or {}, lock=False)


def erase(connection: sa.Connection, metadata: sa.MetaData, plan: Plan) -> Erased:
    """Look again, and erase what is there now, in the caller's transaction.

    Raises:
        NotThere: They were erased since the plan.
        Held: A row that names them came to be on hold since.
    """
    now = _look(connection, metadata, plan.subject, plan.root, plan.rules, lock=True)
    for name, keys in now.emptied.items():
        table = metadata.tables[name]
        empty = dict.fromkeys(_emptied(table, plan.rules.get(name)))
        for some in _parts(keys):
            connection.execute(sa.update(table).where(_key(table).in_(some)).values(empty))
    for (name, link), keys in now.cut.items():
        table = metadata.tables[name]
        for some in _parts(keys):
            cut = sa.update(table).where(_key(table).in_(some)).values({link: None})
            connection.execute(cut)
    for name, keys in reversed(list(now.going.items())):
        table = metadata.tables[name]
        for some in _parts(keys):
            connection.execute(sa.delete(table).where(_key(table).in_(some)))
    return Erased(tuple(replace(step, done=True) for step in now.steps), now.going)


def _look(
    connection: sa.Connection,
    metadata: sa.MetaData,
    subject: Any,
    root: str,
    rules: Mapping[str, Rule],
    *,
    lock: bool,
) -> Plan:
    """Walk along the links; with *lock* nobody can change what was seen, or add to it."""
    top = metadata.tables[root]
    going: dict[sa.Table, list[Any]] = {}
    cut: dict[sa.Column[Any], list[Any]] = {}
    found = {top: _keys(connection, _key(top), [subject], lock)}
    if not found[top]:
        raise NotThere("no such customer; they were erased already, or the number is another")
    while found:
        parent, keys = found.popitem()
        going.setdefault(parent, []).extend(keys)
        for link, on_delete in _named_by(metadata, parent):
            child, known = link.table, {*going.get(link.table, ()), *found.get(link.table, ())}
            new = [k for k in _keys(connection, link, keys, lock) if k not in known]
            if new:
                _free(child, rules)
            if new and on_delete == "CASCADE":
                found[child] = found.get(child, []) + new
            elif new and on_delete == "SET NULL":
                cut[link] = cut.get(link, []) + new
            elif new:
                raise Held(f"{child.name}: its rows cannot be without the customer; remove them")
    cut = {link: [k for k in cut[link] if k not in {*going.get(link.table, ())}] for link in cut}
    stay = _beyond(connection, metadata, cut, going, lock)
    for table in stay:
        _free(table, rules)
    emptied = {t.name: keys for t, keys in stay.items() if _emptied(t, rules.get(t.name))}
    order = [table for table in metadata.sorted_tables if table in going]
    steps = [_goes(table.name, len(going[table])) for table in order]
    named = {link.table for link in cut}
    for table, keys in stay.items():
        if table in named or table.name in emptied:
            steps.append(_stays(table.name, len(keys), rules.get(table.name)))
    return Plan(
        subject,
        tuple(steps),
        {table.name: going[table] for table in order},
        {(link.table.name, link.name): keys for link, keys in cut.items()},
        emptied,
        root,
        rules,
    )


def _beyond(
    connection: sa.Connection,
    metadata: sa.MetaData,
    cut: Mapping[sa.Column[Any], list[Any]],
    going: Mapping[sa.Table, list[Any]],
    lock: bool,
) -> dict[sa.Table, list[Any]]:
    """Return the rows that stay without the customer, and those that hang on them."""
    stay: dict[sa.Table, list[Any]] = {}
    found = [(link.table, keys) for link, keys in cut.items() if keys]
    while found:
        table, keys = found.pop(0)
        known = {*stay.get(table, ()), *going.get(table, ())}
        if new := [key for key in keys if key not in known]:
            stay.setdefault(table, []).extend(new)
            for link, _ in _named_by(metadata, table):
                found.append((link.table, _keys(connection, link, new, lock)))
    return stay


def search(paths: Iterable[Path], terms: Iterable[bytes]) -> dict[str, int]:
    """Count the remnants in files: name of the file to how many of the *terms* stand in it.

    Args:
        paths: Files; one that is not there holds nothing.
        terms: Values and tokens of the customer, as bytes; short ones say little.
    """
    wanted = {term for term in terms if term}
    longest = max(map(len, wanted), default=0)
    found: dict[str, int] = {}
    for path in paths:
        seen: set[bytes] = set()
        tail = b""
        for piece in _pieces(path):
            window = tail + piece
            seen |= {term for term in wanted - seen if term in window}
            tail = window[-longest:]
        if seen:
            found[path.name] = len(seen)
    return found


def in_the_clear(connection: sa.Connection, metadata: sa.MetaData, term: str) -> bool:
    """Tell whether a text stands in SQLite's definitions, or unsealed in a row of the shop.

    Then its file holds it whoever was erased: a note "birthday" is a column's name, too. Tables of
    the kit itself (``kit_``: log, history, trash) do not count, as nobody's value belongs there.
    """
    found = [sa.select(sa.literal(1)).select_from(sa.table("sqlite_master")).where(_in("sql"))]
    for table in metadata.tables.values():
        held = [_in(c.name) for c in table.c if not isinstance(c.type, sa.LargeBinary)]
        if held and not table.name.startswith("kit_"):
            found.append(sa.select(sa.literal(1)).select_from(table).where(sa.or_(*held)))
    return any(connection.scalar(query.limit(1), {"term": term}) for query in found)


def _in(column: str) -> sa.ColumnElement[bool]:
    return sa.func.instr(sa.column(column), sa.bindparam("term", type_=sa.String())) > 0


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except FileNotFoundError:
        return


def _free(table: sa.Table, rules: Mapping[str, Rule]) -> None:
    """Refuse if a rule forbids to touch the rows of a table."""
    rule = rules.get(table.name)
    if rule and rule.whole:
        raise Held(f"{table.name}: {rule.why}; the customer cannot be erased before")


def _goes(table: str, count: int) -> Step:
    return Step(table, "erase", "request", None, count, 0, f"{_rows(count, table)} erased.")


def _stays(table: str, count: int, rule: Rule | None) -> Step:
    why = rule.why if rule else "they belong to the shop's books"
    until = f" until {rule.until:%Y-%m-%d}" if rule and rule.until else ""
    message = f"{_rows(count, table)} kept{until}, because {why}; nothing in them names you."
    code = rule.code if rule else "books"
    return Step(table, "anonymise", code, rule.until if rule else None, 0, count, message)


def _rows(count: int, table: str) -> str:
    return f"{count:,} {'row' if count == 1 else 'rows'} of {table.replace('_', ' ')}"


def _named_by(metadata: sa.MetaData, parent: sa.Table) -> Iterator[tuple[sa.Column[Any], str]]:
    """Yield the columns that name rows of *parent*, and what a deletion means for their rows."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            for link in column.foreign_keys:
                if link.column.table is parent and table is not parent:
                    yield column, (link.ondelete or "NO ACTION").upper()


def _keys(
    connection: sa.Connection, column: sa.Column[Any], wanted: list[Any], lock: bool
) -> list[Any]:
    """Return the keys of the rows in which a column holds one of the values wanted."""
    key = _key(column.table)
    found: list[Any] = []
    for some in _parts(wanted):
        query = sa.select(key).where(column.in_(some)).order_by(key)
        # a row that hangs on these needs them unlocked; SQLite has one writer at a time anyway
        found += connection.scalars(query.with_for_update() if lock else query)
    return found


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _emptied(table: sa.Table, rule: Rule | None) -> list[str]:
    """Return the columns that hold tokens, what they are searched by, and what the rule names."""
    names = [c.name for c in table.c if isinstance(c.type, sa.LargeBinary) and c.nullable]
    also = [n for name in names for n in (name, *(name + end for end in SEARCH)) if n in table.c]
    return [*also, *(name for name in (rule.empty if rule else ()) if name in table.c)]


def _parts(keys: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
