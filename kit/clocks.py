# SPDX-License-Identifier: MIT-0
"""Count a legal deadline the way its rule says, so that an answer is never a day too late.

Copy: ``kit copy clocks --into DIR``, or take this file as it is.
Needs: Python 3.11. Nothing else from this kit.
Data: none.

A rule brings its clock (`Rule.clock`), the caller what happened and when::

    rule.clock   # {"start": "received", "n": 7, "unit": "business_day", "first_day": "next"}
    deadline(rule, {"received": date(2026, 3, 2)}, zone=ZoneInfo("America/New_York"), calendar=us)
    Deadline(due=2026-03-11, send_by=2026-03-11, latest=2026-03-11, ...)

Three dates, always::

    due      as the rule counts; business days skip Saturday and Sunday, and no holiday
    send_by  the last Monday to Friday that is no holiday, on or before it: the one to work to
    latest   the most generous reading: holidays skipped, an end on a free day rolls forward

Months end on the same number of day or, where there is none, on the month's last, counted in one
step. An extension counts from the same start, in one step, too. Hours are elapsed hours; their
three dates are one instant. Where the start is not known there is no date, only a floor: none can
come earlier. Whether a rule is the law on the day is the caller's question, and so is a hold by
the police.
"""

from __future__ import annotations

import calendar as months
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, Protocol, TypeAlias

UNITS = ("hour", "calendar_day", "business_day", "month")
FLOORS = ("discovered", "notified", "received")  # what a floor is counted from, in this order
WEEKEND = (5, 6)  # as date.weekday() counts
STRICTER = (  # where a rule has the word, what it would mean
    ("count_first_day", {"first_day": "same"}, "if the first day counts, too"),
    ("count_saturday", {"saturdays": True}, "if Saturdays are business days"),
)
UNCONFIRMED = "cannot compute: rule unconfirmed"
NO_LIST = "no list of holidays for those days: send_by and latest are unknown"

When: TypeAlias = date | datetime
Events: TypeAlias = Mapping[str, When | None]


class ClockError(Exception):
    """Base of the errors below. Messages name events and rules, nothing of a customer."""


class NoZone(ClockError):
    """A time without a zone, or a day where the rule counts hours."""


class NotExtended(ClockError):
    """The extension is refused; the first date stands."""


class NoClock(ClockError):
    """The rule has no time limit, or one that cannot be read."""


class _StillStopped(ClockError):
    """Caught here: the clock stands still; says why."""


class Rule(Protocol):
    """What is needed of a rule, such as ``law.Row``."""

    @property
    def id(self) -> str:
        """Return its name."""

    @property
    def cite(self) -> str:
        """Return where it is written."""

    @property
    def confidence(self) -> str:
        """Return "high", "medium" or "low"."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return what is not certain about it."""

    @property
    def clock(self) -> Mapping[str, Any]:
        """Return its time limit."""

    @property
    def keep(self) -> Mapping[str, Any]:
        """Return how long something is to be kept."""


@dataclass(frozen=True)
class Calendar:
    """The holidays of a place, for some years."""

    key: str
    name: str
    from_year: int
    to_year: int
    days: frozenset[date] = field(repr=False)
    doubts: tuple[str, ...] = ()

    def knows(self, day: date) -> bool:
        """Tell whether the list is for that year."""
        return self.from_year <= day.year <= self.to_year


@dataclass(frozen=True)
class Pause:
    """A time in which the clock stood still."""

    reason: str
    start: When
    end: When | None  # None: it still does


@dataclass(frozen=True)
class Deadline:
    """What came out.

    Attributes:
        rule: The rule's id.
        state: ``computed``, or why not: ``cannot``, ``not_started``, ``stopped``.
        due: A day; an instant for hours; None if not computed.
        send_by: The one to work to; None without a list of holidays.
        latest: The most generous reading, never to be aimed at; None as above.
        strict: Days of stricter readings, soonest first; `doubts` says which.
        doubts: Sentences to print beside the date.
        cite: Where the rule is written.
        start: What it was counted from, in the shop's zone.
        why: Why there is no date.
        floor: The earliest day on which it can be due, where that is all one knows.
        task: What a person has to do now.
        extended: Whether this is after an extension.
    """

    rule: str
    state: str
    cite: str
    due: When | None = None
    send_by: When | None = None
    latest: When | None = None
    strict: tuple[date, ...] = ()
    doubts: tuple[str, ...] = ()
    start: When | None = None
    why: str = ""
    floor: When | None = None
    task: str = ""
    extended: bool = False
    counted: _Counted | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class _Counted:
    """What a date was counted with, so that an extension counts the same way."""

    events: Events
    zone: tzinfo
    calendar: Calendar | None
    pauses: tuple[Pause, ...]


def read_calendars(path: Path) -> dict[str, Calendar]:
    """Read a file of holiday lists, by key."""
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        return {
            one["key"]: Calendar(
                one["key"],
                one["name"],
                one["from_year"],
                one["to_year"],
                frozenset(day["on"] for day in one["days"]),
                tuple(one.get("doubts", ())),
            )
            for one in said.get("calendar", [])
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ClockError(f"{path.name}: cannot be read ({type(error).__name__}); mend it") from None


def deadline(
    rule: Rule,
    events: Events,
    *,
    zone: tzinfo,
    calendar: Calendar | None = None,
    pauses: Iterable[Pause] = (),
) -> Deadline:
    """Count a rule's deadline.

    Args:
        rule: The rule, with its clock.
        events: What happened and when: ``{"received": aware datetime}``, or a day for rules that
            count days. None: it has to happen, and has not. Left out: nobody knows, or it is not
            needed.
        zone: The shop's own; the day of an event is the day there.
        calendar: The holidays; without it, only `Deadline.due`.
        pauses: Times in which the clock stood still; only for reasons that the rule names.

    Raises:
        NoZone: A naive time, or a day where the rule counts hours.
        NoClock: The rule has no time limit, or does not name that reason for a pause.
    """
    used = _Counted(events, zone, calendar, tuple(pauses))
    return _deadline(rule, used, extra=0)


def extend(rule: Rule, first: Deadline, *, notice_at: When, reason: str) -> Deadline:
    """Count the deadline anew after an extension.

    Args:
        rule: The rule of *first*.
        first: What `deadline` returned; it stands if this raises.
        notice_at: When the person was told of the extension.
        reason: Why more time is needed, in words.

    Raises:
        NotExtended: There is none, or it was used; the notice is late, or gives no reason.
    """
    by = rule.clock.get("extend")
    if not by or rule.confidence == "low":
        raise NotExtended(f"{rule.id}: no extension is known; the first date stands")
    if first.state != "computed" or first.counted is None or first.due is None:
        raise NotExtended(f"{rule.id}: there is no first date yet; nothing to extend")
    if first.extended:
        raise NotExtended(f"{rule.id}: it was extended before; that is possible once")
    if by.get("needs_reason", True) and not reason.strip():
        raise NotExtended(f"{rule.id}: an extension needs a reason; say one")
    told = _at(notice_at, first.counted.zone, "the notice", rule.clock["unit"])
    if told > first.due or (first.start is not None and told < first.start):
        span = f"from {first.start} to {first.due}"
        raise NotExtended(f"{rule.id}: the notice had to be sent {span}; the first date stands")
    return _deadline(rule, first.counted, extra=by["n"])


def keep_until(rule: Rule, events: Events, *, zone: tzinfo) -> date:
    """Return the last day on which something must be kept.

    Raises:
        NoClock: The rule has no period, or its event is not among those given.
    """
    if not rule.keep or rule.confidence == "low":
        raise NoClock(f"{rule.id}: no confirmed period to keep anything; ask a lawyer")
    name = rule.keep["start"]
    if (moment := events.get(name)) is None:
        raise NoClock(f"{rule.id}: counts from {_words(name)}, which is not given")
    return _step(_day(moment, zone, name), rule.keep["n"], rule.keep["unit"])


def add_months(day: date, n: int) -> date:
    """Return the same day *n* months on; the last of that month where it has no such day."""
    year, month = divmod(day.year * 12 + day.month - 1 + n, 12)
    last = months.monthrange(year, month + 1)[1]
    return day.replace(year=year, month=month + 1, day=min(day.day, last))


def _deadline(rule: Rule, used: _Counted, *, extra: int) -> Deadline:
    clock, none = rule.clock, Deadline(rule.id, "cannot", rule.cite, doubts=rule.doubts)
    if rule.confidence == "low":
        task = "have a person confirm the rule before a date is promised"
        return replace(none, why=UNCONFIRMED, task=task)
    if not clock:
        raise NoClock(f"{rule.id}: has no time limit to count; read its sentence instead")
    if clock["unit"] not in UNITS:
        raise NoClock(f"{rule.id}: the unit {clock['unit']!r} is not known; mend its file")
    for name, moment in used.events.items():  # of all, so that a mistake shows at once
        if isinstance(moment, datetime):
            _day(moment, used.zone, name)
    start, missing = _start(clock, used)
    if start is None:
        return _without(none, clock, used, missing)
    if any(pause.reason not in clock.get("stop", ()) for pause in used.pauses):
        raise NoClock(f"{rule.id}: nothing stops this clock for that reason; count without a pause")
    try:
        due, send_by, latest = _ends(clock, start, used, extra)
    except _StillStopped as stopped:
        why = f"stopped: {_words(str(stopped))}"
        task = "note the day on which that ended; then the clock runs on"
        return replace(none, state="stopped", why=why, task=task, start=start)
    doubts = [*rule.doubts, *(used.calendar.doubts if used.calendar else ())]
    for other in clock.get("sooner_of", ()):
        if (moment := used.events.get(other["start"])) is not None:
            ends = _ends(other, _at(moment, used.zone, other["start"], other["unit"]), used, 0)
            if ends[0] < due:
                doubts.append(f"{_words(other['start'])} came sooner and decides")
            pairs = zip((due, send_by, latest), ends, strict=True)
            due, send_by, latest = (None if None in two else min(two) for two in pairs)
    if send_by is None or latest is None:
        doubts.append(NO_LIST)
    strict = []
    for word, reading, says in STRICTER:
        if clock.get(word):
            day = _ends({**clock, **reading}, start, used, extra)[0]
            if day < due:
                strict.append(day)
                doubts.append(f"{day} {says}")
    return replace(
        none,
        state="computed",
        **{"due": due, "send_by": send_by, "latest": latest, "start": start},
        strict=tuple(sorted(set(strict))),
        doubts=tuple(doubts),
        extended=bool(extra),
        counted=used,
    )


def _without(none: Deadline, clock: Mapping[str, Any], used: _Counted, missing: str) -> Deadline:
    """Return what can be said where the start is not known."""
    floor = None
    known = [name for name in FLOORS if used.events.get(name) is not None]
    if known and clock.get("direction") != "before":
        with suppress(NoZone):  # a day is known, but hours are counted
            moment = _at(used.events[known[0]], used.zone, known[0], clock["unit"])
            floor = _ends(clock, moment, replace(used, pauses=()), 0)[0]
    task = f"find out and note when: {_words(missing)}"
    if clock["start"] != "latest_of":
        why = f"cannot compute: {_words(missing)} is not given"
        return replace(none, why=why, floor=floor, task=task)
    asked = used.events.get(f"{missing}_asked")
    waits = f" (asked for on {_day(asked, used.zone, missing)})" if asked else ""
    why = f"not started: {_words(missing)} is missing{waits}"
    return replace(none, state="not_started", why=why, floor=floor, task=task)


def _start(clock: Mapping[str, Any], used: _Counted) -> tuple[Any, str]:
    """Return what to count from, or what is missing for it."""
    name, unit, events = clock["start"], clock["unit"], used.events
    if name not in ("latest_of", "earliest_of"):
        moment = events.get(name)
        return (None, name) if moment is None else (_at(moment, used.zone, name, unit), "")
    several = clock["start_any"]
    given = {one: when for one in several if (when := events.get(one)) is not None}
    known = [_at(when, used.zone, one, unit) for one, when in given.items()]
    if name == "earliest_of":
        return (min(known), "") if known else (None, several[0])
    needed = {*clock.get("start_needs", several), *(one for one in several if one in events)}
    for one in several:
        if one in needed and one not in given:
            return None, one
    return max(known), ""


def _ends(clock: Mapping[str, Any], start: Any, used: _Counted, extra: int) -> tuple[Any, ...]:
    """Return due, send_by and latest."""
    n, unit = clock["n"] + extra, clock["unit"]
    if clock.get("direction") == "before":
        n = -n
    if unit == "hour":
        end = _resumed(start.astimezone(UTC) + timedelta(hours=n), used, unit)
        return (end.astimezone(used.zone),) * 3
    weekend = (6,) if clock.get("saturdays") else WEEKEND
    first = clock.get("first_day", "next") == "same"
    due = _resumed(_step(start, n, unit, weekend=weekend, first=first), used, unit)
    if used.calendar is None:
        return due, None, None
    send_by = _nearest(due, -1, used.calendar)
    latest = due if n < 0 else _nearest(due, 1, used.calendar)  # nothing before may come after
    if unit == "business_day" and n > 0:
        latest = _step(start, n, unit, first=first, free=used.calendar.days)
        latest = _nearest(_resumed(latest, used, unit), 1, used.calendar)
        if not used.calendar.knows(start):
            latest = None
    return due, send_by, latest


def _step(
    day: date,
    n: int,
    unit: str,
    *,
    weekend: tuple[int, ...] = WEEKEND,
    first: bool = False,
    free: frozenset[date] = frozenset(),
) -> date:
    """Return the day *n* units on; *first*: the day itself is the first of them."""
    if unit == "month":
        return add_months(day, n) - timedelta(days=first)
    if unit == "calendar_day":
        return day + timedelta(days=n - first)
    if first:
        day -= timedelta(days=1)
    while n:
        day += timedelta(days=1 if n > 0 else -1)
        if day.weekday() not in weekend and day not in free:
            n -= 1 if n > 0 else -1
    return day


def _nearest(day: date, step: int, calendar: Calendar) -> date | None:
    """Return the day itself or the nearest working day in one direction; None: list too short."""
    while calendar.knows(day):
        if day.weekday() not in WEEKEND and day not in calendar.days:
            return day
        day += timedelta(days=step)
    return None


def _resumed(end: Any, used: _Counted, unit: str) -> Any:
    """Return an end moved by the times in which the clock stood still before it."""
    spans: list[tuple[Any, Any, str]] = []
    for pause in used.pauses:
        begun = _at(pause.start, used.zone, pause.reason, unit)
        over = None if pause.end is None else _at(pause.end, used.zone, pause.reason, unit)
        spans.append((begun, over, pause.reason))
    reached = None  # up to here a pause was counted
    for begun, over, reason in sorted(spans, key=lambda span: span[0]):
        if begun > end:
            break
        if over is None:
            raise _StillStopped(reason)
        begun = begun if reached is None else max(begun, reached)
        if over > begun:
            end += over - begun
            reached = over
    return end


def _at(moment: When | None, zone: tzinfo, name: str, unit: str) -> Any:
    """Return an event as what its rule counts: an instant for hours, else the day at the shop."""
    if unit != "hour":
        return _day(moment, zone, name)
    if not isinstance(moment, datetime):
        raise NoZone(f"{_words(name)}: this rule counts hours; hand over the time of day, too")
    _day(moment, zone, name)
    return moment.astimezone(zone)


def _day(moment: When | None, zone: tzinfo, name: str) -> date:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise NoZone(f"{_words(name)}: has no time zone; hand over an aware datetime")
        return moment.astimezone(zone).date()
    if not isinstance(moment, date):
        raise TypeError(f"{name} must be a date or an aware datetime")
    return moment


def _words(name: str) -> str:
    return name.replace("_", " ")
