# SPDX-License-Identifier: MIT-0
"""Let go of what you no longer need when its time is up: see the list, then let it go.

Copy: ``kit copy retention --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

The rules are a mapping, ``table.column`` to a rule such as "3 years after last purchase". Whether
the time of a cell is over, and which rows are not to be touched, is told by `Days`, such as those
of ``periods.py``. What follows from it::

    a row goes          when every column of it has a rule, the time of all that still hold
                        something is over, and nothing that stays hangs on it. Keys, links, and
                        days that rules count from do not keep it. Links to it are emptied
    a cell is emptied   when its own time is over, and its row stays: a note, or the link from a
                        sale to its customer. What is searched by goes with what was sealed

A sale whose own time is not over keeps its amounts. `plan` changes nothing; `expire` does what was
planned, in batches, may be stopped and called again, and refuses if somebody bought meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa

AT_ONCE = 500  # rows in a batch; a query names each up to 30 times, and SQLite takes 32,766 values
VERSION, SEARCH = "version", ("_index", "_index_key")  # same as in schema.py
POSTGRESQL = (
    "PostgreSQL keeps the old rows in its files until VACUUM FULL writes the tables anew (nobody "
    "can use them meanwhile), and in its log and base backups until those have had their time"
)

Test: TypeAlias = sa.ColumnElement[bool]
Keys: TypeAlias = list[Any] | sa.Select[Any] | None  # of the rows asked about; None: all
Acting: TypeAlias = Callable[[sa.Connection], AbstractContextManager[object]]
Also: TypeAlias = Callable[[sa.Connection, str, tuple[str, ...], list[Any]], object]


class RetentionError(Exception):
    """Base of the errors below. Messages never hold a value."""


class Changed(RetentionError):
    """The plan no longer holds for some rows."""


class Remains(RetentionError):
    """All is done, but deleted values are still in a file."""


class Days(Protocol):
    """What tells whether times are over, such as ``periods.Days``. No test is ever NULL."""

    def over(
        self, table: sa.Table, column: str, rule: Any, keys: Keys = None, *, loose: bool = False
    ) -> Test:
        """Test whether the time of a cell is over; loose: whether nothing speaks against it."""

    def reasons(self, table: sa.Table, column: str, rule: Any) -> list[tuple[str, Test]]:
        """Return why cells stay whose time one might think is over."""

    def grouped(self, rules: Mapping[str, Any], names: Iterable[str]) -> list[list[str]]:
        """Put columns together whose time is always over on the same day."""

    def order(self, keep: Mapping[sa.Table, Mapping[str, Any]]) -> list[sa.Table]:
        """Return tables: first those whose rows hang on others, last those that date others."""

    def dates(self, table: sa.Table) -> set[str]:
        """Return the columns that rules count from."""

    def oldest_first(self, table: sa.Table) -> list[sa.ColumnElement[Any]]:
        """Return what to sort by, so that a row comes after those that it ends."""

    def frozen(self, table: sa.Table) -> list[tuple[str, Test]]:
        """Return why rows are not to be touched at all."""


@dataclass(frozen=True)
class Line:
    """Something that goes. `column` is empty for whole rows."""

    table: str
    column: str
    action: str  # remove, empty, or unlink: what the cell names goes
    count: int
    rule: str


@dataclass(frozen=True)
class Kept:
    """Something that stays, and why. No columns: whole rows."""

    table: str
    columns: tuple[str, ...]
    count: int
    reason: str


@dataclass(frozen=True)
class Work:
    """Rows to remove or, if columns are named, cells to empty."""

    table: sa.Table
    columns: tuple[str, ...]
    keys: list[Any] = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """What goes and what stays."""

    lines: tuple[Line, ...]
    kept: tuple[Kept, ...]
    work: tuple[Work, ...] = field(repr=False)
    rules: _Rules = field(repr=False)


@dataclass(frozen=True)
class Done:
    """What went: rows by table, cells by ``table.column``; and a word about the files, if any."""

    removed: Mapping[str, int]
    emptied: Mapping[str, int]
    note: str


def plan(
    connection: sa.Connection, metadata: sa.MetaData, keep: Mapping[str, Any], days: Days
) -> Plan:
    """Say what goes on this day, and what stays although one might think its time is over.

    Args:
        connection: To read from.
        metadata: The tables.
        keep: ``table.column`` to its rule. A column without one keeps its row.
        days: Tells whether times are over.
    """
    rules = _Rules(metadata, keep, days)
    lines: list[Line] = []
    kept: list[Kept] = []
    work: list[Work] = []
    stuck: dict[sa.Table, set[Any]] = {}
    for table in days.order(rules.keep):
        words = {name: str(rule) for name, rule in rules.keep[table].items()}
        over, stuck[table] = rules.over(connection, table, stuck)
        if gone := [number for number in over if number not in stuck[table]]:
            work.append(Work(table, (), gone))
            said = ", ".join(sorted({*words.values()}))
            lines.append(Line(table.name, "", "remove", len(gone), said))
        going, chosen = {*gone}, dict[tuple[str, ...], list[Any]]()
        for number, names in rules.cells(connection, table):
            if number not in going:
                chosen.setdefault(names, []).append(number)
        work += [Work(table, names, keys) for names, keys in chosen.items()]
        counts = Counter(name for names, keys in chosen.items() for name in names for _ in keys)
        lines += [Line(table.name, n, "empty", counts[n], words[n]) for n in words if counts[n]]
        kept += rules.stays(connection, table)
        if stuck[table]:
            kept.append(Kept(table.name, (), len(stuck[table]), "rows that stay hang on it"))
    lines += _unlinked(connection, work)
    return Plan(tuple(lines), tuple(kept), tuple(work), rules)


def expire(
    connection: sa.Connection,
    plan: Plan,
    *,
    at_once: int = AT_ONCE,
    progress: Callable[[int, int], None] | None = None,
    acting: Acting = nullcontext,
    also: Also | None = None,
) -> Done:
    """Let go of what was planned, and of nothing else.

    Args:
        connection: With no transaction begun: each batch is one of its own.
        plan: From `plan`, on this day or an earlier one.
        at_once: Rows in a batch.
        progress: Called with the rows done and the rows to do.
        acting: What surrounds each batch, such as a block that says who does it.
        also: Called in each batch with table, columns (none: whole rows) and keys, to log it.

    Raises:
        Changed: Somebody bought again, or something else hangs on a row that was to go.
        Remains: All is done, but the files are not clean; `sweep` later.
    """
    if connection.in_transaction():
        raise RetentionError("a transaction has begun; end it, each batch is one of its own")
    if connection.dialect.name == "sqlite":
        _pragma(connection, "secure_delete = ON")
    batches = [
        Work(work.table, work.columns, some)
        for work in plan.work
        for some in _parts(work.keys, at_once)
    ]
    with _kept_or_not(connection, nullcontext):
        for batch in batches:
            plan.rules.still(connection, batch)
    removed, emptied = Counter[str](), Counter[str]()
    done, total = 0, sum(len(batch.keys) for batch in batches)
    for batch in batches:
        with _kept_or_not(connection, acting):
            if keys := plan.rules.still(connection, batch, alone=True):
                table = batch.table
                if batch.columns:
                    cells, mine = [table.c[n] for n in batch.columns], _key(table).in_(keys)
                    counts = sa.select(*map(sa.func.count, cells)).where(mine)
                    for cell, count in zip(cells, connection.execute(counts).one(), strict=True):
                        emptied[str(cell)] += count
                    values = _empty(table, batch.columns)
                    connection.execute(sa.update(table).where(mine).values(values))
                else:
                    for link in _names(table, unlinked=True):
                        empty = sa.update(link.table).where(link.in_(keys)).values({link: None})
                        emptied[str(link)] += connection.execute(empty).rowcount
                    connection.execute(sa.delete(table).where(_key(table).in_(keys)))
                    removed[table.name] += len(keys)
                if also:
                    also(connection, table.name, batch.columns, keys)
        done += len(batch.keys)
        if progress:
            progress(done, total)
    return Done(removed, +emptied, sweep(connection))


def sweep(connection: sa.Connection) -> str:
    """Clear what was deleted out of the database's files; return what is left to do, in words.

    Raises:
        Remains: Somebody reads the database, and needs the old pages.
    """
    if connection.dialect.name != "sqlite":
        return POSTGRESQL
    if connection.in_transaction() or _pragma(connection, "wal_checkpoint(TRUNCATE)")[0]:
        raise Remains(
            "it is deleted, but still in the file that ends in -wal, because somebody has the "
            "database open; close what reads it, then expire again"
        )
    return ""


class _Rules:
    """What follows from the rules, as tests that a database answers for all rows at once."""

    def __init__(self, metadata: sa.MetaData, keep: Mapping[str, Any], days: Days) -> None:
        self._days, self._asleep = days, dict[sa.Table, Test]()
        self.keep: dict[sa.Table, dict[str, Any]] = {}
        for table in metadata.tables.values():
            named = {c.name: keep.get(f"{table.name}.{c.name}") for c in table.c}
            if rules := {name: rule for name, rule in named.items() if rule}:
                self.keep[table] = rules

    def over(
        self, connection: sa.Connection, table: sa.Table, stuck: Mapping[sa.Table, set[Any]]
    ) -> tuple[list[Any], set[Any]]:
        """Return the rows whose time is over, the oldest first; and which of them must stay."""
        stay: set[Any] = set()
        if (due := self._due(table)) is None:
            return [], stay
        query = sa.select(_key(table)).where(due)
        for link in _names(table, unlinked=False):
            hang = sa.select(link).distinct().where(link.in_(query))
            if (over := self._due(link.table)) is not None:
                hang = hang.where(sa.not_(over))
            stay.update(connection.scalars(hang))
            for part in _parts(list(stuck.get(link.table, ())), AT_ONCE):
                hang = sa.select(link).where(_key(link.table).in_(part))
                stay.update(connection.scalars(hang))
        found = list(connection.scalars(query.order_by(*self._days.oldest_first(table))))
        return found, stay & {*found}

    def empties(
        self, table: sa.Table, names: Iterable[str], keys: Keys = None, *, loose: bool = False
    ) -> list[tuple[list[str], Test]]:
        """Return columns, and a test whether their cells are to be emptied if they are not."""
        awake = self._awake(table)
        return [
            (some, sa.and_(self._over(table, some[0], keys, loose), awake))
            for some in self._days.grouped(self.keep[table], names)
        ]

    def cells(
        self, connection: sa.Connection, table: sa.Table
    ) -> Iterator[tuple[Any, tuple[str, ...]]]:
        """Yield rows, the oldest first, and which of their cells are to be emptied."""
        fixed = {_key(table).name, *self._days.dates(table)}
        may = [name for name in self.keep[table] if table.c[name].nullable and name not in fixed]
        groups = self.empties(table, may)
        filled = [table.c[name].is_not(None) for names, _ in groups for name in names]
        some = [sa.and_(test, sa.not_(_blank(table, names))) for names, test in groups]
        query = sa.select(_key(table), *(test for _, test in groups), *filled)
        query = query.where(sa.or_(sa.false(), *some))
        for number, *flags in connection.execute(query.order_by(*self._days.oldest_first(table))):
            full = iter(flags[len(groups) :])
            over = [(n, flags[i]) for i, (names, _) in enumerate(groups) for n in names]
            yield number, tuple(name for name, ended in over if next(full) and ended)

    def stays(self, connection: sa.Connection, table: sa.Table) -> Iterator[Kept]:
        """Yield what stays although one might think its time is over."""
        due, rules = self._due(table), self.keep[table]
        over = [sa.false() if due is None else due]
        found: list[tuple[list[str], str, Test]] = []
        for names in self._days.grouped(rules, rules):
            cells = [name for name in names if not table.c[name].primary_key]
            filled = sa.not_(_blank(table, cells)) if cells else sa.true()
            for why, test in self._days.reasons(table, names[0], rules[names[0]]):
                found.append((names, why, sa.and_(filled, test)))
            over.append(sa.and_(filled, self._over(table, names[0])))
            if needed := [name for name in cells if not table.c[name].nullable]:
                found.append((needed, "goes with its row only", over[-1]))
        for why, test in self._days.frozen(table):
            found.append(([], why, sa.and_(sa.or_(*over), test)))
        tests = [sa.and_(test, sa.not_(over[0])) if names else test for names, _, test in found]
        counts = [sa.func.count(sa.case((test, 1))) for test in tests]
        row = connection.execute(sa.select(*counts).select_from(table)).one()
        for (names, why, _), count in zip(found, row, strict=True):
            if count:
                yield Kept(table.name, tuple(names), count, why)

    def still(self, connection: sa.Connection, work: Work, *, alone: bool = False) -> list[Any]:
        """Return which of the rows are left to do, once sure that nothing speaks against it.

        Raises:
            Changed: Something does; with *alone*, also a row that hangs on one that is to go.
        """
        table, key, columns = work.table, _key(work.table), work.columns
        query = sa.select(key).where(key.in_(work.keys)).with_for_update()
        if columns:
            query = query.where(sa.not_(_blank(table, columns)))
        if not (keys := list(connection.scalars(query))):
            return []
        tests = [
            sa.or_(test, _blank(table, names))
            for names, test in self.empties(table, columns, keys, loose=True)
        ]
        if not columns:
            tests += [due] if (due := self._due(table, keys, loose=True)) is not None else []
            for link in _names(table, unlinked=False):
                hang, x = sa.select(1).where(link == key), _seen(link)
                some = sa.select(x.c[_key(link.table).name]).where(x.c[link.name].in_(keys))
                over = None if alone else self._due(link.table, some, loose=True)
                tests.append(~sa.exists(hang if over is None else hang.where(sa.not_(over))))
        count = sa.select(sa.func.count()).select_from(table).where(key.in_(keys), *tests)
        if changed := len(keys) - (connection.scalar(count) or 0):
            what = (
                f"{table.name}: {changed} rows were changed since the plan, or others hang on them"
            )
            raise Changed(f"{what} now; what is done is done: make a new plan")
        return keys

    def _due(self, table: sa.Table, keys: Keys = None, *, loose: bool = False) -> Test | None:
        """Test whether the time of all that a row holds is over; None: something has no rule."""
        rules, key = self.keep.get(table, {}), _key(table)
        follow = {VERSION, *(name + end for name in table.c.keys() for end in SEARCH)}
        plain = [c for c in table.c if not c.primary_key and c.name not in follow]
        data = [c.name for c in plain if not c.foreign_keys] or [c.name for c in plain]
        if not rules.keys() >= {*data} or not data and key.name not in rules:
            return None
        names = [name for name in data if name not in self._days.dates(table)] or data
        tests = [self._awake(table)] + [
            sa.or_(self._over(table, some[0], keys, loose), _blank(table, some))
            for some in self._days.grouped(rules, names)
        ]
        if key.name in rules:
            over = self._over(table, key.name, keys, loose)
            if names and not loose:  # nothing of it will be left, and nobody names it
                seen = [_seen(link).c[link.name] for link in _names(table, unlinked=True)]
                named = [~sa.exists(sa.select(1).where(link == key)) for link in seen]
                possible = self._over(table, key.name, keys, loose=True)
                over = sa.or_(over, sa.and_(possible, *named))
            tests.append(over)
        return sa.and_(*tests)

    def _over(self, table: sa.Table, name: str, keys: Keys = None, loose: bool = False) -> Test:
        return self._days.over(table, name, self.keep[table][name], keys, loose=loose)

    def _awake(self, table: sa.Table) -> Test:
        if table not in self._asleep:  # built once: with its aliases it is the larger part
            tests = (test for _, test in self._days.frozen(table))
            self._asleep[table] = sa.or_(sa.false(), *tests)
        return sa.not_(self._asleep[table])


def _unlinked(connection: sa.Connection, work: list[Work]) -> Iterator[Line]:
    """Yield how many links will be emptied only because what they name goes."""
    for gone in work:
        for link in () if gone.columns else _names(gone.table, unlinked=True):
            others = (w for w in work if w.table is link.table)
            planned = {k for w in others if link.name in (w.columns or [link.name]) for k in w.keys}
            query = sa.select(_key(link.table))
            some = (query.where(link.in_(part)) for part in _parts(gone.keys, AT_ONCE))
            if left := sum(len({*connection.scalars(part)} - planned) for part in some):
                why = f"with its row in {gone.table.name}"
                yield Line(link.table.name, link.name, "unlink", left, why)


def _empty(table: sa.Table, columns: Iterable[str]) -> dict[str, Any]:
    after = [name + end for name in columns for end in SEARCH]
    values: dict[str, Any] = {name: None for name in (*columns, *after) if name in table.c}
    return values | ({VERSION: table.c[VERSION] + 1} if VERSION in table.c else {})


def _blank(table: sa.Table, names: Iterable[str]) -> Test:
    return sa.and_(sa.true(), *(table.c[name].is_(None) for name in names))


def _names(table: sa.Table, *, unlinked: bool) -> Iterator[sa.Column[Any]]:
    """Yield the columns that name a table's rows, and are emptied when one goes, or are not."""
    for other in table.metadata.tables.values():
        for column in other.c:
            for link in column.foreign_keys:
                emptied = (link.ondelete or "").upper() == "SET NULL"
                if link.column.table is table and emptied is unlinked:
                    yield column


def _seen(link: sa.Column[Any]) -> sa.FromClause:
    """Return a table under another name, with its key and a link."""
    key: sa.ColumnClause[Any] = sa.column(_key(link.table).name)
    return sa.table(link.table.name, key, sa.column(link.name), schema=link.table.schema).alias()


def _key(table: sa.Table) -> sa.Column[Any]:  # same as in periods.py
    return next(iter(table.primary_key.columns))


def _parts(keys: list[Any], size: int) -> Iterator[list[Any]]:
    yield from (keys[start : start + size] for start in range(0, len(keys), size))


def _pragma(connection: sa.Connection, text: str) -> Any:
    driver: Any = connection.connection.driver_connection
    return driver.execute(f"PRAGMA {text}").fetchone()


@contextmanager
def _kept_or_not(connection: sa.Connection, acting: Acting) -> Iterator[None]:
    """Keep all of a batch or nothing."""
    try:
        with connection.begin(), acting(connection):
            yield
    except sa.exc.DBAPIError as error:  # the driver's own text may hold a value
        name = type(error.orig).__name__
        raise RetentionError(f"a batch was refused ({name}); try again") from None
