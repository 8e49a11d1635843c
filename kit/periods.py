# SPDX-License-Identifier: MIT-0
"""Know which rows have had their time, whatever it counts from, for a million of them at once.

Copy: ``kit copy periods --into DIR``, or take this file as it is.
Needs: Python 3.11, sqlalchemy. Nothing else from this kit.
Data: none.

A rule such as "3 years after last purchase" has an `event`, and `until` gives the last day on which
a cell may stay, given the day of the event. `ANCHORS` says where the day of each event is written.
`Days.state` turns a rule into tests that a database answers in one query::

    known      a day is written down; without one, nothing is guessed
    late       it is too recent: the time is not over. Of several days the newest counts
    pending    the event has not happened yet: a request is open, a consent stands
    waits      the rule waits: while a consent stands, nothing counts from the last purchase

It is over where it is known and nothing of the other three. None of them is ever NULL. Days are
those of the shop's time zone, and a period includes its last day.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, tzinfo
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa

COLLECTION = "collection"  # the day on which the row was made
LAST_USE = "last use"  # the newest day of the rows that name it
OWN_DAYS = (  # where a row says when it was made: the first of these that it has
    *("created_at", "sold_at", "paid_at", "refunded_at", "happened_at", "received_at"),
    *("moved_at", "starts_at", "hired_on"),
)

Test: TypeAlias = sa.ColumnElement[bool]
Keys: TypeAlias = list[Any] | sa.Select[Any] | None  # of the rows asked about; None: all
Written: TypeAlias = Callable[[sa.Table, str, datetime], sa.Select[Any]]


class PeriodError(Exception):
    """Rules or tables of which one cannot tell when their time is over."""


class Keep(Protocol):
    """How long a cell may stay, such as ``inventory.Keep``."""

    @property
    def event(self) -> str:
        """Return what it counts from."""

    def until(self, start: date, /) -> date:
        """Return the last day, given the day of the event."""


@dataclass(frozen=True)
class Anchor:
    """Where the day of an event is written.

    Attributes:
        of: The table whose rows it happens to; other rows count from the one that they name.
        dates: Columns with a day, ``table.column``, of that table or of one that names it.
        pending: An empty cell says that it has not happened yet, not that nobody knows when.
        ends: Column and words of a row that ends what others like it began, then or before.
        alike: Columns in which such rows are alike, besides whom they name.
        waits: Whether a rule waits while something of the same *of* goes on that has such an end.
    """

    of: str
    dates: tuple[str, ...]
    pending: bool = False
    ends: tuple[str, tuple[str, ...]] = ("", ())
    alike: tuple[str, ...] = ()
    waits: bool = False


# Customers who never bought have no last purchase: they stay and are listed. With
# "customers.created_at" as a third date, theirs counts from the day they joined.
ANCHORS: Mapping[str, Anchor] = {
    "sale": Anchor("sales", ("sales.sold_at",)),
    "last purchase": Anchor("customers", ("sales.sold_at", "customers.last_visit_on"), waits=True),
    "account closed": Anchor("customers", ("customers.closed_on",), pending=True),
    "withdrawal": Anchor(
        "customers",
        ("consents.happened_at",),
        ends=("event", ("withdrawn", "expired")),
        alike=("channel", "purpose"),
    ),
    "request answered": Anchor("privacy_requests", ("privacy_requests.answered_at",), pending=True),
    "employment ended": Anchor("employees", ("employees.ended_on",), pending=True),
}


@dataclass(frozen=True)
class State:
    """What is known of a rule, as tests of each row of a table."""

    known: Test = sa.false()
    late: Test = sa.false()
    pending: Test = sa.false()
    waits: Test = sa.false()


@dataclass(frozen=True)
class _Source:
    """Where days are, and which rows of the table asked about each is for."""

    key: sa.Column[Any]  # of the table asked about
    value: sa.ColumnElement[Any]  # what of the query equals it
    day: sa.ColumnElement[Any]
    query: sa.Select[Any]
    own: bool = False  # the row asked about has the day itself

    def has(self, test: Test, among: Keys) -> Test:
        """Test whether there is such a row that passes."""
        if self.own:
            return test
        query = self.query.where(self.value.is_not(None), test)
        if among is not None:
            query = query.where(self.value.in_(among))
        return sa.and_(self.key.is_not(None), self.key.in_(query))


class Days:
    """One day in the life of a shop, on which times are over or not."""

    def __init__(
        self,
        metadata: sa.MetaData,
        *,
        now: datetime,
        zone: tzinfo = UTC,
        holds: Mapping[Any, str] | None = None,
        subject: str = "customers",
        anchors: Mapping[str, Anchor] = ANCHORS,
        written: Written | None = None,
    ) -> None:
        """Take the tables and the time.

        Args:
            metadata: The tables; they need not have every column that an anchor names.
            now: Aware.
            zone: The shop's own.
            holds: Numbers of customers who are not to be touched, nor what leads to them, and why.
            subject: The table of the customers.
            anchors: Event to where its day is written.
            written: Given a table, a column and a time, selects the keys of the rows in which it
                was written since. Without it, "collection" is the day the row was made, and a
                note that was added later goes with the first one.
        """
        if now.tzinfo is None:
            raise PeriodError("now has no time zone; hand over an aware datetime")
        self.now, self._today, self._zone = now, now.astimezone(zone).date(), zone
        self._tables, self._anchors, self._written = metadata.tables, anchors, written
        self._subject, self._holds = metadata.tables[subject], holds or {}
        self._states: dict[tuple[sa.Table, str, str, date], State] = {}

    def state(self, table: sa.Table, column: str, rule: Keep, keys: Keys = None) -> State:
        """Return what is known of a column's rule, in each row.

        Args:
            table: The table asked about.
            column: One of its columns.
            rule: How long a cell may stay.
            keys: The query is about these rows only, which saves the database work.

        Raises:
            PeriodError: Nobody knows the event.
        """
        if rule.event not in (*self._anchors, COLLECTION, LAST_USE):
            raise PeriodError(
                f"{table.name}.{column}: nobody knows the day of this: {rule.event}; add an anchor"
            )
        place = (table, column if self._by_cell(rule) else "", rule.event, self._first_kept(rule))
        if keys is not None:
            return self._state(*place, keys)
        if place not in self._states:  # building one takes longer than asking a small shop
            self._states[place] = self._state(*place, None)
        return self._states[place]

    def over(
        self, table: sa.Table, column: str, rule: Keep, keys: Keys = None, *, loose: bool = False
    ) -> Test:
        """Test whether the time of a cell is over; loose: whether nothing speaks against it."""
        state = self.state(table, column, rule, keys)
        against = sa.or_(state.late, state.pending, state.waits)
        return sa.not_(against) if loose else sa.and_(state.known, sa.not_(against))

    def reasons(self, table: sa.Table, column: str, rule: Keep) -> list[tuple[str, Test]]:
        """Return why cells stay whose time one might think is over, each with a test."""
        state = self.state(table, column, rule)
        unknown = sa.not_(sa.or_(state.known, state.pending))
        passed = sa.and_(state.known, sa.not_(sa.or_(state.late, state.pending)))
        return [
            (f"no day is known: {rule.event}", unknown),
            (f"not yet: {rule.event}", state.pending),
            ("a consent stands", sa.and_(passed, state.waits)),
        ]

    def grouped(self, rules: Mapping[str, Keep], names: Iterable[str]) -> list[list[str]]:
        """Put columns together whose time is always over on the same day."""
        groups: dict[tuple[str, str], list[str]] = {}
        for name in names:
            alone = name if self._by_cell(rules[name]) else ""
            groups.setdefault((str(rules[name]), alone), []).append(name)
        return list(groups.values())

    def _by_cell(self, rule: Keep) -> bool:
        return self._written is not None and rule.event == COLLECTION

    def order(self, keep: Mapping[sa.Table, Mapping[str, Keep]]) -> list[sa.Table]:
        """Return tables: first those whose rows hang on others, last those that date others.

        Raises:
            PeriodError: They hang on one another, so that none can go first.
        """
        sorter: TopologicalSorter[sa.Table] = TopologicalSorter()
        for table, rules in keep.items():
            hang = [link.table for link, unlinks in _named_by(table) if not unlinks]
            sorter.add(table, *hang)
            for rule in rules.values():
                anchor = self._anchors.get(rule.event)
                day = self._day(anchor.dates[0]) if anchor else None
                if day is not None and day.table not in (table, *hang):
                    sorter.add(day.table, table)
        try:
            return [table for table in sorter.static_order() if table in keep]
        except CycleError:
            raise PeriodError("tables hang on one another; take out the rules of one") from None

    def dates(self, table: sa.Table) -> set[str]:
        """Return the columns that rules count from: emptied, they would leave others undated."""
        own = _own_day(table)
        days = [self._day(name) for anchor in self._anchors.values() for name in anchor.dates]
        return {day.name for day in (own, *days) if day is not None and day.table is table}

    def oldest_first(self, table: sa.Table) -> list[sa.ColumnElement[Any]]:
        """Return what to sort by, so that a row that ends something comes after what it ends."""
        day = _own_day(table)
        by: list[sa.ColumnElement[Any]] = [] if day is None else [day]
        for anchor in self._anchors.values():
            column, words = anchor.ends
            if anchor.dates[0].startswith(f"{table.name}.") and _is(table, column, str):
                by.append(table.c[column].in_(words))  # of one moment: what ends comes last
        return [*by, _key(table)]

    def frozen(self, table: sa.Table) -> list[tuple[str, Test]]:
        """Return why rows are not to be touched at all, each with a test."""
        who: list[tuple[str, Any]] = [
            (f"on hold: {why}", [number for number in self._holds if self._holds[number] == why])
            for why in dict.fromkeys(self._holds.values())
        ]
        for anchor in self._anchors.values():
            day = self._day(anchor.dates[0]) if anchor.pending else None
            link = None if day is None else _link(day.table, self._subject)
            if day is not None and link is not None and not link.primary_key:
                query = sa.select(link).where(link.is_not(None), day.is_(None))
                who.append((f"something is open in {day.table.name}", query))
        tests = ((why, self._leads(table, table, numbers)) for why, numbers in who)
        return [(why, test) for why, test in tests if test is not None]

    def _leads(
        self, table: sa.Table, seen: sa.FromClause, who: Any, *through: sa.Table
    ) -> Test | None:
        """Test whether links lead from a row to one of these customers; None: no row's do."""
        if table is self._subject:
            return seen.c[_key(table).name].in_(who)
        tests = []
        for column in table.c:
            for parent in {link.column.table for link in column.foreign_keys} - {table, *through}:
                x = _seen(_key(parent), *(c for c in parent.c if c.foreign_keys))
                mine = seen.c[column.name]
                if (test := self._leads(parent, x, who, table, *through)) is not None:
                    found = sa.select(x.c[_key(parent).name]).where(test)
                    tests.append(sa.and_(mine.is_not(None), mine.in_(found)))
        return sa.or_(*tests) if tests else None

    # ---- where the days are

    def _state(self, table: sa.Table, column: str, event: str, first: date, keys: Keys) -> State:
        anchor = self._anchors.get(event, Anchor("", ()))
        ends = any(anchor.ends)
        sources = list(self._ended(table, anchor) if ends else self._sources(table, event))
        known: list[Test] = [sa.false()]
        late: list[Test] = [sa.false()]
        for source in sources:
            among = _among(table, source.key, keys)
            there = source.day.is_not(None)
            exact = issubclass(source.day.type.python_type, datetime)
            too_late = sa.and_(there, source.day >= (self._midnight(first) if exact else first))
            known.append(source.has(there, among))
            late.append(source.has(too_late, among))
        if column and self._written:
            late.append(_key(table).in_(self._written(table, column, self._midnight(first))))
        state = State(sa.or_(*known), sa.or_(*late))
        if ends:
            state = replace(state, pending=self._going(table, anchor, keys, like=True))
        elif anchor.pending and sources:
            state = replace(state, pending=sa.not_(state.known))
        if anchor.waits:
            others = [a for a in self._anchors.values() if any(a.ends) and a.of == anchor.of]
            going = [self._going(table, other, keys, like=False) for other in others]
            state = replace(state, waits=sa.or_(sa.false(), *going))
        return state

    def _sources(self, table: sa.Table, event: str) -> Iterator[_Source]:
        key, own = _key(table), _own_day(table)
        if anchor := self._anchors.get(event):
            for name in anchor.dates:
                day = self._day(name)
                link, names = self._link(table, anchor), self._link(day, anchor)
                if day is None or link is None or names is None:
                    continue
                if names is link is key:
                    yield _Source(key, key, day, sa.select(key), own=True)
                else:
                    x = _seen(names, day)
                    value = x.c[names.name]
                    yield _Source(link, value, x.c[day.name], sa.select(value))
        elif event == LAST_USE:
            for names, _ in _named_by(table):
                yield from _uses(key, names)
        elif own is not None:
            yield _Source(key, key, own, sa.select(key), own=True)

    def _ended(self, table: sa.Table, anchor: Anchor) -> Iterator[_Source]:
        for source, over, _ in self._courses(table, anchor, like=True):
            yield replace(source, query=source.query.where(over))

    def _going(self, table: sa.Table, anchor: Anchor, keys: Keys, *, like: bool) -> Test:
        found = self._courses(table, anchor, like=like)
        tests = [s.has(goes_on, _among(table, s.key, keys)) for s, _, goes_on in found]
        return sa.or_(sa.false(), *tests)

    def _courses(
        self, table: sa.Table, anchor: Anchor, *, like: bool
    ) -> Iterator[tuple[_Source, Test, Test]]:
        """Yield rows that begin and end things, with a test for an end and one for no end yet.

        They are those like the row asked about if *like*, and it is one of them; else all that
        name the same as it.
        """
        day, link = self._day(anchor.dates[0]), self._link(table, anchor)
        names, (column, words) = self._link(day, anchor), anchor.ends
        if day is None or link is None or names is None or not _is(day.table, column, str):
            return
        alike = [name for name in anchor.alike if name in day.table.c]
        needed = [day.table.c[name] for name in (*alike, column)]
        x, y, z = (_seen(_key(day.table), day, names, *needed) for _ in range(3))

        def pair(one: sa.FromClause, other: sa.FromClause) -> Test:
            same = [one.c[n].is_not_distinct_from(other.c[n]) for n in alike]
            return sa.and_(one.c[names.name] == other.c[names.name], *same)

        key, value = link, x.c[names.name]
        query = sa.select(value)
        if like and table is day.table:
            key = _key(table)
            value = y.c[key.name]
            query = sa.select(value).join_from(y, x, pair(y, x))
        over = sa.and_(x.c[column].is_not(None), x.c[column].in_(words))
        ended = sa.and_(pair(z, x), z.c[column].in_(words), z.c[day.name] >= x.c[day.name])
        goes_on = sa.or_(x.c[column].is_(None), x.c[column].not_in(words))
        goes_on = sa.and_(goes_on, ~sa.exists(sa.select(1).where(ended)))
        yield _Source(key, value, x.c[day.name], query), over, goes_on

    def _link(self, place: sa.Table | sa.Column[Any] | None, anchor: Anchor) -> Any:
        """Return what names the row that an event happens to, in a table or that of a column."""
        table = place.table if isinstance(place, sa.Column) else place
        of = self._tables.get(anchor.of)
        return None if table is None or of is None else _link(table, of)

    def _day(self, name: str) -> sa.Column[Any] | None:
        """Return a column if there is one and days can be read from it."""
        table, _, column = name.partition(".")
        found = self._tables[table].c.get(column) if table in self._tables else None
        return found if found is not None and _is(found.table, column, date) else None

    def _first_kept(self, rule: Keep) -> date:
        """Return the first day on which an event is too recent: later ones are too."""
        days = range(1, self._today.toordinal() + 1)
        over = bisect_left(days, self._today, key=lambda n: rule.until(date.fromordinal(n)))
        return date.fromordinal(over + 1)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)


def _uses(key: sa.Column[Any], names: sa.Column[Any]) -> Iterator[_Source]:
    """Yield the days of rows that name a row; a line of a sale has the day of its sale."""
    links = [column for column in names.table.c if column.foreign_keys]
    own = _own_day(names.table)
    x = _seen(*links, *([] if own is None else [own]))
    value = x.c[names.name]
    if own is not None:
        yield _Source(key, value, x.c[own.name], sa.select(value))
        return
    for column in links:
        for link in column.foreign_keys:
            own = _own_day(link.column.table)
            if own is not None and link.column.table is not key.table:
                y = _seen(link.column, own)
                on = x.c[column.name] == y.c[link.column.name]
                yield _Source(key, value, y.c[own.name], sa.select(value).join_from(x, y, on))


def _among(table: sa.Table, column: sa.Column[Any], keys: Keys) -> Keys:
    key = _key(table)
    if keys is None or column is key:
        return keys
    x = _seen(key, column)
    return sa.select(x.c[column.name]).where(x.c[key.name].in_(keys))


def _seen(*columns: sa.Column[Any]) -> sa.FromClause:
    """Return a table under another name, with these columns: all would take ten times as long."""
    table = columns[0].table
    light = {column.name: sa.column(column.name, column.type) for column in columns}
    return sa.table(table.name, *light.values(), schema=table.schema).alias()


def _named_by(table: sa.Table) -> Iterator[tuple[sa.Column[Any], bool]]:
    """Yield the columns that name a table's rows, and whether they are emptied when one goes."""
    for other in table.metadata.tables.values():
        for column in other.c:
            for link in column.foreign_keys:
                if link.column.table is table:
                    yield column, (link.ondelete or "").upper() == "SET NULL"


def _link(table: sa.Table, of: sa.Table) -> sa.Column[Any] | None:
    if table is of:
        return _key(table)
    return next((c for c in table.c for f in c.foreign_keys if f.column.table is of), None)


def _own_day(table: sa.Table) -> sa.Column[Any] | None:
    return next((table.c[name] for name in OWN_DAYS if _is(table, name, date)), None)


def _is(table: sa.Table, column: str, kind: type) -> bool:
    """Return whether there is such a column that can be read; a sealed one is bytes."""
    return column in table.c and issubclass(table.c[column].type.python_type, kind)


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))
