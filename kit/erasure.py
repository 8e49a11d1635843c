# SPDX-License-Identifier: MIT-0
"""Erase one customer for good, and say in plain words what went, what stays and why.

Copy: ``kit copy erasure --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

What hangs on the customer is read from the foreign keys. `plan` changes nothing; `erase` does what
was planned, in the caller's transaction; `search` looks for remnants in files, byte by byte::

    erase        rows that mean nothing without the customer: addresses, consents, points
    anonymise    rows that the shop keeps, such as sales: the link is cut, what was sealed in them
                 is emptied, and every amount stays
    retain       rows that a rule forbids to touch, with its reason and until when

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
    """

    code: str
    why: str
    until: date | None = None
    whole: bool = False


@dataclass(frozen=True)
class Step:
    """What happens to one table."""

    table: str
    action: str  # erase, anonymise or retain
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
    top = metadata.tables[root]
    if connection.scalar(sa.select(_key(top)).where(_key(top) == subject)) is None:
        raise NotThere("no such customer; they were erased already, or the number is another")
    going: dict[sa.Table, list[Any]] = {top: [subject]}
    cut: dict[tuple[str, str], list[Any]] = {}
    steps: list[Step] = []
    waiting = [top]
    while waiting:
        parent = waiting.pop(0)
        for link, on_delete in _named_by(metadata, parent):
            child = link.table
            known = {*going.get(child, [])}
            found = [k for k in _keys(connection, link, going[parent]) if k not in known]
            rule = (rules or {}).get(child.name)
            if not found:
                continue
            if rule and rule.whole:
                raise Held(f"{child.name}: {rule.why}; the customer cannot be erased before")
            if on_delete == "CASCADE":
                going.setdefault(child, []).extend(found)
                waiting.append(child)
            elif on_delete == "SET NULL":
                cut[child.name, link.name] = found
                steps.append(_stays(child.name, len(found), rule))
            else:
                raise Held(f"{child.name}: its rows cannot be without the customer; remove them")
    order = {table: place for place, table in enumerate(metadata.sorted_tables)}
    sorted_going = sorted(going.items(), key=lambda item: order[item[0]])
    gone = [
        Step(t.name, "erase", "request", None, len(k), 0, f"{_rows(len(k), t.name)} erased.")
        for t, k in sorted_going
    ]
    return Plan(subject, (*gone, *steps), {t.name: k for t, k in sorted_going}, cut)


def erase(connection: sa.Connection, metadata: sa.MetaData, plan: Plan) -> Erased:
    """Do what was planned, in the caller's transaction."""
    for (name, link), keys in plan.cut.items():
        table = metadata.tables[name]
        empty = {table.c[column]: None for column in (link, *_sealed(table))}
        for some in _parts(keys):
            connection.execute(sa.update(table).where(_key(table).in_(some)).values(empty))
    for name, keys in reversed(list(plan.going.items())):
        table = metadata.tables[name]
        for some in _parts(keys):
            connection.execute(sa.delete(table).where(_key(table).in_(some)))
    return Erased(tuple(replace(step, done=True) for step in plan.steps), plan.going)


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


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except FileNotFoundError:
        return


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


def _keys(connection: sa.Connection, link: sa.Column[Any], parents: list[Any]) -> list[Any]:
    key = _key(link.table)
    return [
        number
        for some in _parts(parents)
        for number in connection.scalars(sa.select(key).where(link.in_(some)).order_by(key))
    ]


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _sealed(table: sa.Table) -> list[str]:
    """Return the columns that hold tokens, and what they are searched by."""
    names = [c.name for c in table.c if isinstance(c.type, sa.LargeBinary) and c.nullable]
    return [n for name in names for n in (name, *(name + end for end in SEARCH)) if n in table.c]


def _parts(keys: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
